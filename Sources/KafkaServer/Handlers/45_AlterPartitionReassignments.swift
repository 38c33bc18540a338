import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// AlterPartitionReassignments: a partition can only be where it is, on this broker. Source: KIP-455, KIP-860.
extension KafkaConnection {
    static func alterPartitionReassignmentsPrice(
        _ asked: AlterPartitionReassignmentsRequest, _ context: AnswerContext
    ) -> Int {
        var price = ReplyPrice()
        for topic in asked.topics {
            price.add(1, AlterPartitionReassignmentsResponse.ReassignableTopicResponse.self, text: 0)
            // The message of one that is not there repeats its topic, and is a string of its own.
            price.add(
                topic.partitions.count, AlterPartitionReassignmentsResponse.ReassignablePartitionResponse.self,
                text: 80 + topic.name.utf8.count)
        }
        return price.bytes
    }

    static func alterPartitionReassignments(
        _ asked: AlterPartitionReassignmentsRequest, _ context: AnswerContext
    ) -> Answer<AlterPartitionReassignmentsResponse> {
        if let refusal = context.refusal(of: asked) { return Answer(response: asked.refused(by: refusal)) }
        var response = AlterPartitionReassignmentsResponse()
        response.errorMessage = nil
        response.allowReplicationFactorChange = asked.allowReplicationFactorChange
        response.responses = asked.topics.map { topic in
            var result = AlterPartitionReassignmentsResponse.ReassignableTopicResponse()
            result.name = topic.name
            let found = context.broker.catalog.topic(named: topic.name)
            result.partitions = topic.partitions.map { asked in
                var partition = AlterPartitionReassignmentsResponse.ReassignablePartitionResponse()
                partition.partitionIndex = asked.partitionIndex
                let refusal = refusal(of: asked, of: topic.name, found, context.node.id)
                (partition.errorCode, partition.errorMessage) = (refusal?.code.rawValue ?? 0, refusal?.message)
                return partition
            }
            return result
        }
        return Answer(response: response)
    }

    private static func refusal(
        of partition: AlterPartitionReassignmentsRequest.ReassignablePartition, of name: String, _ topic: Topic?,
        _ nodeID: Int32
    ) -> TopicRefusal? {
        guard let topic else { return .init(.unknownTopicOrPartition, "Unable to find a topic named \(name).") }
        guard topic.partition(partition.partitionIndex) != nil else {
            return .init(
                .unknownTopicOrPartition, "Unable to find partition \(name):\(partition.partitionIndex).")
        }
        // Null ends one that is under way.
        guard let replicas = partition.replicas else {
            return .init(.noReassignmentInProgress, "No partition reassignment is in progress.")
        }
        if replicas.isEmpty {
            return .init(
                .invalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
        }
        if let other = replicas.first(where: { $0 != nodeID }) {
            return .init(
                .invalidReplicaAssignment,
                "The manual partition assignment includes broker \(other), but no such broker is registered.")
        }
        if replicas.count > 1 {
            return .init(
                .invalidReplicaAssignment,
                "The manual partition assignment includes the broker \(nodeID) more than once.")
        }
        return nil
    }
}

extension AlterPartitionReassignmentsRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> AlterPartitionReassignmentsResponse {
        var response = AlterPartitionReassignmentsResponse()
        (response.errorCode, response.errorMessage) = (refusal.error.rawValue, refusal.message)
        return response
    }
}
