import ByteBuffers
import Security
import Telemetry

/// What the gateway counts. Shared by all loops; made once.
final class GatewayMetrics: Sendable {
    let registry: MetricsRegistry
    let receivedBytes: Counter
    let connections: Gauge
    let inflightBytes: Gauge
    let reading: ReadingMetrics
    let refusedInput: Counter
    let refusedConnections: Counter
    let overdueCommits: Counter
    let http2Connections: Counter
    let unacknowledged: Counter
    let slices: Counter
    let workerTrips: Counter
    let windows: Counter
    private let doneFiles: Counter
    private let failedFiles: Counter
    let formulas: Counter
    let idempotencyKeys: Gauge
    let idempotencyBytes: Gauge
    private let repeated: [Repeats: Counter]
    private let keyed: [KeyedEvents: Counter]
    private let traced: [Traces: Counter]
    private let authenticated: [Authenticated: Counter]
    private let unsigned: [WebhookVerification.Refusal: Counter]
    /// By label, in the order in which they were first asked for: all that there have been, for a route that is gone has
    /// counted what it has.
    private let byRoute = Lock<[(label: String, counters: RouteCounters)]>([])
    /// Requests by route, status and code; see `GatewayLoop.count`.
    private let requests = Lock<[RequestKey: Counter]>([:])
    private let reasons = Lock<[String: Counter]>([:])

    private static let recordsName = "millrace_ingest_records_total"
    private static let requestsName = "millrace_http_requests_total"
    private static let rejectedName = "millrace_ingest_rejected_total"

    /// What came of a credential that was looked at.
    enum Authenticated: String, CaseIterable {
        case accepted, rejected, unavailable
    }

    /// What came of what a request says of its trace.
    enum Traces: String, CaseIterable {
        /// It was understood, and goes on.
        case continued
        /// It is none, or there are two.
        case dropped
        /// A trace goes on without its `tracestate`, which is none.
        case stateDropped = "state_dropped"
        /// None had come, and one was begun for records of the request.
        case started
    }

    /// What came of a request with a key.
    enum Repeats: String, CaseIterable {
        case stored, replayed, busy, mismatch, full
        case shareFull = "share_full"
    }

    /// What came of an event with a key of its own, among others of its request.
    enum KeyedEvents: String, CaseIterable {
        case stored, duplicate, busy, mismatch
    }

    struct RequestKey: Hashable {
        let route: String
        let status: Int
        let code: String
    }

    init(registry: MetricsRegistry) {
        self.registry = registry
        authenticated = Self.counters(
            "millrace_http_authentications_total", "result", "Credentials that were looked at, by what was found.",
            registry)
        unsigned = Self.counters(
            "millrace_http_signature_refusals_total", "reason",
            "Requests of signed routes that were refused, by what was wrong with them.", registry)
        traced = Self.counters(
            "millrace_http_traces_total", "outcome",
            "Requests that say which trace they are part of, or were given one, by what came of it.", registry)
        keyed = Self.counters(
            "millrace_idempotency_events_total", "outcome",
            "Events with keys of their own in requests of several, by what came of them.", registry)
        repeated = Self.counters(
            "millrace_idempotency_requests_total", "outcome", "Requests with a key, by what came of them.", registry)
        idempotencyKeys = registry.gauge("millrace_idempotency_keys", help: "Keys of requests that are remembered.")
        idempotencyBytes = registry.gauge(
            "millrace_idempotency_bytes", help: "Bytes that they and their replies are counted with.")
        receivedBytes = registry.counter("millrace_ingest_bytes_total", help: "Bytes of request bodies.")
        connections = registry.gauge("millrace_http_connections", help: "Open HTTP connections.")
        inflightBytes = registry.gauge(
            "millrace_http_inflight_bytes", help: "Bytes reserved for bodies that are being received.")
        reading = ReadingMetrics(registry: registry)
        // Their labels are known when there is something to count.
        registry.announceCounter(Self.requestsName, help: "Requests by route, status and problem code.")
        registry.announceCounter(Self.rejectedName, help: "Events that were not appended, by reason.")
        refusedInput = registry.counter(
            "millrace_http_refused_input_total", help: "Connections closed for malformed bytes.")
        refusedConnections = registry.counter(
            "millrace_http_refused_connections_total",
            help: "Connections answered 503 because there were too many.")
        unacknowledged = registry.counter(
            "millrace_http_unacknowledged_total",
            help: "Events of routes whose reply does not wait for the disk.")
        slices = registry.counter(
            "millrace_http_reply_slices_total",
            help: "Parts of replies that were too long for one turn of their loop.")
        workerTrips = registry.counter(
            "millrace_http_reply_worker_trips_total",
            help: "Times that a worker read or unpacked records for a reply, because its loop would have waited.")
        windows = registry.counter(
            "millrace_http_body_windows_total",
            help: "Parts of long bodies of lines or CSV that a worker was given to go through.")
        doneFiles = registry.counter(
            "millrace_watched_files_total", help: "Files of watched directories, by what became of them.",
            labels: ["outcome": "done"])
        failedFiles = registry.counter("millrace_watched_files_total", labels: ["outcome": "failed"])
        formulas = registry.counter(
            "millrace_ingest_formula_cells_total",
            help: "Cells of CSV that a spreadsheet would take for a formula; they are kept as they came.")
        http2Connections = registry.counter("millrace_http2_connections_total", help: "Connections that spoke HTTP/2.")
        overdueCommits = registry.counter(
            "millrace_http_commit_timeouts_total",
            help: "Connections answered 504 because a commit did not come in time.")
    }

