import BrokerCore
import ByteBuffers
import Coordinators
import KafkaWire

/// OffsetDelete: forgets committed offsets of topics that nobody in the group is subscribed to. Source: KIP-496.
extension API {
    static let offsetDelete = API.group(
        OffsetDeleteRequest.self, RequestPrice(decoded: 24), groupID: { $0.groupID },
        event: { shard, asked, _, waiter, now in shard.offsetDelete(asked, waiter: waiter, now: now) })
}
