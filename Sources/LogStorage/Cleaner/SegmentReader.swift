import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

/// Reads the batches of a closed segment in order, each whole and with its CRC checked.
///
/// What may stand where is the decision of the log's `SegmentWalk`, as for readers and recovery. It matters more here than
/// there: a pass writes what it takes for a batch again, and what it copies from damage looks whole afterwards.
struct SegmentReader {
    private let file: any StorageFile
    private let pool: ChunkPool
    private let walk: SegmentWalk
    private let baseOffset: Int64
    /// The offset that follows the last batch.
    private var expected: Int64
    private let end: Int64
    private var window: Chunk
    /// Bytes of the window that are filled, and the batch to be read next.
    private var filled = 0
    private var at = 0
    /// Where the window begins in the file.
    private var start: Int64 = 0
    private(set) var readBytes: Int64 = 0

    static let windowBytes = 1 << 20

    /// `end`: bytes of the file that are the segment.
    init(_ file: any StorageFile, baseOffset: Int64, end: Int64, _ walk: SegmentWalk, pool: ChunkPool) {
        self.file = file
        self.pool = pool
        self.walk = walk
        self.baseOffset = baseOffset
        expected = baseOffset
        self.end = end
        window = pool.chunk(atLeast: Self.windowBytes)
    }

    /// Where the next batch begins in the file.
    var position: Int64 { start + Int64(at) }

    /// The next batch, valid until the next call; nil at the end.
    mutating func next() throws -> RecordBatchHeader? {
        guard position < end else { return nil }
        if filled - at < RecordBatchHeader.size { try fill(atLeast: RecordBatchHeader.size) }
        let claimed = RecordBatchHeader(unchecked: window.base + at)
        guard walk.accepts(claimed, expected: expected, room: end - position) else {
            throw damage("no record batch header")
        }
        let total = claimed.totalSize
        if filled - at < total { try fill(atLeast: total) }
        let bytes = UnsafeRawBufferPointer(start: window.base + at, count: total)
        do {
            let header = try RecordBatchValidator(origin: .broker).validateSingle(bytes)
            at += total
            expected = header.lastOffset.rawValue + 1
            return header
        } catch {
            throw damage("\(error)")
        }
    }

    private func damage(_ what: String) -> CleanerStop {
        .damaged(baseOffset: baseOffset, what: "byte \(position): \(what)")
    }

    /// Moves the batch at hand to the window's start and reads on, so that `needed` bytes are there.
    private mutating func fill(atLeast needed: Int) throws {
        guard position + Int64(needed) <= end else { throw damage("the segment ends within a record batch") }
        let kept = filled - at
        if needed > window.capacity {
            let larger = pool.chunk(atLeast: needed)
            larger.base.copyMemory(from: window.base + at, byteCount: kept)
            window = larger
        } else if kept > 0 {
            window.base.copyMemory(from: window.base + at, byteCount: kept)
        }
        start += Int64(at)
        at = 0
        filled = kept
        let from = start + Int64(kept)
        let length = Int(min(Int64(window.capacity - kept), end - from))
        let count = try file.read(
            into: UnsafeMutableRawBufferPointer(start: window.base + kept, count: length), at: from)
        guard count == length else { throw damage("the file ends early") }
        filled += count
        readBytes += Int64(count)
    }
}
