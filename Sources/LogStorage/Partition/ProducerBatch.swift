import KafkaModel
import RecordFormat

/// The identity and sequence of one idempotent batch.
public struct ProducerBatch: Sendable, Equatable {
    public var producerID: Int64
    public var producerEpoch: Int16
    public var baseSequence: Int32
    /// Sequence of the last record, inclusive, wrapped at 2^31 - 1.
    public var lastSequence: Int32

    init(producerID: Int64, producerEpoch: Int16, baseSequence: Int32, lastSequence: Int32) {
        self.producerID = producerID
        self.producerEpoch = producerEpoch
        self.baseSequence = baseSequence
        self.lastSequence = lastSequence
    }

    /// Nil for a batch of a producer that is not idempotent, and for the marker of a transaction, which has no sequence.
    init?(_ header: RecordBatchHeader) {
        guard header.hasProducerID, !header.isControl else { return nil }
        producerID = header.producerID.rawValue
        producerEpoch = header.producerEpoch.rawValue
        baseSequence = header.baseSequence.rawValue
        lastSequence = header.lastSequence.rawValue
    }
}
