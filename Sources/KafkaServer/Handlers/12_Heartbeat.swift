import BrokerCore
import ByteBuffers
import Coordinators
import KafkaWire

/// Heartbeat: keeps a member's session alive and tells it of a rebalance. Versions: 3 static members.
extension KafkaConnection {
    func heartbeat(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(HeartbeatRequest.self)
        park(asked.groupID, request) { shard, _, waiter, now in
            shard.heartbeat(asked, waiter: waiter, now: now)
        }
    }
}
