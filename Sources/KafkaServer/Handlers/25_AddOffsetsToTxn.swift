import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// AddOffsetsToTxn: adds a group's partition of `__consumer_offsets` to a producer's transaction. Versions: 2 may answer
/// PRODUCER_FENCED; 4 TRANSACTION_ABORTABLE (KIP-890). Where the transaction before is being ended it waits a moment, as the answer CONCURRENT_TRANSACTIONS makes
/// librdkafka wait for much longer than that takes. Source: KIP-98.
extension KafkaConnection {
    func addOffsetsToTxn(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(AddOffsetsToTxnRequest.self)
        var response = AddOffsetsToTxnResponse()
        if !permissions.allows(.write, .transactionalID, asked.transactionalID) {
            response.errorCode = ErrorCode.transactionalIDAuthorizationFailed.rawValue
        } else if !permissions.allows(.read, group: asked.groupID) {
            response.errorCode = ErrorCode.groupAuthorizationFailed.rawValue
        } else {
            return addOffsets(asked, request.ticket)
        }
        reply(response, to: request.ticket)
    }

    private func addOffsets(_ asked: AddOffsetsToTxnRequest, _ ticket: ReplyTicket, retries: Int = 0) {
        let id = ExactString(asked.transactionalID)
        let producer = ProducerIdentity(asked.producerID, asked.producerEpoch)
        askTransactions(about: id) { transactions in
            transactions.addGroup(asked.groupID, to: id, producer, isVersion2: false)
        } then: { connection, outcome in
            if outcome.answer == .concurrentTransactions, retries < Self.mostRetries {
                return connection.tryAgainSoon { $0.addOffsets(asked, ticket, retries: retries + 1) }
            }
            var response = AddOffsetsToTxnResponse()
            let code = outcome.answer.fenced(in: ticket.version, from: 2).abortable(in: ticket.version, from: 4)
            response.errorCode = code.rawValue
            connection.reply(response, to: ticket, commits: CommitSpan(outcome.ticket))
        }
    }
}
