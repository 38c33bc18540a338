import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire

/// ListGroups: all groups, filtered by state (version 4) and type (version 5).
extension KafkaConnection {
    func listGroups(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(ListGroupsRequest.self)
        var response = ListGroupsResponse()
        let shards = broker.groups.readAll { $0.listGroups(states: asked.statesFilter, types: asked.typesFilter) }
        for (error, groups) in shards {
            if error != .none { response.errorCode = error.rawValue }
            response.groups += groups
        }
        reply(response, to: request.ticket)
    }
}
