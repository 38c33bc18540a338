public import KafkaModel
import LogStorage
import StorageIO
import Telemetry

/// Why a change of topics was refused; nothing was changed.
public struct TopicRefusal: Error, Sendable, Equatable {
    public var code: ErrorCode
    public var message: String

    public init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }
}

/// Changes of topics. All block for the metadata store's sync: call them on `admin`.
extension Broker {
    /// Makes a topic; durable when it returns. `partitions` -1: the broker's default. With `validateOnly` only the checks
    /// are made. `settings` are topic keys of `TopicSettingKey`.
    ///
    /// - Parameter isOwn: the broker makes it for itself; nobody else makes a topic with the name of such a one.
    public func createTopic(
        _ name: String, isOwn: Bool = false, partitions: Int32 = -1, replicationFactor: Int16 = -1,
        settings: [String: String] = [:],
        validateOnly: Bool = false
    ) -> Result<Topic, TopicRefusal> {
        if let problem = TopicName.problem(name) { return .failure(TopicRefusal(.invalidTopicException, problem)) }
        let catalog = catalog
        if catalog.topic(named: name) != nil {
            return .failure(TopicRefusal(.topicAlreadyExists, "Topic '\(name)' already exists."))
        }
        if !isOwn, Topic.isInternal(name) {
            return .failure(TopicRefusal(.invalidTopicException, "the topic \(name) is the broker's own"))
        }
        if let other = catalog.topic(collidingWith: name) {
            return .failure(
                TopicRefusal(
                    .invalidTopicException, "Topic '\(name)' collides with existing topics: \(other.name)"))
        }
        let count = partitions == -1 ? options.defaultPartitions : partitions
        guard count > 0 else {
            return .failure(
                TopicRefusal(
                    .invalidPartitions, "Number of partitions was set to an invalid non-positive value."))
        }
        guard catalog.partitionCount + Int(count) <= options.maxPartitions else {
            return .failure(
                TopicRefusal(
                    .policyViolation, "the broker serves at most \(options.maxPartitions) partitions in all"))
        }
        guard replicationFactor == -1 || replicationFactor == 1 else {
            return .failure(
                replicationFactor <= 0
                    ? TopicRefusal(
                        .invalidReplicationFactor,
                        "Replication factor must be larger than 0, or -1 to use the default value.")
                    : TopicRefusal(
                        .invalidReplicationFactor,
                        "Unable to replicate the partition \(replicationFactor) time(s): "
                            + "The target replication factor of \(replicationFactor) cannot be reached because only 1 "
                            + "broker(s) are registered or some brokers have all their log directories cordoned."))
        }
        if let refusal = refusal(of: settings) { return .failure(refusal) }
        let record = TopicRecord(name: name, id: .random(), partitionCount: count, settings: settings)
        if validateOnly {
            let planned = TopicSettings(overrides: settings, brokerDefaults: options.topicDefaults)
            return .success(Topic(name: name, id: .zero, partitions: [], settings: planned))
        }
        if let refusal = store(record, revision: 0) { return .failure(refusal) }
        let topic = Self.topic(record, store: store, defaults: options.topicDefaults)
        becomeOnlyLeader(of: topic.partitions)
        replaceCatalog { $0.replacing(topic, version: $1) }
        return .success(topic)
    }

    /// Returns the topic; makes it, with the broker's defaults, when it does not exist and `auto.create.topics.enable`
    /// is on.
    public func topicCreatingIfAllowed(_ name: String) -> Result<Topic, TopicRefusal> {
        if let topic = catalog.topic(named: name) { return .success(topic) }
        guard options.autoCreateTopics, !Topic.isInternal(name) else {
            return .failure(
                TopicRefusal(.unknownTopicOrPartition, "This server does not host this topic-partition."))
        }
        let result = createTopic(name)
        // Another client created the topic at the same time; return that one.
        if case .failure(let refusal) = result, refusal.code == .topicAlreadyExists,
            let topic = catalog.topic(named: name)
        {
            return .success(topic)
        }
        return result
    }

    /// Removes a topic for good. Its files go before it returns; its readers are told. Files that cannot be removed go at
    /// the next start: the topic is gone all the same, whatever is wrong with its folders.
    public func deleteTopic(_ topic: Topic) -> TopicRefusal? {
        guard options.deleteTopics else {
            return TopicRefusal(.topicDeletionDisabled, "Topic deletion is disabled.")
        }
        if topic.isInternal {
            return TopicRefusal(.invalidRequest, "the internal topic \(topic.name) cannot be deleted")
        }
        let key = TopicRecord.key(topic.name)
        guard let value = metadata.read(key), catalog.topic(id: topic.id) != nil else {
            return TopicRefusal(.unknownTopicOrPartition, "This server does not host this topic-partition.")
        }
        var transaction = MetadataTransaction()
        transaction.conditions = [(key, value.revision)]
        transaction.changes = [(key, nil)]
        if let refusal = commit(transaction) { return refusal }
        replaceCatalog { $0.removing(named: topic.name, version: $1) }
        for (partition, reason) in store.removePartitions(topic.partitions) {
            Log.error(
                "files of a deleted topic could not be removed, and are removed at the next start", "partition",
                partition.name, "reason", reason)
        }
        groups.topicDeleted(topic.name)
        queues.topicDeleted(topic)
        shares.topicDeleted(topic.id)
        return nil
    }

