import ByteBuffers
import Forwarder
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat

/// The ledgers whose records stand in one partition of `__queue_state`.
struct QueueShard: StoredMachine {
    enum Phase { case loading, active }

    /// A ledger, and what is known of it beside.
    struct Entry {
        var ledger: DeliveryLedger
        /// What a forwarder remembers of the partition.
        var forwards = ForwardState()
        /// It was told of its messages, and serves.
        var isServed = false
        /// Which of its queue's rules it goes by (`Queue.version`).
        var rules: UInt64 = 0
        /// When the coordinator's thread looks at it, in milliseconds since 1970; `.max`: not.
        var armedAtMs = Int64.max
        /// The thread does not look at it before, in milliseconds since 1970.
        var restsUntilMs = Int64.min
        /// Messages below may have delays of their own, and are read one by one; exclusive.
        var timedBelow = Offset.zero
        /// The commit that the newest message of a FIFO queue waits for.
        var sendTicket: UInt64 = 0
        /// It knows of messages that may not be there: it is not put back, and all of the shard is read anew.
        var isLost = false
        /// What is ending was looked for in the dead letters since it was loaded.
        var areDeadLettersKnown = false
        /// The log has said that some of its messages cannot be read.
        var isUnreadableTold = false
        /// Why it is not served, told once.
        var fault: String?

        var memoryBytes: Int { ledger.memoryBytes + forwards.memoryBytes }
    }

    var maxBatchBytes = 1 << 20
    var memoryElsewhere = 0
    /// Of all ledgers; kept by who changes one.
    private(set) var memoryBytes = 0
    private(set) var phase = Phase.loading
    /// Of this loading.
    private(set) var generation: Int32 = 0
    private var entries: [TopicPartition: Entry] = [:]
    /// While loading: keys of records that no queue has any more.
    private(set) var orphans: Set<[UInt8]> = []
    /// What the ledger of a partition goes by; nil: it is no queue's.
    let settings: @Sendable (TopicPartition) -> LedgerSettings?

    init(settings: @escaping @Sendable (TopicPartition) -> LedgerSettings?) { self.settings = settings }

    mutating func replay(_ record: RecordView, of batch: RecordBatchHeader) throws(DecodeError) {
        guard !batch.isControl, let bytes = record.key else { return }
        if ForwardKey.isKey(bytes) {
            let key = try ForwardKey(bytes)
            guard try makeEntry(key.partition) else { return noteOrphan(record, bytes) }
            return try entries[key.partition]!.forwards.replay(key, record.value)
        }
        let key = try LedgerKey(bytes)
        let partition = key.ledger.partition
        guard key.ledger.consumer.isEmpty, try makeEntry(partition) else { return noteOrphan(record, bytes) }
        try entries[partition]!.ledger.replay(key, record.value)
    }

    private mutating func noteOrphan(_ record: RecordView, _ key: UnsafeRawBufferPointer) {
        if record.value == nil { orphans.remove(Array(key)) } else { orphans.insert(Array(key)) }
    }

    /// False: the partition is no queue's.
    private mutating func makeEntry(_ partition: TopicPartition) throws(DecodeError) -> Bool {
        if entries[partition] != nil { return true }
        guard let settings = settings(partition) else { return false }
        do throws(LedgerRefusal) {
            entries[partition] = Entry(
                ledger: try DeliveryLedger(id: LedgerID(partition: partition), settings: settings, start: .zero))
        } catch {
            throw .invalid("rules of a queue's ledger", position: 0)
        }
        return true
    }

    /// The records are read: ledgers are served from now on, each when it is first asked for.
    mutating func loaded(generation: Int32) {
        phase = .active
        self.generation = generation
        memoryBytes = entries.values.reduce(0) { $0 + $1.memoryBytes }
    }

    mutating func beginLoading() {
        entries = [:]
        orphans = []
        memoryBytes = 0
        phase = .loading
    }

    /// Takes the tombstones for what no queue has any more.
    mutating func takeOrphans() -> [[UInt8]] {
        defer { orphans = [] }
        return Array(orphans)
    }

    // MARK: Ledgers

    /// Those with state.
    var partitions: [TopicPartition] { Array(entries.keys) }

    func entry(of partition: TopicPartition) -> Entry? { entries[partition] }

    /// Takes a ledger out, to be put back when it was changed: so it is not copied.
    mutating func take(_ partition: TopicPartition) -> Entry? {
        guard let entry = entries.removeValue(forKey: partition) else { return nil }
        memoryBytes -= entry.memoryBytes
        return entry
    }

    mutating func put(_ entry: Entry, _ partition: TopicPartition) {
        memoryBytes += entry.memoryBytes
        entries[partition] = entry
    }
}
