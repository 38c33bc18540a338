import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire

/// LeaveGroup: one member, or from version 3 on several, by id or instance (KIP-345); 5 a reason (KIP-800).
extension API {
    static let leaveGroup = API.group(
        LeaveGroupRequest.self, RequestPrice(decoded: 24), groupID: { $0.groupID },
        refused: { _, error, _ in
            var response = LeaveGroupResponse()
            response.errorCode = error.rawValue
            return response
        },
        event: { shard, asked, context, waiter, now in
            shard.leaveGroup(asked, context: context, waiter: waiter, now: now)
        })
}
