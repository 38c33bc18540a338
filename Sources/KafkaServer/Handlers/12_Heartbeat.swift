import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire

/// Heartbeat: keeps a member's session alive and tells it of a rebalance. Versions: 3 static members.
extension API {
    static let heartbeat = API.group(
        HeartbeatRequest.self, RequestPrice(decoded: 8), groupID: { $0.groupID },
        refused: { _, error, _ in
            var response = HeartbeatResponse()
            response.errorCode = error.rawValue
            return response
        },
        event: { shard, asked, _, waiter, now in shard.heartbeat(asked, waiter: waiter, now: now) })
}
