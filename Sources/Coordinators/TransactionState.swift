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
    var partitions: [ExactString: Set<Int32>] = [:]
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

    /// Partitions of the transaction, in the order of names and numbers.
    public var partitionList: [(topic: String, indexes: [Int32])] {
        partitions.sorted { $0.key < $1.key }.map { ($0.key.text, $0.value.sorted()) }
    }

    var partitionCount: Int { partitions.reduce(0) { $0 + $1.value.count } }

    /// Bytes of memory that it takes with its id and its entries among the deadlines, about.
    func memoryBytes(of id: ExactString) -> Int {
        partitions.reduce(384 + id.text.utf8.count) { $0 + 96 + $1.key.text.utf8.count + 16 * $1.value.count }
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
            : partitionList.map { topic, indexes in
                var partitions = TransactionLogValue.PartitionsSchema()
                partitions.topic = topic
                partitions.partitionIDs = indexes
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
        for topic in value.transactionPartitions ?? [] where !topic.partitionIDs.isEmpty {
            partitions[topic.topic, default: []].formUnion(topic.partitionIDs)
        }
    }
}
