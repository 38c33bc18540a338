import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// CreatePartitions: grows topics. Assignments can only name this broker. A topic named twice is refused.
extension KafkaConnection {
    static func createPartitionsPrice(_ asked: CreatePartitionsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(
            Set(asked.topics.lazy.map { ExactString($0.name) }).count,
            CreatePartitionsResponse.CreatePartitionsTopicResult.self,
            text: 160)
        return price.bytes
    }

    static func createPartitions(
        _ asked: CreatePartitionsRequest, _ context: AnswerContext, _ mutations: MutationCharge?
    ) -> SlicedPlan<CreatePartitionsResponse> {
        let (topics, repeated) = distinct(asked.topics) { ExactString($0.name) }
        let isTooLarge = topics.count > ChangeLimits.maxRecords
        let (broker, permissions) = (context.broker, context.permissions)
        @Sendable func tell(_ index: Int, _ refusal: TopicRefusal?, _ response: inout CreatePartitionsResponse) {
            var result = CreatePartitionsResponse.CreatePartitionsTopicResult()
            result.name = topics[index].name
            result.errorCode = refusal?.code.rawValue ?? 0
            result.errorMessage = refusal?.message
            response.results.append(result)
        }
        return SlicedPlan(
            count: topics.count, timeoutMs: Int64(asked.timeoutMs),
            step: { index, response in
                let refusal: TopicRefusal? =
                    if repeated.contains(ExactString(topics[index].name)) {
                        .init(.invalidRequest, "Duplicate topic name.")
                    } else if !permissions.allows(.alter, topic: topics[index].name) {
                        .notAuthorized
                    } else if isTooLarge {
                        ChangeLimits.tooMany
                    } else {
                        grow(topics[index], broker, asked.validateOnly, mutations)
                    }
                tell(index, refusal, &response)
            },
            timedOut: { index, response in tell(index, ChangeLimits.late, &response) })
    }

    private static func grow(
        _ topic: CreatePartitionsRequest.CreatePartitionsTopic, _ broker: Broker, _ validateOnly: Bool,
        _ mutations: MutationCharge?
    ) -> TopicRefusal? {
        guard let found = broker.catalog.topic(named: topic.name) else {
            return .init(.unknownTopicOrPartition, "This server does not host this topic-partition.")
        }
        let added = Int(topic.count) - found.partitions.count
        if let assignments = topic.assignments,
            assignments.count != added || !assignments.allSatisfy({ $0.brokerIDs == [broker.options.nodeID] })
        {
            return .init(
                .invalidReplicaAssignment,
                "each of the \(added) new partitions must be assigned to broker \(broker.options.nodeID)")
        }
        if let mutations, !validateOnly {
            // What cannot be done costs nothing.
            let refusal = broker.createPartitions(found, count: topic.count, validateOnly: true)
            if let refusal = refusal ?? mutations.take(added) { return refusal }
        }
        return broker.createPartitions(found, count: topic.count, validateOnly: validateOnly)
    }
}
