import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// DescribeTopicPartitions: topics page by page, at most `responsePartitionLimit` partitions a reply (and never more than
/// 2,000). Source: KIP-966.
extension KafkaConnection {
    private static let maxPartitions = 2000

    /// Returns the price of the reply. Topics that do not exist are answered, too, and are on no page.
    static func describeTopicPartitionsPrice(
        _ asked: DescribeTopicPartitionsRequest, _ context: AnswerContext
    ) -> Int {
        typealias Entry = DescribeTopicPartitionsResponse
        var price = ReplyPrice()
        let topics = asked.topics.isEmpty ? context.broker.catalog.topicCount : asked.topics.count
        price.add(topics, Entry.DescribeTopicPartitionsResponseTopic.self, text: TopicName.usualLength)
        let partitions = min(context.broker.catalog.partitionCount, maxPartitions, topics * maxPartitions)
        price.add(partitions, Entry.DescribeTopicPartitionsResponsePartition.self, text: 16)
        price.add(bytes: context.permissions.price(ofDecisions: topics * (1 + ResourceType.topic.operations.count)))
        return price.bytes
    }

    static func describeTopicPartitions(
        _ asked: DescribeTopicPartitionsRequest, _ context: AnswerContext
    ) -> Answer<DescribeTopicPartitionsResponse> {
        let catalog = context.broker.catalog
        let all = catalog.topics.lazy.map(\.name).filter {
            context.permissions.allows(.describe, topic: $0, quietly: true)
        }
        let wanted = asked.topics.isEmpty ? Array(all) : asked.topics.map(\.name)
        var names = Set(wanted.lazy.map { ExactString($0) }).sorted()
        var firstPartition = 0
        if let cursor = asked.cursor {
            let name = ExactString(cursor.topicName)
            names = Array(names.drop { $0 < name })
            if names.first == name { firstPartition = max(0, Int(cursor.partitionIndex)) }
        }
        var left = max(1, min(Int(asked.responsePartitionLimit), maxPartitions))
        var response = DescribeTopicPartitionsResponse()
        for name in names.map(\.text) {
            let isAllowed = context.permissions.allows(.describe, topic: name)
            let topic = isAllowed ? catalog.topic(named: name) : nil
            let count = topic?.partitions.count ?? 0
            if left == 0 {
                response.nextCursor = cursor(name, 0)
                break
            }
            let end = min(count, firstPartition + left)
            response.topics.append(describe(name, topic, isAllowed, firstPartition..<max(firstPartition, end), context))
            left -= max(0, end - firstPartition)
            if end < count {
                response.nextCursor = cursor(name, end)
                break
            }
            firstPartition = 0
        }
        return Answer(response: response)
    }

    private static func cursor(_ name: String, _ index: Int) -> DescribeTopicPartitionsResponse.Cursor {
        var cursor = DescribeTopicPartitionsResponse.Cursor()
        cursor.topicName = name
        cursor.partitionIndex = Int32(index)
        return cursor
    }

    private static func describe(
        _ name: String, _ topic: Topic?, _ isAllowed: Bool, _ range: Range<Int>, _ context: AnswerContext
    ) -> DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopic {
        var result = DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopic()
        result.name = name
        guard isAllowed else {
            result.errorCode = ErrorCode.topicAuthorizationFailed.rawValue
            return result
        }
        guard let topic else {
            let code: ErrorCode = TopicName.problem(name) == nil ? .unknownTopicOrPartition : .invalidTopicException
            result.errorCode = code.rawValue
            return result
        }
        result.topicID = topic.id
        result.isInternal = topic.isInternal
        result.topicAuthorizedOperations = context.permissions.operations(on: .topic, name)
        let node = context.broker.options.nodeID
        let nodes = [node]
        result.partitions = topic.partitions[range.clamped(to: 0..<topic.partitions.count)].map { log in
            var partition = DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponsePartition()
            partition.partitionIndex = log.partitionIndex
            let leadership = log.leadership
            partition.errorCode = (leadership.isLeader ? ErrorCode.none : .leaderNotAvailable).rawValue
            partition.leaderID = leadership.isLeader ? node : -1
            partition.leaderEpoch = leadership.epoch.rawValue
            partition.replicaNodes = nodes
            partition.isrNodes = nodes
            partition.eligibleLeaderReplicas = []
            partition.lastKnownELR = []
            return partition
        }
        return result
    }
}
