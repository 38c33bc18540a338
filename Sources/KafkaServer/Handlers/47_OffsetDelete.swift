import BrokerCore
import ByteBuffers
import Coordinators
import KafkaWire

/// OffsetDelete: forgets committed offsets of topics that nobody in the group is subscribed to. Source: KIP-496.
extension KafkaConnection {
    func offsetDelete(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(OffsetDeleteRequest.self)
        park(asked.groupID, request) { shard, _, waiter, now in
            shard.offsetDelete(asked, waiter: waiter, now: now)
        }
    }
}
