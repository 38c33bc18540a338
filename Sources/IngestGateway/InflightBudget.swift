import ByteBuffers
import Synchronization
import Telemetry
import Transport

/// The memory of requests that are not answered: bodies that are not whole, or wait for a worker or their turn, what a reply in slices
/// keeps, and the fields of streams of HTTP/2. Of a body that is not whole it goes by what has arrived, not by what is announced: each
/// has room for twice that, at least 16 KiB and at most its length (of a chunked one: the longest that is taken). Shared by all loops.
///
/// No peer may have all of it, for 16 sockets of one would keep everybody else out.
final class InflightBudget: Sendable {
    enum Refusal {
        /// All peers together hold too much.
        case total
        /// This peer does.
        case peer
    }

    private let limit: Int
    private let peerLimit: Int
    private let gauge: Gauge
    private let held = Lock<Held>(Held())

    private struct Held {
        var total = 0
        /// Peers that hold something: no more than there are connections of HTTP/1.1, streams of HTTP/2 (of which a proxy's connection
        /// has one a client, if it likes), and bodies with workers.
        var byPeer: [PeerKey: Int] = [:]
    }

    init(_ options: GatewayOptions, gauge: Gauge) {
        limit = options.maxInflightBytes
        peerLimit = options.maxInflightBytesPerPeer
        self.gauge = gauge
    }

    /// Takes `bytes` for `peer`, or says why not.
    func reserve(_ bytes: Int, for peer: PeerKey) -> Refusal? {
        held.withLock { held in
            guard held.total + bytes <= limit else { return .total }
            let own = held.byPeer[peer, default: 0] + bytes
            guard own <= peerLimit else { return .peer }
            held.byPeer[peer] = own
            held.total += bytes
            gauge.set(held.total)
            return nil
        }
    }

    func release(_ bytes: Int, of peer: PeerKey) {
        guard bytes > 0 else { return }
        held.withLock { held in
            guard let own = held.byPeer[peer], own >= bytes else {
                preconditionFailure("a peer gives back \(bytes) bytes that it does not hold")
            }
            held.byPeer[peer] = own > bytes ? own - bytes : nil
            held.total -= bytes
            gauge.set(held.total)
        }
    }
}
