internal import ByteBuffers
internal import CSystem
internal import Glibc
internal import Synchronization
internal import Telemetry

/// What the loops share about one listener: its options and who is connected.
final class ListenerState: Sendable {
    let options: ListenerOptions
    private let listening = Atomic<Bool>(true)
    private let count: ConnectionCount
    /// Those of this listener alone, where it has limits of its own.
    private let own: ConnectionCount?
    private let refusing = Atomic<Int>(0)

    /// Connections over a limit that are being told so; more are closed without a word. Each takes a descriptor, for a
    /// second at most.
    static let maxRefusals = 64

    init(_ options: ListenerOptions) {
        self.options = options
        count = options.count ?? ConnectionCount()
        own = options.ownLimit == nil ? nil : ConnectionCount()
        precondition(own == nil || options.preamble == nil, "a listener has limits of its own and peers that are named later")
    }

    var isListening: Bool { listening.load(ordering: .acquiring) }
    var openConnections: Int { count.total }

    func stopListening() { listening.store(false, ordering: .releasing) }

    /// Whether a connection counts for its peer from the beginning: not where another peer is told of later, nor where none is
    /// counted.
    func countsAtOnce(_ peer: SocketAddress) -> Bool {
        options.preamble == nil && options.isUncounted?(peer) != true
    }

    /// Takes the connection into account; false, and counted, when a limit is reached.
    func admit(_ peer: SocketAddress, _ counters: TransportCounters) -> Bool {
        let counted = countsAtOnce(peer) ? peer : nil
        if let own, let limit = options.ownLimit, !own.admit(counted, limit, counters) { return false }
        if count.admit(counted, options.limit, counters) { return true }
        own?.release(counted)
        return false
    }

    /// Takes an open connection into account for the peer that it turned out to have.
    func admitLater(_ peer: SocketAddress, _ counters: TransportCounters) -> Bool {
        count.admitLater(peer, options.limit, counters)
    }

    /// Counts a connection that is being told its refusal. Returns false when there are enough of them already.
    func beginRefusal() -> Bool {
        if refusing.wrappingAdd(1, ordering: .relaxed).newValue <= Self.maxRefusals { return true }
        endRefusal()
        return false
    }

    func endRefusal() { refusing.wrappingSubtract(1, ordering: .relaxed) }

    /// `peer`: the one that it was counted for.
    func release(_ peer: SocketAddress?) {
        count.release(peer)
        own?.release(peer)
    }
}

/// Open connections, in all and by peer, of one listener or of several that share their limits.
public final class ConnectionCount: Sendable {
    private struct Open {
        var total = 0
        /// Only kept when there is a limit a peer.
        var byPeer: [PeerKey: Int] = [:]
    }

    private let open = Lock<Open>(Open())

    public init() {}

    var total: Int { open.withLock { $0.total } }

    /// `peer` nil: it is not counted for one.
    func admit(_ peer: SocketAddress?, _ limit: ConnectionLimit, _ counters: TransportCounters) -> Bool {
        open.withLock { open in
            if open.total >= limit.total {
                counters.refusedByTotal.add()
                return false
            }
            if let peer, !Self.add(peer, to: &open, limit, counters) { return false }
            open.total += 1
            return true
        }
    }

    func admitLater(_ peer: SocketAddress, _ limit: ConnectionLimit, _ counters: TransportCounters) -> Bool {
        open.withLock { Self.add(peer, to: &$0, limit, counters) }
    }

    private static func add(
        _ peer: SocketAddress, to open: inout Open, _ limit: ConnectionLimit, _ counters: TransportCounters
    ) -> Bool {
        if limit.perIP == .max { return true }
        let key = peer.peerKey
        guard open.byPeer[key, default: 0] < limit.perIP else {
            counters.refusedByPeer.add()
            return false
        }
        open.byPeer[key, default: 0] += 1
        return true
    }

