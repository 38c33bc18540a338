import ByteBuffers
public import KafkaModel

/// One record in place. Valid until the iterator that gave it is opened again or ends, and as long as the batch's bytes.
public struct RecordView {
    /// The record's place in its batch, from 0.
    public let index: Int32
    public let offset: Offset
    /// `offset` from the batch's base offset.
    public let offsetDelta: Int32
    /// Milliseconds since 1970: the record's own, or the batch's with `logAppendTime`.
    public let timestampMs: Int64
    /// `nil` for a null key.
    public let key: UnsafeRawBufferPointer?
    /// `nil` for a null value: a tombstone in a compacted topic.
    public let value: UnsafeRawBufferPointer?
    public let headers: RecordHeadersView
}

/// Reads a batch's records, decompressing them under a limit and checking every length, offset and count. Nothing is
/// allocated per record, and an iterator keeps its memory from one batch to the next.
///
///     var records = RecordIterator(outputLimit: 64 << 20)
///     try records.open(batch)
///     while let record = try records.next() { … }
///
/// The batch's own bytes (`RecordBatchHeader`) must outlive the reading. The CRC is the validator's affair.
public struct RecordIterator: ~Copyable {
    /// The largest batch read by default, decompressed: some 60 times Kafka's default `max.message.bytes`.
    public static let defaultOutputLimit = 64 << 20

    /// Bytes that a batch's records may have after decompression.
    public let outputLimit: Int
    private let context: CompressionContext
    private var output = ByteWriter(capacity: 16)

    /// What is left of the records: from here to `end`.
    private var at: UnsafeRawPointer
    private var end: UnsafeRawPointer
    private var baseOffset = Offset.zero
    private var baseTimestampMs: Int64 = 0
    /// The timestamp of all records, when the broker set it.
    private var logAppendTimeMs: Int64?
    private var lastOffsetDelta: Int32 = 0
    private var previousDelta: Int32 = -1
    private var recordCount: Int32 = 0
    private var index: Int32 = 0

    public init(
        outputLimit: Int = Self.defaultOutputLimit, context: CompressionContext = CompressionContext()
    ) {
        self.outputLimit = outputLimit
        self.context = context
        at = UnsafeRawPointer(bitPattern: 8)!
        end = at
    }

    /// Bytes that the last compressed batch has taken, decompressed.
    public var outputBytes: Int { output.count }

    /// Begins with the first record of `batch`.
    public mutating func open(_ batch: RecordBatchHeader) throws(RecordBatchError) {
        close()
        let attributes = batch.attributes
        guard let codec = attributes.compression else { throw .unknownCompression(attributes.codecNumber) }
        let count = batch.recordCount
        guard count >= 0 else {
            throw .invalidRecordCount(recordCount: count, lastOffsetDelta: batch.lastOffsetDelta)
        }
        var records = batch.recordsBytes
        if codec != .none, !records.isEmpty {
            output.removeAll()
            do throws(CompressionError) {
                try context.decompress(codec, records, into: &output, outputLimit: outputLimit)
            } catch {
                throw .compression(error)
            }
            records = output.bytes
        }
        at = records.baseAddress!
        end = at + records.count
        baseOffset = batch.baseOffset
        baseTimestampMs = batch.baseTimestampMs
        logAppendTimeMs = attributes.contains(.logAppendTime) ? batch.maxTimestampMs : nil
        lastOffsetDelta = batch.lastOffsetDelta
        previousDelta = -1
        recordCount = count
    }

    /// Returns the next record; `nil` after the last, when the batch's bytes end with it.
    public mutating func next() throws(RecordBatchError) -> RecordView? {
        guard index < recordCount else {
            guard at == end else { throw .trailingBytes(end - at) }
            return nil
        }
        // A local position stays in a register.
        var at = self.at
        // At least the byte of attributes, of which none are defined; then the fields in their order.
        guard let length = Varint.read32(&at, end), length > 0, Int(length) <= end - at else { throw defect(.length) }
        let recordEnd = at + Int(length)
        at += 1
        guard let timestampDelta = Varint.read64(&at, recordEnd), let offsetDelta = Varint.read32(&at, recordEnd),
            let key = Field(&at, recordEnd), let value = Field(&at, recordEnd),
            let headers = RecordHeadersView(walking: &at, recordEnd)
        else { throw defect(.length) }
        guard at == recordEnd else { throw defect(.unusedBytes) }
        guard offsetDelta > previousDelta, offsetDelta <= lastOffsetDelta else { throw defect(.offsetDelta) }
        previousDelta = offsetDelta
        self.at = recordEnd
        defer { index &+= 1 }
        return RecordView(
            index: index, offset: Offset(baseOffset.rawValue &+ Int64(offsetDelta)), offsetDelta: offsetDelta,
            timestampMs: logAppendTimeMs ?? baseTimestampMs &+ timestampDelta, key: key.bytes, value: value.bytes,
            headers: headers)
    }

    /// Reads all remaining records and throws at the first defect. `requiresKeys`: as in a compacted topic. `dense`:
    /// every offset has its record, as producers must send.
    public mutating func verifyRemaining(requiresKeys: Bool = false, dense: Bool = false) throws(RecordBatchError) {
        while let record = try next() {
            if requiresKeys, record.key == nil { throw .invalidRecord(index: record.index, .missingKey) }
            if dense, record.offsetDelta != record.index { throw .invalidRecord(index: record.index, .offsetDelta) }
        }
    }

    /// A key or value: a length, -1 for null, and that many bytes.
    private struct Field {
        let bytes: UnsafeRawBufferPointer?

        /// `nil` when the length is below -1 or passes `end`.
        @inline(__always)
        init?(_ at: inout UnsafeRawPointer, _ end: UnsafeRawPointer) {
            guard let length = Varint.read32(&at, end), length >= -1, Int(length) <= end - at else { return nil }
            guard length >= 0 else {
                bytes = nil
                return
            }
            bytes = UnsafeRawBufferPointer(start: at, count: Int(length))
            at += Int(length)
        }
    }

    /// Nothing to read.
    private mutating func close() {
        index = 0
        recordCount = 0
        at = end
    }

    /// Returns the error for the record at hand; there is nothing to read after it.
    private mutating func defect(_ defect: RecordBatchError.RecordDefect) -> RecordBatchError {
        let error = RecordBatchError.invalidRecord(index: index, defect)
        close()
        return error
    }
}
