import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

/// Reads the batches of a closed segment in order, each whole and with its CRC checked.
///
/// What may stand where is the decision of the log's `SegmentWalk`, as for readers and recovery. It matters more here than
/// there: a pass writes what it takes for a batch again, and what it copies from damage looks whole afterwards.
struct SegmentReader {
    private var window: SegmentWindow
    private let walk: SegmentWalk
    private let baseOffset: Int64
    /// The offset that follows the last batch.
    private var expected: Int64
    private let end: Int64
    /// Where the next batch begins in the file.
    private(set) var position: Int64 = 0

    static let windowBytes = 1 << 20

    /// `end`: bytes of the file that are the segment.
    init(_ file: any StorageFile, baseOffset: Int64, end: Int64, _ walk: SegmentWalk, pool: ChunkPool) {
        window = SegmentWindow(file, at: 0, end: end, keeping: Self.windowBytes, mayWait: true, pool: pool)
        self.walk = walk
        self.baseOffset = baseOffset
        expected = baseOffset
        self.end = end
    }

    /// The next batch, valid until the next call; nil at the end.
    mutating func next() throws -> RecordBatchHeader? {
        let start = position
        guard start < end else { return nil }
        let claimed = try held { window throws(StorageError) in
            try window.header(at: start, isFree: true, isAlone: false)
        }
        guard let claimed, walk.accepts(claimed, expected: expected, room: end - start) else {
            throw damage("no record batch header")
        }
        let total = claimed.totalSize
        let whole = try held { window throws(StorageError) in try window.bytes(total, at: start) }
        guard let bytes = whole else {
            throw damage("the segment ends within a record batch")
        }
        do {
            let header = try RecordBatchValidator(origin: .broker).validateSingle(bytes)
            position = start + Int64(total)
            expected = header.lastOffset.rawValue + 1
            return header
        } catch {
            throw damage("\(error)")
        }
    }

    /// What the window holds. A file that ends early is damage of this segment, not of the log.
    private mutating func held<Held>(
        _ look: (inout SegmentWindow) throws(StorageError) -> Held
    ) throws -> Held {
        do throws(StorageError) {
            return try look(&window)
        } catch {
            guard case .corrupt(let what) = error.kind else { throw error }
            throw damage(what)
        }
    }

    private func damage(_ what: String) -> CleanerStop {
        .damaged(baseOffset: baseOffset, what: "byte \(position): \(what)")
    }
}
