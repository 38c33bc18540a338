import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import RecordFormat
import Security
import Transport

/// What is known of the transaction that a Produce request writes for.
///
/// A batch that begins its transaction's part in a partition is appended only when the coordinator has the partition, on disk:
/// otherwise nobody would end it there. From version 12 on the coordinator is asked to add it; before, whether the client has
/// done so (KIP-890). Later batches need no question: the partition knows.
///
/// ```
///  request ─► [open here?] ─► append        the connection is muted from the question to the append, so that its
///                │ no                       later requests keep their order
///                ▼
///         coordinator: add or verify ─► on disk ─► append, unless a marker came meanwhile (`TransactionGuard`)
/// ```
struct ProducedTransaction: Sendable {
    let id: ExactString
    let isVersion2: Bool
    /// Why none of its batches is taken.
    var refusal: AppendRefusal?
    var producer: ProducerIdentity?
    /// Partitions that the coordinator is asked about, and where each log is among them.
    private(set) var questions: [Question] = []
    private var places: [ObjectIdentifier: Int] = [:]

    struct Question: Sendable {
        let log: PartitionLog
        let topic: ExactString
        var verified: TransactionGuard
        /// Why the batch is not taken; nil once the coordinator has said yes.
        var refusal: AppendRefusal? = AppendRefusal(.notEnoughReplicas, "the transaction's coordinator was not asked")
    }

    mutating func ask(about log: PartitionLog, of topic: ExactString, _ verified: TransactionGuard) {
        if places[ObjectIdentifier(log)] != nil { return }
        places[ObjectIdentifier(log)] = questions.count
        questions.append(Question(log: log, topic: topic, verified: verified))
    }

    /// Takes the look at the partitions anew: a marker that comes behind it says that the transaction has ended.
    mutating func lookAgain(_ producer: ProducerIdentity) {
        for place in questions.indices {
            guard
                case .ask(let verified) = questions[place].log.verification(
                    of: ProducerID(producer.id), ProducerEpoch(producer.epoch), isVersion2: isVersion2)
            else { continue }
            questions[place].verified = verified
        }
    }

    /// Adds the partitions to the transaction, or asks whether they are in it: one answer for each question.
    fileprivate func ask(
        _ coordinator: TransactionCoordinator, _ producer: ProducerIdentity
    ) -> TransactionCoordinator.Outcome<[ErrorCode]> {
        func all(_ code: ErrorCode) -> [ErrorCode] { questions.map { _ in code } }
        if isVersion2 {
            var partitions: [ExactString: Set<Int32>] = [:]
            for question in questions { partitions[question.topic, default: []].insert(question.log.partitionIndex) }
            return coordinator.perform(id, refused: { $0 }) { shard, now in
                shard.addPartitions(id, producer, partitions, isVersion2: true, now: now)
            }.map(all)
        }
        return coordinator.read(id, refused: all) { shard in
            questions.map { shard.verify(id, producer, $0.topic, $0.log.partitionIndex) }
        }
    }

    fileprivate mutating func take(_ codes: [ErrorCode], _ settings: TransactionSettings) {
        for (place, code) in codes.enumerated() {
            questions[place].refusal = code == .none ? nil : refusal(code, settings)
        }
    }

    /// With which guard a batch may be appended; nil where its transaction is open.
    fileprivate func verdict(on log: PartitionLog) -> Result<TransactionGuard?, AppendRefusal> {
        if let refusal { return .failure(refusal) }
        guard let place = places[ObjectIdentifier(log)] else { return .success(nil) }
        let question = questions[place]
        return question.refusal.map { .failure($0) } ?? .success(question.verified)
    }

    /// What the coordinator has said, as the producer is told it. Source: Kafka's answers.
    private func refusal(_ code: ErrorCode, _ settings: TransactionSettings) -> AppendRefusal {
        let told: ErrorCode =
            switch code {
            case .producerFenced: .invalidProducerEpoch
            case .transactionAbortable where !knowsAbortable: .invalidTxnState
            case .concurrentTransactions where isVersion2: .concurrentTransactions
            case .coordinatorLoadInProgress, .coordinatorNotAvailable, .notCoordinator, .concurrentTransactions:
                .notEnoughReplicas
            default: code
            }
        let limits = code == .policyViolation ? ": \(settings.limitsInWords)" : ""
        return AppendRefusal(told, "the coordinator of transaction \(id.text) refuses the partition: \(code)\(limits)")
    }

    /// The client's version knows TRANSACTION_ABORTABLE.
    private let knowsAbortable: Bool

    init(_ id: ExactString, version: Int16) {
        self.id = id
        isVersion2 = version >= 12
        knowsAbortable = version >= 11
    }
}

extension ProducedTransaction? {
    func verdict(on log: PartitionLog) -> Result<TransactionGuard?, AppendRefusal> {
        guard let self else {
            return .failure(
                AppendRefusal(.transactionalIDAuthorizationFailed, "a transactional batch without a transactional id"))
        }
        return self.verdict(on: log)
    }
}

