import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

/// What is judged of bytes that are no batch. Recovery acts on it, readers are refused by it, and `millrace log verify` shows
/// it: one judgement for all three.
extension SegmentWalk {
    /// What is in a part of a segment beside whole batches.
    struct Survey {
        enum Tail: Equatable {
            /// A whole batch reaches to the end.
            case batches
            /// From this byte on there is the padding of a direct write.
            case padding(at: Int64)
            /// From this byte on there is the torn end of a write.
            case torn(at: Int64)
            /// The last damaged range reaches to the end.
            case damage
        }

        /// By ascending position.
        var damage: [DamagedRange] = []
        var tail = Tail.batches
    }

    /// Returns these rules as they hold for the part of a segment that a checkpoint vouches for. `limit` is the offset that
    /// follows the part's last batch. `isWhole`: the part is a closed segment's whole file, whose padding may not be cut yet.
    func vouched(_ segmentBase: Int64, limit: Int64, isWhole: Bool) -> SegmentWalk {
        var walk = self
        walk.offsetLimit = min(limit, Segment.offsetLimit(of: segmentBase))
        walk.mayBePadded = isWhole
        return walk
    }

    /// Returns these rules as they hold for what no checkpoint vouches for. `next` is the base offset of the segment behind, if
    /// there is one. `isRebuilt`: a checkpoint did vouch, and is lost. Then anything but the very end of the log may have been
    /// acknowledged, and is not taken for torn.
    func unvouched(_ segmentBase: Int64, next: Int64?, isRebuilt: Bool) -> SegmentWalk {
        var walk = self
        walk.offsetLimit = min(next ?? .max, Segment.offsetLimit(of: segmentBase))
        walk.mayBePadded = true
        walk.mayBeTorn = !isRebuilt || next == nil
        return walk
    }

    /// Walks like `run` but goes on behind damage: calls `body` with each whole batch, and returns what stands between them
    /// and behind the last. `limit` is the offset that follows the last batch before `end`; nil: not known, and a damaged last
    /// batch is believed how many offsets it has.
    func survey(
        _ file: any StorageFile, segmentBase: Int64, from start: Int64, to end: Int64, expected: inout Int64?,
        limit: Int64?, pool: ChunkPool, read: inout Int64,
        accepted: ((UnsafeRawBufferPointer, Int64) throws(StorageError) -> Void)? = nil,
        _ body: (RecordBatchHeader, Int64) -> Void
    ) throws(StorageError) -> Survey {
        var survey = Survey()
        var position = start
        while case .broken(let at) = try run(
            file, from: position, to: end, expected: &expected, pool: pool, read: &read, accepted: accepted, body)
        {
            if mayBePadded, try Self.isPadding(file, from: at, to: end) {
                survey.tail = .padding(at: at)
                return survey
            }
            if mayBeTorn, try Self.isTorn(file, from: at, to: end) {
                survey.tail = .torn(at: at)
                return survey
            }
            let next = try resume(file, after: at, to: end, expected: expected, pool: pool)
            let base = expected ?? segmentBase
            var follows = next?.baseOffset ?? limit
            if follows == nil { follows = base + (try Self.claimedOffsets(file, at)) }
            let endOffset = max(base, follows!)
            survey.damage.append(
                DamagedRange(
                    segmentBase: segmentBase, startPosition: at, endPosition: next?.position ?? end, baseOffset: base,
                    endOffset: endOffset, reason: "no whole record batch"))
            expected = endOffset
            guard let next else {
                survey.tail = .damage
                return survey
            }
            position = next.position
        }
        return survey
    }

    /// How many offsets a damaged batch claims to have; 1 where that cannot be.
    private static func claimedOffsets(_ file: any StorageFile, _ position: Int64) throws(StorageError) -> Int64 {
        let head = try file.read(RecordBatchHeader.size, at: position)
        guard head.count == RecordBatchHeader.size else { return 1 }
        let delta = head.withUnsafeBytes { RecordBatchHeader(unchecked: $0.baseAddress!).lastOffsetDelta }
        return delta >= 0 && delta < 1 << 20 ? Int64(delta) + 1 : 1
    }

    /// Returns the first whole batch between `broken` and `end`, or nil when there is none. Looks first where the
    /// broken batch's length says that the next one begins, then at every byte. `expected` is the offset that follows
    /// the batch before the damage.
    private func resume(
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
