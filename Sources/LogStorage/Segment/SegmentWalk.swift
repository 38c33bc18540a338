import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

/// Walks a segment's batches and finds out where its bytes are not what was written.
///
/// A batch's CRC covers all but its first 21 bytes. Of those, `baseOffset` must follow the batch before (in a log that
/// was never compacted it is the next offset), `batchLength` must lead to the next batch, and `partitionLeaderEpoch` is
/// one that this partition has had.
struct SegmentWalk {
    /// Exclusive upper bound of the segment's offsets.
    var offsetLimit: Int64 = .max
    /// Whether each batch must begin at the offset that follows the batch before it, apart from `gaps`.
    var isContiguous: Bool
    var maxEpoch: Int32 = .max
    /// Gaps that a repair left.
    var gaps: [Range<Int64>] = []
    /// Check each batch's CRC; without it only headers are read, unless all bytes are wanted.
    var verifies: Bool
    /// `body` looks at the bytes behind a header, too.
    var readsWholeBatches = false
    /// Largest batch; a length beyond it is damage.
    static let maxBatch = 1 << 30
    static let window = 1 << 20

    enum End {
        /// Everything up to the end is whole.
        case whole
        /// Nothing whole begins at this byte.
        case broken(at: Int64)
        /// `body` wanted no more.
        case stopped
    }

    /// Whether a header may stand where `expected` is the next offset (nil: not known).
    func accepts(_ header: RecordBatchHeader, expected: Int64?, room: Int64) -> Bool {
        let base = header.baseOffset.rawValue
        let total = header.totalSize
        guard header.magic == RecordBatchHeader.currentMagic, total >= RecordBatchHeader.size,
            Int64(total) <= room, total <= Self.maxBatch, header.lastOffsetDelta >= 0, base >= 0, base < offsetLimit,
            header.lastOffset.rawValue < offsetLimit, header.partitionLeaderEpoch.rawValue >= 0,
            header.partitionLeaderEpoch.rawValue <= maxEpoch
        else { return false }
        guard let expected else { return true }
        if !isContiguous || base == expected { return base >= expected }
        return base > expected && gaps.contains { $0.lowerBound <= expected && base <= $0.upperBound }
    }

    /// Calls `body` with each batch from byte `start` on, and returns where and why the walk ended. `expected` is the
    /// offset of the first batch, if known, and is advanced past each batch. `accepted` is called with the whole
    /// batches of one read at a time, after `body` has seen each of them.
    func run(
        _ file: any StorageFile, from start: Int64, to end: Int64, expected: inout Int64?, pool: ChunkPool,
        read: inout Int64, accepted: ((UnsafeRawBufferPointer, Int64) throws(StorageError) -> Void)? = nil,
        _ body: (RecordBatchHeader, Int64) -> Void
    ) throws(StorageError) -> End {
        try run(
            file, from: start, to: end, expected: &expected, pool: pool, read: &read, accepted: accepted,
            while: { header, position in
                body(header, position)
                return true
            })
    }

    /// Walks like `run(_:from:to:expected:pool:read:accepted:_:)`, and stops when `body` returns false.
    func run(
        _ file: any StorageFile, from start: Int64, to end: Int64, expected: inout Int64?, pool: ChunkPool,
        read: inout Int64, accepted: ((UnsafeRawBufferPointer, Int64) throws(StorageError) -> Void)? = nil,
        while body: (RecordBatchHeader, Int64) -> Bool
    ) throws(StorageError) -> End {
        let needsBytes = verifies || readsWholeBatches
        var position = start
        var window = pool.chunk(atLeast: needsBytes ? Self.window : 64 << 10)
        while position < end {
            let length = Int(min(Int64(window.capacity), end - position))
            let count = try file.read(
                into: UnsafeMutableRawBufferPointer(start: window.base, count: length), at: position)
            read += Int64(count)
            var at = 0
            var needed = RecordBatchHeader.size
            var isBroken = false
            while count - at >= RecordBatchHeader.size {
                let header = RecordBatchHeader(unchecked: window.base + at)
                isBroken = !accepts(header, expected: expected, room: end - position - Int64(at))
                if isBroken { break }
                let total = header.totalSize
                if needsBytes {
                    needed = total
                    if total > count - at { break }
                }
                if verifies {
                    isBroken = header.computedCRC() != header.crc
                    if isBroken { break }
                }
                guard body(header, position + Int64(at)) else { return .stopped }
                expected = header.lastOffset.rawValue + 1
                at += total
                needed = RecordBatchHeader.size
            }
            if at > 0 { try accepted?(UnsafeRawBufferPointer(start: window.base, count: min(at, count)), position) }
            if isBroken { return .broken(at: position + Int64(at)) }
            if at == 0 {
                // Less than a batch is left, or it is larger than the window.
                guard needed > length, count == length, Int64(needed) <= end - position else {
                    return .broken(at: position)
                }
                window = pool.chunk(atLeast: needed)
            }
            position += Int64(at)
        }
        // A batch whose header alone was looked at may reach past the end.
        return position == end ? .whole : .broken(at: end)
    }

