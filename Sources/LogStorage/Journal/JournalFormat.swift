import ByteBuffers
import KafkaModel
import RecordFormat

/// The journal's form on disk, format version 2.
///
/// A journal file is a fixed number of bytes, written before it is first used, and used again and again. It holds frames,
/// each beginning at a multiple of 4 KiB, so that one aligned write makes one frame:
///
/// ```
/// frame   "MRJF" | version u16 | 0 u16 | generation u64 | sequence u64 | commit u64 | payloadLength u32 |
///         entryCount u32 | CRC-32C u32 (of the header with this field 0, and the payload) | zeros to 64 bytes
///         payload, zeros to the next multiple of 4 KiB
/// entry   kind u8 | 0 u8 | check u16 | partitionIndex i32 | topicID 16 bytes | value i64 | length u32 |
///         truncations u32 | length bytes
///         check: the lower half of the CRC-32C of these 40 bytes with the check 0
///         kind 1: a record batch, `value` is its base offset
///         kind 2: the log start was moved to `value` (DeleteRecords); length 0
/// ```
/// `truncations` says how often the partition's log had been truncated when the entry was queued. An offset alone does not
/// say which batch it names: after a truncation the journal still holds batches of the log that was given up, at offsets that
/// other batches have now. An entry with a lower count than the partition's is void (see `Checkpoint.Entry.truncations`).
///
/// Version 1 had no `truncations`: its entry headers end with the length, and count as 0. It is read and not written. A frame
/// tells its version. An older program would take a frame of version 2 for a torn one; a checkpoint of version 2 keeps it from
/// the folder, and is there before a frame is written that has anything of its own (see `LogStore.recover`).
///
/// Invariants: `generation` grows with each use of any file and is the same in all frames of one use; `sequence` grows by
/// one from frame to frame; frames of one group commit share `commit`. A commit is begun only when the one before it is
/// on disk, so a valid frame of commit c + 2 proves that commit c + 1 was whole: damage, not a torn end.
enum JournalFormat {
    static let magic: UInt32 = 0x4d52_4a46
    static let version: UInt16 = 2
    static let block = 4096
    static let headerSize = 64
    static let entryHeaderSize = 40
    /// Largest frame, header and padding included. Runs too long for it are written through to their segment.
    static let maxFrame = 1 << 20

    enum Kind: UInt8 {
        case batch = 1
        case logStart = 2
    }

    /// Bytes of an entry's header; nil for a version that this program does not know.
    static func entryHeaderSize(ofVersion version: UInt16) -> Int? {
        switch version {
        case 1: 36
        case 2: entryHeaderSize
        default: nil
        }
    }

    struct Header: Equatable {
        /// The version that it was written in.
        var version = JournalFormat.version
        var generation: UInt64
        var sequence: UInt64
        var commit: UInt64
        var payloadLength: UInt32
        var entryCount: UInt32

        var frameSize: Int { JournalFormat.padded(JournalFormat.headerSize + Int(payloadLength)) }
    }

    static func padded(_ length: Int) -> Int { (length + block - 1) & ~(block - 1) }

    private static let crcField = 44

    /// Completes a frame whose payload stands at `base + headerSize`; gives its padded length.
    static func seal(_ header: Header, at base: UnsafeMutableRawPointer) -> Int {
        let used = headerSize + Int(header.payloadLength)
        let size = padded(used)
        (base + used).initializeMemory(as: UInt8.self, repeating: 0, count: size - used)
        base.initializeMemory(as: UInt8.self, repeating: 0, count: headerSize)
        base.storeBytes(of: magic.bigEndian, as: UInt32.self)
        base.storeBytes(of: header.version.bigEndian, toByteOffset: 4, as: UInt16.self)
        base.storeBytes(of: header.generation.bigEndian, toByteOffset: 8, as: UInt64.self)
        base.storeBytes(of: header.sequence.bigEndian, toByteOffset: 16, as: UInt64.self)
        base.storeBytes(of: header.commit.bigEndian, toByteOffset: 24, as: UInt64.self)
        base.storeBytes(of: header.payloadLength.bigEndian, toByteOffset: 32, as: UInt32.self)
        base.storeBytes(of: header.entryCount.bigEndian, toByteOffset: 36, as: UInt32.self)
        let crc = CRC32C.checksum(UnsafeRawBufferPointer(start: base, count: used))
        base.storeBytes(of: crc.bigEndian, toByteOffset: crcField, as: UInt32.self)
        return size
    }

