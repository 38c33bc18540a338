import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// ListGroups: all groups, filtered by state (version 4) and type (version 5). Of groups with ids as nobody writes them
/// by hand (`GroupShard.usualListedText`) only so many are listed as there is room for (`maxLongText`), or whoever makes
/// thousands of them would leave everybody without the list.
extension KafkaConnection {
    static func listGroupsPrice(_ asked: ListGroupsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        var (long, groups) = (0, 0)
        for (count, text) in context.broker.groups.readAll({ ($0.groupCount, $0.listedText) }) {
            price.add(count, ListGroupsResponse.ListedGroup.self, text: stateText)
            price.add(text: text.usual)
            long += text.long
            groups += count
        }
        price.add(text: min(long, maxLongText))
        price.add(bytes: context.permissions.price(ofDecisions: groups))
        return price.bytes
    }

    /// A group's state and type.
    private static let stateText = 32
    /// Bytes of the text of listed groups whose text is long.
    static let maxLongText = 8 << 20

    /// Sorts the groups, here where no shard's lock is held. One that was deleted and made anew between two steps may have been
    /// met twice.
    static func eachOnce(_ groups: [ListGroupsResponse.ListedGroup]) -> [ListGroupsResponse.ListedGroup] {
        var listed: [ListGroupsResponse.ListedGroup] = []
        listed.reserveCapacity(groups.count)
        for group in groups.sorted(by: { ExactString($0.groupID) < ExactString($1.groupID) }) {
            if listed.last?.groupID.isExactly(group.groupID) == true { continue }
            listed.append(group)
        }
        return listed
    }

    static func listGroups(_ asked: ListGroupsRequest, _ context: AnswerContext) -> Answer<ListGroupsResponse> {
        var response = ListGroupsResponse()
        // Once, and before a shard's lock is taken: the filters are as long as the client likes.
        let states = GroupState.listed(states: asked.statesFilter, types: asked.typesFilter)
        let consumer = ConsumerGroupState.listed(states: asked.statesFilter, types: asked.typesFilter)
        let share = ShareGroupState.listed(states: asked.statesFilter, types: asked.typesFilter)
        let steps = context.broker.groups.walkAll { shard, walk in
            shard.listGroups(in: states, consumer: consumer, share: share, &walk)
        }
        for (error, groups) in steps {
            if error != .none { response.errorCode = error.rawValue }
            response.groups += groups
        }
        response.groups = eachOnce(response.groups)
        if !context.permissions.allowsOnCluster(.describe, quietly: true) {
            response.groups.removeAll { !context.permissions.allows(.describe, group: $0.groupID, quietly: true) }
        }
        var longText = 0
        response.groups.removeAll { group in
            guard GroupShard.isLongListed(group) else { return false }
            longText += group.groupID.utf8.count + group.protocolType.utf8.count
            return longText > maxLongText
        }
        return Answer(response: response)
    }
}
