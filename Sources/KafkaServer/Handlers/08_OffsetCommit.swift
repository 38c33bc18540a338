import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security
import Transport

/// OffsetCommit: durable when answered, one group commit for everything that arrives together.
///
/// Partitions that do not exist get UNKNOWN_TOPIC_OR_PARTITION (by name) or UNKNOWN_TOPIC_ID (by id), the rest are
/// committed. Versions: 5 no retention time; 6 leader epochs; 7 static members; 10 topic ids.
extension API {
    static let offsetCommit = API.group(
        OffsetCommitRequest.self, RequestPrice(decoded: 24), groupID: { $0.groupID },
        refused: { asked, error, _ in
            var response = OffsetCommitResponse()
            response.topics = asked.topics.map { topic in
                KafkaConnection.refusal(
                    of: topic.name, topic.topicID, topic.partitions.map(\.partitionIndex), error)
            }
            return response
        },
        prepare: KafkaConnection.takeUnknown,
        event: { shard, asked, context, waiter, now in
            shard.offsetCommit(asked, context: context, waiter: waiter, now: now)
        })
}

extension KafkaConnection {
    /// Takes the partitions that do not exist out of the request, and gives their results.
    static func takeUnknown(
        _ asked: inout OffsetCommitRequest, _ context: AnswerContext
    ) -> [OffsetCommitResponse.OffsetCommitResponseTopic] {
        let catalog = context.broker.catalog
        let byID = context.version >= 10
        var known: [OffsetCommitRequest.OffsetCommitRequestTopic] = []
        var refused: [OffsetCommitResponse.OffsetCommitResponseTopic] = []
        for topic in asked.topics {
            let found = byID ? catalog.topic(id: topic.topicID) : catalog.topic(named: topic.name)
            var accepted = topic
            accepted.name = found?.name ?? topic.name
            // Of an id that is unknown nothing can be asked.
            let isAllowed = byID && found == nil || context.permissions.allows(.read, topic: accepted.name)
            accepted.partitions =
                isAllowed ? topic.partitions.filter { found?.partition($0.partitionIndex) != nil } : []
            if !accepted.partitions.isEmpty { known.append(accepted) }
            let rest =
                isAllowed ? topic.partitions.filter { found?.partition($0.partitionIndex) == nil } : topic.partitions
            guard !rest.isEmpty else { continue }
            let code: ErrorCode =
                if !isAllowed {
                    .topicAuthorizationFailed
                } else {
                    byID && found == nil ? .unknownTopicID : .unknownTopicOrPartition
                }
            refused.append(refusal(of: topic.name, topic.topicID, rest.map(\.partitionIndex), code))
        }
        asked.topics = known
        return refused
    }

    static func refusal(
        of name: String, _ id: TopicID, _ partitions: [Int32], _ code: ErrorCode
    ) -> OffsetCommitResponse.OffsetCommitResponseTopic {
        var refusal = OffsetCommitResponse.OffsetCommitResponseTopic()
        (refusal.name, refusal.topicID) = (name, id)
        refusal.partitions = partitions.map { index in
            var result = OffsetCommitResponse.OffsetCommitResponsePartition()
            (result.partitionIndex, result.errorCode) = (index, code.rawValue)
            return result
        }
        return refusal
    }

    /// Adds the partitions that the coordinator was not asked about.
    func finishOffsetCommit(_ response: OffsetCommitResponse, to ticket: ReplyTicket, commits: CommitSpan) {
        let refused = refusedCommits
        refusedCommits = []
        reply(priced: response.price + Self.price(of: refused), to: ticket, commits: commits) {
            Self.merged(response, refused, ticket)
        }
    }

    private static func merged(
        _ response: OffsetCommitResponse, _ refused: [OffsetCommitResponse.OffsetCommitResponseTopic],
        _ ticket: ReplyTicket
    ) -> OffsetCommitResponse {
        guard !refused.isEmpty else { return response }
        var whole = response
        // By name, or by the id's text: one is empty where the other counts.
        func key(_ topic: OffsetCommitResponse.OffsetCommitResponseTopic) -> ExactString {
            ExactString(ticket.version >= 10 ? topic.topicID.description : topic.name)
        }
        var places: [ExactString: Int] = [:]
        for (place, topic) in whole.topics.enumerated() where places[key(topic)] == nil { places[key(topic)] = place }
        for refusal in refused {
            if let same = places[key(refusal)] {
                whole.topics[same].partitions += refusal.partitions
            } else {
                places[key(refusal)] = whole.topics.count
                whole.topics.append(refusal)
            }
        }
        return whole
    }

    func requestContext(_ request: borrowing Request) -> RequestContext {
        RequestContext(
            clientID: request.clientIDText, clientHost: requestContextHost, apiVersion: request.version)
    }

    /// Runs a group event whose reply comes through the loop's table of waiters, perhaps before this returns.
    func park(
        _ groupID: String, _ request: borrowing Request,
        _ event: (inout GroupShard, RequestContext, WaiterID, CoordinatorTime) -> GroupActions
    ) {
        let context = requestContext(request)
        let waiter = loop.newWaiter(self, request.ticket)
        park(.group(waiter, groupID: groupID))
        broker.groups.perform(group: groupID, isVisible: permissions.seesTopic) { shard, now in
            event(&shard, context, waiter, now)
        }
    }
}
