import BrokerCore
import ByteBuffers
import HTTP2Wire
import HTTPWire
import KafkaModel
import LogStorage
import RecordFormat
import Security
import Telemetry
import Transport

/// What the gateway keeps for one event loop: the parser, the buffers that every request of the loop uses in turn, and
/// what the endpoints work on (their files are extensions of it). Confined to the loop's thread. Workers that handle long
/// bodies have some of their own (`WorkerRegisters`).
///
/// A request is handled from its whole body to its encoded reply in one go, so nothing here belongs to a request any
/// longer than that.
final class GatewayLoop {
    let gateway: Gateway
    let options: GatewayOptions
    let broker: Broker
    let metrics: GatewayMetrics
    /// Among the gateway's loops, and behind them those of workers.
    let index: Int
    /// They are a worker's, which may take its time.
    let isWorkers: Bool
    let jsonLimits: JSONLimits

    // The request at hand.
    var head = RequestHead()
    /// The routes that it goes by, and where its path leads among them.
    private(set) var routes: RouteTable
    var route: Route
    /// The memory of `routes`, so that a request counts no reference to the table.
    private var rows: UnsafeMutablePointer<RouteRow>
    private var paths: PathTable
    private var awsRows: AWSRows
    var requestID: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: requestIDBytes, count: requestIDCount) }
    private let requestIDBytes = UnsafeMutableRawPointer.allocate(byteCount: maxRequestID, alignment: 8)
    private var requestIDCount = 0
    /// The trace that it says it is part of; nil: none.
    private(set) var trace: TraceParent?
    /// Whether its head says so: what goes on with a reply, or ends a request by a timer, has no head.
    private(set) var hasReadTrace = false
    /// Who has made it; nil: nobody was asked.
    var asker: Asker?
    /// What its body is held against before it is handled, and what came of it; nil: it need not be signed.
    var signature: SignedBody?
    /// Of a request to a service of AWS, as its head was admitted.
    var origin: AWSOrigin?
    /// Whose open requests the request at hand counts with, should it begin an exchange; known once it is admitted.
    var share: CallerShare?
    /// What was decided of who asks; nil: nobody is asked.
    let decisions: CallerDecisions?
    /// Whose limits of a peer it counts for.
    var peer = PeerKey(isIPv6: false, bits: 0)
    /// Why the topic that the request waited for could not be made.
    var topicRefusal: TopicRefusal?
    /// The body at hand, where it is kept for the request; nil: it is not, or not as it is at hand.
    var keptBody: ByteSlice?
    /// The body, of which a window is at hand; nil: it is at hand as a whole.
    var window: WindowedBody?
    /// Bytes of that window whose events were taken, whether nothing comes behind it, and what is wrong behind those events.
    var windowUsed = 0
    var windowIsLast = false
    var windowProblem: Problem?
    /// Monotonic and wall clock of the loop's turn.
    var now: Int64 = 0
    var wallClockMs: Int64 = 0
    let pool: ChunkPool

    // The reply at hand.
    var reply = Reply()
    var out = ByteWriter(capacity: 4096)

    // Buffers and generators.
    var date = HTTPDate()
    var receivedAt = ReceivedAt()
    var identifiers = UUIDv7Generator()
    var builder: RecordBatchBuilder
    var packer: SlicePacker
    /// Of replies that are not sent at once, which those of HTTP/2 are not.
    var replyPacker: SlicePacker
    /// Of the loop's connections of HTTP/2.
    let frameSpace = HTTP2FrameSpace()
    var recordHeaders = ByteWriter(capacity: 512)
    var pattern = RecordPattern(capacity: 512)
    var row = ResultRow()
    var events: [JSONRange] = []
    let routed = RoutedEvents()
    /// Of the request at hand.
    var claim = RequestClaim()
    /// Of the first record of a request with a key.
    var markedHeaders = ByteWriter(capacity: 64)
    /// The body of the request at hand, when it came packed.
    var unpacked = ByteWriter(capacity: 64)
    var rejections: [Rejection] = []
    var batches: [EventBatch] = []
    var ingestEnvelope = JSONEnvelope(["event_type", "payload", "timestamp"])
    let ingestTypes: [[UInt8]]
    let compression = CompressionContext()
    var slicing = SliceQueue()
    /// Replies that wait for records, and streams of them.
    let waits: ReplyWaits
    /// The slice of a stream at hand, where others have the same; nil: it stands in `out`.
    var sharedPart: ByteSlice?
    var exchanges = ExchangePool()
    private var nextPartition: Int
    /// The table for requests that begin, and its version.
    private var newestRoutes: RouteTable
    private var routesVersion: Int
    /// Requests by row of `routes`, status and code.
    private var counters: [Int: Counter] = [:]
    var failures = FailureLog()
    /// Which quotas hold for who asks.
    var quotaClient = QuotaClient()

    /// Correlation ids are `^[A-Za-z0-9._:-]{1,128}$`.
    static let maxRequestID = 128

    init(gateway: Gateway, index: Int, pool: ChunkPool, isWorkers: Bool = false) {
        self.gateway = gateway
        self.index = index
        self.isWorkers = isWorkers
        self.pool = pool
        builder = RecordBatchBuilder(pool: pool)
        packer = SlicePacker(pool: pool)
        replyPacker = SlicePacker(pool: pool)
        options = gateway.options
        broker = gateway.broker
        waits = ReplyWaits(
            broker: gateway.broker, loop: index, metrics: gateway.metrics,
            beat: gateway.options.heartbeatSeconds)
        decisions = gateway.authentication == nil ? nil : CallerDecisions()
        metrics = gateway.metrics
        // Before the table, so that one that comes in between is seen.
        routesVersion = gateway.routesVersion
        let table = gateway.routes
        newestRoutes = table
        routes = table
        (rows, paths, awsRows) = (table.rows, table.paths, table.awsRows)
        route = Route(row: table.unmatched)
        ingestTypes = gateway.options.ingestEventTypes.map { Array($0.utf8) }
        jsonLimits = {
            var limits = JSONLimits()
            limits.elements = gateway.options.maxEventsPerRequest
            return limits
        }()
        // Loops begin at different partitions, so that few requests spread too.
        nextPartition = index
    }

    deinit { requestIDBytes.deallocate() }

    // MARK: A request

    /// Begins the request whose head was just parsed: forgets the last one, chooses its correlation id.
    func begin(now: Int64, wallClockMs: Int64) {
        continueReply(now: now, wallClockMs: wallClockMs)
        if asker != nil { asker = nil }
        if signature != nil { signature = nil }
        if origin != nil { origin = nil }
        hasReadTrace = true
        if head[.traceParent] != nil {
            trace = receivedTrace()
            metrics.traces(trace == nil ? .dropped : .continued).add()
        }
        chooseRequestID()
    }

    /// Between two requests: goes by the newest table, and keeps no other.
    func takeNewestRoutes() {
        useNewestRoutes()
        forgetRoute()
        exchanges.goBy(routes)
    }

    private func useNewestRoutes() {
        let version = gateway.routesVersion
        if version != routesVersion {
            routesVersion = version
            newestRoutes = gateway.routes
        }
        if newestRoutes !== routes { use(newestRoutes) }
    }

    /// Finds the route of a request that begins, by the newest table.
    func findRoute(forOperators: Bool) {
        useNewestRoutes()
        route = match()
        // There is nothing of the others, not even a refusal.
        if gateway.separatesOperators, !routeRow.pointee.audience.isServed(toOperators: forOperators) { forgetRoute() }
    }

    /// Where the path of the request at hand leads, unless it is for a service of AWS, which is at any. At `/` a browser finds a page, and who posts an event the route of it.
    private func match() -> Route {
        if let service = awsService, let row = awsRows[service] { return Route(row: row) }
        if head.method == .get || head.method == .head, let row = routes.welcomeRow, head.path.count <= 1,
            head.path.first ?? UInt8(ascii: "/") == UInt8(ascii: "/")
        {
            return Route(row: row)
        }
        return paths.match(head.path)
    }

    /// Goes by another table.
    private func use(_ table: RouteTable) {
        routes = table
        (rows, paths, awsRows) = (table.rows, table.paths, table.awsRows)
        // Their keys are the rows of the one before.
        counters.removeAll()
    }

    /// The row of the request at hand.
    var routeRow: UnsafeMutablePointer<RouteRow> { rows + route.row }

    /// Whether its path has led nowhere, or was not read.
    var isUnmatched: Bool { route.row == paths.unmatched }

    func forgetRoute() { route = Route(row: paths.unmatched) }

    /// Goes by the row of that id; by that of no route where there is none.
    func useRow(of id: String) {
        route = Route(row: (0..<paths.unmatched).first { rows[$0].id == id } ?? paths.unmatched)
    }

    /// Begins the next slice of a reply whose head is sent.
    func continueReply(now: Int64, wallClockMs: Int64) {
        self.now = now
        self.wallClockMs = wallClockMs
        (trace, hasReadTrace) = (nil, false)
        reply = Reply()
        out.removeAll()
    }

    /// Begins the rest of a request whose head was just parsed once more: it has its id, and goes by its table.
    func begin(_ exchange: Exchange, now: Int64, wallClockMs: Int64) {
        begin(exchange.requestID, exchange.routes, exchange.asker, now: now, wallClockMs: wallClockMs)
        signature = exchange.signature
        origin = exchange.origin
        // It was counted when its head was read.
        reply.rateLimit = routeRow.pointee.limiter.map { ($0.rate, $0.burst, $0.remaining(now: now)) }
        if let limits = gateway.callerLimits, limits.isTold, let remaining = exchange.place?.remaining(now: now) {
            reply.callerRate = (limits.rate, limits.burst, remaining)
        }
    }

    func begin(_ id: UnsafeRawBufferPointer, _ table: RouteTable, _ asker: Asker?, now: Int64, wallClockMs: Int64) {
        continueReply(now: now, wallClockMs: wallClockMs)
        requestIDBytes.copyMemory(from: id.baseAddress!, byteCount: id.count)
        requestIDCount = id.count
        if table !== routes { use(table) }
        self.asker = asker
        (signature, origin) = (nil, nil)
        forgetShare()
        hasReadTrace = true
        if head[.traceParent] != nil { trace = receivedTrace() }
        route = match()
    }

    /// The request at hand counts with nobody's. Most often it is so already, and nothing is written.
    func forgetShare() { if share != nil { share = nil } }

    /// Makes the request at hand one that is not answered in one go.
    func beginExchange(for connection: ConnectionID) -> Exchange {
        let begun = exchanges.take(for: connection, routes)
        begun.requestID = requestID
        begun.asker = asker
        if let signature { begun.signature = signature }
        if let origin { begun.origin = origin }
        if let share { begun.count(with: share) }
        return begun
    }

    /// Begins a request without a readable head: it is answered with an id of ours.
    func beginWithoutHead(now: Int64, wallClockMs: Int64) {
        continueReply(now: now, wallClockMs: wallClockMs)
        forgetRoute()
        generateRequestID()
    }

    /// Takes the client's id when it is harmless to repeat it in logs, headers and bodies; else makes one of ours.
    private func chooseRequestID() {
        for field in [KnownField.correlationID, .requestID, .flowID, .traceParent] {
            // What is dropped as a trace is no name either.
            if field == .traceParent, trace == nil { continue }
            if let value = head[field], Self.isHarmless(value) {
                requestIDBytes.copyMemory(from: value.baseAddress!, byteCount: value.count)
                requestIDCount = value.count
                return
            }
        }
        generateRequestID()
    }

    private func generateRequestID() {
        identifiers.next(atMs: wallClockMs).write(to: requestIDBytes)
        requestIDCount = UUIDv7.textLength
    }

    static func isHarmless(_ value: UnsafeRawBufferPointer) -> Bool {
        guard value.count >= 1, value.count <= maxRequestID else { return false }
        return value.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"),
                UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }

    /// A body above this many bytes is rare enough to let go of the memory.
    private static let keptReply = 1 << 20
    /// Elements of the lists of batches and refused events that are kept for the next request: usual requests have few.
    private static let keptElements = 4096

    /// Lets go of memory that an unusual request has taken. To be called when its reply is written.
    func trim() {
        if out.count > Self.keptReply { out = ByteWriter(capacity: 4096) }
        routed.trimBytes()
        // A batch and a refusal have an event each.
        if events.count > Self.keptElements { trimLists() }
    }

    private func trimLists() {
        if rejections.capacity > Self.keptElements { rejections = [] }
        if batches.capacity > Self.keptElements { batches = [] }
        routed.trim(to: Self.keptElements)
    }

    /// Handles a whole request that was admitted.
    func handle(_ body: UnsafeRawBufferPointer) -> Completion {
        if head.method == .options {
            reply.status = 204
            reply.allow = routeRow.pointee.methods
            return .answered
        }
        if let signature, signature.proof == nil, let problem = checkSignature(signature, body) {
            if routeRow.pointee.takesEvents { countRejected(1, reason: problem.kind.code) }
            answer(problem, instance: head.path)
            return .answered
        }
        if routeRow.pointee.takesEvents {
            metrics.receivedBytes.add(body.count)
            if head[.contentEncoding] != nil, let done = handlePacked(body) { return done }
        }
        return perform(body)
    }

    /// Counts the finished request.
    func count(started: Int64, ended: Int64) {
        routeRow.pointee.counters.handling.observe(Int(ended - started))
        if reply.status >= 500 { logFailure() }
        // Codes are string literals: one address each.
        let key = route.row << 54 ^ reply.status << 44 ^ Int(bitPattern: reply.code.utf8Start) & 0xfff_ffff_ffff
        if let counter = counters[key] {
            counter.add()
        } else {
            let counter = metrics.requestCounter(route: routeLabel, status: reply.status, code: reply.code)
            counters[key] = counter
            counter.add()
        }
    }

    /// Counts events of the request at hand that are not appended.
    func countRejected(_ count: Int, reason: StaticString) {
        routeRow.pointee.counters.rejected.add(count)
        metrics.rejectionCounter(reason).add(count)
    }

    /// The `route` label of the request at hand.
    var routeLabel: String { routeRow.pointee.label }

    // MARK: Choosing a partition

    /// Chooses the partition: with a key, as Kafka's clients do; without one, the loop's requests go round, one request
    /// to one partition.
    func partition(of topic: Topic, key: UnsafeRawBufferPointer?) -> PartitionLog {
        let count = topic.partitions.count
        if let key { return topic.partitions[Murmur2.partition(of: key, among: count)] }
        if let chosen = window?.partition, Int(chosen) < count { return topic.partitions[Int(chosen)] }
        nextPartition &+= 1
        let chosen = Int(UInt(bitPattern: nextPartition) % UInt(count))
        window?.partition = Int32(chosen)
        return topic.partitions[chosen]
    }
}
