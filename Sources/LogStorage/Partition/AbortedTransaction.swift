import ByteBuffers
import KafkaModel
public import RecordFormat

/// One aborted transaction, as a `read_committed` reader is told of it: it leaves out this producer's transactional batches
/// from `firstOffset` on, up to the marker at `lastOffset`.
public struct AbortedTransaction: Equatable, Sendable {
    public var producerID: Int64
    public var firstOffset: Int64
    /// Of the marker, inclusive.
    public var lastOffset: Int64
    /// No record below it belongs to a transaction that ended after this one: whoever looks for what reaches into records
    /// below it need look no further.
    public var lastStableOffset: Int64

    /// Whether the records of a batch are this transaction's.
    public func holds(_ batch: RecordBatchHeader) -> Bool {
        producerID == batch.producerID.rawValue && firstOffset <= batch.baseOffset.rawValue
            && batch.baseOffset.rawValue <= lastOffset
    }

    static let encodedSize = 32

    init(producerID: Int64, firstOffset: Int64, lastOffset: Int64, lastStableOffset: Int64) {
        self.producerID = producerID
        self.firstOffset = firstOffset
        self.lastOffset = lastOffset
        self.lastStableOffset = lastStableOffset
    }

    /// What a control batch says; nil unless it is the marker of an aborted transaction that had records. All of the batch
    /// must be in memory.
    init?(marker batch: RecordBatchHeader) {
        guard let (marker, aborted) = Self.read(batch), !marker.isCommit, let aborted else { return nil }
        self.init(
            producerID: batch.producerID.rawValue, firstOffset: aborted.firstOffset,
            lastOffset: batch.lastOffset.rawValue, lastStableOffset: aborted.lastStableOffset)
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        producerID = try reader.int64()
        firstOffset = try reader.int64()
        lastOffset = try reader.int64()
        lastStableOffset = try reader.int64()
    }

    func encode(to writer: inout ByteWriter) {
        writer.int64(producerID)
        writer.int64(firstOffset)
        writer.int64(lastOffset)
        writer.int64(lastStableOffset)
    }

    /// The end of a transaction that a control batch tells of; nil for one that has no record any more, or tells of
    /// something else.
    static func read(_ batch: RecordBatchHeader) -> (EndTransactionMarker, AbortedExtent?)? {
        guard batch.isControl, batch.recordCount > 0, batch.attributes.compression == Compression.none else {
            return nil
        }
        var records = RecordIterator()
        do {
            try records.open(batch)
            guard let record = try records.next(), let marker = EndTransactionMarker(record) else { return nil }
            return (marker, AbortedExtent(record))
        } catch {
            return nil
        }
    }
}
