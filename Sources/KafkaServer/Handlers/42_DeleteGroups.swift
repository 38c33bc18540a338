import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// DeleteGroups: removes empty groups with their offsets, and share groups with where they are, one after the other, a group named several
/// times once. Version 3 adds a message per group.
extension KafkaConnection {
    static func deleteGroupsPrice(_ asked: DeleteGroupsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        let groups = Set(asked.groupsNames.lazy.map { ExactString($0) })
        price.add(groups.count, DeleteGroupsResponse.DeletableGroupResult.self, text: 96)
        // The message repeats it, and is a string of its own.
        price.add(bytes: 3 * groups.reduce(0) { $0 + $1.text.utf8.count })
        return price.bytes
    }

    static func deleteGroups(_ asked: DeleteGroupsRequest, _ context: AnswerContext) -> Answer<DeleteGroupsResponse> {
        let groups = context.broker.groups
        var answer = Answer(response: DeleteGroupsResponse())
        for groupID in distinct(asked.groupsNames, by: { ExactString($0) }).entries {
            guard context.permissions.allows(.delete, group: groupID) else {
                var result = DeleteGroupsResponse.DeletableGroupResult()
                (result.groupID, result.errorCode) = (groupID, ErrorCode.groupAuthorizationFailed.rawValue)
                answer.response.results.append(result)
                continue
            }
            if let refusal = forgetShares(of: ExactString(groupID), context, &answer.commits) {
                var result = DeleteGroupsResponse.DeletableGroupResult()
                (result.groupID, result.errorCode) = (groupID, refusal.code.rawValue)
                result.errorMessage = refusal.message
                answer.response.results.append(result)
                continue
            }
            let (reply, ticket) = groups.ask(group: groupID, as: .synchronous) { shard, now in
                shard.deleteGroups([groupID], waiter: .synchronous, now: now)
            }
            answer.commits.add(ticket)
            if case .deleteGroups(let results) = reply {
                answer.response.results += results
            } else {
                var result = DeleteGroupsResponse.DeletableGroupResult()
                result.groupID = groupID
                result.errorCode = ErrorCode.coordinatorNotAvailable.rawValue
                answer.response.results.append(result)
            }
        }
        context.audit(asked, answer.response)
        context.broker.store.kick()
        return answer
    }

    /// Of an empty share group forgets first where it is in partitions: a crash in between leaves a group that begins anew, not the state of a
    /// group that is gone. Returns why that cannot be done.
    private static func forgetShares(
        of group: ExactString, _ context: AnswerContext, _ commits: inout CommitSpan
    ) -> ShareRefusal? {
        let standing = context.broker.groups.read(group: group.text) { $0.shareStanding(of: group.text) }.answer
        guard standing.refusal == nil, standing.isEmpty else { return nil }
        do throws(ShareRefusal) {
            commits.add(try context.broker.shares.forget(group).ticket)
            return nil
        } catch {
            return error
        }
    }
}

extension WaiterID {
    /// The waiter of an event whose reply comes with it; no loop gives this number.
    static let synchronous = WaiterID(UInt64.max)
}
