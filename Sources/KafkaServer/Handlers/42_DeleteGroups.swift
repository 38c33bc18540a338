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
        pendingDeletes = asked.groupsNames
        deletedGroups = []
        continueDeleteGroups(request.ticket, commit: 0)
    }

    private func continueDeleteGroups(_ ticket: ReplyTicket, commit: UInt64) {
        guard let groupID = pendingDeletes.popLast() else {
            var response = DeleteGroupsResponse()
            response.results = deletedGroups.reversed()
            deletedGroups = []
            return reply(response, to: ticket, commit: commit)
        }
        let waiter = loop.newWaiter(self, ticket)
        park(.group(waiter, groupID: groupID))
        broker.groups.perform(group: groupID) { shard, now in
            shard.deleteGroups([groupID], waiter: waiter, now: now)
        }
    }

    func finishDeleteGroups(
        _ results: [DeleteGroupsResponse.DeletableGroupResult], to ticket: ReplyTicket, commit: UInt64
    ) {
        deletedGroups += results
        continueDeleteGroups(ticket, commit: commit)
    }
}