    /// The frame at the start of `bytes`, or nil when there is no whole and undamaged one.
    static func open(_ bytes: UnsafeRawBufferPointer) -> Header? {
        guard bytes.count >= headerSize, let base = bytes.baseAddress else { return nil }
        let version = UInt16(bigEndian: base.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
        guard UInt32(bigEndian: base.loadUnaligned(as: UInt32.self)) == magic,
            entryHeaderSize(ofVersion: version) != nil
        else { return nil }
        let header = Header(
            version: version,
            generation: UInt64(bigEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            sequence: UInt64(bigEndian: base.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
            commit: UInt64(bigEndian: base.loadUnaligned(fromByteOffset: 24, as: UInt64.self)),
            payloadLength: UInt32(bigEndian: base.loadUnaligned(fromByteOffset: 32, as: UInt32.self)),
            entryCount: UInt32(bigEndian: base.loadUnaligned(fromByteOffset: 36, as: UInt32.self)))
        let used = headerSize + Int(header.payloadLength)
        guard used <= maxFrame, used <= bytes.count else { return nil }
        let stored = UInt32(bigEndian: base.loadUnaligned(fromByteOffset: crcField, as: UInt32.self))
        let zero: UInt32 = 0
        var crc = CRC32C.checksum(UnsafeRawBufferPointer(start: base, count: crcField))
        crc = withUnsafeBytes(of: zero) { CRC32C.checksum($0, seed: crc) }
        crc = CRC32C.checksum(
            UnsafeRawBufferPointer(start: base + crcField + 4, count: used - crcField - 4), seed: crc)
        return crc == stored ? header : nil
    }

    static func writeEntryHeader(
        _ kind: Kind, _ partition: TopicPartition, value: Int64, length: Int, truncations: UInt32,
        at base: UnsafeMutableRawPointer
    ) {
        base.storeBytes(of: (UInt32(kind.rawValue) << 24).bigEndian, as: UInt32.self)
        base.storeBytes(of: partition.partitionIndex.bigEndian, toByteOffset: 4, as: Int32.self)
        base.storeBytes(of: partition.topicID.high.bigEndian, toByteOffset: 8, as: UInt64.self)
        base.storeBytes(of: partition.topicID.low.bigEndian, toByteOffset: 16, as: UInt64.self)
        base.storeBytes(of: value.bigEndian, toByteOffset: 24, as: Int64.self)
        base.storeBytes(of: UInt32(length).bigEndian, toByteOffset: 32, as: UInt32.self)
        base.storeBytes(of: truncations.bigEndian, toByteOffset: 36, as: UInt32.self)
        base.storeBytes(of: entryCheck(base).bigEndian, toByteOffset: 2, as: UInt16.self)
    }

    /// The check of an entry's header of `size` bytes. It tells whose records a damaged frame held.
    static func entryCheck(_ base: UnsafeRawPointer, size: Int = entryHeaderSize) -> UInt16 {
        let zero: UInt16 = 0
        var crc = CRC32C.checksum(UnsafeRawBufferPointer(start: base, count: 2))
        crc = withUnsafeBytes(of: zero) { CRC32C.checksum($0, seed: crc) }
        crc = CRC32C.checksum(UnsafeRawBufferPointer(start: base + 4, count: size - 4), seed: crc)
        return UInt16(truncatingIfNeeded: crc)
    }

    struct Entry {
        var kind: Kind
        var partition: TopicPartition
        var value: Int64
        /// Of the partition's log, when the entry was queued.
        var truncations: UInt32 = 0
        /// The record batch, in place.
        var bytes: UnsafeRawBufferPointer
    }

    /// Walks the entries of an undamaged frame.
    static func entries(of header: Header, in frame: UnsafeRawBufferPointer) throws(DecodeError) -> [Entry] {
        var reader = ByteReader(
            UnsafeRawBufferPointer(rebasing: frame[headerSize..<headerSize + Int(header.payloadLength)]))
        var entries: [Entry] = []
        for _ in 0..<header.entryCount {
            guard let kind = Kind(rawValue: try reader.integer(UInt8.self)) else {
                throw .invalid("journal entry kind", position: reader.position)
            }
            try reader.skip(3)
            // The frame's CRC covers the entries' own checks.
            let index = try reader.int32()
            let topicID = TopicID(high: try reader.integer(), low: try reader.integer())
            let value = try reader.int64()
            let length = try reader.uint32()
            let truncations = header.version >= 2 ? try reader.uint32() : 0
            entries.append(
                Entry(
                    kind: kind, partition: TopicPartition(topicID: topicID, partitionIndex: index), value: value,
                    truncations: truncations, bytes: try reader.bytes(Int(length))))
        }
        return entries
    }
}
