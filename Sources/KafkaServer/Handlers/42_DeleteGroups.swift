import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire

/// DeleteGroups: removes empty groups with their offsets. Groups of several shards are asked one after the other. Version 3
/// adds a message per group.
extension KafkaConnection {
    func deleteGroups(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(DeleteGroupsRequest.self)
        deletion = GroupDeletion(pending: asked.groupsNames.reversed())
        continueDeleteGroups(request.ticket)
    }

    /// Asks for one group after the other, in a loop: a reply mostly comes before `perform` returns, and thousands of names
    /// must not become as many nested calls.
    private func continueDeleteGroups(_ ticket: ReplyTicket) {
        if deletion.isAsking { return }
        deletion.isAsking = true
        while case .nothing = parked, let groupID = deletion.pending.popLast() {
            let waiter = loop.newWaiter(self, ticket)
            park(.group(waiter, groupID: groupID))
            broker.groups.perform(group: groupID) { shard, now in
                shard.deleteGroups([groupID], waiter: waiter, now: now)
            }
        }
        deletion.isAsking = false
        guard case .nothing = parked else { return }
        var response = DeleteGroupsResponse()
        response.results = deletion.results
        let commit = deletion.commit
        deletion = GroupDeletion()
        reply(response, to: ticket, commit: commit)
    }

    func finishDeleteGroups(
        _ results: [DeleteGroupsResponse.DeletableGroupResult], to ticket: ReplyTicket, commit: UInt64
    ) {
        deletion.results += results
        // The groups lie in several shards: the newest of their commits covers the others.
        deletion.commit = max(deletion.commit, commit)
        continueDeleteGroups(ticket)
    }
}

/// A DeleteGroups request in work.
struct GroupDeletion {
    /// Groups that were not asked for yet, the next one last.
    var pending: [String] = []
    var results: [DeleteGroupsResponse.DeletableGroupResult] = []
    /// The newest commit that the reply rests on.
    var commit: UInt64 = 0
    var isAsking = false
}
