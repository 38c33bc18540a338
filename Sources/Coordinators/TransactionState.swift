import KafkaModel
internal import KafkaWire

/// Where a transactional id stands. The numbers are those of its record. Source: KIP-98, KIP-890.
///
/// ```
///            first partition              EndTxn, timeout, fence           all markers are on disk
///   empty ──────────────────► ongoing ─────────────────────────► prepare… ─────────────────────────► complete…
///     ▲                          ▲                                (decided)                             │
///     └── InitProducerId         └───────────────────────── first partition ◄───────────────────────────┘
/// ```
/// Kafka's Dead and PrepareEpochFence are states of an append that is under way; here an event's records are appended with
/// the event, so there are none.
public enum TransactionState: Int8, Sendable, CaseIterable {
    case empty = 0
    case ongoing = 1
    case prepareCommit = 2
    case prepareAbort = 3
    case completeCommit = 4
    case completeAbort = 5

    /// As Kafka's tools show it.
    public var name: String {
        switch self {
        case .empty: "Empty"
        case .ongoing: "Ongoing"
        case .prepareCommit: "PrepareCommit"
        case .prepareAbort: "PrepareAbort"
        case .completeCommit: "CompleteCommit"
        case .completeAbort: "CompleteAbort"
        }
    }

    /// Names that filters may have; those of Kafka's two further states find nothing.
    public static let knownNames = Set(allCases.map(\.name) + ["Dead", "PrepareEpochFence"])

    /// It is decided how the transaction ends, and its markers are on their way.
    var isPrepared: Bool { self == .prepareCommit || self == .prepareAbort }
    /// An id that is long in such a state is forgotten.
    var mayExpire: Bool { self != .ongoing && !isPrepared }
}

/// What the coordinator knows of one transactional id.
public struct TransactionMetadata: Equatable, Sendable {
    public internal(set) var producerID: Int64
    /// The id before the epoch ran out: a repeated request may still name it.
    var previousProducerID: Int64 = -1
    /// With which the id goes on once the transaction is complete, as its epoch has run out.
    var nextProducerID: Int64 = -1
    public internal(set) var epoch: Int16
    /// The epoch before the last bump that a client has asked for; it may ask again. Not in the record: -1 after a start.
    var lastEpoch: Int16 = -1
    public internal(set) var timeoutMs: Int32
    public internal(set) var state = TransactionState.empty
    private(set) var partitions: [ExactString: Set<Int32>] = [:]
    private(set) var partitionCount = 0
    /// Bytes of their topics' names.
    private var nameBytes = 0
    /// Wall clock.
    var lastUpdateMs: Int64
    /// Wall clock of the first partition; -1: there was none yet.
    public internal(set) var startMs: Int64 = -1
    /// The transaction's protocol: the epoch is bumped when it ends (KIP-890).
    var isVersion2 = false

    /// The last epoch that a client sees; one more is the coordinator's, for markers.
    static let lastClientEpoch = Int16.max - 1
    var isExhausted: Bool { epoch >= Self.lastClientEpoch }

    init(producerID: Int64, epoch: Int16 = -1, timeoutMs: Int32, nowMs: Int64) {
        self.producerID = producerID
        self.epoch = epoch
        self.timeoutMs = timeoutMs
        lastUpdateMs = nowMs
    }

    /// Partitions of the transaction, in the order of names and numbers, which takes a while where there are thousands.
    public var partitionList: [(topic: String, indexes: [Int32])] {
        partitions.sorted { $0.key < $1.key }.map { ($0.key.text, $0.value.sorted()) }
    }

    public var topicCount: Int { partitions.count }

    mutating func add(_ indexes: some Collection<Int32>, of topic: ExactString) {
        if indexes.isEmpty { return }
        let before = partitions[topic]?.count
        if before == nil { nameBytes += topic.text.utf8.count }
        partitions[topic, default: []].formUnion(indexes)
        partitionCount += partitions[topic]!.count - (before ?? 0)
    }

    mutating func clearPartitions() { (partitions, partitionCount, nameBytes) = ([:], 0, 0) }

    /// Bytes of memory that it takes with its id and its entries among the deadlines, about. Known without a walk, as it is the
    /// price of each of its records.
    func memoryBytes(of id: ExactString) -> Int {
        384 + id.text.utf8.count + 96 * partitions.count + nameBytes + 16 * partitionCount
    }

    // MARK: The record

    static func record(_ id: ExactString, _ metadata: TransactionMetadata?) -> CoordinatorRecord {
        var key = TransactionLogKey()
        key.transactionalID = id.text
        return CoordinatorRecord(
            key: key.encodedWithVersion(), value: metadata.map { $0.value.encodedWithVersion(1) })
    }

    private var value: TransactionLogValue {
        var value = TransactionLogValue()
        value.producerID = producerID
        value.previousProducerID = previousProducerID
        value.nextProducerID = nextProducerID
        value.producerEpoch = epoch
        value.transactionTimeoutMs = timeoutMs
        value.transactionStatus = state.rawValue
        value.transactionPartitions =
            state == .empty
            ? nil
            : partitions.map { topic, indexes in
                // In no order: to sort thousands would take several times as long as all else.
                var partitions = TransactionLogValue.PartitionsSchema()
                partitions.topic = topic.text
                partitions.partitionIDs = Array(indexes)
                return partitions
            }
        value.transactionLastUpdateTimestampMs = lastUpdateMs
        value.transactionStartTimestampMs = startMs
        value.clientTransactionVersion = isVersion2 ? 2 : 0
        return value
    }

    /// Nil for a state that there is not.
    init?(_ value: TransactionLogValue) {
        guard let state = TransactionState(rawValue: value.transactionStatus) else { return nil }
        self.init(
            producerID: value.producerID, epoch: value.producerEpoch, timeoutMs: value.transactionTimeoutMs,
            nowMs: value.transactionLastUpdateTimestampMs)
        self.state = state
        previousProducerID = value.previousProducerID
        nextProducerID = value.nextProducerID
        startMs = value.transactionStartTimestampMs
        isVersion2 = value.clientTransactionVersion >= 2
        for topic in value.transactionPartitions ?? [] { add(topic.partitionIDs, of: ExactString(topic.topic)) }
    }
}
