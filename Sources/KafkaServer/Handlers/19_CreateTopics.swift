import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire

/// CreateTopics: each topic by itself, durable when answered and usable at once. A name given twice in one request is
/// refused. Versions: 4 defaults for partitions and replication (KIP-464); 5 the settings in force; 7 the topic's id.
extension KafkaConnection {
    func createTopics(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(CreateTopicsRequest.self)
        let broker = broker
        let ticket = request.ticket
        offload {
            var response = CreateTopicsResponse()
            let names = Dictionary(grouping: asked.topics, by: \.name).mapValues(\.count)
            var answered: Set<String> = []
            for topic in asked.topics where answered.insert(topic.name).inserted {
                let isUnique = names[topic.name] == 1
                response.topics.append(
                    isUnique
                        ? Self.create(topic, broker, asked.validateOnly)
                        : Self.refusal(topic, .init(.invalidRequest, "Duplicate topic name.")))
            }
            return response
        } _: { connection, response in
            connection.reply(response, to: ticket)
        }
    }

    private static func create(
        _ asked: CreateTopicsRequest.CreatableTopic, _ broker: Broker, _ validateOnly: Bool
    ) -> CreateTopicsResponse.CreatableTopicResult {
        var partitions = asked.numPartitions
        if !asked.assignments.isEmpty {
            if asked.numPartitions != -1 || asked.replicationFactor != -1 {
                return refusal(
                    asked,
                    .init(.invalidRequest, "Both numPartitions or replicationFactor and replicasAssignments were set."))
            }
            let indexes = asked.assignments.map(\.partitionIndex).sorted()
            guard indexes == (0..<Int32(indexes.count)).map({ $0 }),
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
        switch broker.createTopic(
            asked.name, partitions: partitions, replicationFactor: asked.replicationFactor, settings: settings,
            validateOnly: validateOnly)
        {
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