    /// A counter for each of the values of one label.
    private static func counters<Value: Hashable & CaseIterable & RawRepresentable<String>>(
        _ name: String, _ label: String, _ help: String, _ registry: MetricsRegistry
    ) -> [Value: Counter] {
        Dictionary(
            uniqueKeysWithValues: Value.allCases.map { value in
                (value, registry.counter(name, help: help, labels: [label: value.rawValue]))
            })
    }

    /// Returns what is counted of a route, by its label: the same for all tables that have it. `policy` names its rate.
    func counters(route label: String, policy: String? = nil) -> RouteCounters {
        let counters = RouteCounters(
            accepted: registry.counter(
                Self.recordsName, help: "Events by route and result.", labels: ["route": label, "result": "accepted"]),
            rejected: registry.counter(Self.recordsName, labels: ["route": label, "result": "rejected"]),
            handling: registry.histogram(
                "millrace_http_handling_seconds",
                help: "From the last byte of a request to its encoded reply, without the wait for the commit.",
                labels: ["route": label]),
            limited: policy.map {
                registry.counter(
                    "millrace_ratelimit_denied_total", help: "Requests refused with 429.", labels: ["policy": $0])
            })
        byRoute.withLock { known in
            if !known.contains(where: { $0.label == label }) { known.append((label, counters)) }
        }
        return counters
    }

    func signatureRefusals(_ refusal: WebhookVerification.Refusal) -> Counter { unsigned[refusal]! }
    func traces(_ outcome: Traces) -> Counter { traced[outcome]! }
    func watchedFiles(_ shelf: WatchedFolder.Shelf) -> Counter { shelf == .done ? doneFiles : failedFiles }
    func keyedEvents(_ outcome: KeyedEvents) -> Counter { keyed[outcome]! }
    func repeats(_ outcome: Repeats) -> Counter { repeated[outcome]! }

    func authentications(_ result: Authenticated) -> Counter { authenticated[result]! }

    var allRoutes: [(label: String, counters: RouteCounters)] { byRoute.withLock { $0 } }

    /// Returns the counter of requests with this outcome. Takes a lock: each loop keeps what it was given.
    func requestCounter(route label: String, status: Int, code: StaticString) -> Counter {
        let key = RequestKey(route: label, status: status, code: code.description)
        return requests.withLock { requests in
            if let known = requests[key] { return known }
            let counter = registry.counter(
                Self.requestsName, labels: ["route": label, "status": String(status), "code": key.code])
            requests[key] = counter
            return counter
        }
    }

    /// Returns the counter of events that were not appended for this reason. Takes a lock.
    func rejectionCounter(_ reason: StaticString) -> Counter {
        reasons.withLock { reasons in
            let name = reason.description
            if let known = reasons[name] { return known }
            let counter = registry.counter(Self.rejectedName, labels: ["reason": name])
            reasons[name] = counter
            return counter
        }
    }

    var requestTotals: [(route: String, status: Int, count: UInt64)] {
        requests.withLock { $0.map { ($0.key.route, $0.key.status, $0.value.value) } }
    }

    var rejectionTotals: [(reason: String, count: UInt64)] {
        reasons.withLock { $0.map { ($0.key, $0.value.value) }.sorted { $0.0 < $1.0 } }
    }
}

/// What is counted of one route.
struct RouteCounters {
    let accepted: Counter
    let rejected: Counter
    /// The time from a whole request to its reply, the commit not included.
    let handling: Histogram
    /// Requests above the route's rate; nil where it has none.
    let limited: Counter?
}
