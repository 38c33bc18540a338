import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage

/// DescribeTopicPartitions: topics page by page, at most `responsePartitionLimit` partitions a reply (and never more than
/// 2,000). Source: KIP-966.
extension KafkaConnection {
    private static let maxPartitions = 2000

    func describeTopicPartitions(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(DescribeTopicPartitionsRequest.self)
        let catalog = broker.catalog
        var names = asked.topics.isEmpty ? catalog.topics.map(\.name) : asked.topics.map(\.name)
        names = Set(names).sorted()
        var firstPartition = 0
        if let cursor = asked.cursor {
            names = Array(names.drop { $0 < cursor.topicName })
            if names.first == cursor.topicName { firstPartition = max(0, Int(cursor.partitionIndex)) }
        }
        var left = max(1, min(Int(asked.responsePartitionLimit), Self.maxPartitions))
        var response = DescribeTopicPartitionsResponse()
        for name in names {
            let topic = catalog.topic(named: name)
            let count = topic?.partitions.count ?? 0
            if left == 0 {
                response.nextCursor = Self.cursor(name, 0)
                break
            }
            let end = min(count, firstPartition + left)
            response.topics.append(describe(name, topic, firstPartition..<max(firstPartition, end)))
            left -= max(0, end - firstPartition)
            if end < count {
                response.nextCursor = Self.cursor(name, end)
                break
            }
            firstPartition = 0
        }
        reply(response, to: request.ticket)
    }

    private static func cursor(_ name: String, _ index: Int) -> DescribeTopicPartitionsResponse.Cursor {
        var cursor = DescribeTopicPartitionsResponse.Cursor()
        cursor.topicName = name
        cursor.partitionIndex = Int32(index)
        return cursor
    }

    private func describe(
        _ name: String, _ topic: Topic?, _ range: Range<Int>
    ) -> DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopic {
        var result = DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopic()
        result.name = name
        guard let topic else {
            let code: ErrorCode = TopicName.problem(name) == nil ? .unknownTopicOrPartition : .invalidTopicException
            result.errorCode = code.rawValue
            return result
        }
        result.topicID = topic.id
        result.isInternal = topic.isInternal
        result.topicAuthorizedOperations = Self.topicOperations
        let node = broker.options.nodeID
        result.partitions = topic.partitions[range.clamped(to: 0..<topic.partitions.count)].map { log in
            var partition = DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponsePartition()
            partition.partitionIndex = log.partitionIndex
            partition.leaderID = node
            partition.leaderEpoch = log.leaderEpoch.rawValue
            partition.replicaNodes = [node]
            partition.isrNodes = [node]
            partition.eligibleLeaderReplicas = []
            partition.lastKnownELR = []
            return partition
        }
        return result
    }
}
