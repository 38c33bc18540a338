public import ByteBuffers
public import KafkaModel

/// Checks record batches as they lie in memory: structure, format version, CRC, what their origin may write, and a
/// producer's plain records. Nothing is allocated or decompressed; the cost is that of the CRC and of a walk from record
/// to record. What is inside compressed records is not looked at: `RecordIterator` does that.
public struct RecordBatchValidator: Sendable {
    /// Who wrote the batches, which decides what they may be.
    public enum Origin: Sendable {
        /// A producer: offsets without gaps, at least one record, no control batch, a sequence with a producer ID.
        case client
        /// This broker, another one, or a log: gaps, empty batches (both left by compaction) and control batches.
        case broker
    }

    public var origin: Origin
    /// Bytes of the largest batch allowed (`max.message.bytes`).
    public var maxBatchBytes: Int

    @inlinable
    public init(origin: Origin, maxBatchBytes: Int = Int(Int32.max)) {
        self.origin = origin
        self.maxBatchBytes = maxBatchBytes
    }

    /// Returns the one batch that a produce request may hold for a partition, checked.
    @inlinable
    public func validateSingle(_ bytes: UnsafeRawBufferPointer) throws(RecordBatchError) -> RecordBatchHeader {
        guard bytes.count > 0 else { throw .noBatch }
        let header = try validateFirst(bytes)
        guard header.totalSize == bytes.count else {
            throw .severalBatches(trailingBytes: bytes.count - header.totalSize)
        }
        if origin == .client { try Self.checkRecords(header) }
        return header
    }

    @inlinable
    public func validateSingle(_ slice: ByteSlice) throws(RecordBatchError) -> RecordBatchHeader {
        try validateSingle(slice.bytes)
    }

    /// Returns the batch at the start of `bytes`, checked; others may follow it.
    @inlinable
    public func validateFirst(_ bytes: UnsafeRawBufferPointer) throws(RecordBatchError) -> RecordBatchHeader {
        let header = try RecordBatchHeader.first(in: bytes)
        guard header.totalSize <= maxBatchBytes else {
            throw .tooLarge(size: header.totalSize, limit: maxBatchBytes)
        }
        let computed = header.computedCRC()
        guard computed == header.crc else { throw .corruptCRC(stored: header.crc, computed: computed) }
        try checkFields(header)
        return header
    }

    /// Checks what the header's fields say among themselves. Part of `validateFirst`, for who has checked length and CRC.
    @inlinable
    public func checkFields(_ header: RecordBatchHeader) throws(RecordBatchError) {
        let count = header.recordCount
        let lastDelta = header.lastOffsetDelta
        guard header.attributes.compression != nil else { throw .unknownCompression(header.attributes.codecNumber) }
        switch origin {
        case .client:
            // Offsets of a new batch have no gaps. `lastDelta` of Int32.max would overflow the sum and fit no batch.
            guard count > 0, lastDelta == count &- 1 else {
                throw .invalidRecordCount(recordCount: count, lastOffsetDelta: lastDelta)
            }
            guard !header.attributes.contains(.control) else { throw .controlBatchFromClient }
            guard !header.hasProducerID || header.baseSequence.rawValue >= 0 else {
                throw .invalidSequence(header.baseSequence.rawValue)
            }
        case .broker:
            guard count >= 0, lastDelta >= 0, count &- 1 <= lastDelta else {
                throw .invalidRecordCount(recordCount: count, lastOffsetDelta: lastDelta)
            }
        }
        // A count that the bytes cannot hold would make readers reserve for nothing.
        if header.attributes.codecNumber == Compression.none.rawValue {
            guard Int(count) &* RecordBatchHeader.minimumRecordSize <= header.recordsBytes.count else {
                throw .invalidRecordCount(recordCount: count, lastOffsetDelta: lastDelta)
            }
        }
    }
}

extension RecordBatchHeader {
    /// The shortest record: length, attributes, timestamp and offset deltas, null key, null value, no headers.
    @usableFromInline static let minimumRecordSize = 7

    /// Returns the batch at the start of `bytes`, when its length and format version make sense and all its bytes are
    /// there. CRC and other fields are not checked: enough to walk a log that was checked before.
    @inlinable
    public static func first(in bytes: UnsafeRawBufferPointer) throws(RecordBatchError) -> RecordBatchHeader {
        guard let base = bytes.baseAddress, bytes.count >= size else {
            throw .truncated(needed: size, available: bytes.count)
        }
        let header = RecordBatchHeader(unchecked: base)
        let length = header.batchLength
        guard Int(length) >= size - lengthOverhead else { throw .invalidLength(length) }
        guard header.magic == currentMagic else { throw .unsupportedMagic(header.magic) }
        guard header.totalSize <= bytes.count else {
            throw .truncated(needed: header.totalSize, available: bytes.count)
        }
        return header
    }
}

/// Walks contiguous batches, checking only what walking needs (`RecordBatchHeader.first`) or everything (with a
/// validator). Does not own the bytes.
public struct RecordBatchCursor {
    public let bytes: UnsafeRawBufferPointer
    /// Where the next batch begins, from the start of `bytes`. After an error: where the offending one begins.
    public private(set) var position = 0
    let validator: RecordBatchValidator?

    public init(_ bytes: UnsafeRawBufferPointer, validator: RecordBatchValidator? = nil) {
        self.bytes = bytes
        self.validator = validator
    }

    /// Returns the next batch; `nil` at the end. After a throw the same batch is tried again.
    public mutating func next() throws(RecordBatchError) -> RecordBatchHeader? {
        guard position < bytes.count else { return nil }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
        let header =
            if let validator { try validator.validateFirst(rest) } else { try RecordBatchHeader.first(in: rest) }
        position += header.totalSize
        return header
    }
}
