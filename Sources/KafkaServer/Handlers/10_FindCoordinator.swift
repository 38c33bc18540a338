import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// FindCoordinator: this node coordinates the groups whose partition of `__consumer_offsets` it leads, and says
/// COORDINATOR_NOT_AVAILABLE for others; so for transactional ids and `__transaction_state`, which is made when it is first asked
/// for: clients ask again. Share groups have no coordinator yet, which is said by UNSUPPORTED_VERSION, an error that clients do
/// not retry. Versions: 1 key types; 4 several keys (KIP-699).
extension KafkaConnection {
    static func findCoordinatorPrice(_ asked: FindCoordinatorRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(
            asked.coordinatorKeys.count + 1, FindCoordinatorResponse.Coordinator.self,
            text: 64 + context.node.host.utf8.count)
        return price.bytes
    }

    private static func findCoordinatorRefusal(
        _ type: Int8, _ key: String, _ permissions: Permissions
    ) -> ErrorCode? {
        switch type {
        case 0 where !permissions.allows(.describe, group: key): .groupAuthorizationFailed
        case 1 where !permissions.allows(.describe, .transactionalID, key): .transactionalIDAuthorizationFailed
        case 2 where !permissions.allowsOnCluster(.clusterAction): .clusterAuthorizationFailed
        default: nil
        }
    }

    static func findCoordinator(
        _ asked: FindCoordinatorRequest, _ context: AnswerContext
    ) -> Answer<FindCoordinatorResponse> {
        let node = context.node
        func find(_ key: String) -> FindCoordinatorResponse.Coordinator {
            var result = FindCoordinatorResponse.Coordinator()
            result.key = key
            if let error = findCoordinatorRefusal(asked.keyType, key, context.permissions) {
                (result.nodeID, result.port, result.errorCode) = (-1, -1, error.rawValue)
                result.errorMessage = nil
                return result
            }
            func refuse(_ code: ErrorCode, _ message: String) -> FindCoordinatorResponse.Coordinator {
                (result.nodeID, result.port, result.errorCode) = (-1, -1, code.rawValue)
                result.errorMessage = message
                return result
            }
            switch asked.keyType {
            case 0:
                guard context.broker.groups.isServed(group: key) else {
                    return refuse(
                        .coordinatorNotAvailable, "no broker leads the group's partition of \(Topic.offsetsTopicName)")
                }
            case 1:
                guard let isServed = context.broker.transactions.isServed(key) else {
                    // Its maker does not wait for it either, as in Kafka.
                    context.broker.transactions.wantTopic()
                    return refuse(.coordinatorNotAvailable, "\(Topic.transactionsTopicName) is being made")
                }
                if !isServed {
                    return refuse(
                        .coordinatorNotAvailable, "no broker leads the id's partition of \(Topic.transactionsTopicName)")
                }
            case 2: return refuse(.unsupportedVersion, "this broker does not serve share groups")
            default: return refuse(.invalidRequest, "unknown key type \(asked.keyType)")
            }
            (result.nodeID, result.host, result.port) = (node.id, node.host, node.port)
            result.errorMessage = nil
            return result
        }
        var response = FindCoordinatorResponse()
        if context.version >= 4 {
            response.coordinators = asked.coordinatorKeys.map(find)
        } else {
            let result = find(asked.key)
            response.errorCode = result.errorCode
            response.errorMessage = result.errorCode == 0 ? "NONE" : result.errorMessage
            response.nodeID = result.nodeID
            response.host = result.host
            response.port = result.port
        }
        return Answer(response: response)
    }
}
