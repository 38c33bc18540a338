import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire

/// CreatePartitions: grows topics. Assignments can only name this broker.
extension KafkaConnection {
    func createPartitions(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(CreatePartitionsRequest.self)
        let broker = broker
        let ticket = request.ticket
        offload {
            var response = CreatePartitionsResponse()
            for topic in asked.topics {
                var result = CreatePartitionsResponse.CreatePartitionsTopicResult()
                result.name = topic.name
                let refusal: TopicRefusal?
                if let found = broker.catalog.topic(named: topic.name) {
                    let added = Int(topic.count) - found.partitions.count
                    if let assignments = topic.assignments,
                        assignments.count != added
                            || !assignments.allSatisfy({ $0.brokerIDs == [broker.options.nodeID] })
                    {
                        refusal = .init(
                            .invalidReplicaAssignment,
                            "each of the \(added) new partitions must be assigned to broker \(broker.options.nodeID)")
                    } else {
                        refusal = broker.createPartitions(found, count: topic.count, validateOnly: asked.validateOnly)
                    }
                } else {
                    refusal = .init(.unknownTopicOrPartition, "This server does not host this topic-partition.")
                }
                result.errorCode = refusal?.code.rawValue ?? 0
                result.errorMessage = refusal?.message
                response.results.append(result)
            }
            return response
        } _: { connection, response in
            connection.reply(response, to: ticket)
        }
    }
}