extension KafkaConnection {
    /// Finds out which of the request's batches begin their transaction's part in a partition. False: the coordinator is to be
    /// asked about some.
    func joinTransaction(_ run: inout ProduceRun) -> Bool {
        guard let bytes = run.reader.transactionalID else { return true }
        let id = ExactString(String(decoding: bytes, as: UTF8.self))
        var transaction = ProducedTransaction(id, version: run.version)
        defer { run.transaction = transaction }
        if !permissions.allows(.write, .transactionalID, id.text) {
            transaction.refusal = AppendRefusal(.transactionalIDAuthorizationFailed, "Transactional ID authorization failed.")
            return true
        }
        // A copy: the request is walked once more when its batches are appended.
        var reader = run.reader
        let catalog = broker.catalog
        while let asked = reader.nextTopic() {
            let topic = run.version >= 13 ? catalog.topic(id: asked.topicID) : catalog.topic(named: asked.name)
            var mayWrite: Bool?
            while let partition = reader.nextPartition() {
                guard let topic, !topic.isInternal, let log = topic.partition(partition.index),
                    let range = partition.records, range.count >= RecordBatchHeader.size
                else { continue }
                let batch = run.frame.slice(range.lowerBound, count: range.count)
                let header = RecordBatchHeader(unchecked: batch.pointer)
                guard header.isTransactional else { continue }
                let producer = ProducerIdentity(header.producerID.rawValue, header.producerEpoch.rawValue)
                if let known = transaction.producer, known.id != producer.id {
                    transaction.refusal = AppendRefusal(
                        .invalidProducerIDMapping, "a transaction with batches of several producers")
                    return true
                }
                transaction.producer = producer
                if mayWrite == nil {
                    mayWrite = loop.decisions.map { self.mayWrite(topic, run.version >= 13, asked.name, $0) } ?? true
                }
                guard mayWrite == true,
                    case .ask(let verified) = log.verification(
                        of: header.producerID, header.producerEpoch, isVersion2: transaction.isVersion2)
                else { continue }
                transaction.ask(about: log, of: ExactString(topic.name), verified)
            }
        }
        return transaction.questions.isEmpty
    }

    /// How often, and for how long, the coordinator is asked again while it still ends the transaction before: a client would wait
    /// longer. Source: `add.partitions.to.txn.retry.backoff.ms`, KAFKA-18654.
    static let retryMs: Int64 = 4
    static let mostRetries = 25

    /// Asks the coordinator about the Produce that waits (`waitingProduce`), and goes on with it when that is answered and on disk.
    func askCoordinator(retries: Int = 0) {
        guard let held = waitingProduce, var transaction = held.run.transaction, let producer = transaction.producer else {
            return goOnWithWaiting()
        }
        transaction.lookAgain(producer)
        held.run.transaction = transaction
        // A look, which writes nothing.
        if !transaction.isVersion2 { return take(transaction.ask(broker.transactions, producer), retries: retries) }
        let added = transaction.questions.count * Self.addedPartitionBytes
        askTransactions(about: transaction.id, adding: added) { [transaction] in
            transaction.ask($0, producer)
        } then: { connection, outcome in
            connection.take(outcome, retries: retries)
        }
    }

    private func take(_ outcome: TransactionCoordinator.Outcome<[ErrorCode]>, retries: Int) {
        let isVersion2 = waitingProduce?.run.transaction?.isVersion2 == true
        if isVersion2, outcome.answer.contains(.concurrentTransactions), retries < Self.mostRetries {
            return tryAgainSoon { $0.askCoordinator(retries: retries + 1) }
        }
        waitingProduce?.run.transaction?.take(outcome.answer, broker.options.transactions)
        if outcome.ticket == 0 || !outcome.answer.contains(.none) { return goOnWithWaiting() }
        goOnWhenStored(outcome)
    }

    private func goOnWithWaiting() {
        guard let held = waitingProduce else { return }
        waitingProduce = nil
        goOn(held)
    }

    /// Lets the transaction before end, for a moment in which nothing else of the connection is read.
    func tryAgainSoon(_ body: @escaping (KafkaConnection) -> Void) {
        park(.work)
        let id = connection.id
        _ = loop.eventLoop.schedule(after: .milliseconds(Self.retryMs)) { [unowned loop] _ in
            guard let handler = loop.eventLoop.connection(id)?.handler as? KafkaConnection else { return }
            handler.unpark()
            body(handler)
        }
    }

    /// What waits for the commit names the connection alone: the request is gone with that, however long the disk takes.
    private func goOnWhenStored(_ outcome: TransactionCoordinator.Outcome<[ErrorCode]>) {
        park(.work)
        let (id, handle) = (connection.id, loop.handle)
        broker.transactions.afterCommit(of: outcome) { isStored in
            handle.submit { loop in
                guard let handler = loop.connection(id)?.handler as? KafkaConnection else { return }
                handler.unpark()
                if !isStored {
                    handler.waitingProduce?.run.transaction?.refusal = AppendRefusal(
                        .notEnoughReplicas, "it is not known whether the partitions of the transaction are stored")
                }
                handler.goOnWithWaiting()
            }
        }
    }
}
