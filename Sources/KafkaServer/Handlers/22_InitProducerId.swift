import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// InitProducerId: a producer id for an idempotent producer; each is given out once in the cluster's life.
///
/// A producer that asks for its epoch to be bumped (version 3, KIP-360) gets a new id, which fences the old one as well.
/// Transactional ids are refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED while transactions are not served: it is the
/// error that every client takes as final.
extension KafkaConnection {
    func initProducerID(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(InitProducerIdRequest.self)
        var response = InitProducerIdResponse()
        if let id = asked.transactionalID {
            let code: ErrorCode = id.isEmpty ? .invalidRequest : .transactionalIDAuthorizationFailed
            response.errorCode = code.rawValue
        } else if !permissions.allowsOnCluster(.idempotentWrite, quietly: true),
            !permissions.allowsOnAny(.write, .topic, by: loop.decisions)
        {
            response.errorCode = ErrorCode.clusterAuthorizationFailed.rawValue
        } else if let id = broker.producerIDs.takeReady() {
            response.producerID = id.rawValue
            response.producerEpoch = 0
        } else {
            return claimProducerID(request.ticket)
        }
        reply(response, to: request.ticket)
    }

    /// Claims the next ids, which waits for the disk, when those at hand are used up or nearly so.
    private func claimProducerID(_ ticket: ReplyTicket) {
        let broker = broker
        offload {
            broker.producerIDs.next()
        } _: { connection, id in
            var response = InitProducerIdResponse()
            if let id {
                response.producerID = id.rawValue
                response.producerEpoch = 0
            } else {
                response.errorCode = ErrorCode.coordinatorLoadInProgress.rawValue
            }
            connection.reply(response, to: ticket)
        }
    }
}
