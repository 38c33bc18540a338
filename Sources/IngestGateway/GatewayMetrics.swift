import ByteBuffers
import Telemetry

/// What the gateway counts. Shared by all loops; made once.
final class GatewayMetrics: Sendable {
    let registry: MetricsRegistry
    /// By `Route.Name`.
    let accepted: [Counter]
    let rejected: [Counter]
    /// The time from a whole request to its reply, the commit not included.
    let handling: [Histogram]
    let receivedBytes: Counter
    let connections: Gauge
    let inflightBytes: Gauge
    let rateLimited: Counter
    let refusedInput: Counter
    let refusedConnections: Counter
    let overdueCommits: Counter
    let slices: Counter
    let workerTrips: Counter
    /// Requests by route, status and code, in the order in which they first occurred; see `count`.
    private let requests = Lock<[RequestKey: Counter]>([:])
    private let reasons = Lock<[String: Counter]>([:])

    private static let requestsName = "millrace_http_requests_total"
    private static let rejectedName = "millrace_ingest_rejected_total"

    struct RequestKey: Hashable {
        let route: Int
        let status: Int
        let code: String
    }

    init(registry: MetricsRegistry) {
        self.registry = registry
        let names = Route.Name.allCases
        accepted = names.map {
            registry.counter(
                "millrace_ingest_records_total", help: "Events by route and result.",
                labels: ["route": $0.text, "result": "accepted"])
        }
        rejected = names.map {
            registry.counter("millrace_ingest_records_total", labels: ["route": $0.text, "result": "rejected"])
        }
        handling = names.map {
            registry.histogram(
                "millrace_http_handling_seconds",
                help: "From the last byte of a request to its encoded reply, without the wait for the commit.",
                labels: ["route": $0.text])
        }
        receivedBytes = registry.counter("millrace_ingest_bytes_total", help: "Bytes of request bodies.")
        connections = registry.gauge("millrace_http_connections", help: "Open HTTP connections.")
        inflightBytes = registry.gauge(
            "millrace_http_inflight_bytes", help: "Bytes reserved for bodies that are being received.")
        rateLimited = registry.counter(
            "millrace_ratelimit_denied_total", help: "Requests refused with 429.", labels: ["policy": "ingest"])
        // Their labels are known when there is something to count.
        registry.announceCounter(Self.requestsName, help: "Requests by route, status and problem code.")
        registry.announceCounter(Self.rejectedName, help: "Events that were not appended, by reason.")
        refusedInput = registry.counter(
            "millrace_http_refused_input_total", help: "Connections closed for malformed bytes.")
        refusedConnections = registry.counter(
            "millrace_http_refused_connections_total",
            help: "Connections answered 503 because there were too many.")
        slices = registry.counter(
            "millrace_http_reply_slices_total",
            help: "Parts of replies that were too long for one turn of their loop.")
        workerTrips = registry.counter(
            "millrace_http_reply_worker_trips_total",
            help: "Times that a worker read or unpacked records for a reply, because its loop would have waited.")
        overdueCommits = registry.counter(
            "millrace_http_commit_timeouts_total",
            help: "Connections answered 504 because a commit did not come in time.")
    }

    /// Returns the counter of requests with this outcome. Takes a lock: each loop keeps what it was given.
    func requestCounter(_ route: Route.Name, status: Int, code: StaticString) -> Counter {
        let key = RequestKey(route: route.rawValue, status: status, code: code.description)
        return requests.withLock { requests in
            if let known = requests[key] { return known }
            let counter = registry.counter(
                Self.requestsName, labels: ["route": route.text, "status": String(status), "code": key.code])
            requests[key] = counter
            return counter
        }
    }

    /// Counts events of a request that were not appended, by reason.
    func countRejected(_ count: Int, route: Route.Name, reason: StaticString) {
        guard count > 0 else { return }
        rejected[route.rawValue].add(count)
        let counter = reasons.withLock { reasons in
            let name = reason.description
            if let known = reasons[name] { return known }
            let counter = registry.counter(Self.rejectedName, labels: ["reason": name])
            reasons[name] = counter
            return counter
        }
        counter.add(count)
    }

    var requestTotals: [(route: Route.Name, status: Int, count: UInt64)] {
        requests.withLock { $0.map { (Route.Name(rawValue: $0.key.route)!, $0.key.status, $0.value.value) } }
    }

    var rejectionTotals: [(reason: String, count: UInt64)] {
        reasons.withLock { $0.map { ($0.key, $0.value.value) }.sorted { $0.0 < $1.0 } }
    }
}
