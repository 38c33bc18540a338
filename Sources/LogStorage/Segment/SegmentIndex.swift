import ByteBuffers
import RecordFormat
import StorageIO

/// The index of one segment: in memory while the segment grows, in `<baseOffset>.index` once it is closed.
///
/// ```
/// "MLIX" | version u16 | 0 u16 | baseOffset i64 | entryCount u32 | CRC-32C of what follows u32 |
/// segmentSize i64 | maxTimestamp i64 | firstTimestamp i64 | endOffset i64 | abortedCount u32 | 0 u32 (64 bytes)
/// entryCount x { relativeOffset u32, position u32, maxTimestampBefore i64 }
/// abortedCount x { producerID i64, firstOffset i64, lastOffset i64, lastStableOffset i64 }, by lastOffset
/// ```
/// Version 1 had no aborted transactions, and is read.
/// `endOffset` is the offset that follows the batches of `segmentSize`, -1 where it is not known. The index can always be
/// rebuilt from the segment; a reader that finds it wanting does so.
struct SegmentIndex {
    static let headerSize = 64
    /// First byte that the checksum covers. The magic, the base offset and the count before it are checked by value.
    static let checkedFrom = 24
    static let magic: UInt32 = 0x4d4c_4958
    static let version: UInt16 = 2

    private(set) var entries: [IndexEntry] = []
    /// Aborted transactions whose markers are in the segment, by the markers' offsets.
    private(set) var aborted: [AbortedTransaction] = []
    /// Entries when `entries` has been dropped from memory; nil while it is complete.
    private(set) var storedCount: Int?
    private var storedAborted = 0

    /// Aborted transactions after which a segment is closed: 2 MiB of memory.
    static let maxAborted = 1 << 16

    var isInMemory: Bool { storedCount == nil }
    var count: Int { storedCount ?? entries.count }
    var abortedCount: Int { isInMemory ? aborted.count : storedAborted }
    var lastPosition: Int64 { Int64(entries.last?.position ?? 0) }

    mutating func append(_ entry: IndexEntry) {
        precondition(isInMemory, "a stored index does not grow")
        entries.append(entry)
    }

    mutating func append(_ transaction: AbortedTransaction) {
        precondition(isInMemory, "a stored index does not grow")
        aborted.append(transaction)
    }

    mutating func dropFromMemory() {
        storedCount = entries.count
        storedAborted = aborted.count
        entries = []
        aborted = []
    }

    /// Removes entries at or past `position`; used when a torn tail is cut.
    mutating func truncate(toPosition position: Int64) {
        while let last = entries.last, Int64(last.position) >= position { entries.removeLast() }
    }

    /// The last entry at or below `relativeOffset`, of an index in memory.
    func floor(offset relativeOffset: Int64) -> IndexEntry {
        search { Int64($0.relativeOffset) <= relativeOffset }
    }

    /// The last entry before which no batch has a timestamp of `timestamp` or above, of an index in memory.
    func floor(timestamp: Int64) -> IndexEntry {
        search { $0.maxTimestampBefore < timestamp }
    }

    private func search(_ belongs: (IndexEntry) -> Bool) -> IndexEntry {
        precondition(isInMemory, "a stored index is searched in its file")
        let end = entries.partitioningIndex { !belongs($0) }
        return end == 0 ? .origin : entries[end - 1]
    }

    // MARK: File form

    func encode(
        baseOffset: Int64, segmentSize: Int64, maxTimestamp: Int64, firstTimestamp: Int64, endOffset: Int64 = -1
    ) -> [UInt8] {
        var file = ByteWriter(
            capacity: Self.headerSize + entries.count * IndexEntry.encodedSize
                + aborted.count * AbortedTransaction.encodedSize)
        file.uint32(Self.magic)
        file.uint16(Self.version)
        file.uint16(0)
        file.int64(baseOffset)
        file.uint32(UInt32(entries.count))
        file.uint32(0)
        file.int64(segmentSize)
        file.int64(maxTimestamp)
        file.int64(firstTimestamp)
        file.int64(endOffset)
        file.uint32(UInt32(aborted.count))
        while file.count < Self.headerSize { file.int8(0) }
        for entry in entries {
            file.uint32(entry.relativeOffset)
            file.uint32(entry.position)
            file.int64(entry.maxTimestampBefore)
        }
        for transaction in aborted { transaction.encode(to: &file) }
        let crc = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: file.bytes[Self.checkedFrom...]))
        file.overwrite(crc, at: Self.checkedFrom - 4)
        return file.array
    }

    struct Stored {
        var index: SegmentIndex
        var segmentSize: Int64
        var maxTimestamp: Int64
        var firstTimestamp: Int64
        var endOffset: Int64
    }

    /// Reads a file form back; nil when it is damaged, of another segment or of another version.
    static func decode(_ bytes: UnsafeRawBufferPointer, baseOffset: Int64) -> Stored? {
        var reader = ByteReader(bytes)
        do {
            guard try reader.uint32() == magic else { return nil }
            let version = try reader.uint16()
            guard 1...Self.version ~= version else { return nil }
            try reader.skip(2)
            guard try reader.int64() == baseOffset else { return nil }
            let count = Int(try reader.uint32())
            let crc = try reader.uint32()
            let size = try reader.int64()
            let maxTimestamp = try reader.int64()
            let firstTimestamp = try reader.int64()
            let endOffset = try reader.int64()
            let abortedCount = version >= 2 ? Int(try reader.uint32()) : 0
            try reader.skip(headerSize - reader.position)
            guard
                reader.remaining == count * IndexEntry.encodedSize + abortedCount * AbortedTransaction.encodedSize
            else { return nil }
            guard CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[checkedFrom...])) == crc else { return nil }
            var index = SegmentIndex()
            index.entries.reserveCapacity(count)
            for _ in 0..<count {
                index.entries.append(
                    IndexEntry(
                        relativeOffset: try reader.uint32(), position: try reader.uint32(),
                        maxTimestampBefore: try reader.int64()))
            }
            for _ in 0..<abortedCount { index.aborted.append(try AbortedTransaction(from: &reader)) }
            return Stored(
                index: index, segmentSize: size, maxTimestamp: maxTimestamp, firstTimestamp: firstTimestamp,
                endOffset: endOffset)
        } catch {
            return nil
        }
    }
}
