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

    /// Runs an event that gives a producer its identity, with a fresh producer id if it needs one, which may have to be claimed
    /// first.
    func changeIdentity<Response: KafkaResponse>(
        of id: ExactString, _ ticket: ReplyTicket,
        _ event:
            @escaping @Sendable (inout TransactionShard, _ fresh: Int64?, CoordinatorTime) -> TransactionOutcome<
                IdentityAnswer
            >,
        reply answer: @escaping @Sendable (IdentityAnswer, _ version: Int16) -> Response
    ) {
        let broker = broker
        func run(_ fresh: Int64?) -> TransactionCoordinator.Outcome<IdentityAnswer> {
            broker.transactions.perform(id, refused: { .refused($0) }) { event(&$0, fresh, $1) }
        }
        var outcome = run(nil)
        if outcome.answer == .needsProducerID {
            guard let ready = broker.producerIDs.takeReady() else {
                return offload {
                    broker.producerIDs.next()?.rawValue
                } _: { connection, fresh in
                    let outcome = connection.broker.transactions.perform(id, refused: { .refused($0) }) {
                        event(&$0, fresh, $1)
                    }
                    connection.reply(
                        answer(outcome.answer, ticket.version), to: ticket, commits: CommitSpan(outcome.ticket))
                }
            }
            outcome = run(ready.rawValue)
        }
        reply(answer(outcome.answer, ticket.version), to: ticket, commits: CommitSpan(outcome.ticket))
    }
}
