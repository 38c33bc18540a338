import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// DeleteRecords: moves a partition's start up; durable when answered. A topic that is only compacted promises the newest
/// record of each key: POLICY_VIOLATION, as in Kafka. Source: KIP-107.
extension KafkaConnection {
    static func deleteRecordsPrice(_ asked: DeleteRecordsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(asked.topics.count, DeleteRecordsResponse.DeleteRecordsTopicResult.self, text: TopicName.usualLength)
        price.add(
            asked.topics.reduce(0) { $0 + $1.partitions.count },
            DeleteRecordsResponse.DeleteRecordsPartitionResult.self, text: 0)
        return price.bytes
    }

    static func deleteRecords(
        _ asked: DeleteRecordsRequest, _ context: AnswerContext
    ) -> Answer<DeleteRecordsResponse> {
        let catalog = context.broker.catalog
        var commits = CommitSpan()
        var response = DeleteRecordsResponse()
        for topic in asked.topics {
            var result = DeleteRecordsResponse.DeleteRecordsTopicResult()
            result.name = topic.name
            let found = catalog.topic(named: topic.name)
            let isAllowed = context.permissions.allows(.delete, topic: topic.name)
            for partition in topic.partitions {
                var answer = DeleteRecordsResponse.DeleteRecordsPartitionResult()
                answer.partitionIndex = partition.partitionIndex
                answer.lowWatermark = -1
                if !isAllowed {
                    answer.errorCode = ErrorCode.topicAuthorizationFailed.rawValue
                } else if let found, found.isInternal {
                    answer.errorCode = ErrorCode.invalidTopicException.rawValue
                } else if let found, found.isOnlyCompacted {
                    answer.errorCode = ErrorCode.policyViolation.rawValue
                } else if let log = found?.partition(partition.partitionIndex) {
                    switch log.deleteRecords(before: Offset(partition.offset)) {
                    case .success(let (start, ticket)):
                        answer.lowWatermark = start.rawValue
                        commits.add(ticket)
                    case .failure(let refusal): answer.errorCode = refusal.code.rawValue
                    }
                } else {
                    answer.errorCode = ErrorCode.unknownTopicOrPartition.rawValue
                }
                result.partitions.append(answer)
            }
            response.topics.append(result)
        }
        context.audit(asked, response)
        // An answer that a worker makes has no turn of an event loop that would commit.
        if !commits.isEmpty { context.broker.store.kick() }
        return Answer(response: response, commits: commits)
    }
}
