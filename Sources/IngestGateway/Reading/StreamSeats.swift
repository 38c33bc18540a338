import ByteBuffers
import Telemetry
import Transport

/// Places for streams of records, which have no end of their own: so many of all, and of each peer (an IPv4 address, an IPv6 /64).
/// Shared by all loops.
final class StreamSeats: Sendable {
    enum Refusal { case total, peer }

    private let most: Int
    private let mostPerPeer: Int
    private let gauge: Gauge
    private let taken = Lock(Taken())

    private struct Taken {
        var total = 0
        /// Peers that have one: no more than there are streams.
        var byPeer: [PeerKey: Int] = [:]
    }

    init(most: Int, perPeer: Int, gauge: Gauge) {
        (self.most, mostPerPeer) = (most, perPeer)
        self.gauge = gauge
    }

    func take(for peer: PeerKey) -> (seat: StreamSeat?, refusal: Refusal?) {
        let refusal = taken.withLock { taken -> Refusal? in
            let own = taken.byPeer[peer, default: 0]
            if own >= mostPerPeer { return .peer }
            if taken.total >= most { return .total }
            taken.byPeer[peer] = own + 1
            taken.total += 1
            gauge.set(taken.total)
            return nil
        }
        return refusal.map { (nil, $0) } ?? (StreamSeat(self, peer), nil)
    }

    fileprivate func leave(_ peer: PeerKey) {
        taken.withLock { taken in
            guard let own = taken.byPeer[peer], own > 0 else { preconditionFailure("a stream leaves twice") }
            taken.byPeer[peer] = own > 1 ? own - 1 : nil
            taken.total -= 1
            gauge.set(taken.total)
        }
    }
}

/// A place, as long as there is this.
final class StreamSeat: Sendable {
    private let seats: StreamSeats
    private let peer: PeerKey

    fileprivate init(_ seats: StreamSeats, _ peer: PeerKey) {
        self.seats = seats
        self.peer = peer
    }

    deinit { seats.leave(peer) }
}
