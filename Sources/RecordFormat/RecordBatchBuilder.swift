public import ByteBuffers
public import KafkaModel

/// Writes records behind the room for a batch header, and then that header. Memory comes from a pool; an uncompressed
/// batch leaves in the memory it was built in.
///
/// One builder makes any number of batches after each other. A batch larger than 2 GiB is our bug: the caller closes a
/// batch by `sizeInBytes` long before.
public struct RecordBatchBuilder: ~Copyable {
    let pool: ChunkPool
    let firstCapacity: Int
    private let context: CompressionContext
    private var chunk: Chunk?
    @usableFromInline var base: UnsafeMutableRawPointer
    @usableFromInline var capacity = 0
    /// Bytes of the batch so far, its header included, before compression.
    public var sizeInBytes: Int { count }
    @usableFromInline var count = RecordBatchHeader.size
    public private(set) var recordCount: Int32 = 0
    /// The first record's timestamp, unless given at `begin`.
    @usableFromInline var baseTimestampMs: Int64?
    @usableFromInline var maxTimestampMs = Int64.min
    @usableFromInline var lastOffsetDelta: Int32 = -1

    /// `capacity`: bytes expected of a batch. `context`: the codecs' memory, to be shared by what runs on one thread.
    public init(
        pool: ChunkPool = .shared, capacity: Int = 4096, context: CompressionContext = CompressionContext()
    ) {
        self.pool = pool
        self.context = context
        firstCapacity = max(capacity, RecordBatchHeader.size)
        // Never read or written: `capacity` is 0.
        base = UnsafeMutableRawPointer(bitPattern: 8)!
    }

    @inlinable public var isEmpty: Bool { count == RecordBatchHeader.size }

    /// Forgets what was appended. With a base timestamp, records are written relative to it instead of to the first
    /// record's: compaction stores the delete horizon there.
    public mutating func begin(baseTimestampMs: Int64? = nil) {
        count = RecordBatchHeader.size
        recordCount = 0
        self.baseTimestampMs = baseTimestampMs
        maxTimestampMs = .min
        lastOffsetDelta = -1
    }

    /// Appends one record. `headers` are encoded (`EncodedRecordHeaders`), `headerCount` of them. `offsetDelta` nil: one
    /// more than the last record's; a given one must ascend (compaction leaves gaps).
    @inlinable
    public mutating func append(
        key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, headers: UnsafeRawBufferPointer,
        headerCount: Int32, timestampMs: Int64, offsetDelta: Int32? = nil
    ) {
        let delta = offsetDelta ?? lastOffsetDelta + 1
        precondition(delta > lastOffsetDelta, "offset delta \(delta) after \(lastOffsetDelta)")
        let first = baseTimestampMs ?? timestampMs
        let timestampDelta = timestampMs &- first
        let keyLength = key?.count ?? -1
        let valueLength = value?.count ?? -1
        // The attributes byte, then the fields in the order they are written below.
        let body =
            1 + Varint.size(timestampDelta) + Varint.size(Int64(delta))
            + Varint.size(Int64(keyLength)) + max(keyLength, 0) + Varint.size(Int64(valueLength)) + max(valueLength, 0)
            + Varint.size(Int64(headerCount)) + headers.count
        let total = Varint.size(Int64(body)) + body
        if capacity - count < total { grow(total) }

        var at = base + count
        Varint.write(Int64(body), to: &at)
        at.storeBytes(of: 0, as: UInt8.self)
        at += 1
        Varint.write(timestampDelta, to: &at)
        Varint.write(Int64(delta), to: &at)
        Varint.write(Int64(keyLength), to: &at)
        Self.copy(key, to: &at)
        Varint.write(Int64(valueLength), to: &at)
        Self.copy(value, to: &at)
        Varint.write(Int64(headerCount), to: &at)
        Self.copy(headers, to: &at)
        assert(at == base + count + total)
        appended(total, delta: delta, first: first, timestampMs: timestampMs)
    }

    /// Appends a record of a key and a value without headers.
    @inlinable
    public mutating func append(key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, timestampMs: Int64) {
        append(
            key: key, value: value, headers: UnsafeRawBufferPointer(start: nil, count: 0), headerCount: 0,
            timestampMs: timestampMs)
    }

    /// Appends a record of a value alone.
    @inlinable
    public mutating func append(value: UnsafeRawBufferPointer, timestampMs: Int64) {
        append(key: nil, value: value, timestampMs: timestampMs)
    }

    /// Appends one record from arrays: for tests, tools and slow paths.
    public mutating func append(
        key: [UInt8]?, value: [UInt8]?, headers: [RecordHeader] = [], timestampMs: Int64, offsetDelta: Int32? = nil
    ) {
        let encoded = EncodedRecordHeaders(headers)
        (key ?? []).withUnsafeBytes { keyBytes in
            (value ?? []).withUnsafeBytes { valueBytes in
                encoded.bytes.withUnsafeBytes { headerBytes in
                    append(
                        key: key == nil ? nil : keyBytes, value: value == nil ? nil : valueBytes, headers: headerBytes,
                        headerCount: encoded.count, timestampMs: timestampMs, offsetDelta: offsetDelta)
                }
            }
        }
    }

    @inlinable
    static func copy(_ source: UnsafeRawBufferPointer?, to at: inout UnsafeMutableRawPointer) {
        guard let source, let start = source.baseAddress, source.count > 0 else { return }
        at.copyMemory(from: start, byteCount: source.count)
        at += source.count
    }

    @usableFromInline
    mutating func appended(_ total: Int, delta: Int32, first: Int64, timestampMs: Int64) {
        count += total
        recordCount += 1
        lastOffsetDelta = delta
        baseTimestampMs = first
        maxTimestampMs = max(maxTimestampMs, timestampMs)
    }

