import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// EndTxn: decides how a producer's transaction ends. It is answered when the decision is on disk; the markers follow.
///
/// Versions: 2 may answer PRODUCER_FENCED; 5 bumps the epoch and tells it (KIP-890). Source: KIP-98.
extension KafkaConnection {
    func endTxn(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(EndTxnRequest.self)
        guard permissions.allows(.write, .transactionalID, asked.transactionalID) else {
            var response = EndTxnResponse()
            response.errorCode = ErrorCode.transactionalIDAuthorizationFailed.rawValue
            return reply(response, to: request.ticket)
        }
        let id = ExactString(asked.transactionalID)
        let producer = ProducerIdentity(asked.producerID, asked.producerEpoch)
        let isVersion2 = request.version >= 5
        changeIdentity(of: id, request.ticket) { shard, fresh, now in
            isVersion2
                ? shard.endTransactionBumping(id, producer, isCommit: asked.committed, fresh: fresh, now: now)
                : shard.endTransaction(id, producer, isCommit: asked.committed, now: now)
        } reply: { answer, version in
            var response = EndTxnResponse()
            switch answer {
            case .identity(let identity):
                if isVersion2 { (response.producerID, response.producerEpoch) = (identity.id, identity.epoch) }
            case .refused(let code): response.errorCode = code.fenced(in: version, from: 2).rawValue
            case .needsProducerID: response.errorCode = ErrorCode.coordinatorNotAvailable.rawValue
            }
            return response
        }
    }

    /// Runs an event that gives a producer its identity, once more with a producer id that nobody has (`fresh`) if it needs one, which
    /// may have to be claimed first.
    func changeIdentity<Response: KafkaResponse>(
        of id: ExactString, _ ticket: ReplyTicket, fresh: Int64? = nil,
        _ event:
            @escaping @Sendable (inout TransactionShard, _ fresh: Int64?, CoordinatorTime) -> TransactionOutcome<
                IdentityAnswer
            >,
        reply answer: @escaping @Sendable (IdentityAnswer, _ version: Int16) -> Response
    ) {
        askTransactions(about: id) { transactions in
            transactions.perform(id, refused: { .refused($0) }) { event(&$0, fresh, $1) }
        } then: { connection, outcome in
            guard outcome.answer == .needsProducerID, fresh == nil else {
                let response = answer(outcome.answer, ticket.version)
                return connection.reply(response, to: ticket, commits: CommitSpan(outcome.ticket))
            }
            let ids = connection.broker.producerIDs
            if let ready = ids.takeReady() {
                return connection.changeIdentity(of: id, ticket, fresh: ready.rawValue, event, reply: answer)
            }
            connection.offload { ids.next()?.rawValue } _: { connection, claimed in
                guard let claimed else {
                    return connection.reply(answer(.needsProducerID, ticket.version), to: ticket)
                }
                connection.changeIdentity(of: id, ticket, fresh: claimed, event, reply: answer)
            }
        }
    }
}
