public import Alarms
public import BrokerCore
import ByteBuffers
import JobLedger
import LogStorage
public import Security
import Synchronization
public import Telemetry
public import Transport

/// The HTTP edge: requests in, record batches to the broker, truthful replies out.
///
/// A short request is handled on its connection's event loop in one go. Its reply is encoded at once and gated by the commit
/// that makes its events durable. What would hold the loop goes elsewhere meanwhile: the making of a topic, long and packed bodies,
/// reads of the disk, looks at passwords and tokens. Then a connection of HTTP/1.1 is muted, and of HTTP/2 the stream alone waits.
public final class Gateway: Sendable {
    public let broker: Broker
    public let options: GatewayOptions
    /// What requests of SQS are asked of.
    let queues: any QueueService
    /// Whoever looks at them is the caller of the initializer.
    public let alarms: AlarmBoard
    public let pulls = Pulls()
    /// Of who signs as SDKs of AWS do.
    let signingKeys = Lock(SigningKeyCache())
    /// Nil: nobody has asked for an iterator yet.
    private let seal = Lock<IteratorSeal?>(nil)
    /// Nil: nobody is asked who he is.
    let authentication: GatewayAuthentication?
    /// For which hosts is asked, and which proxies are believed.
    let perimeter: Perimeter
    let forwarded: ForwardedClients
    /// nil: no limit.
    let callerLimits: CallerLimits?
    /// Whether what is for operators is served at a listener of its own, and nowhere else.
    let separatesOperators: Bool
    let audit: AuditLog?
    private let reader = Lock<(any ConfigurationReader)?>(nil)
    /// Of wrong credentials, by address.
    let attempts = Lock(AttemptLimiter())
    /// Without an authorizer: nothing is forbidden, but keys reach no further than their scopes.
    let openRules: AccessRules?
    let metrics: GatewayMetrics
    /// What makes identifiers of traces that are begun here this process's own.
    let traceSalt: [UInt8]
    /// Monotonic nanoseconds.
    let startedAt: Int64
    private let loops: GatewayLoops
    private let handles = Lock<[LoopHandle]>([])
    /// The table for requests that begin.
    private let newestRoutes: Lock<RouteTable>
    private let routeChanges = Atomic<Int>(0)
    private let draining = Atomic<Bool>(false)
    /// Of all listeners.
    private let connections = ConnectionCount()
    let inflight: InflightBudget
    let seats: StreamSeats
    let idempotency: IdempotencyKeeper
    let workerRegisters: WorkerRegisters
    let watchers = Watchers()
    /// Of the registers by which watched files are taken, behind those of loops and workers.
    private let fileRegisters: Int

