import ByteBuffers
import Forwarder
import KafkaModel
public import Security
import Telemetry

/// One push subscription, as the configuration has it.
public struct SubscriptionDefinition: Sendable, Equatable {
    public var name: String
    /// The queue.
    public var from: String
    /// Http or https, without a user's name or a fragment.
    public var url: String
    /// Without its query, which may hold what is nobody's.
    public var shownURL: String { String(url.prefix { $0 != "?" }) }
    /// The key that requests are signed with. Source: Standard Webhooks.
    public var signingKey: Secret
    /// Messages and bytes of one request at most, and milliseconds that a message waits for others.
    public var maxRecords: Int
    public var maxBytes: Int
    public var windowMs: Int64
    /// Requests under way at most.
    public var concurrency: Int
    /// Milliseconds of one request, from the look-up of the name to the last byte of the answer.
    public var timeoutMs: Int64 = 30_000
    /// A PEM file with the certificates that sign the receiver's; nil: the system's.
    public var authorityFile: String?
    /// Addresses of the link that may be called nevertheless.
    public var linkLocal: [NetworkAddress] = []

    public init(name: String, from: String, url: String, signingKey: Secret) {
        let settings = PushSettings()
        (self.name, self.from, self.url, self.signingKey) = (name, from, url, signingKey)
        (maxRecords, maxBytes, windowMs) = (settings.maxRecords, settings.maxBytes, settings.windowMs)
        concurrency = settings.concurrency
    }

    public static let recordsLimits = PushSettings.recordsLimits
    public static let bytesLimits = PushSettings.bytesLimits
    public static let windowLimitsMs = PushSettings.windowLimitsMs
    public static let concurrencyLimits = PushSettings.concurrencyLimits
    public static let timeoutLimitsMs: ClosedRange<Int64> = 1_000...900_000

    /// A lease outlasts the wait for the batch, the request, and what is done with its answer.
    var leaseMs: Int64 { windowMs + timeoutMs + Self.spareLeaseMs }
    private static let spareLeaseMs: Int64 = 30_000

    var settings: PushSettings {
        var settings = PushSettings()
        (settings.maxRecords, settings.maxBytes, settings.windowMs) = (maxRecords, maxBytes, windowMs)
        settings.concurrency = concurrency
        return settings
    }
}

/// One subscription, and how far it is.
public struct SubscriptionStatus: Sendable {
    public var definition: SubscriptionDefinition
    /// Why nothing is sent just now, for people; nil: it is.
    public var trouble: String?
    /// Messages that the receiver is done with.
    public var records = 0
    public var batches = 0
    public var bytes = 0
    /// Messages that the receiver has named as failed.
    public var failedRecords = 0
    /// Requests that were in vain.
    public var failures = 0
    /// Requests under way.
    public var underWay = 0
    /// Messages of the queue that have not ended.
    public var lag = 0
}

/// The broker's push subscriptions, each with a thread of its own and one for each request that may be under way.
public final class Subscriptions: Sendable {
    /// Subscriptions at most, and their requests under way at most, as each has a thread; a configuration with more is refused.
    public static let maxSubscriptions = 32
    public static let maxRequests = 64
    /// Bytes of the messages of all requests that may be under way at most; a configuration with more is refused.
    public static let maxHeldBytes = 128 << 20

    private struct State {
        unowned var broker: Broker
        var runs: [SubscriptionRun] = []
        var isStopped = false
    }

    private let metrics: MetricsRegistry
    private let state = Lock<State?>(nil)
    /// Held by who changes which ones there are.
    private let changing = Lock<Void>(())

    init(metrics: MetricsRegistry) { self.metrics = metrics }

    func attach(_ broker: Broker) { state.withLock { $0 = State(broker: broker) } }

    private var broker: Broker { state.withLock { $0!.broker } }

    private var runs: [SubscriptionRun] { state.withLock { $0?.runs ?? [] } }

    /// In the order of their names.
    public var statuses: [SubscriptionStatus] { runs.map(\.status).sorted { $0.definition.name < $1.definition.name } }

