public import KafkaModel

/// The 61-byte header of a v2 record batch, read in place, and the batch behind it. Source: KIP-98.
///
/// It does not own the bytes: whoever makes one keeps them alive and has checked that a whole batch lies at `base`
/// (`RecordBatchValidator` and `RecordBatchCursor` do). Reading a field is a load and a byte swap; nothing is copied.
public struct RecordBatchHeader {
    /// Byte positions from the start of the batch.
    public enum Field {
        public static let baseOffset = 0
        public static let batchLength = 8
        public static let partitionLeaderEpoch = 12
        public static let magic = 16
        public static let crc = 17
        public static let attributes = 21
        public static let lastOffsetDelta = 23
        public static let baseTimestamp = 27
        public static let maxTimestamp = 35
        public static let producerID = 43
        public static let producerEpoch = 51
        public static let baseSequence = 53
        public static let recordCount = 57
        public static let records = 61
    }

    /// Bytes of the header.
    public static let size = Field.records
    /// Bytes before those that `batchLength` counts: the base offset and the length itself.
    public static let lengthOverhead = Field.partitionLeaderEpoch
    /// The only format version there is here; 0 and 1 ended with Kafka 4.0 (KIP-724).
    public static let currentMagic: Int8 = 2

    public let base: UnsafeRawPointer

    /// The header at `base`, which must be the start of a batch whose bytes are all there.
    @inlinable public init(unchecked base: UnsafeRawPointer) { self.base = base }

    @inlinable
    func load<T: FixedWidthInteger & BitwiseCopyable>(_ position: Int, as type: T.Type = T.self) -> T {
        T(bigEndian: base.loadUnaligned(fromByteOffset: position, as: T.self))
    }

    @inlinable public var baseOffset: Offset { Offset(load(Field.baseOffset)) }
    /// Bytes after this field, as the batch claims.
    @inlinable public var batchLength: Int32 { load(Field.batchLength) }
    /// Bytes of the whole batch, header included.
    @inlinable public var totalSize: Int { Int(batchLength) &+ Self.lengthOverhead }
    @inlinable public var partitionLeaderEpoch: LeaderEpoch { LeaderEpoch(load(Field.partitionLeaderEpoch)) }
    @inlinable public var magic: Int8 { load(Field.magic) }
    /// CRC-32C of everything from the attributes to the end of the batch, as the batch claims.
    @inlinable public var crc: UInt32 { load(Field.crc) }
    @inlinable public var attributes: RecordBatchAttributes { RecordBatchAttributes(rawValue: load(Field.attributes)) }
    @inlinable public var lastOffsetDelta: Int32 { load(Field.lastOffsetDelta) }
    /// Offset of the last record, inclusive.
    @inlinable public var lastOffset: Offset { Offset(load(Field.baseOffset) &+ Int64(lastOffsetDelta)) }
    /// Milliseconds since 1970; each record's timestamp is relative to it. With `RecordBatchAttributes.deleteHorizon` it is
    /// the time from which compaction may drop this batch's tombstones (KIP-534).
    @inlinable public var baseTimestampMs: Int64 { load(Field.baseTimestamp) }
    /// The greatest timestamp of the records; with `usesLogAppendTime` the timestamp of all of them.
    @inlinable public var maxTimestampMs: Int64 { load(Field.maxTimestamp) }
    @inlinable public var producerID: ProducerID { ProducerID(load(Field.producerID)) }
    @inlinable public var producerEpoch: ProducerEpoch { ProducerEpoch(load(Field.producerEpoch)) }
    @inlinable public var baseSequence: Sequence32 { Sequence32(load(Field.baseSequence)) }
    /// Sequence of the last record, wrapped; `.none` when the batch has no sequence.
    @inlinable
    public var lastSequence: Sequence32 {
        let first = baseSequence
        return first == .none ? .none : first.advanced(by: lastOffsetDelta)
    }
    /// Records in the batch, as it claims; compaction may leave fewer than `lastOffsetDelta + 1`, even none.
    @inlinable public var recordCount: Int32 { load(Field.recordCount) }

    /// Whether a producer session (idempotent or transactional) wrote this.
    @inlinable public var hasProducerID: Bool { producerID.rawValue >= 0 }
    @inlinable public var isTransactional: Bool { attributes.contains(.transactional) }
    @inlinable public var isControl: Bool { attributes.contains(.control) }

    /// The whole batch.
    @inlinable public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: totalSize) }
    /// The records, compressed as the attributes say.
    @inlinable
    public var recordsBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + Field.records, count: totalSize &- Field.records)
    }

    /// Computes the CRC-32C of what is there.
    @inlinable
    public func computedCRC() -> UInt32 {
        CRC32C.checksum(
            UnsafeRawBufferPointer(start: base + Field.attributes, count: totalSize &- Field.attributes))
    }
}

// MARK: - Patching

extension RecordBatchHeader {
    @inlinable
    static func store<T: FixedWidthInteger & BitwiseCopyable>(
        _ value: T, _ position: Int, at base: UnsafeMutableRawPointer
    ) {
        base.storeBytes(of: value.bigEndian, toByteOffset: position, as: T.self)
    }

    /// Assigns the batch's place in its partition. Both fields lie before what the CRC covers, so it stays valid.
    @inlinable
    public static func assign(
        baseOffset: Offset, partitionLeaderEpoch: LeaderEpoch, at base: UnsafeMutableRawPointer
    ) {
        store(baseOffset.rawValue, Field.baseOffset, at: base)
        store(partitionLeaderEpoch.rawValue, Field.partitionLeaderEpoch, at: base)
    }

    /// Gives every record of the batch the broker's time (`message.timestamp.type=LogAppendTime`): sets the maximum
    /// and the attribute and computes the CRC again, over the whole batch.
    public static func setLogAppendTime(_ milliseconds: Int64, at base: UnsafeMutableRawPointer) {
        let header = RecordBatchHeader(unchecked: UnsafeRawPointer(base))
        store(milliseconds, Field.maxTimestamp, at: base)
        store(header.attributes.union(.logAppendTime).rawValue, Field.attributes, at: base)
        updateCRC(at: base)
    }

    /// Stores the CRC of what is there, after a change of anything from the attributes on.
    public static func updateCRC(at base: UnsafeMutableRawPointer) {
        store(RecordBatchHeader(unchecked: UnsafeRawPointer(base)).computedCRC(), Field.crc, at: base)
    }
}
