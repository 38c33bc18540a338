import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// AddPartitionsToTxn: adds partitions to a producer's transaction, on disk when answered.
///
/// If a partition is refused the others are not added (OPERATION_NOT_ATTEMPTED); one that the transaction has no room for gets
/// POLICY_VIOLATION, which clients have known for longer than this API, and on which they abort the transaction. Versions: 2 may answer PRODUCER_FENCED; 4 and
/// 5 are brokers', who ask for many ids, each answered alone, and may verify only (KIP-890). Source: KIP-98.
extension KafkaConnection {
    static func addPartitionsToTxnPrice(_ asked: AddPartitionsToTxnRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        let topics = asked.v3AndBelowTopics + asked.transactions.flatMap(\.topics)
        let partitions = topics.reduce(0) { $0 + $1.partitions.count }
        price.add(asked.transactions.count, AddPartitionsToTxnResponse.AddPartitionsToTxnResult.self, text: 0)
        price.add(
            topics.count, AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult.self, text: TopicName.usualLength)
        price.add(partitions, AddPartitionsToTxnResponse.AddPartitionsToTxnPartitionResult.self, text: 0)
        // Who is no broker is refused before anything is looked at.
        if context.version >= 4, !context.permissions.allowsOnCluster(.clusterAction, quietly: true) { return price.bytes }
        // The transaction's sets before and after, and its record, which repeats what it has already.
        var ids = Set(asked.transactions.lazy.filter { !$0.verifyOnly }.map(\.transactionalID))
        if context.version < 4 { ids.insert(asked.v3AndBelowTransactionalID) }
        let present = ids.reduce(0) { $0 + context.broker.transactions.recordPrice(of: ExactString($1)) }
        return price.bytes + partitions * addedPartitionBytes + present
    }

    /// A partition that is added to a transaction, in its sets and its record.
    static let addedPartitionBytes = 64

    static func addPartitionsToTxn(
        _ asked: AddPartitionsToTxnRequest, _ context: AnswerContext
    ) -> Answer<AddPartitionsToTxnResponse> {
        var answer = Answer(response: AddPartitionsToTxnResponse())
        if context.version >= 4 {
            guard context.permissions.allowsOnCluster(.clusterAction) else {
                answer.response.errorCode = ErrorCode.clusterAuthorizationFailed.rawValue
                return answer
            }
            answer.response.resultsByTransaction = asked.transactions.map { transaction in
                var result = AddPartitionsToTxnResponse.AddPartitionsToTxnResult()
                result.transactionalID = transaction.transactionalID
                let producer = ProducerIdentity(transaction.producerID, transaction.producerEpoch)
                result.topicResults =
                    transaction.verifyOnly
                    ? verify(transaction, producer, context, &answer.commits)
                    : add(
                        transaction.topics, transaction.transactionalID, producer, isAllowed: { _ in true }, context,
                        &answer.commits)
                return result
            }
        } else {
            let id = asked.v3AndBelowTransactionalID
            let topics = asked.v3AndBelowTopics
            guard context.permissions.allows(.write, .transactionalID, id) else {
                answer.response.resultsByTopicV3AndBelow = topics.map {
                    results($0) { _ in .transactionalIDAuthorizationFailed }
                }
                return answer
            }
            answer.response.resultsByTopicV3AndBelow = add(
                topics, id, ProducerIdentity(asked.v3AndBelowProducerID, asked.v3AndBelowProducerEpoch),
                isAllowed: { context.permissions.allows(.write, topic: $0) }, context, &answer.commits)
        }
        if !answer.commits.isEmpty { context.broker.store.kick() }
        return answer
    }

    private static func results(
        _ topic: AddPartitionsToTxnRequest.AddPartitionsToTxnTopic, _ code: (Int32) -> ErrorCode
    ) -> AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult {
        var result = AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult()
        result.name = topic.name
        result.resultsByPartition = topic.partitions.map { index in
            var partition = AddPartitionsToTxnResponse.AddPartitionsToTxnPartitionResult()
            (partition.partitionIndex, partition.partitionErrorCode) = (index, code(index).rawValue)
            return partition
        }
        return result
    }

    private static func add(
        _ topics: [AddPartitionsToTxnRequest.AddPartitionsToTxnTopic], _ id: String, _ producer: ProducerIdentity,
        isAllowed: (String) -> Bool, _ context: AnswerContext, _ commits: inout CommitSpan
    ) -> [AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult] {
        let catalog = context.broker.catalog
        let found = topics.map { catalog.topic(named: $0.name) }
        let allowed = topics.map { isAllowed($0.name) }
        func problem(_ place: Int, _ index: Int32) -> ErrorCode? {
            // Offsets are added by AddOffsetsToTxn.
            if !allowed[place] || found[place]?.isInternal == true && context.version < 4 {
                return .topicAuthorizationFailed
            }
            return found[place]?.partition(index) == nil ? .unknownTopicOrPartition : nil
        }
        let isAnyRefused = topics.indices.contains { place in
            topics[place].partitions.contains { problem(place, $0) != nil }
        }
        if isAnyRefused {
            return topics.indices.map { place in
                results(topics[place]) { problem(place, $0) ?? .operationNotAttempted }
            }
        }
        var partitions: [ExactString: Set<Int32>] = [:]
        for topic in topics { partitions[topic.name, default: []].formUnion(topic.partitions) }
        let isVersion2 = context.version >= 4
        let outcome = context.broker.transactions.perform(ExactString(id), refused: { $0 }) { shard, now in
            shard.addPartitions(ExactString(id), producer, partitions, isVersion2: isVersion2, now: now)
        }
        commits.add(outcome.ticket)
        let code = outcome.answer.fenced(in: context.version, from: 2)
        return topics.map { results($0) { _ in code } }
    }

    private static func verify(
        _ transaction: AddPartitionsToTxnRequest.AddPartitionsToTxnTransaction, _ producer: ProducerIdentity,
        _ context: AnswerContext, _ commits: inout CommitSpan
    ) -> [AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult] {
        let id = ExactString(transaction.transactionalID)
        let outcome = context.broker.transactions.read(id, refused: { code in
            transaction.topics.map { results($0) { _ in code } }
        }) { shard in
            transaction.topics.map { topic in
                results(topic) { shard.verify(id, producer, ExactString(topic.name), $0) }
            }
        }
        commits.add(outcome.ticket)
        return outcome.answer
    }
}

extension ErrorCode {
    /// PRODUCER_FENCED as a client knows it: from some version on by that name, before as INVALID_PRODUCER_EPOCH. Source: KIP-588.
    func fenced(in version: Int16, from first: Int16) -> ErrorCode {
        self == .producerFenced && version < first ? .invalidProducerEpoch : self
    }

    /// Where Java's client takes POLICY_VIOLATION as the producer's end: from some version on a transaction without room for a
    /// group's offsets is one to be aborted. Before, no answer says so.
    func abortable(in version: Int16, from first: Int16) -> ErrorCode {
        self == .policyViolation && version >= first ? .transactionAbortable : self
    }
}
