import Alarms
import BrokerCore
import ByteBuffers
public import Configuration
import IngestGateway
import KafkaModel
import StorageIO
import Telemetry

/// The sections of a configuration that may change while the broker runs.
extension Node {
    /// Makes the missing topics and queues of `configuration`, and puts its routes, forwarders, subscriptions, pulls and watchers in the place of those that there are. Requests that
    /// have begun end by the old ones. Throws what is wrong; then nothing has changed, but for topics and queues that were made.
    ///
    /// Blocks for the disk. Of the broker keys none is looked at: they are read at the start.
    ///
    /// Returns what of topics and queues that are there already is not as declared: it stays as it is.
    @discardableResult
    public func replaceRoutes(by configuration: Configuration) throws(ConfigurationError) -> [String] {
        guard let gateway else { return [] }
        let routes = try GatewayConfiguration(configuration, gateway.options)
        let differences = Self.differences(routes, broker)
        try Self.makeTopics(routes.topics, broker, configuration)
        try Self.makeQueues(routes.queues, broker, configuration)
        gateway.replaceRoutes(routes)
        Self.runTakers(routes, broker, region: gateway.options.sqsRegion)
        Self.runPulls(routes.pulls, gateway)
        gateway.alarms.replace(by: routes.alarms)
        gateway.watch(routes.watchers)
        return differences
    }

    /// Says what `replaceRoutes` would throw or return, and changes nothing.
    func checkRoutes(of configuration: Configuration) throws(ConfigurationError) -> [String] {
        guard let gateway else { return [] }
        return Self.differences(try GatewayConfiguration(configuration, gateway.options), broker)
    }

    /// What of topics and queues that are there is not as declared, a line each.
    private static func differences(_ declared: GatewayConfiguration, _ broker: Broker) -> [String] {
        let topics = declared.topics.flatMap { topic in
            broker.catalog.topic(named: topic.name).map { differences(topic, $0) } ?? []
        }
        let queues = declared.queues.flatMap { queue in
            broker.queues.queue(named: queue.name).map { queue.differences(from: $0) } ?? []
        }
        return topics + queues
    }

    /// Tells in the data folder which routes and topics are served, for commands that compare. A disk that takes nothing does not
    /// keep a broker from serving.
    func record(_ record: RoutesRecord, in folder: String) {
        do throws(StorageError) {
            try PosixFileSystem().writeAtomically(Path.join(folder, RoutesRecord.fileName), record.encoded)
        } catch {
            Log.warning("which routes are served could not be written down", "reason", "\(error)")
        }
    }

    /// Makes the topics that are missing. One that is there stays as it is; what of it is not as declared is logged.
    static func makeTopics(
        _ topics: [TopicDeclaration], _ broker: Broker, _ configuration: Configuration
    ) throws(ConfigurationError) {
        for topic in topics {
            if let known = broker.catalog.topic(named: topic.name) {
                for difference in differences(topic, known) {
                    Log.warning("a topic that is there stays as it is", "difference", difference)
                }
            } else if let refusal = make(topic, broker) {
                throw ConfigurationError(
                    problems: [
                        .init(
                            key: "topics.\(topic.name)", value: nil, source: nil,
                            reason: "it cannot be made: \(refusal.message)",
                            remedy: "Correct the topic, or what stands in its way")
                    ], valid: configuration)
            }
        }
    }

    /// Makes the queues that are missing, likewise.
    static func makeQueues(
        _ queues: [QueueDeclaration], _ broker: Broker, _ configuration: Configuration
    ) throws(ConfigurationError) {
        for queue in queues {
            if let known = broker.queues.queue(named: queue.name) {
                for difference in queue.differences(from: known) {
                    Log.warning("a queue that is there stays as it is", "difference", difference)
                }
            } else if let reason = make(queue, broker) {
                throw ConfigurationError(
                    problems: [
                        .init(
                            key: "queues.\(queue.name)", value: nil, source: nil,
                            reason: "it cannot be made: \(reason)",
                            remedy: "Correct the queue, or what stands in its way")
                    ], valid: configuration)
            }
        }
    }