    @usableFromInline
    mutating func grow(_ length: Int) {
        let larger = pool.chunk(atLeast: max(firstCapacity, capacity * 2, count + length))
        if count > RecordBatchHeader.size { larger.base.copyMemory(from: base, byteCount: count) }
        base = larger.base
        capacity = larger.capacity
        chunk = larger
    }
}

extension RecordBatchBuilder {
    /// What the header says beside what the records give.
    public struct Options: Sendable {
        public var compression = Compression.none
        /// `nil`: the codec's default.
        public var compressionLevel: Int32?
        public var snappyFraming = SnappyFraming.xerial
        public var baseOffset = Offset.zero
        public var partitionLeaderEpoch = LeaderEpoch.none
        public var producerID = ProducerID.none
        public var producerEpoch = ProducerEpoch.none
        public var baseSequence = Sequence32.none
        /// Transactional, control, delete horizon; the codec bits are set from `compression`.
        public var attributes: RecordBatchAttributes = []
        /// Gives all records this timestamp in place of their own, and sets the attribute.
        public var logAppendTimeMs: Int64?
        /// The last offset that the batch stands for, where compaction removed the last records. `nil`: the last record's.
        public var lastOffsetDelta: Int32?
        /// For a batch without records: the greatest timestamp of those it had.
        public var emptyMaxTimestampMs: Int64 = -1

        public init() {}

        public init(compression: Compression) { self.compression = compression }
    }

    /// Closes the batch and gives its bytes; the builder is empty again. A batch without records needs
    /// `options.lastOffsetDelta` (compaction keeps such batches for their producer state).
    ///
    /// Throws only if a codec's library fails; the records are kept then, and may be finished in another way.
    public mutating func finish(_ options: Options = Options()) throws(CompressionError) -> ByteSlice {
        let lastDelta = options.lastOffsetDelta ?? lastOffsetDelta
        precondition(lastDelta >= max(lastOffsetDelta, 0), "a batch without records, or a last offset below a record's")
        precondition(count <= Int(Int32.max), "a batch of \(count) bytes")
        if capacity < RecordBatchHeader.size { grow(0) }

        let slice =
            if options.compression == .none || recordCount == 0 {
                ByteSlice(chunk: chunk!, offset: 0, count: count)
            } else {
                try compressed(options)
            }
        writeHeader(options, lastOffsetDelta: lastDelta, at: slice.pointer, size: slice.count)
        if options.compression == .none || recordCount == 0 { releaseMemory() }
        begin()
        return slice
    }

    /// Closes the batch without compression, which cannot fail.
    public mutating func finishUncompressed(_ options: Options = Options()) -> ByteSlice {
        precondition(options.compression == .none)
        do { return try finish(options) } catch { preconditionFailure("no codec ran: \(error)") }
    }

    /// Returns the header's room and the records, compressed. The memory of the plain records stays for the next batch.
    private func compressed(_ options: Options) throws(CompressionError) -> ByteSlice {
        let records = UnsafeRawBufferPointer(
            start: base + RecordBatchHeader.size, count: count - RecordBatchHeader.size)
        let bound = context.bound(options.compression, count: records.count)
        let output = pool.chunk(atLeast: RecordBatchHeader.size + bound)
        let written = try context.compress(
            options.compression, level: options.compressionLevel, snappyFraming: options.snappyFraming, records,
            to: UnsafeMutableRawBufferPointer(start: output.base + RecordBatchHeader.size, count: bound))
        let slice = ByteSlice(chunk: output, offset: 0, count: RecordBatchHeader.size + written)
        // Queues and caches keep the chunk: a mostly empty one is exchanged for one that fits.
        return slice.count * 4 <= output.capacity
            ? withExtendedLifetime(slice) { pool.slice(copying: slice.bytes) } : slice
    }

    private func writeHeader(
        _ options: Options, lastOffsetDelta: Int32, at base: UnsafeMutableRawPointer, size: Int
    ) {
        typealias Field = RecordBatchHeader.Field
        var attributes = options.attributes.with(recordCount == 0 ? .none : options.compression)
        var maximum = recordCount == 0 ? options.emptyMaxTimestampMs : maxTimestampMs
        if let time = options.logAppendTimeMs {
            attributes.insert(.logAppendTime)
            maximum = time
        }
        RecordBatchHeader.store(options.baseOffset.rawValue, Field.baseOffset, at: base)
        RecordBatchHeader.store(Int32(size - RecordBatchHeader.lengthOverhead), Field.batchLength, at: base)
        RecordBatchHeader.store(options.partitionLeaderEpoch.rawValue, Field.partitionLeaderEpoch, at: base)
        RecordBatchHeader.store(RecordBatchHeader.currentMagic, Field.magic, at: base)
        RecordBatchHeader.store(attributes.rawValue, Field.attributes, at: base)
        RecordBatchHeader.store(lastOffsetDelta, Field.lastOffsetDelta, at: base)
        RecordBatchHeader.store(baseTimestampMs ?? -1, Field.baseTimestamp, at: base)
        RecordBatchHeader.store(maximum, Field.maxTimestamp, at: base)
        RecordBatchHeader.store(options.producerID.rawValue, Field.producerID, at: base)
        RecordBatchHeader.store(options.producerEpoch.rawValue, Field.producerEpoch, at: base)
        RecordBatchHeader.store(options.baseSequence.rawValue, Field.baseSequence, at: base)
        RecordBatchHeader.store(recordCount, Field.recordCount, at: base)
        RecordBatchHeader.updateCRC(at: base)
    }

    /// Lets go of the chunk, which now belongs to the slice that was given out.
    private mutating func releaseMemory() {
        chunk = nil
        base = UnsafeMutableRawPointer(bitPattern: 8)!
        capacity = 0
    }
}
