import BrokerCore
import ByteBuffers
import Coordinators
import KafkaWire

/// LeaveGroup: one member, or from version 3 on several, by id or instance (KIP-345); 5 a reason (KIP-800).
extension KafkaConnection {
    func leaveGroup(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(LeaveGroupRequest.self)
        park(asked.groupID, request) { shard, context, waiter, now in
            shard.leaveGroup(asked, context: context, waiter: waiter, now: now)
        }
    }
}