    /// Lets exactly the forwarders and subscriptions of these routes run. A queue that changes from one to the other has none in between.
    static func runTakers(_ routes: GatewayConfiguration, _ broker: Broker, region: String) {
        let known = broker.subscriptions.statuses.map(\.definition)
        runSubscriptions(routes.subscriptions.filter { known.contains($0) }, broker, region: region)
        runForwarders(routes.forwarders, broker)
        runSubscriptions(routes.subscriptions, broker, region: region)
    }

    static func runForwarders(_ forwarders: [ForwarderDefinition], _ broker: Broker) {
        broker.forwarders.replace(forwarders) { definition in
            definition.cluster.map { ClusterDestination($0, topic: definition.to) }
        }
    }

    static func runSubscriptions(_ subscriptions: [SubscriptionDefinition], _ broker: Broker, region: String) {
        broker.subscriptions.replace(subscriptions) { WebhookDestination($0, broker, region: region) }
    }

    static func runPulls(_ pulls: [PullDefinition], _ gateway: Gateway) {
        gateway.pulls.replace(pulls, of: gateway) { PullClient($0) }
    }

    private static func make(_ topic: TopicDeclaration, _ broker: Broker) -> TopicRefusal? {
        let outcome = change(broker) {
            broker.createTopic(topic.name, partitions: topic.partitions, settings: topic.settings)
        }
        switch outcome {
        case .failure(let refusal)? where refusal.code != .topicAlreadyExists: return refusal
        case .success?, .failure?: return nil
        case nil: return TopicRefusal(.kafkaStorageError, tooManyChanges)
        }
    }

    private static func make(_ queue: QueueDeclaration, _ broker: Broker) -> String? {
        let outcome = change(broker) {
            broker.queues.createQueue(queue.name, queue.settings, partitions: queue.partitions ?? 1, tags: [:])
        }
        switch outcome {
        case .failure(let refusal)?: return refusal.message
        case .success?: return nil
        case nil: return tooManyChanges
        }
    }

    private static let tooManyChanges = "too many changes of topics are under way"

    /// Changes of topics have a thread of their own. Gives what came of one; nil: too many are under way.
    private static func change<Outcome: Sendable>(_ broker: Broker, _ make: @escaping @Sendable () -> Outcome)
        -> Outcome?
    {
        let done = Signal()
        let outcome = Lock<Outcome?>(nil)
        let taken = broker.admin.submit {
            let made = make()
            outcome.withLock { $0 = made }
            done.raise()
        }
        guard taken else { return nil }
        done.wait()
        return outcome.withLock { $0 }
    }

    /// `topics.events.partitions: has 2, declared 4; change it by: millrace topic alter events --partitions 4`.
    private static func differences(_ declared: TopicDeclaration, _ topic: Topic) -> [String] {
        func line(_ key: String, _ has: String, _ wanted: String, _ remedy: String) -> String {
            "topics.\(topic.name).\(key): has \(has), declared \(wanted); \(remedy)"
        }
        var lines: [String] = []
        let (has, wanted) = (topic.partitions.count, Int(declared.partitions))
        if wanted >= 0, wanted != has {
            let alter = "change it by: millrace topic alter \(topic.name) --partitions \(wanted)"
            lines.append(
                line(
                    "partitions", "\(has)", "\(wanted)", wanted > has ? alter : "a topic's partitions do not get fewer")
            )
        }
        for (name, value) in declared.settings.sorted(by: { $0.key < $1.key })
        where topic.settings.overrides[name] != value {
            lines.append(
                line(
                    name, topic.settings.overrides[name] ?? "the default", value,
                    "change it by: millrace topic alter \(topic.name) --set \(name)=\(value)"))
        }
        return lines
    }
}
