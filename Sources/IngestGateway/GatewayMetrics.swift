import ByteBuffers
import Telemetry

/// What the gateway counts. Shared by all loops; made once.
final class GatewayMetrics: Sendable {
    let registry: MetricsRegistry
    /// By `Route.Name`.
    let accepted: [Counter]
    let rejected: [Counter]
    /// From the whole request to its reply, the commit not included.
    let handling: [Histogram]
    let receivedBytes: Counter
    let connections: Gauge
    let inflightBytes: Gauge
    let rateLimited: Counter
    let refusedInput: Counter
    /// Requests by route, status and code, in the order in which they first occurred; see `count`.
    private let requests = Lock<[RequestKey: Counter]>([:])
    private let reasons = Lock<[String: Counter]>([:])

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
                "ingest_records_total", help: "Events by route and result.",
                labels: ["route": $0.text, "result": "accepted"])
        }
        rejected = names.map {
            registry.counter("ingest_records_total", labels: ["route": $0.text, "result": "rejected"])
        }
        handling = names.map {
            registry.histogram(
                "http_handling_seconds",
                help: "From the last byte of a request to its encoded reply, without the wait for the commit.",
                labels: ["route": $0.text])
        }
        receivedBytes = registry.counter("ingest_bytes_total", help: "Bytes of request bodies.")
        connections = registry.gauge("http_connections", help: "Open HTTP connections.")
        inflightBytes = registry.gauge("inflight_bytes", help: "Bytes reserved for bodies that are being received.")
        rateLimited = registry.counter(
            "ratelimit_denied_total", help: "Requests refused with 429.", labels: ["policy": "ingest"])
        refusedInput = registry.counter("http_refused_input_total", help: "Connections closed for malformed bytes.")
    }

    /// The counter of requests with this outcome. Takes a lock: each loop keeps what it was given.
    func requestCounter(_ route: Route.Name, status: Int, code: StaticString) -> Counter {
        let key = RequestKey(route: route.rawValue, status: status, code: code.description)
        return requests.withLock { requests in
            if let known = requests[key] { return known }
            let counter = registry.counter(
                "http_requests_total", help: "Requests by route, status and problem code.",
                labels: ["route": route.text, "status": String(status), "code": key.code])
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
            let counter = registry.counter(
                "ingest_rejected_total", help: "Events that were not appended, by reason.", labels: ["reason": name])
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
