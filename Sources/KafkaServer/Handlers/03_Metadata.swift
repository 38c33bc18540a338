import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage

/// Metadata: the broker and its topics.
///
/// A topic that does not exist is made when the client allows it and `auto.create.topics.enable` is on; the reply then
/// shows it ready for use (Kafka answers LEADER_NOT_AVAILABLE first). Versions: 0 an empty list means all; 1 null means
/// all; 4 auto-creation is the client's choice; 10 topic ids (KIP-516); 12 by id.
extension KafkaConnection {
    func metadata(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(MetadataRequest.self)
        let ticket = request.ticket
        let catalog = broker.catalog
        let mayCreate = asked.allowAutoTopicCreation && broker.options.autoCreateTopics
        let missing = (asked.topics ?? []).compactMap { topic -> String? in
            guard topic.topicID == .zero, let name = topic.name, catalog.topic(named: name) == nil,
                TopicName.problem(name) == nil
            else { return nil }
            return name
        }
        guard mayCreate, !missing.isEmpty else { return reply(metadataResponse(asked, ticket, [:]), to: ticket) }
        let broker = broker
        offload {
            var refusals: [String: TopicRefusal] = [:]
            for name in missing {
                if case .failure(let refusal) = broker.topicCreatingIfAllowed(name) { refusals[name] = refusal }
            }
            return refusals
        } _: { connection, refusals in
            connection.reply(connection.metadataResponse(asked, ticket, refusals), to: ticket)
        }
    }

    private func metadataResponse(
        _ asked: MetadataRequest, _ ticket: ReplyTicket, _ refusals: [String: TopicRefusal]
    ) -> MetadataResponse {
        let catalog = broker.catalog
        var response = MetadataResponse()
        var node = MetadataResponse.MetadataResponseBroker()
        let address = advertised
        node.nodeID = broker.options.nodeID
        node.host = address.host
        node.port = address.port
        response.brokers = [node]
        response.clusterID = broker.clusterID
        response.controllerID = broker.options.nodeID
        if asked.includeClusterAuthorizedOperations { response.clusterAuthorizedOperations = Self.clusterOperations }
        let wantsAll = asked.topics == nil || (ticket.version == 0 && asked.topics!.isEmpty)
        if wantsAll {
            response.topics = catalog.sortedTopics.map {
                describe($0, asked.includeTopicAuthorizedOperations)
            }
            return response
        }
        for topic in asked.topics ?? [] {
            let byID = topic.topicID != .zero
            let found = byID ? catalog.topic(id: topic.topicID) : topic.name.flatMap { catalog.topic(named: $0) }
            if let found {
                response.topics.append(describe(found, asked.includeTopicAuthorizedOperations))
                continue
            }
            var absent = MetadataResponse.MetadataResponseTopic()
            absent.name = byID ? (ticket.version >= 12 ? nil : "") : topic.name
            absent.topicID = topic.topicID
            let code: ErrorCode
            if byID {
                code = .unknownTopicID
            } else if let name = topic.name, TopicName.problem(name) != nil {
                code = .invalidTopicException
            } else {
                code = topic.name.flatMap { refusals[$0]?.code } ?? .unknownTopicOrPartition
            }
            absent.errorCode = code.rawValue
            response.topics.append(absent)
        }
        return response
    }

    private func describe(_ topic: Topic, _ withOperations: Bool) -> MetadataResponse.MetadataResponseTopic {
        var result = MetadataResponse.MetadataResponseTopic()
        result.name = topic.name
        result.topicID = topic.id
        result.isInternal = topic.isInternal
        if withOperations { result.topicAuthorizedOperations = Self.topicOperations }
        let node = broker.options.nodeID
        result.partitions = topic.partitions.map { log in
            var partition = MetadataResponse.MetadataResponsePartition()
            partition.partitionIndex = log.partitionIndex
            partition.leaderID = node
            partition.leaderEpoch = log.leaderEpoch.rawValue
            partition.replicaNodes = [node]
            partition.isrNodes = [node]
            return partition
        }
        return result
    }

    // What everyone may do while there is no authorizer: bits by Kafka's operation codes.

    /// Read, write, create, delete, alter, describe, describe and alter configs.
    static let topicOperations: Int32 = 0b1101_1111_1000
    /// Create, alter, describe, cluster action, describe and alter configs, idempotent write.
    static let clusterOperations: Int32 = 0b1_1111_1010_0000
    /// Read, delete, describe, describe and alter configs.
    static let groupOperations: Int32 = 0b1101_0100_1000
}
