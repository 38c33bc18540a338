import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// ElectLeaders: each partition's one replica leads it already, so no election is needed. Versions: 1 tells preferred (0) from
/// unclean (1) elections. Source: KIP-183, KIP-460.
extension KafkaConnection {
    static func electLeadersPrice(_ asked: ElectLeadersRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        for topic in asked.topicPartitions ?? [] {
            price.add(1, ElectLeadersResponse.ReplicaElectionResult.self, text: 0)
            // The message of one that is not there repeats its topic, and is a string of its own.
            price.add(
                topic.partitions.count, ElectLeadersResponse.PartitionResult.self, text: 64 + topic.topic.utf8.count)
        }
        return price.bytes
    }

    static func electLeaders(_ asked: ElectLeadersRequest, _ context: AnswerContext) -> Answer<ElectLeadersResponse> {
        var refusal = context.refusal(of: asked)
        if refusal == nil, !(0...1).contains(asked.electionType) {
            refusal = AccessRefusal(.invalidRequest, "Unknown election type \(asked.electionType)")
        }
        if let refusal {
            var response = asked.refused(by: refusal)
            if context.version < 1 { response.errorCode = 0 }
            return Answer(response: response)
        }
        // Of all partitions none is told of whose leader is the wanted one.
        let catalog = context.broker.catalog
        return Answer(
            response: asked.answered { name, index in
                guard let topic = catalog.topic(named: name) else {
                    return (.unknownTopicOrPartition, "No such topic as \(name)")
                }
                if topic.partition(index) == nil {
                    return (.unknownTopicOrPartition, "No such partition as \(name)-\(index)")
                }
                return (.electionNotNeeded, "Leader election not needed for topic partition.")
            })
    }
}

extension ElectLeadersRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> ElectLeadersResponse {
        var response = answered { _, _ in (refusal.error, refusal.message) }
        response.errorCode = refusal.error.rawValue
        return response
    }

    fileprivate func answered(_ answer: (String, Int32) -> (ErrorCode, String)) -> ElectLeadersResponse {
        var response = ElectLeadersResponse()
        response.replicaElectionResults = (topicPartitions ?? []).map { topic in
            var result = ElectLeadersResponse.ReplicaElectionResult()
            result.topic = topic.topic
            result.partitionResult = topic.partitions.map { index in
                var partition = ElectLeadersResponse.PartitionResult()
                partition.partitionID = index
                let (code, message) = answer(topic.topic, index)
                (partition.errorCode, partition.errorMessage) = (code.rawValue, message)
                return partition
            }
            return result
        }
        return response
    }
}
