import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// ConsumerGroupHeartbeat: the one request by which a member of a consumer group joins, lives on, hears what to read and leaves
/// (KIP-848). Who names a topic that it may not describe is refused as a whole; of what its pattern stands for such topics are left
/// out. The reply waits for the commit of what it tells. Versions: 1 patterns, and members that choose their id (KIP-1082).
extension API {
    static let consumerGroupHeartbeat = API.group(
        ConsumerGroupHeartbeatRequest.self, RequestPrice(decoded: 24), groupID: { $0.groupID },
        refused: { _, error, _ in
            var response = ConsumerGroupHeartbeatResponse()
            response.errorCode = error.rawValue
            return response
        },
        check: { asked, context in
            let names = asked.subscribedTopicNames ?? []
            return names.allSatisfy { context.permissions.allows(.describe, topic: $0) }
                ? nil : .topicAuthorizationFailed
        },
        event: { shard, asked, context, waiter, now in
            shard.consumerGroupHeartbeat(asked, context: context, waiter: waiter, now: now)
        })
}
