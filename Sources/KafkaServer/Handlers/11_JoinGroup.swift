import BrokerCore
import ByteBuffers
import Coordinators
import KafkaWire

/// JoinGroup: the connection is muted until the group's next generation begins. Versions: 4 MEMBER_ID_REQUIRED (KIP-394);
/// 5 static members (KIP-345); 7 protocol type; 9 skipAssignment (KIP-814).
extension API {
    static let joinGroup = API.group(
        JoinGroupRequest.self, RequestPrice(decoded: 24), groupID: { $0.groupID },
        refused: { asked, error, version in
            JoinGroupResponse(refusing: error, memberID: asked.memberID).fitting(version)
        },
        event: { shard, asked, context, waiter, now in
            shard.joinGroup(asked, context: context, waiter: waiter, now: now)
        })
}
