import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire

/// DescribeCluster: this node. Versions: 1 endpoint type, of which only brokers (1) exist here; 2 fenced brokers.
extension KafkaConnection {
    func describeCluster(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(DescribeClusterRequest.self)
        var response = DescribeClusterResponse()
        response.endpointType = asked.endpointType
        guard asked.endpointType == 1 else {
            let isController = asked.endpointType == 2
            response.errorCode =
                (isController ? ErrorCode.mismatchedEndpointType : .unsupportedEndpointType).rawValue
            response.errorMessage = "the request was sent to a broker"
            return reply(response, to: request.ticket)
        }
        let node = node
        var entry = DescribeClusterResponse.DescribeClusterBroker()
        (entry.brokerID, entry.host, entry.port) = (node.id, node.host, node.port)
        response.brokers = [entry]
        response.clusterID = broker.clusterID
        response.controllerID = node.id
        if asked.includeClusterAuthorizedOperations {
            response.clusterAuthorizedOperations = permissions.clusterOperations
        }
        reply(response, to: request.ticket)
    }
}
