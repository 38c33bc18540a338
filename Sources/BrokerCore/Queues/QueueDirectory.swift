import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import Synchronization

/// One queue as it is served: its record, and what stays when that changes.
final class Queue: Sendable {
    let record: QueueRecord
    /// Names it where a commit tells of its partitions.
    let number: UInt64
    /// Counts the changes of its rules.
    let version: UInt64
    let waiters: QueueWaiters
    /// The turn of its partitions, of sends and of receives.
    let sends: QueueTurn
    let receives: QueueTurn
    let loadings: QueueLoadings
    let breaker: QueueBreaker

    var name: String { record.name }
    var settings: QueueSettings { record.settings }
    var topicName: String { QueueCoordinator.topicPrefix + record.name }

    init(_ record: QueueRecord, number: UInt64) {
        self.record = record
        self.number = number
        version = 0
        waiters = QueueWaiters()
        sends = QueueTurn()
        receives = QueueTurn()
        loadings = QueueLoadings()
        breaker = QueueBreaker()
    }

    /// The same queue by other rules.
    init(_ record: QueueRecord, after previous: Queue) {
        self.record = record
        number = previous.number
        version = previous.version + 1
        waiters = previous.waiters
        sends = previous.sends
        receives = previous.receives
        loadings = previous.loadings
        breaker = previous.breaker
    }

    /// What its ledgers go by.
    var ledgerSettings: LedgerSettings {
        let ends = settings.deadLetterQueue == nil
        var ledger = LedgerSettings(
            order: settings.order, maxReceives: settings.maxReceives, endOfDeliveries: ends ? .archive : .deadLetters)
        ledger.backoffMs = settings.backoffMs
        return ledger
    }

    func description(partitions: Int) -> QueueDescription {
        QueueDescription(
            name: record.name, topicID: record.topicID, partitionCount: Int32(partitions), settings: record.settings,
            tags: record.tags, createdMs: record.createdMs, modifiedMs: record.modifiedMs)
    }
}

/// Goes round the partitions of a queue, whoever asks.
final class QueueTurn: Sendable {
    private let count = Atomic<UInt>(0)

    func next(of partitions: Int) -> Int {
        Int(count.wrappingAdd(1, ordering: .relaxed).newValue % UInt(partitions))
    }
}

/// The partitions of a queue for whose ledgers somebody reads what they are told of when they are loaded: one caller for each, and nobody
/// stands in a lock meanwhile.
final class QueueLoadings: Sendable {
    private let partitions = Lock<Set<Int32>>([])

    /// False: somebody else does it.
    func begin(_ partitionIndex: Int32) -> Bool { partitions.withLock { $0.insert(partitionIndex).inserted } }

    func end(_ partitionIndex: Int32) { partitions.withLock { _ = $0.remove(partitionIndex) } }
}

/// One partition of a queue.
struct QueuePartition: Sendable {
    let queue: Queue
    let log: PartitionLog

    var id: TopicPartition { TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex) }
}

/// All queues, as of one moment: never changed, exchanged as a whole.
final class QueueDirectory: Sendable {
    let byName: [ExactString: Queue]
    let byTopic: [TopicID: Queue]
    let byNumber: [UInt64: Queue]
    /// In ascending order of the bytes.
    let names: [ExactString]
    /// By the name of a dead letter queue those whose dead letters it gets, in ascending order.
    let sources: [ExactString: [String]]

    init(_ queues: [Queue]) {
        byName = Dictionary(uniqueKeysWithValues: queues.map { (ExactString($0.name), $0) })
        byTopic = Dictionary(queues.map { ($0.record.topicID, $0) }) { first, _ in first }
        byNumber = Dictionary(uniqueKeysWithValues: queues.map { ($0.number, $0) })
        names = byName.keys.sorted()
        var sources: [ExactString: [String]] = [:]
        for name in names {
            guard let target = byName[name]?.settings.deadLetterQueue else { continue }
            sources[ExactString(target), default: []].append(name.text)
        }
        self.sources = sources
    }

    /// The directory with another queue of that name, or none.
    func replacing(_ name: String, by queue: Queue?) -> QueueDirectory {
        QueueDirectory(byName.values.filter { !$0.name.isExactly(name) } + (queue.map { [$0] } ?? []))
    }
}
