public import BrokerCore
public import ByteBuffers
import Coordinators
import Glibc
import KafkaModel
import KafkaWire
import LogStorage
public import Security
public import Telemetry
public import Transport

/// The Kafka protocol edge: frames in, handlers by API key, replies in request order.
///
/// A request is handled on its connection's event loop. Its reply is written at once and gated by the commit it rests
/// on, or the connection is muted until the reply can be written (a parked fetch, a group's rebalance, a change of
/// topics), as Kafka mutes a channel.
public final class KafkaServer: Sendable {
    public let broker: Broker
    public let options: KafkaServerOptions
    public let commitClock: CommitClock
    let loops: LoopTable
    /// Of all listeners: `max.connections` is the broker's; what one of them may have is its own (`ListenerOptions.ownLimit`).
    private let connections = ConnectionCount()
    /// By Kafka's numbers, and our own by theirs.
    private let table: [API?]
    private let ownTable: [API?]
    let metrics: KafkaServerMetrics
    let quotas: QuotaKeeper
    /// Whether there are ACLs to be asked; else everybody may do everything.
    let hasAuthorizer: Bool
    /// Memory that long requests take while others make their replies.
    let decoding = WorkBudget(maxBytes: RequestLimits.decodedBytes)
    let budget = WorkBudget(maxBytes: RequestLimits.replyBytes)
    /// Memory of the fetch sessions of all loops.
    let sessionShare: FetchShare
    /// Memory of the fetches that wait, those of many partitions.
    let parkedShare: FetchShare

    /// Connects the edge to its broker: from now on it hears of commits and of group replies. Before `Broker.start`.
    public init(
        broker: Broker, options: KafkaServerOptions = KafkaServerOptions(), loopCount: Int,
        metrics registry: MetricsRegistry = MetricsRegistry()
    ) {
        self.broker = broker
        quotas = broker.quotas
        metrics = KafkaServerMetrics(registry: registry)
        self.options = options
        hasAuthorizer = broker.options.access.hasAuthorizer
        commitClock = CommitClock(published: broker.store.durableTicket)
        loops = LoopTable(count: loopCount)
        sessionShare = FetchShare(limit: options.maxFetchSessionBytes)
        parkedShare = FetchShare(limit: options.maxParkedFetchBytes)
        table = Self.table(from: 0)
        ownTable = Self.table(from: APIKey.firstOwn)
        broker.store.observe(
            CommitFanout(
                clock: commitClock, loops: loops, transactions: broker.transactions, queues: broker.queues,
                readers: broker.readers, shares: broker.shares))
        broker.groups.deliver(to: GroupReplies(loops: loops))
    }

    /// What is served by that number.
    @inline(__always)
    func api(_ key: Int16) -> API? {
        if key >= 0, Int(key) < table.count { return table[Int(key)] }
        let own = Int(key) - Int(APIKey.firstOwn)
        return own >= 0 && own < ownTable.count ? ownTable[own] : nil
    }

    /// Room for more than there are keys.
    private static let tableLength: Int16 = 128

    private static func table(from first: Int16) -> [API?] {
        (first..<first + tableLength).map { key in APITable.all.first { $0.key.rawValue == key } }
    }

    /// Sets a loop up; called on each loop's thread before it serves (`EventLoopGroup.Options.setUp`).
    public func setUp(_ loop: EventLoop) {
        let state = KafkaLoop(loop: loop, server: self)
        loops.set(state, handle: loop.handle)
        // Its state holds the server, which holds the table.
        loop.atEnd { [loops, index = loop.index] in loops.letGo(index) }
        loop.onCommit = { [unowned state] _ in state.commitsArrived() }
        loop.turnWork = TurnWork(
            isWanted: { [store = broker.store] in store.wantsCommit },
            run: { [store = broker.store] in store.commitInTurn() })
        loop.onStop = { [unowned state] _ in state.stopping() }
        broker.observeCredentials { [loops, handle = loop.handle] users in
            handle.submit { loop in loops.state(loop.index).credentialsChanged(of: users) }
        }
    }

    /// What a listener clients are told to connect to.
    public struct Advertised: Sendable {
        let host: String
        let port: Int32

        public init(host: String, port: UInt16) {
            self.host = host
            self.port = Int32(port)
        }
    }

    /// - Parameters:
    ///   - advertised: of `advertised.listeners`, for those who come by this one. Nil: the address that each one came by.
    ///   - sasl: how clients show who they are. Nil: nobody is asked.
    ///   - certificateOwner: who a client is by its certificate, without SASL; nil: it has shown none.
    public func listenerOptions(
        host: String, port: UInt16, advertised: Advertised? = nil, sasl: SaslListener? = nil,
        certificateOwner: @escaping @Sendable (Connection) -> Principal? = { _ in nil }
    ) -> ListenerOptions {
        var listener = ListenerOptions(host: host, port: port) { [self] loop, connection in
            KafkaConnection(
                server: self, loop: loops.state(loop.index), connection: connection, advertised: advertised,
                sasl: sasl, certificateOwner: certificateOwner)
        }
        listener.count = connections
        listener.maxConnections = options.maxConnections
        listener.maxConnectionsPerIP = options.maxConnectionsPerIP
        listener.delayBeforeClose = { [quotas] peer in
            quotas.admit(NetworkAddress(peer), now: MonotonicTime(milliseconds: EventLoop.clock() / 1_000_000))
        }
        listener.limits.maxFrameBytes = options.maxRequestBytes + 4
        listener.limits.idleTimeout = .milliseconds(options.maxIdleMs)
        listener.gathersFrames = true
        return listener
    }
}

/// The loops' states, by loop index.
final class LoopTable: @unchecked Sendable {
    // SAFETY: each place is written by its loop's thread, before it serves and when it ends, and `state` is only asked for by that
    // thread; what other threads use (`handle`, `inbox`) is immutable or has a lock.
    private let states: UnsafeMutablePointer<KafkaLoop?>
    private let shared: UnsafeMutablePointer<Shared?>
    let count: Int

    final class Shared: Sendable {
        let handle: LoopHandle
        /// Parked fetches whose partitions have grown, and which of them.
        let inbox = Lock<[ReadWaiter]>([])

        init(handle: LoopHandle) { self.handle = handle }
    }

    init(count: Int) {
        self.count = count
        states = .allocate(capacity: count)
        states.initialize(repeating: nil, count: count)
        shared = .allocate(capacity: count)
        shared.initialize(repeating: nil, count: count)
    }

    deinit {
        states.deinitialize(count: count)
        states.deallocate()
        shared.deinitialize(count: count)
        shared.deallocate()
    }

    func set(_ state: KafkaLoop, handle: LoopHandle) {
        states[handle.index] = state
        shared[handle.index] = Shared(handle: handle)
    }

    func letGo(_ index: Int) { states[index] = nil }

    func state(_ index: Int) -> KafkaLoop { states[index]! }
    func shared(_ index: Int) -> Shared { shared[index]! }
}

extension NetworkAddress {
    init(_ address: SocketAddress) {
        guard address.isIPv6 else {
            self.init(v4: UInt32(truncatingIfNeeded: address.low))
            return
        }
        self.init(
            v6: [address.high, address.low].flatMap { word in (0..<8).map { UInt8(word >> (56 - 8 * $0) & 255) } })
    }
}
