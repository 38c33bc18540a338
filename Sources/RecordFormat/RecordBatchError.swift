public import KafkaModel

/// What is wrong with a record batch. `errorCode` is what Kafka answers to a producer for it, and `description` the sentence
/// beside it.
public enum RecordBatchError: Error, Equatable, Sendable {
    /// Fewer bytes than a header or than the batch claims. In a log's tail: a torn write. In a fetch: the reply's cut.
    case truncated(needed: Int, available: Int)
    /// `batchLength` is negative or leaves no room for the header.
    case invalidLength(Int32)
    /// The batch has more bytes than allowed.
    case tooLarge(size: Int, limit: Int)
    /// A format version other than 2.
    case unsupportedMagic(Int8)
    case corruptCRC(stored: UInt32, computed: UInt32)
    /// The codec bits hold a number that means nothing.
    case unknownCompression(Int8)
    /// The count is negative, zero where a producer must send records, or does not fit the offsets or the bytes.
    case invalidRecordCount(recordCount: Int32, lastOffsetDelta: Int32)
    /// A producer session without a sequence, or a negative one.
    case invalidSequence(Int32)
    /// A client may not write control batches.
    case controlBatchFromClient
    /// A produce request holds exactly one batch a partition: none came.
    case noBatch
    /// A produce request holds exactly one batch a partition: these bytes follow the first.
    case severalBatches(trailingBytes: Int)
    /// Record number `index` (from 0) breaks the format.
    case invalidRecord(index: Int32, RecordDefect)
    /// Record number `index` has a negative timestamp other than -1, which stands for none.
    case invalidTimestamp(index: Int32, timestampMs: Int64)
    /// Bytes remain after the last record.
    case trailingBytes(Int)
    case compression(CompressionError)

    /// What the format allows a record to be is broken in this way.
    public enum RecordDefect: Sendable {
        /// A field reaches past the record's or the batch's end, or a length is negative where it may not be.
        case length
        /// The record's own length leaves bytes that no field uses.
        case unusedBytes
        /// Offsets do not ascend, or pass `lastOffsetDelta`.
        case offsetDelta
        /// A compacted topic needs a key.
        case missingKey
    }

    /// Kafka's code in the reply to a producer. Source: Kafka's `LogValidator`, `ProduceRequest.validateRecords`.
    public var errorCode: ErrorCode {
        switch self {
        case .truncated, .invalidLength, .corruptCRC, .compression(.corrupt), .compression(.unavailable):
            .corruptMessage
        case .tooLarge, .compression(.outputLimit): .messageTooLarge
        case .unknownCompression: .unsupportedCompressionType
        case .invalidTimestamp: .invalidTimestamp
        case .unsupportedMagic, .invalidRecordCount, .invalidSequence, .controlBatchFromClient, .noBatch,
            .severalBatches, .invalidRecord, .trailingBytes:
            .invalidRecord
        }
    }
}

/// Why a codec gave no result.
public enum CompressionError: Error, Equatable, Sendable {
    /// The bytes are not what the codec writes, or end too early.
    case corrupt(Compression)
    /// More output than the caller allows: perhaps a decompression bomb.
    case outputLimit(Int)
    /// The library could not begin (out of memory).
    case unavailable(Compression)
}
