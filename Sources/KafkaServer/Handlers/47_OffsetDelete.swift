import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// OffsetDelete: forgets committed offsets of topics that nobody in the group is subscribed to. Source: KIP-496.
extension API {
    static let offsetDelete = API.group(
        OffsetDeleteRequest.self, RequestPrice(decoded: 24), operation: .delete, groupID: { $0.groupID },
        refused: { _, error, _ in
            var response = OffsetDeleteResponse()
            response.errorCode = error.rawValue
            return response
        }, prepare: KafkaConnection.takeForbidden,
        event: { shard, asked, _, waiter, now in shard.offsetDelete(asked, waiter: waiter, now: now) },
        tell: { actions, asked, context in
            for reply in actions.replies {
                if case .offsetDelete(let response) = reply.reply { context.audit(asked, response) }
            }
        })
}

extension KafkaConnection {
    /// Takes the topics out of the request that the client may not read, and gives their results.
    static func takeForbidden(
        _ asked: inout OffsetDeleteRequest, _ context: AnswerContext
    ) -> [OffsetCommitResponse.OffsetCommitResponseTopic] {
        var refused: [OffsetCommitResponse.OffsetCommitResponseTopic] = []
        asked.topics.removeAll { topic in
            if context.permissions.allows(.read, topic: topic.name) { return false }
            refused.append(
                refusal(of: topic.name, .zero, topic.partitions.map(\.partitionIndex), .topicAuthorizationFailed))
            return true
        }
        return refused
    }

    /// Adds the topics that the coordinator was not asked about.
    func finishOffsetDelete(_ response: OffsetDeleteResponse, to ticket: ReplyTicket, commits: CommitSpan) {
        let refused = refusedCommits
        refusedCommits = []
        var whole = response
        whole.topics += refused.map { topic in
            var result = OffsetDeleteResponse.OffsetDeleteResponseTopic()
            result.name = topic.name
            result.partitions = topic.partitions.map { partition in
                var entry = OffsetDeleteResponse.OffsetDeleteResponsePartition()
                (entry.partitionIndex, entry.errorCode) = (partition.partitionIndex, partition.errorCode)
                return entry
            }
            return result
        }
        reply(whole, priced: whole.price, to: ticket, commits: commits)
    }
}