    /// Grows a topic to `count` partitions in all.
    public func createPartitions(_ topic: Topic, count: Int32, validateOnly: Bool) -> TopicRefusal? {
        guard let topic = catalog.topic(id: topic.id) else { return Self.unknownTopic }
        let existing = Int32(topic.partitions.count)
        if count <= existing {
            let isEqual = count == existing
            return TopicRefusal(
                .invalidPartitions,
                isEqual
                    ? "Topic already has \(existing) partition(s)."
                    : "The topic \(topic.name) currently has \(existing) partition(s); \(count) would not be an increase."
            )
        }
        if topic.isInternal {
            return TopicRefusal(.invalidRequest, "the partitions of \(topic.name) are the broker's own affair")
        }
        if let queue = queues.queueWithFixedPartitions(topic.id) {
            return TopicRefusal(
                .invalidRequest,
                "the topic \(topic.name) is the log of the FIFO queue \(queue), whose groups would get out of order in more "
                    + "partitions; create another queue with \(count) partitions and let its senders go there")
        }
        guard catalog.partitionCount + Int(count - existing) <= options.maxPartitions else {
            return TopicRefusal(
                .policyViolation, "the broker serves at most \(options.maxPartitions) partitions in all")
        }
        if validateOnly { return nil }
        let record = TopicRecord(
            name: topic.name, id: topic.id, partitionCount: count, settings: topic.settings.overrides)
        if let refusal = store(record) { return refusal }
        let added = (existing..<count).map { index in
            store.addPartition(
                topicID: topic.id, topicName: topic.name, partitionIndex: index, settings: topic.settings.log,
                leadership: .follower(in: LeaderEpoch(0)))
        }
        let grown = Topic(
            name: topic.name, id: topic.id, partitions: topic.partitions + added, settings: topic.settings)
        becomeOnlyLeader(of: added)
        replaceCatalog { $0.replacing(grown, version: $1) }
        return nil
    }

    /// Replaces a topic's own settings as a whole.
    public func alterSettings(_ topic: Topic, _ overrides: [String: String], validateOnly: Bool) -> TopicRefusal? {
        guard let topic = catalog.topic(id: topic.id) else { return Self.unknownTopic }
        if let refusal = refusal(of: overrides) { return refusal }
        if validateOnly { return nil }
        let record = TopicRecord(
            name: topic.name, id: topic.id, partitionCount: Int32(topic.partitions.count), settings: overrides)
        if let refusal = store(record) { return refusal }
        let settings = TopicSettings(overrides: overrides, brokerDefaults: options.topicDefaults)
        for partition in topic.partitions { partition.apply(settings.log) }
        let changed = Topic(name: topic.name, id: topic.id, partitions: topic.partitions, settings: settings)
        replaceCatalog { $0.replacing(changed, version: $1) }
        return nil
    }

    /// Refuses a change of a topic that has been deleted. (The caller's topic may come from an older catalog, so
    /// changes look up the current one by id.)
    private static let unknownTopic = TopicRefusal(
        .unknownTopicOrPartition, "This server does not host this topic-partition.")

    /// Returns why settings are refused: the first one that is not served or not valid, or what is wrong between them.
    func refusal(of settings: [String: String]) -> TopicRefusal? {
        for (name, value) in settings.sorted(by: { $0.key < $1.key }) {
            guard let key = TopicSettingKey.named(name) else {
                return TopicRefusal(.invalidConfig, "Unknown topic config name: \(name)")
            }
            if let problem = key.problem(value) { return TopicRefusal(.invalidConfig, problem) }
        }
        let all = TopicSettings(overrides: settings, brokerDefaults: options.topicDefaults)
        return all.conflict.map { TopicRefusal(.invalidConfig, $0) }
    }

    private func store(_ record: TopicRecord, revision: Int64? = nil) -> TopicRefusal? {
        let key = TopicRecord.key(record.name)
        var transaction = MetadataTransaction()
        transaction.conditions = [(key, revision ?? metadata.read(key)?.revision ?? 0)]
        transaction.changes = [(key, record.encoded)]
        return commit(transaction)
    }

    private func commit(_ transaction: MetadataTransaction) -> TopicRefusal? {
        do throws(StorageError) {
            if try metadata.transact(transaction) { return nil }
            return TopicRefusal(.topicAlreadyExists, "the topic was changed at the same time; try again")
        } catch {
            return TopicRefusal(.kafkaStorageError, "\(error)")
        }
    }
}
