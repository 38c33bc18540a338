import ByteBuffers
import KafkaModel
import QueueLedger
import RecordFormat

/// The ledgers of share groups whose records stand in one partition of `__share_state`: those of a group are all in one.
struct ShareShard: StoredMachine {
    enum Phase { case loading, active }

    /// The ledger of one partition for one group, and what is known of it beside.
    struct Entry {
        var ledger: DeliveryLedger
        /// Tells its records from those of another that had its place before.
        let incarnation: UInt64
        /// It was told of its records, and serves.
        var isServed = false
        /// What it goes by.
        var rules: ShareRules
        /// The commit that its beginning waits for: what it gives out must not be given out once more from elsewhere.
        var beginTicket: UInt64 = 0
        /// When the coordinator's thread looks at it, in milliseconds of the clock that nobody sets; `.max`: not.
        var armedAtMs = Int64.max
        /// Why it is not served, told once.
        var fault: String?

        var memoryBytes: Int { ledger.memoryBytes + Self.emptyBytes }
        /// Without what its ledger keeps.
        static let emptyBytes = 2_048
    }

    typealias Entries = [TopicPartition: Entry]

    var maxBatchBytes = 1 << 20
    var memoryElsewhere = 0
    /// Of all ledgers; kept by who changes one.
    private(set) var memoryBytes = 0
    private(set) var entryCount = 0
    private(set) var phase = Phase.loading
    private(set) var groups: [ExactString: Entries] = [:]
    /// While loading: keys of records that no group has any more.
    private var orphans: Set<[UInt8]> = []
    /// Nil: there is no such partition any more.
    private let rules: @Sendable (TopicPartition, ExactString) -> ShareRules?

    init(rules: @escaping @Sendable (TopicPartition, ExactString) -> ShareRules?) { self.rules = rules }

    // MARK: Loading

    mutating func replay(_ record: RecordView, of batch: RecordBatchHeader) throws(DecodeError) {
        guard !batch.isControl, let bytes = record.key else { return }
        if ShareKey.isKey(bytes) { return try replay(try ShareKey(bytes), record, bytes) }
        let key = try LedgerKey(bytes)
        guard let (incarnation, group) = ShareKey.parse(key.ledger.consumer),
            groups[group]?[key.ledger.partition]?.incarnation == incarnation
        else { return noteOrphan(record, bytes) }
        try groups[group]![key.ledger.partition]!.ledger.replay(key, record.value)
    }

    private mutating func replay(
        _ key: ShareKey, _ record: RecordView, _ bytes: UnsafeRawBufferPointer
    ) throws(DecodeError) {
        remove(key.partition, of: key.group)
        guard let value = record.value else { return }
        guard let rules = rules(key.partition, key.group) else { return noteOrphan(record, bytes) }
        let (incarnation, start) = try ShareKey.decode(value)
        insert(try Self.makeEntry(key, incarnation, start, rules), key.partition, of: key.group)
    }

    private mutating func noteOrphan(_ record: RecordView, _ key: UnsafeRawBufferPointer) {
        if record.value == nil { orphans.remove(Array(key)) } else { orphans.insert(Array(key)) }
    }

    static func makeEntry(
        _ key: ShareKey, _ incarnation: UInt64, _ start: Offset, _ rules: ShareRules
    ) throws(DecodeError) -> Entry {
        do throws(LedgerRefusal) {
            let id = LedgerID(partition: key.partition, consumer: ShareKey.consumer(incarnation, key.group))
            return Entry(
                ledger: try DeliveryLedger(id: id, settings: rules.ledger, start: start), incarnation: incarnation,
                rules: rules)
        } catch {
            throw .invalid("share group's ledger", position: 0)
        }
    }

    /// The records are read: ledgers are served from now on, each when it is first asked for.
    mutating func loaded() {
        phase = .active
        memoryBytes = groups.values.reduce(0) { $1.values.reduce($0) { $0 + $1.memoryBytes } }
    }

    mutating func beginLoading() {
        (groups, orphans) = ([:], [])
        (memoryBytes, entryCount) = (0, 0)
        phase = .loading
    }

    /// Takes the keys of records that are for nobody: each is to get a tombstone.
    mutating func takeOrphans() -> [[UInt8]] {
        defer { orphans = [] }
        return Array(orphans)
    }

    // MARK: Ledgers

