import ByteBuffers
public import KafkaModel

/// One record in place. Valid until the iterator that gave it is opened again or ends, and as long as the batch's bytes.
public struct RecordView {
    /// From 0, within its batch.
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

    private var reader = ByteReader(UnsafeRawBufferPointer(start: nil, count: 0))
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
    }

    /// Begins with the first record of `batch`.
    public mutating func open(_ batch: RecordBatchHeader) throws(RecordBatchError) {
        recordCount = 0
        index = 0
        let attributes = batch.attributes
        guard let codec = attributes.compression else { throw .unknownCompression(attributes.codecNumber) }
        let count = batch.recordCount
        guard count >= 0 else {
            throw .invalidRecordCount(recordCount: count, lastOffsetDelta: batch.lastOffsetDelta)
        }
        let stored = batch.recordsBytes
        if codec == .none || stored.isEmpty {
            reader = ByteReader(stored)
        } else {
            output.removeAll()
            do throws(CompressionError) {
                try context.decompress(codec, stored, into: &output, outputLimit: outputLimit)
            } catch {
                throw .compression(error)
            }
            reader = ByteReader(output.bytes)
        }
        baseOffset = batch.baseOffset
        baseTimestampMs = batch.baseTimestampMs
        logAppendTimeMs = attributes.contains(.logAppendTime) ? batch.maxTimestampMs : nil
        lastOffsetDelta = batch.lastOffsetDelta
        previousDelta = -1
        recordCount = count
    }

    /// The next record; `nil` after the last, when the batch's bytes end with it.
    public mutating func next() throws(RecordBatchError) -> RecordView? {
        guard index < recordCount else {
            guard reader.isAtEnd else { throw .trailingBytes(reader.remaining) }
            return nil
        }
        let fields: Fields
        do throws(DecodeError) { fields = try readFields() } catch { throw defect(.length) }
        // Fields are checked against the batch's end while read, and here against the record's.
        guard reader.position <= fields.end else { throw defect(.length) }
        guard reader.position == fields.end else { throw defect(.unusedBytes) }
        guard fields.offsetDelta > previousDelta, fields.offsetDelta <= lastOffsetDelta else {
            throw defect(.offsetDelta)
        }
        previousDelta = fields.offsetDelta
        defer { index += 1 }
        return RecordView(
            index: index, offset: baseOffset + Int64(fields.offsetDelta), offsetDelta: fields.offsetDelta,
            timestampMs: logAppendTimeMs ?? baseTimestampMs &+ fields.timestampDelta, key: fields.key,
            value: fields.value, headers: fields.headers)
    }

    /// Reads all remaining records and throws at the first defect. `requiresKeys`: as in a compacted topic. `dense`:
    /// every offset has its record, as producers must send.
    public mutating func verifyRemaining(requiresKeys: Bool = false, dense: Bool = false) throws(RecordBatchError) {
        while let record = try next() {
            if requiresKeys, record.key == nil { throw .invalidRecord(index: record.index, .missingKey) }
            if dense, record.offsetDelta != record.index { throw .invalidRecord(index: record.index, .offsetDelta) }
        }
    }

    /// A record as it stands, its own length not yet compared.
    private struct Fields {
        var end: Int
        var timestampDelta: Int64
        var offsetDelta: Int32
        var key: UnsafeRawBufferPointer?
        var value: UnsafeRawBufferPointer?
        var headers: RecordHeadersView
    }

    @inline(__always)
    private mutating func readFields() throws(DecodeError) -> Fields {
        let length = Int(try reader.varint())
        let end = reader.position + length
        // Attributes of a record: none are defined.
        try reader.skip(1)
        return Fields(
            end: end, timestampDelta: try reader.varlong(), offsetDelta: try reader.varint(),
            key: try nullableBytes(), value: try nullableBytes(), headers: try walkHeaders())
    }

    /// The error for the record at hand; there is nothing to read after it.
    private mutating func defect(_ defect: RecordBatchError.RecordDefect) -> RecordBatchError {
        let error = RecordBatchError.invalidRecord(index: index, defect)
        recordCount = 0
        reader.position = reader.count
        return error
    }

    private mutating func nullableBytes() throws(DecodeError) -> UnsafeRawBufferPointer? {
        let length = Int(try reader.varint())
        return length == -1 ? nil : try reader.bytes(length)
    }

    private mutating func walkHeaders() throws(DecodeError) -> RecordHeadersView {
        let count = try reader.varint()
        let start = reader.position
        // A header takes at least two bytes.
        guard count >= 0, Int(count) * 2 <= reader.remaining else { throw .invalid("header count", position: start) }
        for _ in 0..<count { _ = try reader.recordHeader() }
        return RecordHeadersView(
            count: count, bytes: UnsafeRawBufferPointer(start: reader.base + start, count: reader.position - start))
    }
}
