import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import Security
import Transport

/// TxnOffsetCommit: offsets that count when the producer's transaction is committed; until then they are pending, and on disk
/// when answered.
///
/// Versions: 2 leader epochs; 3 the member's place in the group (KIP-447); 4 may answer TRANSACTION_ABORTABLE; 5 adds the
/// group's partition of `__consumer_offsets` to the transaction by itself (KIP-890); 6 topic ids (KIP-1319). Source: KIP-98.
extension API {
    static let txnOffsetCommit = API(.txnOffsetCommit, price: price) { connection, request throws(DecodeError) in
        let context = connection.answerContext(request.ticket)
        let pool = connection.loop.eventLoop.pool
        let echoed = request.echoedBytes
        try connection.answer(request, TxnOffsetCommitRequest.self, price) { asked in
            (asked, TxnOffsetCommitPlan.price(asked) + echoed)
        } onWorker: { asked, bytes, done in
            TxnOffsetCommitPlan(asked, context).run { answer in
                done(PreparedReply(answer, context.ticket, priced: bytes, pool: pool))
            }
        }
    }

    private static let price = RequestPrice(decoded: 24)
}

/// A TxnOffsetCommit that is worked off: on a worker, and behind the commit of what the coordinator of transactions had to
/// write for it, on that one's thread.
private struct TxnOffsetCommitPlan: Sendable {
    let asked: TxnOffsetCommitRequest
    let context: AnswerContext
    /// By topic and partition, in the request's order: why it is refused, or nil.
    private var refusals: [[ErrorCode?]] = []
    private var request: TransactionalCommit

    static func price(_ asked: TxnOffsetCommitRequest) -> Int {
        var price = ReplyPrice()
        let partitions = asked.topics.reduce(0) { $0 + $1.partitions.count }
        price.add(
            asked.topics.count, TxnOffsetCommitResponse.TxnOffsetCommitResponseTopic.self,
            text: TopicName.usualLength)
        price.add(partitions, TxnOffsetCommitResponse.TxnOffsetCommitResponsePartition.self, text: 0)
        price.add(bytes: partitions * MemoryLayout<TransactionalCommit.Partition>.stride)
        return price.bytes
    }

    init(_ asked: TxnOffsetCommitRequest, _ context: AnswerContext) {
        self.asked = asked
        self.context = context
        request = TransactionalCommit(
            producer: TransactionalProducer(
                id: ProducerID(asked.producerID), epoch: ProducerEpoch(asked.producerEpoch)), groupID: asked.groupID)
        request.generationID = asked.generationIDOrMemberEpoch
        request.memberID = asked.memberID
        request.groupInstanceID = asked.groupInstanceID
        if context.version >= 6 { request.missingGroup = .groupIDNotFound }
        takePartitions()
    }

    private mutating func takePartitions() {
        let catalog = context.broker.catalog
        let byID = context.version >= 6
        for topic in asked.topics {
            let found = byID ? catalog.topic(id: topic.topicID) : catalog.topic(named: topic.name)
            let name = found?.name ?? topic.name
            // Of an id that is unknown nothing can be asked.
            let isAllowed = byID && found == nil || context.permissions.allows(.read, topic: name)
            refusals.append(
                topic.partitions.map { partition in
                    if !isAllowed { return .topicAuthorizationFailed }
                    guard found?.partition(partition.partitionIndex) != nil else {
                        return byID && found == nil ? .unknownTopicID : .unknownTopicOrPartition
                    }
                    var taken = TransactionalCommit.Partition(
                        topicName: name, partitionIndex: partition.partitionIndex, offset: partition.committedOffset)
                    taken.topicID = found?.id ?? .zero
                    taken.leaderEpoch = partition.committedLeaderEpoch
                    taken.metadata = partition.committedMetadata
                    request.partitions.append(taken)
                    return nil
                })
        }
    }

    /// Calls `done` once, from this thread or another.
    func run(_ done: @escaping @Sendable (Answer<TxnOffsetCommitResponse>) -> Void) {
        let (broker, id) = (context.broker, ExactString(asked.transactionalID))
        if !context.permissions.allows(.write, .transactionalID, id.text) {
            return done(answer(all: .transactionalIDAuthorizationFailed))
        }
        if !context.permissions.allows(.read, group: asked.groupID) { return done(answer(all: .groupAuthorizationFailed)) }
        if request.partitions.isEmpty { return done(answer([])) }
        let verified: TransactionGuard
        switch broker.groups.verification(of: asked.groupID, request.producer, isVersion2: context.version >= 5) {
        case .open: return done(commit(nil))
        case .fenced: return done(answer(taken: .invalidProducerEpoch))
        case .ask(let found): verified = found
        }
        let producer = ProducerIdentity(asked.producerID, asked.producerEpoch)
        let outcome =
            context.version < 5
            ? broker.transactions.verifyGroup(asked.groupID, of: id, producer)
            : broker.transactions.addGroup(asked.groupID, to: id, producer, isVersion2: true)
        guard outcome.answer == .none else { return done(answer(taken: wire(outcome.answer))) }
        // The partition is in the transaction once that is on disk: with what is appended before, a crash could leave offsets
        // pending for ever.
        broker.store.kick()
        broker.transactions.afterCommit(of: outcome) { isStored in
            done(isStored ? commit(verified) : answer(taken: .coordinatorNotAvailable))
        }
    }

    private func commit(_ verified: TransactionGuard?) -> Answer<TxnOffsetCommitResponse> {
        let (outcomes, ticket) = context.broker.groups.commit(request, verified: verified)
        context.broker.store.kick()
        var answer = answer(outcomes)
        answer.commits.add(ticket)
        return answer
    }

    /// What the coordinator of transactions says, as a client of this version knows it.
    private func wire(_ code: ErrorCode) -> ErrorCode {
        switch code.abortable(in: context.version, from: 4) {
        case .producerFenced: .invalidProducerEpoch
        case .transactionAbortable where context.version < 4: .invalidTxnState
        case .concurrentTransactions where context.version < 5: .coordinatorNotAvailable
        case let other: other
        }
    }

    private func answer(taken code: ErrorCode) -> Answer<TxnOffsetCommitResponse> {
        answer(request.partitions.map { _ in code })
    }

    private func answer(all code: ErrorCode) -> Answer<TxnOffsetCommitResponse> {
        build { _, _ in code }
    }

    /// `outcomes` are of the partitions that were not refused, in their order.
    private func answer(_ outcomes: [ErrorCode]) -> Answer<TxnOffsetCommitResponse> {
        var next = outcomes.makeIterator()
        return build { topic, partition in refusals[topic][partition] ?? next.next() ?? .unknownServerError }
    }

    private func build(_ code: (_ topic: Int, _ partition: Int) -> ErrorCode) -> Answer<TxnOffsetCommitResponse> {
        var response = TxnOffsetCommitResponse()
        for (place, topic) in asked.topics.enumerated() {
            var result = TxnOffsetCommitResponse.TxnOffsetCommitResponseTopic()
            (result.name, result.topicID) = (topic.name, topic.topicID)
            for (index, partition) in topic.partitions.enumerated() {
                var found = code(place, index)
                // Before version 2 clients do not know of loading.
                if found == .coordinatorLoadInProgress, context.version < 2 { found = .coordinatorNotAvailable }
                var outcome = TxnOffsetCommitResponse.TxnOffsetCommitResponsePartition()
                (outcome.partitionIndex, outcome.errorCode) = (partition.partitionIndex, found.rawValue)
                result.partitions.append(outcome)
            }
            response.topics.append(result)
        }
        return Answer(response: response)
    }
}
