import Security
import Telemetry

/// What the Kafka edge counts.
struct KafkaServerMetrics: Sendable {
    let produceRequests: Counter
    let fetchRequests: Counter
    let otherRequests: Counter
    let producedBytes: Counter
    let fetchedBytes: Counter
    let refusedBatches: Counter
    let protocolErrors: Counter
    let authentications: Counter
    let refusedAuthentications: Counter
    let endedAuthentications: [SaslEnd: Counter]
    let fetchSessions: Gauge
    let parkedFetches: Gauge
    let mutedConnections: Gauge
    private let throttledByProduce: Counter
    private let throttledByFetch: Counter
    private let throttledByRequests: Counter
    private let throttledByMutations: Counter

    init(registry: MetricsRegistry) {
        let requests = "millrace_kafka_requests_total"
        let help = "Requests handled, by API."
        produceRequests = registry.counter(requests, help: help, labels: ["api": "Produce"])
        fetchRequests = registry.counter(requests, help: help, labels: ["api": "Fetch"])
        otherRequests = registry.counter(requests, help: help, labels: ["api": "other"])
        producedBytes = registry.counter(
            "millrace_kafka_produced_bytes_total", help: "Bytes of record batches accepted.")
        fetchedBytes = registry.counter(
            "millrace_kafka_fetched_bytes_total", help: "Bytes of record batches handed out.")
        refusedBatches = registry.counter("millrace_kafka_refused_batches_total", help: "Record batches refused.")
        protocolErrors = registry.counter(
            "millrace_kafka_protocol_errors_total",
            help: "Connections closed because their bytes were not the protocol.")
        let attempts = "millrace_kafka_authentications_total"
        let attemptsHelp =
            "Connections that have shown who their client is, attempts that were refused, and connections that were closed "
            + "because nobody could tell, the time for it or the session was over, or the credential has changed."
        authentications = registry.counter(attempts, help: attemptsHelp, labels: ["result": "accepted"])
        refusedAuthentications = registry.counter(attempts, help: attemptsHelp, labels: ["result": "refused"])
        endedAuthentications = Dictionary(
            uniqueKeysWithValues: SaslEnd.allCases.map { end in
                (end, registry.counter(attempts, help: attemptsHelp, labels: ["result": end.rawValue]))
            })
        fetchSessions = registry.gauge("millrace_kafka_fetch_sessions", help: "Incremental fetch sessions.")
        parkedFetches = registry.gauge("millrace_kafka_parked_fetches", help: "Fetches that wait for records.")
        mutedConnections = registry.gauge(
            "millrace_kafka_muted_connections", help: "Connections that are not read because of a quota.")
        func throttled(_ limit: QuotaTable.Limit) -> Counter {
            registry.counter(
                "millrace_kafka_throttled_total", help: "Requests whose client had to wait, by the quota.",
                labels: ["quota": limit.rawValue])
        }
        throttledByProduce = throttled(.produce)
        throttledByFetch = throttled(.fetch)
        throttledByRequests = throttled(.requests)
        throttledByMutations = throttled(.mutations)
    }

    func throttled(by limit: QuotaTable.Limit) -> Counter {
        switch limit {
        case .produce: throttledByProduce
        case .fetch: throttledByFetch
        case .requests: throttledByRequests
        case .mutations: throttledByMutations
        }
    }
}

/// Why a connection ends without a reply that asks, or has asked, who its client is; what is the fault of its bytes is none of
/// these.
enum SaslEnd: String, CaseIterable, Sendable {
    /// Too many checks wait, or too many from there were wrong.
    case unavailable
    case deadline
    case expired
    /// The credential has changed or gone.
    case revoked
    case tooManyGroups = "too many groups"

    init?(_ reason: SaslClose) {
        switch reason {
        case .verifierUnavailable: self = .unavailable
        case .deadlinePassed, .challengeUnanswered: self = .deadline
        case .sessionExpired: self = .expired
        case .tooManyGroups: self = .tooManyGroups
        case .requestBeforeAuthentication, .apiVersionsTwice, .unsupportedVersion, .unexpectedFrame: return nil
        }
    }
}
