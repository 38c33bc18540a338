import ByteBuffers
import KafkaModel
import RecordFormat

/// What can still be told from a journal frame whose checksum does not match. Each entry's header has a check of its
/// own, and a record batch its CRC, so a single damaged place costs one entry.
struct JournalSalvage {
    /// Entries that are whole, in their order.
    var entries: [JournalFormat.Entry] = []
    /// A batch that is damaged: whose it was, and the offset that it began with.
    struct Lost {
        var partition: TopicPartition
        var baseOffset: Int64
        /// As in `JournalFormat.Entry`.
        var truncations: UInt32
    }

    var lost: [Lost] = []
    /// Something stood there of which the partition cannot be told.
    var hasUnknown = false

    var isComplete: Bool { lost.isEmpty && !hasUnknown }

    /// Bytes of an entry's header.
    private let headerSize: Int

    /// Looks through the bytes of a frame, from its first byte to where the next one begins.
    init(_ frame: UnsafeRawBufferPointer) {
        headerSize = Self.entryHeaderSize(in: frame)
        guard let base = frame.baseAddress else { return }
        var at = JournalFormat.headerSize
        while at + headerSize <= frame.count {
            guard let entry = entry(base + at, room: frame.count - at) else {
                // Behind the last entry the block is filled with zeros. Anything else is an entry that is damaged.
                if let next = next(in: frame, after: at) {
                    hasUnknown = true
                    at = next
                    continue
                }
                hasUnknown = hasUnknown || !Self.isZero(frame, from: at)
                return
            }
            switch entry.kind {
            case .logStart: entries.append(entry)
            case .batch:
                if Self.isWhole(entry) {
                    entries.append(entry)
                } else {
                    lost.append(
                        Lost(
                            partition: entry.partition, baseOffset: entry.value, truncations: entry.truncations))
                }
            }
            at += headerSize + entry.bytes.count
        }
        hasUnknown = hasUnknown || !Self.isZero(frame, from: at)
    }

    /// The size that the frame's version says. Where the version is what is damaged, the size with which the first entry's
    /// check matches.
    private static func entryHeaderSize(in frame: UnsafeRawBufferPointer) -> Int {
        guard let base = frame.baseAddress, frame.count >= JournalFormat.headerSize + JournalFormat.entryHeaderSize
        else {
            return JournalFormat.entryHeaderSize
        }
        let version = UInt16(bigEndian: base.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
        if let size = JournalFormat.entryHeaderSize(ofVersion: version) { return size }
        let first = base + JournalFormat.headerSize
        let check = UInt16(bigEndian: first.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        let old = JournalFormat.entryHeaderSize(ofVersion: 1)!
        return check == JournalFormat.entryCheck(first, size: old) ? old : JournalFormat.entryHeaderSize
    }

    /// The entry that begins at `base`, when its header's check says that one does.
    private func entry(_ base: UnsafeRawPointer, room: Int) -> JournalFormat.Entry? {
        guard room >= headerSize,
            let kind = JournalFormat.Kind(rawValue: base.load(as: UInt8.self)),
            UInt16(bigEndian: base.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
                == JournalFormat.entryCheck(base, size: headerSize)
        else { return nil }
        let length = Int(UInt32(bigEndian: base.loadUnaligned(fromByteOffset: 32, as: UInt32.self)))
        guard length <= room - headerSize else { return nil }
        return JournalFormat.Entry(
            kind: kind,
            partition: TopicPartition(
                topicID: TopicID(
                    high: UInt64(bigEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
                    low: UInt64(bigEndian: base.loadUnaligned(fromByteOffset: 16, as: UInt64.self))),
                partitionIndex: Int32(bigEndian: base.loadUnaligned(fromByteOffset: 4, as: Int32.self))),
            value: Int64(bigEndian: base.loadUnaligned(fromByteOffset: 24, as: Int64.self)),
            truncations: headerSize >= JournalFormat.entryHeaderSize
                ? UInt32(bigEndian: base.loadUnaligned(fromByteOffset: 36, as: UInt32.self)) : 0,
            bytes: UnsafeRawBufferPointer(start: base + headerSize, count: length))
    }

    /// Whether a batch is what was written, the bytes outside of its own CRC included.
    private static func isWhole(_ entry: JournalFormat.Entry) -> Bool {
        guard entry.bytes.count >= RecordBatchHeader.size, let base = entry.bytes.baseAddress else { return false }
        let header = RecordBatchHeader(unchecked: base)
        return header.magic == RecordBatchHeader.currentMagic && header.totalSize == entry.bytes.count
            && header.baseOffset.rawValue == entry.value && header.partitionLeaderEpoch.rawValue >= 0
            && header.computedCRC() == header.crc
    }

    private func next(in frame: UnsafeRawBufferPointer, after at: Int) -> Int? {
        guard let base = frame.baseAddress else { return nil }
        var position = at + 1
        while position + headerSize <= frame.count {
            let kind = base.load(fromByteOffset: position, as: UInt8.self)
            if kind == 1 || kind == 2, let entry = entry(base + position, room: frame.count - position),
                entry.kind == .logStart ? entry.bytes.count == 0 : Self.isWhole(entry)
            {
                return position
            }
            position += 1
        }
        return nil
    }

    private static func isZero(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Bool {
        start >= bytes.count || bytes[start...].allSatisfy { $0 == 0 }
    }
}
