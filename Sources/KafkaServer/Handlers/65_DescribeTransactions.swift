import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// DescribeTransactions: what the coordinator knows of transactional ids. Partitions of topics that the client may not describe
/// are left out. Source: KIP-664.
extension KafkaConnection {
    static func describeTransactionsPrice(_ asked: DescribeTransactionsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(asked.transactionalIDs.count, DescribeTransactionsResponse.TransactionState.self, text: 32)
        // One that is asked for often, or that the user may not see, is not looked at for each.
        var repeats: [String: Int] = [:]
        for id in asked.transactionalIDs { repeats[id, default: 0] += 1 }
        for (id, count) in repeats
        where context.permissions.allows(.describe, .transactionalID, id, quietly: true) {
            let (topics, bytes) = context.broker.transactions.read(ExactString(id), refused: { _ in (0, 0) }) { shard in
                let topics = (try? shard.describe(ExactString(id)).get())?.topicCount ?? 0
                return (topics, topics == 0 ? 0 : shard.memoryBytes(of: ExactString(id)))
            }.answer
            price.add(count * topics, DescribeTransactionsResponse.TopicData.self, text: 0)
            // Names and numbers, in the lists that they are sorted in and twice in the reply.
            price.add(bytes: 3 * count * bytes)
            price.add(bytes: context.permissions.price(ofDecisions: count * topics))
        }
        return price.bytes
    }

    static func describeTransactions(
        _ asked: DescribeTransactionsRequest, _ context: AnswerContext
    ) -> Answer<DescribeTransactionsResponse> {
        var answer = Answer(response: DescribeTransactionsResponse())
        answer.response.transactionStates = asked.transactionalIDs.map { id in
            var result = DescribeTransactionsResponse.TransactionState()
            result.transactionalID = id
            guard context.permissions.allows(.describe, .transactionalID, id) else {
                result.errorCode = ErrorCode.transactionalIDAuthorizationFailed.rawValue
                return result
            }
            let outcome = context.broker.transactions.read(
                ExactString(id), refused: { .failure(TransactionRefusal(code: $0)) }
            ) { $0.describe(ExactString(id)) }
            answer.commits.add(outcome.ticket)
            switch outcome.answer {
            case .failure(let refusal): result.errorCode = refusal.code.rawValue
            case .success(let metadata): result.tell(metadata, context.permissions)
            }
            return result
        }
        return answer
    }
}

extension DescribeTransactionsResponse.TransactionState {
    fileprivate mutating func tell(_ metadata: TransactionMetadata, _ permissions: Permissions) {
        transactionState = metadata.state.name
        transactionTimeoutMs = metadata.timeoutMs
        transactionStartTimeMs = metadata.startMs
        producerID = metadata.producerID
        producerEpoch = metadata.epoch
        for (topic, indexes) in metadata.partitionList
        where permissions.allows(.describe, topic: topic, quietly: true) {
            var data = DescribeTransactionsResponse.TopicData()
            (data.topic, data.partitions) = (topic, indexes)
            topics.append(data)
        }
    }
}
