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
    /// The last batch may be followed by what is no damage: zeros that a direct write fills its last block with, and the end
    /// of a write that was torn, which nobody was told of. For `survey`.
    var mayBePadded = false
    var mayBeTorn = false
    /// Largest batch; a length beyond it is damage.
    static let maxBatch = 1 << 30
    /// Largest control batch whose record is read with its header; a marker has about 120 bytes.
    static let maxControlBatch = 4 << 10
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
                // What a marker says is in its record.
                if needsBytes || (header.isControl && total <= Self.maxControlBatch) {
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
}
