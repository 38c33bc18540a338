import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// AddOffsetsToTxn: adds a group's partition of `__consumer_offsets` to a producer's transaction. Versions: 2 may answer
/// PRODUCER_FENCED. Source: KIP-98.
extension KafkaConnection {
    func addOffsetsToTxn(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(AddOffsetsToTxnRequest.self)
        var response = AddOffsetsToTxnResponse()
        var commits = CommitSpan()
        if !permissions.allows(.write, .transactionalID, asked.transactionalID) {
            response.errorCode = ErrorCode.transactionalIDAuthorizationFailed.rawValue
        } else if !permissions.allows(.read, group: asked.groupID) {
            response.errorCode = ErrorCode.groupAuthorizationFailed.rawValue
        } else {
            let outcome = broker.transactions.addGroup(
                asked.groupID, to: ExactString(asked.transactionalID),
                ProducerIdentity(asked.producerID, asked.producerEpoch), isVersion2: false)
            commits.add(outcome.ticket)
            response.errorCode = outcome.answer.fenced(in: request.version, from: 2).rawValue
        }
        reply(response, to: request.ticket, commits: commits)
    }
}
