import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// CreateTopics: each topic by itself, durable when answered and usable at once. A name given twice in one request is
/// refused, and so is a request of more than 10,000 topics, partitions and settings. Versions: 4 defaults for partitions and replication (KIP-464); 5 the settings in force; 7 the topic's id.
extension KafkaConnection {
    static func createTopicsPrice(_ asked: CreateTopicsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        let topics = Set(asked.topics.lazy.map { ExactString($0.name) }).count
        price.add(topics, CreateTopicsResponse.CreatableTopicResult.self, text: 160)
        if context.version >= 5, topics <= ChangeLimits.maxRecords {
            let rows = topics * TopicSettingKey.all.count
            // Their names and values are not copies until they are encoded.
            price.add(bytes: rows * (MemoryLayout<CreateTopicsResponse.CreatableTopicConfigs>.stride + 2 * 36))
        }
        return price.bytes
    }

    static func createTopics(
        _ asked: CreateTopicsRequest, _ context: AnswerContext, _ mutations: MutationCharge?
    ) -> SlicedPlan<CreateTopicsResponse> {
        let (topics, repeated) = distinct(asked.topics) { ExactString($0.name) }
        let records = topics.reduce(0) { sum, topic in
            let partitions = topic.assignments.isEmpty ? Int(max(1, topic.numPartitions)) : topic.assignments.count
            return min(sum, ChangeLimits.maxRecords) + 1 + partitions + topic.configs.count
        }
        let isTooLarge = records > ChangeLimits.maxRecords && topics.count > 1
        let (broker, permissions) = (context.broker, context.permissions)
        return SlicedPlan(
            count: topics.count, timeoutMs: Int64(asked.timeoutMs),
            step: { index, response in
                let topic = topics[index]
                let result =
                    if repeated.contains(ExactString(topic.name)) {
                        refusal(topic, .init(.invalidRequest, "Duplicate topic name."))
                    } else if !permissions.allowsOnClusterOr(.create, topic: topic.name) {
                        refusal(topic, .notAuthorized)
                    } else if isTooLarge {
                        refusal(topic, ChangeLimits.tooMany)
                    } else {
                        create(topic, broker, asked.validateOnly, mutations)
                    }
                response.topics.append(
                    permissions.allows(.describeConfigs, topic: topic.name, quietly: true)
                        ? result : withoutSettings(result))
            },
            timedOut: { index, response in response.topics.append(refusal(topics[index], ChangeLimits.late)) })
    }

    /// Returns the entries, each identity once and in their order, and the identities that come several times.
    static func distinct<Entry, Identity: Hashable>(
        _ entries: [Entry], by identity: (Entry) -> Identity
    ) -> (entries: [Entry], repeated: Set<Identity>) {
        var seen: Set<Identity> = []
        var repeated: Set<Identity> = []
        let distinct = entries.filter { entry in
            let isFirst = seen.insert(identity(entry)).inserted
            if !isFirst { repeated.insert(identity(entry)) }
            return isFirst
        }
        return (distinct, repeated)
    }

    private static func create(
        _ asked: CreateTopicsRequest.CreatableTopic, _ broker: Broker, _ validateOnly: Bool,
        _ mutations: MutationCharge?
    ) -> CreateTopicsResponse.CreatableTopicResult {
        var partitions = asked.numPartitions
        if !asked.assignments.isEmpty {
            if asked.numPartitions != -1 || asked.replicationFactor != -1 {
                return refusal(
                    asked,
                    .init(.invalidRequest, "Both numPartitions or replicationFactor and replicasAssignments were set."))
            }
            let indexes = asked.assignments.map(\.partitionIndex).sorted()
            guard indexes.elementsEqual(0..<Int32(indexes.count)),
                asked.assignments.allSatisfy({ $0.brokerIDs == [broker.options.nodeID] })
            else {
                return refusal(
                    asked,
                    .init(
                        .invalidReplicaAssignment,
                        "partitions must be numbered from 0 and be assigned to broker \(broker.options.nodeID)"))
            }
            partitions = Int32(indexes.count)
        }
        var settings: [String: String] = [:]
        for config in asked.configs {
            guard let value = config.value else {
                return refusal(
                    asked, .init(.invalidConfig, "Null value not supported for topic configs: \(config.name)"))
            }
            settings[config.name] = value
        }
        let created = broker.createTopic(
            asked.name, partitions: partitions, replicationFactor: asked.replicationFactor, settings: settings,
            validateOnly: validateOnly, mutations)
        switch created {
        case .failure(let reason): return refusal(asked, reason)
        case .success(let topic):
            var result = CreateTopicsResponse.CreatableTopicResult()
            result.name = asked.name
            result.topicID = topic.id
            result.errorMessage = nil
            result.numPartitions =
                validateOnly
                ? (partitions == -1 ? broker.options.defaultPartitions : partitions) : Int32(topic.partitions.count)
            result.replicationFactor = 1
            result.configs = TopicSettingKey.all.map { key in
                let row = SettingRow(key, topic.settings)
                var config = CreateTopicsResponse.CreatableTopicConfigs()
                config.name = key.name
                config.value = row.value
                config.configSource = row.source
                return config
            }
            return result
        }
    }

    /// For who may make a topic and not describe its settings.
    private static func withoutSettings(
        _ result: CreateTopicsResponse.CreatableTopicResult
    ) -> CreateTopicsResponse.CreatableTopicResult {
        if result.errorCode != 0 { return result }
        var less = result
        less.topicConfigErrorCode = ErrorCode.topicAuthorizationFailed.rawValue
        (less.numPartitions, less.replicationFactor, less.configs) = (-1, -1, nil)
        return less
    }

    private static func refusal(
        _ asked: CreateTopicsRequest.CreatableTopic, _ reason: TopicRefusal
    ) -> CreateTopicsResponse.CreatableTopicResult {
        var result = CreateTopicsResponse.CreatableTopicResult()
        result.name = asked.name
        result.errorCode = reason.code.rawValue
        result.errorMessage = reason.message
        return result
    }
}

extension TopicRefusal {
    static let notAuthorized = TopicRefusal(.topicAuthorizationFailed, "Topic authorization failed.")
}

extension Broker {
    /// Makes a topic, when the client's quota has the tokens; what cannot be made costs none. On the admin thread, so nothing
    /// changes in between.
    fileprivate func createTopic(
        _ name: String, partitions: Int32, replicationFactor: Int16, settings: [String: String], validateOnly: Bool,
        _ mutations: MutationCharge?
    ) -> Result<Topic, TopicRefusal> {
        func create(validateOnly: Bool) -> Result<Topic, TopicRefusal> {
            createTopic(
                name, partitions: partitions, replicationFactor: replicationFactor, settings: settings,
                validateOnly: validateOnly)
        }
        guard let mutations, !validateOnly else { return create(validateOnly: validateOnly) }
        if case .failure(let refusal) = create(validateOnly: true) { return .failure(refusal) }
        let count = partitions == -1 ? options.defaultPartitions : partitions
        if let refusal = mutations.take(Int(count)) { return .failure(refusal) }
        return create(validateOnly: false)
    }
}