    /// Lets exactly these run. One that stays as it is goes on; one that has changed ends, with the requests that it has under way, and begins
    /// anew. Blocks for the disk.
    ///
    /// - Parameter destination: makes the way to the receiver of a definition.
    public func replace(
        _ definitions: [SubscriptionDefinition], destination: (SubscriptionDefinition) -> any PushDestination
    ) {
        replace(definitions, withThreads: true, destination)
    }

    /// Without threads turns are calls, and so are requests.
    func replace(
        _ definitions: [SubscriptionDefinition], withThreads: Bool,
        _ destination: (SubscriptionDefinition) -> any PushDestination
    ) {
        precondition(definitions.count <= Self.maxSubscriptions, "\(definitions.count) subscriptions")
        changing.withLock { _ in
            let (before, broker) = (runs, broker)
            let kept = before.filter { definitions.contains($0.definition) }
            let ended = before.filter { !definitions.contains($0.definition) }
            for run in ended { run.interrupt() }
            for run in ended {
                run.stop()
                Log.info("a subscription has ended", "subscription", run.definition.name)
            }
            let fresh = definitions.filter { definition in !kept.contains { $0.definition == definition } }
            let made = fresh.map { SubscriptionRun(broker, $0, destination($0), metrics, withThreads: withThreads) }
            let isStopped = state.withLock { state in
                if !state!.isStopped { state!.runs = kept + made }
                return state!.isStopped
            }
            if isStopped { return }
            for run in made {
                Log.info(
                    "a subscription begins", "subscription", run.definition.name, "queue", run.definition.from, "to",
                    run.definition.shownURL)
                if withThreads { run.start() }
            }
        }
    }

    /// What the threads would do; returns when there is more, in milliseconds since 1970.
    func turn() -> Int64 { runs.map { $0.turn() }.min() ?? .max }

    /// Ends all, with the requests that are under way: their messages come back.
    func stop() {
        let runs = state.withLock { state in
            state?.isStopped = true
            return state?.runs ?? []
        }
        for run in runs { run.interrupt() }
        for run in runs { run.stop() }
    }
}

/// The numbers of one subscription.
struct SubscriptionCounters {
    let records: Counter
    let batches: Counter
    let bytes: Counter
    let failedRecords: Counter
    let underWay: Gauge
    let lag: Gauge
    let isRunning: Gauge
    private let failures: [PushFailure.Kind: Counter]

    init(_ metrics: MetricsRegistry, _ name: String) {
        let labels: MetricsRegistry.Labels = ["subscription": name]
        records = metrics.counter(
            "millrace_subscription_records_total", help: "Messages that their receiver is done with.", labels: labels)
        batches = metrics.counter(
            "millrace_subscription_batches_total", help: "Batches that their receiver has answered.", labels: labels)
        bytes = metrics.counter(
            "millrace_subscription_bytes_total", help: "Bytes of the messages of those batches.", labels: labels)
        failedRecords = metrics.counter(
            "millrace_subscription_failed_records_total", help: "Messages that their receiver has named as failed.",
            labels: labels)
        underWay = metrics.gauge(
            "millrace_subscription_requests_under_way", help: "Requests that are not answered yet.", labels: labels)
        lag = metrics.gauge(
            "millrace_subscription_lag_messages", help: "Messages of the queue that have not ended.", labels: labels)
        isRunning = metrics.gauge(
            "millrace_subscription_running", help: "1 while messages are sent, 0 while something is in the way.",
            labels: labels)
        let kinds = PushFailure.Kind.allCases.map { kind in
            (
                kind,
                metrics.counter(
                    "millrace_subscription_failures_total",
                    help: "Requests that were in vain, by why.",
                    labels: ["subscription": name, "reason": kind.rawValue])
            )
        }
        failures = Dictionary(uniqueKeysWithValues: kinds)
    }

    func failed(_ failure: PushFailure) { failures[failure.kind]?.add() }

    var failureCount: Int { failures.values.reduce(0) { $0 + Int($1.value) } }
}
