import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// ShareGroupHeartbeat: the one request by which a member of a share group joins, lives on, hears what to read and leaves (KIP-932). Who names
/// a topic that it may not describe is refused as a whole. The reply waits for the commit of what it tells.
extension API {
    static let shareGroupHeartbeat = API.group(
        ShareGroupHeartbeatRequest.self, RequestPrice(decoded: 24), groupID: { $0.groupID },
        refused: { _, error, _ in
            var response = ShareGroupHeartbeatResponse()
            response.errorCode = error.rawValue
            return response
        },
        check: { asked, context in
            let names = asked.subscribedTopicNames ?? []
            return names.allSatisfy { context.permissions.allows(.describe, topic: $0) }
                ? nil : .topicAuthorizationFailed
        },
        event: { shard, asked, context, waiter, now in
            shard.shareGroupHeartbeat(asked, context: context, waiter: waiter, now: now)
        })
}