    public init(
        broker: Broker, options: GatewayOptions = GatewayOptions(),
        configuration: GatewayConfiguration = GatewayConfiguration(), loopCount: Int,
        authentication: GatewayAuthentication? = nil, separatesOperators: Bool = false, audit: AuditLog? = nil,
        queues: (any QueueService)? = nil, alarms: AlarmBoard = AlarmBoard(),
        metrics registry: MetricsRegistry = MetricsRegistry()
    ) {
        self.broker = broker
        self.authentication = authentication
        openRules =
            broker.options.access.hasAuthorizer
            ? nil : AccessRules([], superUsers: [], allowsWithoutAcl: true)
        self.options = options
        self.queues = queues ?? broker.queues
        self.alarms = alarms
        alarms.replace(by: configuration.alarms)
        self.separatesOperators = separatesOperators
        self.audit = audit
        perimeter = configuration.perimeter
        forwarded = ForwardedClients(most: options.maxConnectionsPerIP)
        callerLimits = CallerLimits(
            rate: options.callerRate, burst: options.callerBurst, maxOpen: options.maxOpenRequestsPerCaller)
        metrics = GatewayMetrics(registry: registry)
        inflight = InflightBudget(options, gauge: metrics.inflightBytes)
        seats = StreamSeats(
            most: options.maxStreams, perPeer: options.maxStreamsPerIP, gauge: metrics.reading.streams)
        let workers = broker.workers.threadCount
        fileRegisters = loopCount + workers
        idempotency = IdempotencyKeeper(broker, options, claimants: loopCount + workers + 1, metrics: metrics)
        workerRegisters = WorkerRegisters(firstIndex: loopCount, most: workers)
        do {
            let definitions = Self.served(configuration.definitions(options), separatesOperators)
            newestRoutes = Lock(try RouteTable(definitions, options, metrics))
        } catch {
            preconditionFailure("routes that were checked are wrong: \(error)")
        }
        var random = SystemRandomNumberGenerator()
        traceSalt = (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        startedAt = MonotonicClock.nanoseconds
        loops = GatewayLoops(count: loopCount)
    }

    /// Whether it matters who asks, on any route but those that ask nobody.
    var asksCallers: Bool { authentication != nil || callerLimits != nil }

    /// Sets a loop up; called on each loop's thread before it serves (`EventLoopGroup.Options.setUp`), after that of
    /// the Kafka edge when both share the loops: the work that commits belongs to whoever comes first.
    public func setUp(_ loop: EventLoop) {
        let state = GatewayLoop(gateway: self, index: loop.index, pool: loop.pool)
        loops.set(state, at: loop.index)
        state.waits.attach(to: loop, of: state)
        handles.withLock { $0.append(loop.handle) }
        // Its state holds the gateway, which holds the table; the workers' registers do so as well.
        loop.atEnd { [loops, workerRegisters, index = loop.index] in
            loops.state(at: index)?.waits.detach()
            loops.letGo(index)
            workerRegisters.letGo()
        }
        pulls.use(loop.pool)
        if loop.index == 0 { scheduleFloors(on: loop) }
        guard loop.turnWork == nil else { return }
        loop.turnWork = TurnWork(
            isWanted: { [store = broker.store] in store.wantsCommit },
            run: { [store = broker.store] in store.commitInTurn() })
    }

    /// - Parameters:
    ///   - takesProxyHeader: each connection is a trusted proxy's, and begins with the PROXY protocol's header.
    ///   - isForOperators: serves what is for them, where that is separate.
    ///   - certificateOwner: who a client is by its certificate; nil: it has shown none.
    ///   - serves: whether a connection is one for that host, by the certificate that its client got; nil: for any.
    public func listenerOptions(
        host: String, port: UInt16, takesProxyHeader: Bool = false, isForOperators: Bool = false,
        certificateOwner: @escaping @Sendable (Connection) -> Principal? = { _ in nil },
        serves: (@Sendable (Connection, String) -> Bool)? = nil
    ) -> ListenerOptions {
        var listener = ListenerOptions(host: host, port: port) { [self] loop, connection in
            HTTPConnection(
                gateway: self, loop: loops[loop.index], now: loop.now, isForOperators: isForOperators,
                certificateOwner: certificateOwner, serves: serves)
        }
        precondition(!takesProxyHeader || perimeter.proxies != nil, "the header of proxies is believed of nobody")
        if let proxies = perimeter.proxies {
            if takesProxyHeader { listener.preamble = .proxyHeader(from: proxies) }
            // Theirs are counted by whose requests they bring (`ForwardedClients`).
            listener.isUncounted = { proxies.isTrusted(NetworkAddress($0)) }
        }
        listener.count = connections
        listener.maxConnections = options.maxConnections
        listener.maxConnectionsPerIP = options.maxConnectionsPerIP
        // A request by length is one frame: its head and its body. What is left of a read while a request waits is no more than a few of
        // those, however short bodies have to be.
        listener.limits.maxFrameBytes = max(options.maxRequestBytes, listener.limits.readShare) + (64 << 10)
        listener.limits.idleTimeout = options.keepAlive
        // A peer that does not read its reply holds so much of it, and the slice that was too much: 256 of them 80 MiB.
        listener.limits.outputHighWater = 256 << 10
        listener.limits.outputLowWater = 64 << 10
        // The gateway's own timers answer 408 before; this is the net below them.
        listener.limits.partialInputTimeout = options.requestTimeout + .seconds(10)
        listener.limits.commitTimeout = options.requestTimeout
        listener.refusal = { [metrics] in
            metrics.refusedConnections.add()
            return Self.tooManyConnections
        }
        return listener
    }

    /// What iterators of Kinesis are sealed with; nil: the disk does not give it. May wait for the disk.
    func iteratorSeal() -> IteratorSeal? {
        if let seal = seal.withLock({ $0 }) { return seal }
        guard let key = try? broker.clusterKey(IteratorSeal.keyName) else { return nil }
        let made = IteratorSeal(key: key)
        seal.withLock { $0 = made }
        return made
    }

    /// Reads which requests with keys there were. Call it once the broker has started, and before anything is served; it
    /// waits for the disk.
    public func load() { idempotency.load(nowMs: BrokerClock.wallMs()) }

    /// On the broker's own thread, for it goes through all partitions of topics with keys; the next round is counted from its end.
    private func scheduleFloors(on loop: EventLoop) {
        loop.schedule(after: IdempotencyKeeper.floorInterval) { [self] loop in
            let handle = loop.handle
            let isTaken = broker.admin.submit { [self] in
                idempotency.advanceFloors(nowMs: BrokerClock.wallMs())
                handle.submit { [self] in scheduleFloors(on: $0) }
            }
            if !isTaken { scheduleFloors(on: loop) }
        }
    }

    /// The waits of a loop; nil: it has ended.
    func waits(of loop: EventLoop) -> ReplyWaits? { loops.state(at: loop.index)?.waits }

    // MARK: Watched directories

    /// Has exactly these directories watched. Jobs of files that nobody watches any more end. Waits for files at hand.
    public func watch(_ definitions: [WatcherDefinition]) {
        watchers.replace(by: definitions, self)
        let routes = Set(definitions.map(\.jobRoute))
        // What they have appended is counted.
        broker.store.commitPending()
        for job in (try? broker.jobs.jobs()) ?? []
        where job.kind == .watch && job.state == .running && !routes.contains(job.route) {
            broker.jobs.settle(
                JobEnd(job.id, .failed, reason: "Its directory is not watched any more."), after: 0)
        }
    }

    /// Takes no more files. Those at hand are taken up again by the next one who watches.
    public func stopWatching() { watchers.stop() }

    /// Registers for one thread that takes files.
    func registersForFiles() -> GatewayLoop {
        GatewayLoop(gateway: self, index: fileRegisters, pool: broker.store.chunkPool, isWorkers: true)
    }

    // MARK: Routes

    /// Puts other routes in the place of those that there are: all of them, or, when one is wrong, none. Requests that have
    /// begun end by the old ones.
    func replaceRoutes(_ definitions: [RouteDefinition]) throws(RouteRefusal) {
        let old = newestRoutes.withLock { $0 }
        let table = try RouteTable(definitions, options, metrics, replacing: old)
        newestRoutes.withLock { $0 = table }
        routeChanges.wrappingAdd(1, ordering: .releasing)
        // Who has nothing to do does not keep the old ones, with their secrets.
        workerRegisters.forgetRoutes()
        watchers.noticeRoutes()
        for handle in handles.withLock({ $0 }) {
            handle.submit { [loops] loop in loops.state(at: loop.index)?.takeNewestRoutes() }
        }
    }

    /// Does so with the routes of a configuration, which was read by this gateway's options.
    public func replaceRoutes(_ configuration: GatewayConfiguration) {
        do {
            try replaceRoutes(Self.served(configuration.definitions(options), separatesOperators))
        } catch {
            preconditionFailure("routes that were checked are wrong: \(error)")
        }
    }

    /// Without those that are at a listener of operators alone, where there is none.
    private static func served(_ definitions: [RouteDefinition], _ separatesOperators: Bool) -> [RouteDefinition] {
        separatesOperators ? definitions : definitions.filter { $0.audience != .operatorsAlone }
    }

    /// Lets operators ask for another look at the configuration; nil: nobody takes one any more.
    public func readConfiguration(by reader: (any ConfigurationReader)?) { self.reader.withLock { $0 = reader } }

    var configurationReader: (any ConfigurationReader)? { reader.withLock { $0 } }

    /// Tells the loops when there is another table.
    var routesVersion: Int { routeChanges.load(ordering: .acquiring) }

    /// Takes a lock: each loop keeps the table until `routesVersion` changes.
    var routes: RouteTable { newestRoutes.withLock { $0 } }

    /// Replies close their connections from now on, those of HTTP/2 hear that their end is near, and readiness is gone: the first
    /// step of a stop.
    public func drain() {
        draining.store(true, ordering: .sequentiallyConsistent)
        for handle in handles.withLock({ $0 }) {
            handle.submit { [loops] loop in
                loops.state(at: loop.index)?.waits.endAll(.stopping)
                loop.forEachConnection { ($0.handler as? HTTP2Connection)?.beginEndingIfDue() }
            }
        }
    }

    public var isDraining: Bool { draining.load(ordering: .relaxed) || broker.isDraining }

    /// For who speaks HTTP where https is spoken.
    public static let plainTextAnswer: [UInt8] = {
        let words = "This port speaks https.\n"
        let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        return Array((head + "Content-Length: \(words.utf8.count)\r\n\r\n" + words).utf8)
    }()

    /// For a connection over the limits, which costs no more than this: a reply that is made once, without a look at the
    /// request.
    private static let tooManyConnections: [UInt8] = {
        let words = "There are too many connections, or too many from your address."
        let kind = ProblemKind.overloaded
        let body =
            "{\"type\":\"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity\","
            + "\"title\":\"\(kind.title)\",\"status\":\(kind.status),\"detail\":\"\(words)\",\"code\":\"\(kind.code)\","
            + "\"error\":\"\(words)\",\"message\":\"\(words)\",\"error_code\":\(kind.number),\"retryable\":true}"
        let head =
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
            + "Retry-After: 1\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
        return Array((head + body).utf8)
    }()
}

/// The loops' states, by loop index.
private final class GatewayLoops: @unchecked Sendable {
    // SAFETY: each place is written by its loop's thread, before it serves and when it ends, and read by that thread only.
    private let states: UnsafeMutablePointer<GatewayLoop?>
    private let count: Int

    init(count: Int) {
        self.count = count
        states = .allocate(capacity: count)
        states.initialize(repeating: nil, count: count)
    }

    deinit {
        states.deinitialize(count: count)
        states.deallocate()
    }

    func set(_ state: GatewayLoop, at index: Int) {
        precondition(index < count, "loop \(index) of a gateway for \(count)")
        states[index] = state
    }

    func letGo(_ index: Int) { states[index] = nil }

    /// nil: it has ended.
    func state(at index: Int) -> GatewayLoop? { states[index] }

    subscript(index: Int) -> GatewayLoop {
        guard let state = states[index] else { preconditionFailure("Gateway.setUp was not called on loop \(index)") }
        return state
    }
}
