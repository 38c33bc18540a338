import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// DescribeShareGroupOffsets: where share groups are in partitions: all records below are done with. A partition that a group has not read is at
/// -1. Version 1 tells how many records are not done with. Source: KIP-932, KIP-1226.
extension KafkaConnection {
    typealias DescribedShareOffsets = DescribeShareGroupOffsetsResponse.DescribeShareGroupOffsetsResponseGroup
    private typealias TopicRow = DescribeShareGroupOffsetsResponse.DescribeShareGroupOffsetsResponseTopic
    private typealias PartitionRow = DescribeShareGroupOffsetsResponse.DescribeShareGroupOffsetsResponsePartition

    static func describeShareOffsetsPrice(
        _ asked: DescribeShareGroupOffsetsRequest, _ context: AnswerContext
    ) -> Int {
        var price = ReplyPrice()
        price.add(asked.groups.count, DescribedShareOffsets.self, text: 128)
        for group in distinct(asked.groups, by: { ExactString($0.groupID) }).entries {
            if let topics = group.topics {
                price.add(topics.count, TopicRow.self, text: 0)
                price.add(topics.reduce(0) { $0 + $1.partitions.count }, PartitionRow.self, text: 64)
            } else {
                // Each may be of a topic of its own.
                let known = context.broker.shares.partitionCount(of: ExactString(group.groupID))
                price.add(known, PartitionRow.self, text: 64)
                price.add(known, TopicRow.self, text: TopicName.maxLength)
            }
        }
        return price.bytes
    }

    static func describeShareOffsets(
        _ asked: DescribeShareGroupOffsetsRequest, _ context: AnswerContext
    ) -> Answer<DescribeShareGroupOffsetsResponse> {
        var answer = Answer(response: DescribeShareGroupOffsetsResponse())
        defer { context.broker.store.kick() }
        for group in distinct(asked.groups, by: { ExactString($0.groupID) }).entries {
            var row = DescribedShareOffsets()
            row.groupID = group.groupID
            do throws(ShareRefusal) {
                try describe(group, context, &row, &answer.commits)
            } catch {
                row.topics = []
                (row.errorCode, row.errorMessage) = (error.code.rawValue, error.message)
            }
            answer.response.groups.append(row)
        }
        return answer
    }

    private static func describe(
        _ asked: DescribeShareGroupOffsetsRequest.DescribeShareGroupOffsetsRequestGroup, _ context: AnswerContext,
        _ row: inout DescribedShareOffsets, _ commits: inout CommitSpan
    ) throws(ShareRefusal) {
        guard context.permissions.allows(.describe, group: asked.groupID) else {
            throw ShareRefusal(.groupAuthorizationFailed, "Group authorization failed.")
        }
        let (standing, ticket) = context.broker.groups.read(group: asked.groupID) {
            $0.shareStanding(of: asked.groupID)
        }
        commits.add(ticket)
        if let refusal = standing.refusal { throw ShareRefusal(refusal.code, refusal.message) }
        let group = ExactString(asked.groupID)
        let catalog = context.broker.catalog
        guard let named = asked.topics else {
            let known = Dictionary(grouping: try context.broker.shares.partitions(of: group), by: \.topicID)
            let topics = known.compactMap { id, partitions in catalog.topic(id: id).map { ($0, partitions) } }
            for (topic, partitions) in topics.sorted(by: { $0.0.name < $1.0.name }) {
                guard context.permissions.allows(.describe, topic: topic.name, quietly: true) else { continue }
                let indexes = partitions.map(\.partitionIndex).sorted()
                row.topics.append(described(topic.name, topic, nil, indexes, group, context, &commits))
            }
            return
        }
        for topic in named {
            let isAllowed = context.permissions.allows(.describe, topic: topic.topicName)
            let found = isAllowed ? catalog.topic(named: topic.topicName) : nil
            let refusal: ErrorCode? =
                isAllowed ? (found == nil ? .unknownTopicOrPartition : nil) : .topicAuthorizationFailed
            row.topics.append(
                described(
                    topic.topicName, found, refusal, distinct(topic.partitions, by: { $0 }).entries, group, context,
                    &commits))
        }
    }

    private static func described(
        _ name: String, _ topic: Topic?, _ refusal: ErrorCode?, _ indexes: [Int32], _ group: ExactString,
        _ context: AnswerContext, _ commits: inout CommitSpan
    ) -> TopicRow {
        var row = TopicRow()
        (row.topicName, row.topicID) = (name, topic?.id ?? .zero)
        for index in indexes {
            var entry = PartitionRow()
            (entry.partitionIndex, entry.startOffset, entry.lag) = (index, -1, -1)
            if let refusal {
                entry.errorCode = refusal.rawValue
            } else if let log = topic?.partition(index) {
                entry.leaderEpoch = log.leaderEpoch.rawValue
                do throws(ShareRefusal) {
                    if let (position, ticket) = try context.broker.shares.position(of: group, in: log) {
                        (entry.startOffset, entry.lag) = (position.start.rawValue, Int64(position.lag))
                        commits.add(ticket)
                    }
                } catch {
                    (entry.errorCode, entry.errorMessage) = (error.code.rawValue, error.message)
                }
            } else {
                entry.errorCode = ErrorCode.unknownTopicOrPartition.rawValue
            }
            row.partitions.append(entry)
        }
        return row
    }
}
