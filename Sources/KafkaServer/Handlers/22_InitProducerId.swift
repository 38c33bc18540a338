import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// InitProducerId: a producer id for an idempotent producer; each is given out once in the cluster's life. With a
/// transactional id: the id's producer with its next epoch, which fences the one before and aborts what it has left open.
///
/// An idempotent producer that asks for its epoch to be bumped (version 3, KIP-360) gets a new id, which fences the old one as
/// well. Versions: 3 takes the identity known before; 4 may answer PRODUCER_FENCED. Source: KIP-98.
extension KafkaConnection {
    func initProducerID(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(InitProducerIdRequest.self)
        var response = InitProducerIdResponse()
        if let id = asked.transactionalID {
            return initTransactions(asked, ExactString(id), request.ticket)
        } else if (asked.producerID == -1) != (asked.producerEpoch == -1) {
            response = Self.refused(.invalidRequest)
        } else if !permissions.allowsOnCluster(.idempotentWrite, quietly: true),
            !permissions.allowsOnAny(.write, .topic, by: loop.decisions)
        {
            response = Self.refused(.clusterAuthorizationFailed)
        } else if let id = broker.producerIDs.takeReady() {
            response.producerID = id.rawValue
            response.producerEpoch = 0
        } else {
            return claimProducerID(request.ticket)
        }
        reply(response, to: request.ticket)
    }

    private func initTransactions(_ asked: InitProducerIdRequest, _ id: ExactString, _ ticket: ReplyTicket) {
        var refusal: ErrorCode?
        if !permissions.allows(.write, .transactionalID, id.text) {
            refusal = .transactionalIDAuthorizationFailed
        } else if id.isEmpty || (asked.producerID == -1) != (asked.producerEpoch == -1) {
            refusal = .invalidRequest
        }
        if let refusal { return reply(Self.refused(refusal), to: ticket) }
        let known = asked.producerID == -1 ? nil : ProducerIdentity(asked.producerID, asked.producerEpoch)
        changeIdentity(of: id, ticket) { shard, fresh, now in
            shard.initProducer(id, timeoutMs: asked.transactionTimeoutMs, known: known, fresh: fresh, now: now)
        } reply: { answer, version in
            var response = InitProducerIdResponse()
            switch answer {
            case .identity(let identity): (response.producerID, response.producerEpoch) = (identity.id, identity.epoch)
            case .refused(let code): response = Self.refused(code.fenced(in: version, from: 4))
            case .needsProducerID: response = Self.refused(.coordinatorNotAvailable)
            }
            return response
        }
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
                response = Self.refused(.coordinatorLoadInProgress)
            }
            connection.reply(response, to: ticket)
        }
    }

    private static func refused(_ code: ErrorCode) -> InitProducerIdResponse {
        var response = InitProducerIdResponse()
        (response.errorCode, response.producerID, response.producerEpoch) = (code.rawValue, -1, -1)
        return response
    }
}