    func release(_ peer: SocketAddress?) {
        open.withLock { open in
            open.total -= 1
            guard let key = peer?.peerKey, let count = open.byPeer[key] else { return }
            open.byPeer[key] = count > 1 ? count - 1 : nil
        }
    }
}

/// Sockets that listen, from any thread.
public final class Listener: Sendable {
    /// What is listened on, with the real port.
    public let addresses: [SocketAddress]
    private let state: ListenerState
    private let loop: LoopHandle

    init(addresses: [SocketAddress], state: ListenerState, loop: LoopHandle) {
        self.addresses = addresses
        self.state = state
        self.loop = loop
    }

    /// The port, the same for all addresses.
    public var port: UInt16 { addresses[0].port }

    /// Connections accepted here, and at the listeners that share their limits with this one, and not yet closed.
    public var openConnections: Int { state.openConnections }

    /// Stops accepting, within the loop's next turn; open connections live on.
    public func close() {
        let state = state
        state.stopListening()
        loop.submit { $0.closeAcceptors(of: state) }
    }
}

/// Bound sockets, before a loop has them.
struct BoundSockets {
    var sockets: [(fd: Int32, address: SocketAddress)] = []

    /// How often a port that the system picked for one address may be taken on another.
    private static let portAttempts = 16

    static func bind(_ options: ListenerOptions) throws(TransportError) -> BoundSockets {
        let addresses: [SocketAddress] = try .resolving(options)
        var attempt = 1
        while true {
            do throws(TransportError) {
                return try bind(addresses, options)
            } catch .cannotListen(let address, let errno) {
                let isCollision = errno == EADDRINUSE && options.port == 0 && attempt < portAttempts
                if !isCollision { throw .cannotListen(address: address, errno: errno) }
                attempt += 1
            }
        }
    }

    private static func bind(
        _ addresses: [SocketAddress], _ options: ListenerOptions
    ) throws(TransportError) -> BoundSockets {
        var bound = BoundSockets()
        var refusal: TransportError?
        for var address in addresses {
            if let first = bound.sockets.first { address.port = first.address.port }
            var native = address.native
            let dualStack: Int32 = address.isIPv6 && address.isWildcard ? 1 : 0
            let fd = millrace_listen(&native, dualStack, Int32(clamping: options.backlog))
            if fd >= 0 {
                var actual = millrace_address()
                _ = millrace_local_address(fd, &actual)
                bound.sockets.append((fd, SocketAddress(actual)))
                continue
            }
            let error = TransportError.cannotListen(address: address, errno: -fd)
            // A name's address that this machine does not have (`::1` without IPv6) is left out, if another is left.
            if -fd == EADDRNOTAVAIL || -fd == EAFNOSUPPORT {
                refusal = refusal ?? error
                continue
            }
            bound.close()
            throw error
        }
        if bound.sockets.isEmpty, let refusal { throw refusal }
        return bound
    }

    func close() { for socket in sockets { millrace_close(socket.fd) } }
}

extension [SocketAddress] {
    /// Returns what to listen on. Both wildcards are tried for "all": on a machine with IPv6 the first takes IPv4 too.
    fileprivate static func resolving(_ options: ListenerOptions) throws(TransportError) -> [SocketAddress] {
        if options.host.isEmpty || options.host == "*" {
            return try SocketAddress.resolve(host: SocketAddress.hasIPv6 ? "::" : "0.0.0.0", port: options.port)
        }
        return try SocketAddress.resolve(host: options.host, port: options.port)
    }
}

extension SocketAddress {
    /// Whether this machine lets a socket listen on the IPv6 wildcard.
    fileprivate static var hasIPv6: Bool {
        var any = millrace_address(high: 0, low: 0, scope: 0, port: 0, family: 6)
        let fd = millrace_listen(&any, 1, 1)
        if fd < 0 { return false }
        millrace_close(fd)
        return true
    }
}