    /// Walks like `run` but continues behind damage: calls `body` with each whole batch, and returns the damaged ranges
    /// between them. `limit` is the offset that follows the last batch before `end`.
    func survey(
        _ file: any StorageFile, segmentBase: Int64, from start: Int64, to end: Int64, expected: inout Int64?,
        limit: Int64, pool: ChunkPool, read: inout Int64, _ body: (RecordBatchHeader, Int64) -> Void
    ) throws(StorageError) -> [DamagedRange] {
        var damage: [DamagedRange] = []
        var position = start
        while case .broken(let at) = try run(
            file, from: position, to: end, expected: &expected, pool: pool, read: &read, body)
        {
            let next = try resume(file, after: at, to: end, expected: expected, pool: pool)
            let base = expected ?? segmentBase
            damage.append(
                DamagedRange(
                    segmentBase: segmentBase, startPosition: at, endPosition: next?.position ?? end, baseOffset: base,
                    endOffset: max(base, next?.baseOffset ?? limit), reason: "no whole record batch"))
            guard let next else {
                expected = max(base, limit)
                return damage
            }
            expected = next.baseOffset
            position = next.position
        }
        return damage
    }

    /// Returns the first whole batch between `broken` and `end`, or nil when there is none. Looks first where the
    /// broken batch's length says that the next one begins, then at every byte. `expected` is the offset that follows
    /// the batch before the damage.
    func resume(
        _ file: any StorageFile, after broken: Int64, to end: Int64, expected: Int64?, pool: ChunkPool
    ) throws(StorageError) -> (position: Int64, baseOffset: Int64)? {
        var loose = self
        loose.isContiguous = false
        let head = try file.read(RecordBatchHeader.size, at: broken)
        if head.count == RecordBatchHeader.size {
            let length = head.withUnsafeBytes { RecordBatchHeader(unchecked: $0.baseAddress!).totalSize }
            let next = broken + Int64(max(0, length))
            if length >= RecordBatchHeader.size, length <= Self.maxBatch, next < end,
                let base = try loose.wholeBatch(file, at: next, end, expected, pool)
            {
                return (next, base)
            }
        }
        let chunk = pool.chunk(atLeast: 4 << 20)
        var position = broken + 1
        while position + Int64(RecordBatchHeader.size) <= end {
            let room = UnsafeMutableRawBufferPointer(
                start: chunk.base, count: Int(min(Int64(chunk.capacity), end - position)))
            let count = try file.read(into: room, at: position)
            if count < RecordBatchHeader.size { return nil }
            let last = count - RecordBatchHeader.size
            for at in 0...last {
                // The cheap part first: the magic's place.
                if chunk.base.load(fromByteOffset: at + 16, as: UInt8.self) != 2 { continue }
                let header = RecordBatchHeader(unchecked: chunk.base + at)
                let room = end - position - Int64(at)
                guard loose.accepts(header, expected: expected, room: room) else { continue }
                if let base = try loose.wholeBatch(file, at: position + Int64(at), end, expected, pool) {
                    return (position + Int64(at), base)
                }
            }
            position += Int64(last + 1)
        }
        return nil
    }

    /// The base offset of the batch at byte `position` if it is whole and may stand there.
    private func wholeBatch(
        _ file: any StorageFile, at position: Int64, _ end: Int64, _ expected: Int64?, _ pool: ChunkPool
    ) throws(StorageError) -> Int64? {
        let head = try file.read(RecordBatchHeader.size, at: position)
        guard head.count == RecordBatchHeader.size else { return nil }
        let (isPlausible, total) = head.withUnsafeBytes { raw in
            let header = RecordBatchHeader(unchecked: raw.baseAddress!)
            return (accepts(header, expected: expected, room: end - position), header.totalSize)
        }
        guard isPlausible else { return nil }
        let bytes = try file.read(total, at: position)
        guard bytes.count == total else { return nil }
        return bytes.withUnsafeBytes { raw in
            let header = RecordBatchHeader(unchecked: raw.baseAddress!)
            return header.computedCRC() == header.crc ? header.baseOffset.rawValue : nil
        }
    }

    /// Returns whether the bytes from `start` to `end` can be the torn end of a write: the file ends within the batch
    /// that begins at `start`, or the batch's part of some disk sector is all zero. A batch that reached the disk to
    /// its last sector and does not match its CRC was damaged later.
    static func isTorn(_ file: any StorageFile, from start: Int64, to end: Int64) throws(StorageError) -> Bool {
        let size = try file.size()
        let head = try file.read(RecordBatchHeader.size, at: start)
        guard head.count == RecordBatchHeader.size else { return true }
        let length = head.withUnsafeBytes { RecordBatchHeader(unchecked: $0.baseAddress!).totalSize }
        var limit = end
        if length >= RecordBatchHeader.size, length <= maxBatch {
            if start + Int64(length) > size { return true }
            limit = min(end, max(start + Int64(length), start + 1))
        }
        var position = start
        while position < limit {
            // Whole sectors of the file, the first and the last of them in part.
            let sectorEnd = min((position / sector + 1) * sector, limit)
            let bytes = try file.read(Int(sectorEnd - position), at: position)
            if bytes.allSatisfy({ $0 == 0 }) { return true }
            position = sectorEnd
        }
        return false
    }

    /// Whether all from `start` to the file's end is less than a block, and zero: a direct write fills its last block.
    static func isPadding(_ file: any StorageFile, from start: Int64, to end: Int64) throws(StorageError) -> Bool {
        guard end > start, end - start < block else { return false }
        return try file.read(Int(end - start), at: start).allSatisfy { $0 == 0 }
    }

    private static let block: Int64 = 4096
    /// What a disk writes in one piece.
    private static let sector: Int64 = 512
}
