import KafkaModel
import RecordFormat

/// The identity and sequence of one idempotent batch, or of one that belongs to a transaction.
public struct ProducerBatch: Sendable, Equatable {
    public var producerID: Int64
    public var producerEpoch: Int16
    /// -1: none, in batches that a coordinator writes for a producer (offsets of its transaction).
    public var baseSequence: Int32
    /// Sequence of the last record, inclusive, wrapped at 2^31 - 1.
    public var lastSequence: Int32
    public var isTransactional = false

    var hasSequence: Bool { baseSequence >= 0 }

    init(
        producerID: Int64, producerEpoch: Int16, baseSequence: Int32, lastSequence: Int32, isTransactional: Bool = false
    ) {
        self.producerID = producerID
        self.producerEpoch = producerEpoch
        self.baseSequence = baseSequence
        self.lastSequence = lastSequence
        self.isTransactional = isTransactional
    }

    /// Nil for a batch of a producer that is not idempotent, and for the marker of a transaction, which has no sequence.
    init?(_ header: RecordBatchHeader) {
        guard header.hasProducerID, !header.isControl else { return nil }
        producerID = header.producerID.rawValue
        producerEpoch = header.producerEpoch.rawValue
        baseSequence = header.baseSequence.rawValue
        lastSequence = header.lastSequence.rawValue
        isTransactional = header.isTransactional
    }
}

/// Says that the coordinator has a partition in a producer's transaction, as of some moment: without that a batch that begins
/// the transaction's part in the partition is refused, for nobody would end it. Source: KIP-890.
public struct TransactionGuard: Sendable, Equatable {
    /// The log's end before the coordinator was asked: a marker of the producer behind it says that the transaction has
    /// ended since.
    let logEndOffset: Int64
    /// The producer bumps its epoch with every transaction, so a new one begins with sequence 0.
    let isVersion2: Bool
}
