import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire

/// ListGroups: all groups, filtered by state (version 4) and type (version 5).
extension KafkaConnection {
    static func listGroupsPrice(_ asked: ListGroupsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        let groups = context.broker.groups.readAll { $0.groupCount }.reduce(0, +)
        price.add(groups, ListGroupsResponse.ListedGroup.self, text: 96)
        return price.bytes
    }

    static func listGroups(_ asked: ListGroupsRequest, _ context: AnswerContext) -> Answer<ListGroupsResponse> {
        var response = ListGroupsResponse()
        let shards = context.broker.groups.readAll {
            $0.listGroups(states: asked.statesFilter, types: asked.typesFilter)
        }
        for (error, groups) in shards {
            if error != .none { response.errorCode = error.rawValue }
            // Sorted here and not under the shard's lock.
            response.groups += groups.sorted { $0.groupID < $1.groupID }
        }
        return Answer(response: response)
    }
}
