import BrokerCore
import ByteBuffers
import Coordinators
import KafkaWire

/// SyncGroup: the leader brings the assignment, everyone gets theirs once it is durable. Versions: 3 static members; 5
/// protocol type and name.
extension KafkaConnection {
    func syncGroup(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(SyncGroupRequest.self)
        park(asked.groupID, request) { shard, context, waiter, now in
            shard.syncGroup(asked, context: context, waiter: waiter, now: now)
        }
    }
}
