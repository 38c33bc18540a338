import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// AlterShareGroupOffsets: lets an empty share group, which is made where there is none, read partitions from other offsets on. An offset outside
/// of the log is its beginning or its end. Source: KIP-932.
extension KafkaConnection {
    private typealias TopicRow = AlterShareGroupOffsetsResponse.AlterShareGroupOffsetsResponseTopic
    private typealias PartitionRow = AlterShareGroupOffsetsResponse.AlterShareGroupOffsetsResponsePartition

    static func alterShareOffsetsPrice(_ asked: AlterShareGroupOffsetsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(asked.topics.count, TopicRow.self, text: 0)
        price.add(asked.topics.reduce(0) { $0 + $1.partitions.count }, PartitionRow.self, text: 96)
        return price.bytes
    }

    static func alterShareOffsets(
        _ asked: AlterShareGroupOffsetsRequest, _ context: AnswerContext
    ) -> Answer<AlterShareGroupOffsetsResponse> {
        var answer = Answer(response: AlterShareGroupOffsetsResponse())
        defer { context.broker.store.kick() }
        let group = ExactString(asked.groupID)
        do throws(ShareRefusal) {
            guard context.permissions.allows(.read, group: asked.groupID) else {
                throw ShareRefusal(.groupAuthorizationFailed, "Group authorization failed.")
            }
            try requireEmpty(group, context, isMade: true, &answer.commits)
            for topic in asked.topics {
                answer.response.responses.append(alter(topic, group, context, &answer.commits))
            }
        } catch {
            (answer.response.errorCode, answer.response.errorMessage) = (error.code.rawValue, error.message)
        }
        context.audit(asked, answer.response)
        return answer
    }

    private static func alter(
        _ asked: AlterShareGroupOffsetsRequest.AlterShareGroupOffsetsRequestTopic, _ group: ExactString,
        _ context: AnswerContext, _ commits: inout CommitSpan
    ) -> TopicRow {
        var row = TopicRow()
        row.topicName = asked.topicName
        let isAllowed = context.permissions.allows(.read, topic: asked.topicName)
        let topic = isAllowed ? context.broker.catalog.topic(named: asked.topicName) : nil
        row.topicID = topic?.id ?? .zero
        for partition in asked.partitions {
            var entry = PartitionRow()
            entry.partitionIndex = partition.partitionIndex
            do throws(ShareRefusal) {
                guard isAllowed else { throw ShareRefusal(.topicAuthorizationFailed, "Topic authorization failed.") }
                guard let log = topic?.partition(partition.partitionIndex) else {
                    throw ShareRefusal(.unknownTopicOrPartition, "There is no such partition.")
                }
                guard partition.startOffset >= 0 else {
                    throw ShareRefusal(.invalidRequest, "StartOffset is less than 0.")
                }
                commits.add(try context.broker.shares.setStart(Offset(partition.startOffset), of: group, in: log))
            } catch {
                (entry.errorCode, entry.errorMessage) = (error.code.rawValue, error.message)
            }
            row.partitions.append(entry)
        }
        return row
    }

    /// Refuses what is not for a share group with members, or for another group.
    static func requireEmpty(
        _ group: ExactString, _ context: AnswerContext, isMade: Bool = false, _ commits: inout CommitSpan
    ) throws(ShareRefusal) {
        let groups = context.broker.groups
        if isMade {
            let (reply, ticket) = groups.ask(group: group.text, as: .synchronous) { shard, now in
                shard.makeShareGroup(group.text, waiter: .synchronous, now: now)
            }
            commits.add(ticket)
            guard case .shareGroupMade(let error) = reply else {
                throw ShareRefusal(.coordinatorNotAvailable, "The group is not served by this broker just now.")
            }
            if error == .invalidGroupID { throw ShareRefusal(error, "The name is none of a group.") }
            if error != .none { throw ShareRefusal(error, "Group \(group) is not a share group, or cannot be made.") }
        }
        let (standing, ticket) = groups.read(group: group.text) { $0.shareStanding(of: group.text) }
        commits.add(ticket)
        if let refusal = standing.refusal { throw ShareRefusal(refusal.code, refusal.message) }
        guard standing.isEmpty else { throw ShareRefusal(.nonEmptyGroup, "The group \(group) is not empty.") }
    }
}
