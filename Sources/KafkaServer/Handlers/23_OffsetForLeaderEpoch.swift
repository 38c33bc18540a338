import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// OffsetForLeaderEpoch: where an epoch ended, so that a client finds out whether its log was truncated. Source: KIP-101,
/// KIP-320.
extension KafkaConnection {
    static func offsetForLeaderEpochPrice(_ asked: OffsetForLeaderEpochRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(
            asked.topics.count, OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult.self,
            text: TopicName.usualLength)
        price.add(
            asked.topics.reduce(0) { $0 + $1.partitions.count }, OffsetForLeaderEpochResponse.EpochEndOffset.self,
            text: 0)
        return price.bytes
    }

    static func offsetForLeaderEpoch(
        _ asked: OffsetForLeaderEpochRequest, _ context: AnswerContext
    ) -> Answer<OffsetForLeaderEpochResponse> {
        let catalog = context.broker.catalog
        var response = OffsetForLeaderEpochResponse()
        response.topics = asked.topics.map { topic in
            var result = OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult()
            result.topic = topic.topic
            let found = catalog.topic(named: topic.topic)
            let isAllowed =
                context.permissions.allowsOnCluster(.clusterAction, quietly: true)
                || context.permissions.allows(.describe, topic: topic.topic)
            result.partitions = topic.partitions.map { partition in
                var answer = OffsetForLeaderEpochResponse.EpochEndOffset()
                answer.partition = partition.partition
                guard isAllowed else {
                    answer.errorCode = ErrorCode.topicAuthorizationFailed.rawValue
                    return answer
                }
                guard let log = found?.partition(partition.partition) else {
                    answer.errorCode = ErrorCode.unknownTopicOrPartition.rawValue
                    return answer
                }
                if let code = log.leadershipProblem(currentLeaderEpoch: partition.currentLeaderEpoch) {
                    answer.errorCode = code.rawValue
                    return answer
                }
                // Its end is not known: the consumer would take it for a truncation.
                if log.unavailability != nil {
                    answer.errorCode = ErrorCode.kafkaStorageError.rawValue
                    return answer
                }
                (answer.leaderEpoch, answer.endOffset) = log.endOffset(ofEpoch: partition.leaderEpoch)
                return answer
            }
            return result
        }
        return Answer(response: response)
    }
}
