import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire

/// OffsetCommit: durable when answered, one group commit for everything that arrives together.
///
/// Partitions that do not exist get UNKNOWN_TOPIC_OR_PARTITION (by name) or UNKNOWN_TOPIC_ID (by id), the rest are
/// committed. Versions: 5 no retention time; 6 leader epochs; 7 static members; 10 topic ids.
extension KafkaConnection {
    func offsetCommit(_ request: borrowing Request) throws(DecodeError) {
        var asked = try request.decode(OffsetCommitRequest.self)
        let catalog = broker.catalog
        let byID = request.version >= 10
        var known: [OffsetCommitRequest.OffsetCommitRequestTopic] = []
        var refused: [OffsetCommitResponse.OffsetCommitResponseTopic] = []
        for topic in asked.topics {
            let found = byID ? catalog.topic(id: topic.topicID) : catalog.topic(named: topic.name)
            var accepted = topic
            accepted.name = found?.name ?? topic.name
            accepted.partitions = topic.partitions.filter { found?.partition($0.partitionIndex) != nil }
            if !accepted.partitions.isEmpty { known.append(accepted) }
            let rest = topic.partitions.filter { found?.partition($0.partitionIndex) == nil }
            guard !rest.isEmpty else { continue }
            var refusal = OffsetCommitResponse.OffsetCommitResponseTopic()
            refusal.name = topic.name
            refusal.topicID = topic.topicID
            let code: ErrorCode = byID && found == nil ? .unknownTopicID : .unknownTopicOrPartition
            refusal.partitions = rest.map { partition in
                var result = OffsetCommitResponse.OffsetCommitResponsePartition()
                result.partitionIndex = partition.partitionIndex
                result.errorCode = code.rawValue
                return result
            }
            refused.append(refusal)
        }
        asked.topics = known
        refusedCommits = refused
        park(asked.groupID, request) { shard, context, waiter, now in
            shard.offsetCommit(asked, context: context, waiter: waiter, now: now)
        }
    }

    /// Adds the partitions that the coordinator was not asked about.
    func finishOffsetCommit(_ response: OffsetCommitResponse, to ticket: ReplyTicket, commit: UInt64) {
        var whole = response
        for refusal in refusedCommits {
            let same = whole.topics.firstIndex {
                ticket.version >= 10 ? $0.topicID == refusal.topicID : $0.name == refusal.name
            }
            if let same {
                whole.topics[same].partitions += refusal.partitions
            } else {
                whole.topics.append(refusal)
            }
        }
        refusedCommits = []
        reply(whole, to: ticket, commit: commit)
    }

    /// Runs a group event whose reply comes through the loop's table of waiters, perhaps before this returns.
    func park(
        _ groupID: String, _ request: borrowing Request,
        _ event: (inout GroupShard, RequestContext, WaiterID, CoordinatorTime) -> GroupActions
    ) {
        let context = RequestContext(
            clientID: request.clientIDText, clientHost: requestContextHost, apiVersion: request.version)
        let waiter = loop.newWaiter(self, request.ticket)
        park(.group(waiter, groupID: groupID))
        broker.groups.perform(group: groupID) { shard, now in event(&shard, context, waiter, now) }
    }
}
