import ByteBuffers
import Forwarder
import KafkaModel
import LogStorage
import Telemetry

/// One forwarder, as the configuration has it.
public struct ForwarderDefinition: Sendable, Equatable {
    /// What becomes the key of each record.
    public enum Key: String, Sendable {
        /// That of the message's record, which is its group where its sender gave no other.
        case message
        case group
        case none
    }

    public var name: String
    /// The queue.
    public var from: String
    /// The topic.
    public var to: String
    /// Another cluster; nil: this broker.
    public var cluster: ForwardCluster?
    public var maxRecords: Int
    public var maxBytes: Int
    public var windowMs: Int64
    public var key: Key

    public init(
        name: String, from: String, to: String, cluster: ForwardCluster? = nil, maxRecords: Int? = nil,
        windowMs: Int64? = nil, key: Key = .message
    ) {
        let settings = ForwardSettings()
        (self.name, self.from, self.to, self.cluster, self.key) = (name, from, to, cluster, key)
        self.maxRecords = maxRecords ?? settings.maxRecords
        maxBytes = settings.maxBytes
        self.windowMs = windowMs ?? settings.windowMs
    }

    public static let recordsLimits = 1...ForwardIntent.maxMessages
    public static let bytesLimits = ForwardSettings.bytesLimits
    public static let windowLimitsMs = ForwardSettings.windowLimitsMs
}

/// One forwarder, and how far it is.
public struct ForwarderStatus: Sendable {
    public var definition: ForwarderDefinition
    /// Why nothing is forwarded just now, for people; nil: it is.
    public var trouble: String?
    public var records = 0
    public var batches = 0
    public var bytes = 0
    /// Messages that went to the dead letters.
    public var refused = 0
    /// Batches that were sent in vain.
    public var failures = 0
    /// Messages of the queue that have not ended.
    public var lag = 0
}

/// The broker's forwarders, each with a thread of its own: they wait for disks and destinations, and one must not wait for
/// another's.
public final class Forwarders: Sendable {
    /// Forwarders at most, as each has a thread; a configuration with more is refused.
    public static let maxForwarders = 32

    private struct State {
        unowned var broker: Broker
        var runs: [ForwarderRun] = []
        var isStopped = false
    }

    private let metrics: MetricsRegistry
    private let state = Lock<State?>(nil)
    /// Held by who changes which ones there are.
    private let changing = Lock<Void>(())

    init(metrics: MetricsRegistry) {
        self.metrics = metrics
    }

    func attach(_ broker: Broker) { state.withLock { $0 = State(broker: broker) } }

    private var broker: Broker { state.withLock { $0!.broker } }

    /// In the order of their names.
    public var statuses: [ForwarderStatus] { runs.map(\.status).sorted { $0.definition.name < $1.definition.name } }

    private var runs: [ForwarderRun] { state.withLock { $0?.runs ?? [] } }

    /// Lets exactly these run. One that stays as it is goes on; one that has changed ends and begins anew, with all that it had under way.
    /// What belongs to none any more is given back to its queue. Blocks for the disk, and for batches that are being sent.
    ///
    /// - Parameter destination: makes the way to a cluster of a definition that names one.
    public func replace(
        _ definitions: [ForwarderDefinition],
        destination: (ForwarderDefinition) -> (any ForwardDestination)? = { _ in nil }
    ) {
        replace(definitions, withThreads: true, destination)
    }

    /// Without threads turns are calls.
    func replace(
        _ definitions: [ForwarderDefinition], withThreads: Bool,
        _ destination: (ForwarderDefinition) -> (any ForwardDestination)? = { _ in nil }
    ) {
        precondition(definitions.count <= Self.maxForwarders, "\(definitions.count) forwarders")
        changing.withLock { _ in
            let (before, broker) = (runs, broker)
            let kept = before.filter { definitions.contains($0.definition) }
            let ended = before.filter { !definitions.contains($0.definition) }
            for run in ended { run.stop() }
            let queues = Set(definitions.map { ExactString($0.from) })
            for run in ended where !queues.contains(ExactString(run.definition.from)) {
                Log.info("a forwarder has ended", "forwarder", run.definition.name)
            }
            broker.queues.endLanes { !queues.contains(ExactString($0)) }
            let fresh = definitions.filter { definition in !kept.contains { $0.definition == definition } }
            let made = fresh.map { definition in
                let way: any ForwardDestination =
                    destination(definition) ?? BrokerTopicDestination(broker, definition.to)
                return ForwarderRun(broker, definition, way, metrics)
            }
            let isStopped = state.withLock { state in
                if !state!.isStopped { state!.runs = kept + made }
                return state!.isStopped
            }
            if isStopped { return }
            for run in made {
                Log.info(
                    "a forwarder begins", "forwarder", run.definition.name, "queue", run.definition.from, "topic",
                    run.definition.to, "cluster",
                    run.definition.cluster.map { $0.bootstrap.map(\.description).joined(separator: ",") }
                        ?? "this broker")
                if withThreads { run.start() }
            }
        }
    }

    /// What the threads would do; returns when there is more, in milliseconds since 1970.
    func turn() -> Int64 {
        runs.map { run in
            run.lookAgain()
            return run.turn()
        }.min() ?? .max
    }

    /// Ends all; what is under way is on disk, and goes on at the next start.
    func stop() {
        let runs = state.withLock { state in
            state?.isStopped = true
            return state?.runs ?? []
        }
        for run in runs { run.interrupt() }
        for run in runs { run.stop() }
    }
}

/// The numbers of one forwarder.
struct ForwarderCounters {
    let records: Counter
    let batches: Counter
    let bytes: Counter
    let refused: Counter
    let lag: Gauge
    let isRunning: Gauge
    private let metrics: MetricsRegistry
    private let name: String

    private static let failuresHelp =
        "Batches that a destination did not take, or that were not answered, by the error's name."

    init(_ metrics: MetricsRegistry, _ name: String) {
        (self.metrics, self.name) = (metrics, name)
        let labels: MetricsRegistry.Labels = ["forwarder": name]
        records = metrics.counter(
            "millrace_forwarder_records_total", help: "Messages that their destination has.", labels: labels)
        batches = metrics.counter(
            "millrace_forwarder_batches_total", help: "Batches that their destination has.", labels: labels)
        bytes = metrics.counter(
            "millrace_forwarder_bytes_total", help: "Bytes of those batches, before compression.", labels: labels)
        refused = metrics.counter(
            "millrace_forwarder_refused_total", help: "Messages that went to the dead letters instead.", labels: labels)
        lag = metrics.gauge(
            "millrace_forwarder_lag_messages", help: "Messages of the queue that have not ended.", labels: labels)
        isRunning = metrics.gauge(
            "millrace_forwarder_running", help: "1 while messages are forwarded, 0 while something is in the way.",
            labels: labels)
        // There from the start, as the others are; the other reasons come with their first time.
        _ = failures(of: ErrorCode.networkException.name)
    }

    private func failures(of reason: String) -> Counter {
        metrics.counter(
            "millrace_forwarder_failures_total", help: Self.failuresHelp, labels: ["forwarder": name, "reason": reason])
    }

    /// The names are those of Kafka's errors, and a few of our own. Numbers that have no name are counted together: a destination must
    /// not make a series of each.
    func failed(_ reason: String) { failures(of: Int(reason) == nil ? reason : "UNKNOWN_CODE").add() }
}
