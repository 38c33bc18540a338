import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// DeleteShareGroupOffsets: forgets all that an empty share group knows of topics: it begins to read them anew. Source: KIP-932.
extension KafkaConnection {
    private typealias TopicRow = DeleteShareGroupOffsetsResponse.DeleteShareGroupOffsetsResponseTopic

    static func deleteShareOffsetsPrice(_ asked: DeleteShareGroupOffsetsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(asked.topics.count, TopicRow.self, text: 96)
        return price.bytes
    }

    static func deleteShareOffsets(
        _ asked: DeleteShareGroupOffsetsRequest, _ context: AnswerContext
    ) -> Answer<DeleteShareGroupOffsetsResponse> {
        var answer = Answer(response: DeleteShareGroupOffsetsResponse())
        defer { context.broker.store.kick() }
        let group = ExactString(asked.groupID)
        do throws(ShareRefusal) {
            guard context.permissions.allows(.delete, group: asked.groupID) else {
                throw ShareRefusal(.groupAuthorizationFailed, "Group authorization failed.")
            }
            try requireEmpty(group, context, &answer.commits)
            for topic in asked.topics {
                var row = TopicRow()
                row.topicName = topic.topicName
                do throws(ShareRefusal) {
                    try forget(&row, group, context, &answer.commits)
                } catch {
                    (row.errorCode, row.errorMessage) = (error.code.rawValue, error.message)
                }
                answer.response.responses.append(row)
            }
        } catch {
            (answer.response.errorCode, answer.response.errorMessage) = (error.code.rawValue, error.message)
        }
        context.audit(asked, answer.response)
        return answer
    }

    private static func forget(
        _ row: inout TopicRow, _ group: ExactString, _ context: AnswerContext, _ commits: inout CommitSpan
    ) throws(ShareRefusal) {
        guard context.permissions.allows(.read, topic: row.topicName) else {
            throw ShareRefusal(.topicAuthorizationFailed, "Topic authorization failed.")
        }
        guard let topic = context.broker.catalog.topic(named: row.topicName) else {
            throw ShareRefusal(.unknownTopicOrPartition, "There is no such topic.")
        }
        row.topicID = topic.id
        let (count, ticket) = try context.broker.shares.forget(group, topic: topic.id)
        commits.add(ticket)
        if count == 0 { throw ShareRefusal(.unknownTopicOrPartition, "The group has not read the topic.") }
    }
}
