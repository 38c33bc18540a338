import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire

/// FindCoordinator: this node coordinates every group. Transactions and share groups have no coordinator yet, which is
/// said by UNSUPPORTED_VERSION, an error that clients do not retry. Versions: 1 key types; 4 several keys (KIP-699).
extension KafkaConnection {
    func findCoordinator(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(FindCoordinatorRequest.self)
        let address = advertised
        func find(_ key: String) -> FindCoordinatorResponse.Coordinator {
            var result = FindCoordinatorResponse.Coordinator()
            result.key = key
            guard asked.keyType == 0 else {
                result.nodeID = -1
                result.port = -1
                let isKnown = asked.keyType == 1 || asked.keyType == 2
                result.errorCode = (isKnown ? ErrorCode.unsupportedVersion : .invalidRequest).rawValue
                result.errorMessage =
                    isKnown
                    ? "this broker does not serve transactions or share groups" : "unknown key type \(asked.keyType)"
                return result
            }
            result.nodeID = broker.options.nodeID
            result.host = address.host
            result.port = address.port
            result.errorMessage = nil
            return result
        }
        var response = FindCoordinatorResponse()
        if request.version >= 4 {
            response.coordinators = asked.coordinatorKeys.map(find)
        } else {
            let result = find(asked.key)
            response.errorCode = result.errorCode
            response.errorMessage = result.errorCode == 0 ? "NONE" : result.errorMessage
            response.nodeID = result.nodeID
            response.host = result.host
            response.port = result.port
        }
        reply(response, to: request.ticket)
    }
}
