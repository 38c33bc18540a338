import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire

/// SyncGroup: the leader brings the assignment, everyone gets theirs once it is durable. Versions: 3 static members; 5
/// protocol type and name.
extension API {
    static let syncGroup = API.group(
        SyncGroupRequest.self, RequestPrice(decoded: 24), groupID: { $0.groupID },
        refused: { _, error, _ in
            var response = SyncGroupResponse()
            response.errorCode = error.rawValue
            return response
        },
        event: { shard, asked, context, waiter, now in
            shard.syncGroup(asked, context: context, waiter: waiter, now: now)
        })
}
