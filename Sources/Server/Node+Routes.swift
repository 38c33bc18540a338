import BrokerCore
import ByteBuffers
public import Configuration
import IngestGateway
import KafkaModel
import StorageIO
import Telemetry

/// The sections of a configuration that may change while the broker runs.
extension Node {
    /// Makes the missing topics and queues of `configuration`, and puts its routes in the place of those that there are. Requests that
    /// have begun end by the old ones. Throws what is wrong; then nothing has changed, but for topics and queues that were made.
    ///
    /// Blocks for the disk. Of the broker keys none is looked at: they are read at the start.
    public func replaceRoutes(by configuration: Configuration) throws(ConfigurationError) {
        guard let gateway else { return }
        let routes = try GatewayConfiguration(configuration, gateway.options)
        try Self.makeTopics(routes.topics, broker, configuration)
        try Self.makeQueues(routes.queues, broker, configuration)
        gateway.replaceRoutes(routes)
    }

    /// Says what `replaceRoutes` would throw, and changes nothing.
    func checkRoutes(of configuration: Configuration) throws(ConfigurationError) {
        guard let gateway else { return }
        _ = try GatewayConfiguration(configuration, gateway.options)
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
                tellOfDifferences(topic, known)
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
                tellOfDifferences(queue, known)
            } else if let reason = make(queue, broker) {
                throw ConfigurationError(
                    problems: [
                        .init(
                            key: "queues.\(queue.name)", value: nil, source: nil, reason: "it cannot be made: \(reason)",
                            remedy: "Correct the queue, or what stands in its way")
                    ], valid: configuration)
            }
        }
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
    private static func change<Outcome: Sendable>(_ broker: Broker, _ make: @escaping @Sendable () -> Outcome) -> Outcome? {
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

    private static func tellOfDifferences(_ declared: QueueDeclaration, _ queue: QueueDescription) {
        for difference in declared.differences(from: queue) {
            Log.warning(
                "a queue is otherwise than the configuration says", "queue", declared.name, "key", difference.key, "has",
                difference.has, "declared", difference.declared)
        }
    }

    private static func tellOfDifferences(_ declared: TopicDeclaration, _ topic: Topic) {
        if declared.partitions >= 0, Int(declared.partitions) != topic.partitions.count {
            Log.warning(
                "a topic has another number of partitions than the configuration says", "topic", topic.name, "has",
                topic.partitions.count, "declared", declared.partitions)
        }
        for (name, value) in declared.settings.sorted(by: { $0.key < $1.key })
        where topic.settings.overrides[name] != value {
            Log.warning(
                "a topic has another setting than the configuration says", "topic", topic.name, "setting", name, "has",
                topic.settings.overrides[name] ?? "the default", "declared", value)
        }
    }
}