    /// Takes a ledger out, to be put back when it was changed: so it is not copied.
    mutating func take(_ partition: TopicPartition, of group: ExactString) -> Entry? {
        guard let entry = groups[group]?.removeValue(forKey: partition) else { return nil }
        memoryBytes -= entry.memoryBytes
        entryCount -= 1
        return entry
    }

    mutating func put(_ entry: Entry, _ partition: TopicPartition, of group: ExactString) {
        memoryBytes += entry.memoryBytes
        insert(entry, partition, of: group)
    }

    private mutating func insert(_ entry: Entry, _ partition: TopicPartition, of group: ExactString) {
        entryCount += 1
        groups[group, default: [:]][partition] = entry
    }

    /// Forgets a ledger.
    mutating func remove(_ partition: TopicPartition, of group: ExactString) {
        _ = take(partition, of: group)
        if groups[group]?.isEmpty == true { groups[group] = nil }
    }

    /// Forgets the ledgers of a topic that was deleted.
    mutating func removeAll(of topic: TopicID) {
        for (group, entries) in groups {
            for partition in entries.keys where partition.topicID == topic { remove(partition, of: group) }
        }
    }
}

/// What a group's ledgers go by.
struct ShareRules: Equatable, Sendable {
    var deliveryLimit: Int32
    var recordLocks: Int32

    var ledger: LedgerSettings {
        var settings = LedgerSettings(
            maxReceives: Int(deliveryLimit), endOfDeliveries: .archive, maxInFlight: Int(recordLocks))
        settings.maxWindow = Int64(recordLocks)
        return settings
    }
}

/// The key of the record by which a partition begins to be read by a share group, in `__share_state`. Its value says from where on, and by
/// which incarnation: records of ledgers of others are nobody's. A tombstone ends it.
///
/// ```
/// key    marker u8 0x82 | topic id 16 | partition i32 | group: length u16, UTF-8
/// value  version u8 1 | incarnation u64 | start offset i64
/// ```
/// The keys of ledgers begin with another byte (`LedgerKey`); their consumer is the incarnation, 16 hexadecimal digits, and the group.
struct ShareKey: Hashable {
    var partition: TopicPartition
    var group: ExactString

    private static let marker: UInt8 = 0x82
    private static let version: UInt8 = 1
    private static let digits = 16

    init(_ partition: TopicPartition, _ group: ExactString) {
        self.partition = partition
        self.group = group
    }

    static func isKey(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.first == marker }

    init(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) {
        var reader = ByteReader(bytes)
        try reader.skip(1)
        let topicID = TopicID(high: try reader.integer(), low: try reader.integer())
        partition = TopicPartition(topicID: topicID, partitionIndex: try reader.int32())
        group = try reader.text()
        guard reader.isAtEnd else { throw .invalid("bytes behind a share group's key", position: reader.position) }
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 32 + group.text.utf8.count)
        writer.integer(Self.marker)
        writer.integer(partition.topicID.high)
        writer.integer(partition.topicID.low)
        writer.int32(partition.partitionIndex)
        writer.text(group)
        return writer.array
    }

    static func value(_ incarnation: UInt64, start: Offset) -> [UInt8] {
        var writer = ByteWriter(capacity: 32)
        writer.integer(version)
        writer.integer(incarnation)
        writer.int64(start.rawValue)
        return writer.array
    }

    static func decode(_ value: UnsafeRawBufferPointer) throws(DecodeError) -> (incarnation: UInt64, start: Offset) {
        var reader = ByteReader(value)
        guard try reader.integer(UInt8.self) == version else { throw .invalid("version of a share group", position: 0) }
        let incarnation: UInt64 = try reader.integer()
        let start = try reader.int64()
        guard start >= 0, start <= 1 << 60 else { throw .invalid("start of a share group", position: reader.position) }
        return (incarnation, Offset(start))
    }

    static func consumer(_ incarnation: UInt64, _ group: ExactString) -> ExactString {
        let number = String(incarnation, radix: 16)
        return ExactString(String(repeating: "0", count: digits - number.utf8.count) + number + group.text)
    }

    static func parse(_ consumer: ExactString) -> (incarnation: UInt64, group: ExactString)? {
        let bytes = consumer.text.utf8
        guard bytes.count >= digits,
            let number = UInt64(String(decoding: bytes.prefix(digits), as: UTF8.self), radix: 16)
        else { return nil }
        return (number, ExactString(String(decoding: bytes.dropFirst(digits), as: UTF8.self)))
    }
}
