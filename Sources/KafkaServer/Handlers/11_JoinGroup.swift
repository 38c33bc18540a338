import BrokerCore
import ByteBuffers
import Coordinators
import KafkaWire

/// JoinGroup: the connection is muted until the group's next generation begins. Versions: 4 MEMBER_ID_REQUIRED (KIP-394);
/// 5 static members (KIP-345); 7 protocol type; 9 skipAssignment (KIP-814).
extension KafkaConnection {
    func joinGroup(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(JoinGroupRequest.self)
        park(asked.groupID, request) { shard, context, waiter, now in
            shard.joinGroup(asked, context: context, waiter: waiter, now: now)
        }
    }
}
