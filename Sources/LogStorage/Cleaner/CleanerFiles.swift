import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

/// Why a pass ended before its end.
enum CleanerStop: Error {
    /// The store stops, or the partition is deleted.
    case asked
    /// Segments were taken away meanwhile: the next pass plans anew.
    case changed
    /// Not enough room on the disk for a second copy.
    case noRoom
    /// The segment at `baseOffset` is not what was written. It stays as it is.
    case damaged(baseOffset: Int64, what: String)
}

/// Reads the batches of a closed segment in order, each whole and with its CRC checked.
struct SegmentReader {
    private let file: any StorageFile
    private let pool: ChunkPool
    private let baseOffset: Int64
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
    init(_ file: any StorageFile, baseOffset: Int64, end: Int64, pool: ChunkPool) {
        self.file = file
        self.pool = pool
        self.baseOffset = baseOffset
        self.end = end
        window = pool.chunk(atLeast: Self.windowBytes)
    }

    /// Where the next batch begins in the file.
    var position: Int64 { start + Int64(at) }

    /// The next batch, valid until the next call; nil at the end.
    mutating func next() throws -> RecordBatchHeader? {
        guard position < end else { return nil }
        if filled - at < RecordBatchHeader.size { try fill(atLeast: RecordBatchHeader.size) }
        let total = RecordBatchHeader(unchecked: window.base + at).totalSize
        guard total >= RecordBatchHeader.size, position + Int64(total) <= end else {
            throw damage("no record batch header")
        }
        if filled - at < total { try fill(atLeast: total) }
        let bytes = UnsafeRawBufferPointer(start: window.base + at, count: total)
        do {
            let header = try RecordBatchValidator(origin: .broker).validateSingle(bytes)
            at += total
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

/// Writes the batches that stay to a file of their own, which takes the place of old segments when it is whole.
struct SegmentWriter {
    let segment: Segment
    private let file: any StorageFile
    private let indexInterval: Int64
    private var buffer: [UInt8] = []
    private var written: Int64 = 0

    static let bufferBytes = 1 << 20

    /// Begins `path` anew.
    init(
        _ fileSystem: any FileSystem, path: String, baseOffset: Int64, indexInterval: Int64
    ) throws(StorageError) {
        file = try fileSystem.open(path, .readWrite(create: true))
        // What an earlier attempt left.
        try file.truncate(to: 0)
        segment = Segment(baseOffset: baseOffset, file: file)
        self.indexInterval = indexInterval
    }

    mutating func append(_ batch: UnsafeRawBufferPointer) throws(StorageError) {
        let header = RecordBatchHeader(unchecked: batch.baseAddress!)
        segment.note(
            batchAt: segment.size, baseOffset: header.baseOffset.rawValue, size: Int64(batch.count),
            maxTimestamp: header.maxTimestampMs, interval: indexInterval)
        buffer.append(contentsOf: batch)
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    private mutating func flush() throws(StorageError) {
        guard !buffer.isEmpty else { return }
        try file.write(buffer, at: written)
        // Spreads the work of the sync at the end.
        file.startWriting(from: written, length: Int64(buffer.count))
        written += Int64(buffer.count)
        buffer.removeAll(keepingCapacity: true)
    }

    /// Everything is on disk, under the name that the file has.
    mutating func finish() throws(StorageError) {
        try flush()
        try file.sync()
        buffer = []
    }
}

/// The names by which an exchange of segments is known, so that recovery can finish it: see <doc:Compaction>.
enum CleanerName {
    /// Being written.
    static func unfinished(_ baseOffset: Int64) -> String { Segment.name(baseOffset, ".cleaned") }

    /// Whole and synced: stands for all segments from `baseOffset` up to `endOffset`, exclusive.
    static func exchange(_ baseOffset: Int64, _ endOffset: Int64) -> String {
        Segment.name(baseOffset, "-") + Segment.name(endOffset, ".swap")
    }

    /// The range in an exchange's name; nil for another name.
    static func range(ofExchange name: String) -> Range<Int64>? {
        guard name.hasSuffix(".swap"), name.utf8.count == 46 else { return nil }
        let parts = name.dropLast(5).split(separator: "-")
        guard parts.count == 2, let base = Int64(parts[0]), let end = Int64(parts[1]), base < end else { return nil }
        return base..<end
    }
}

extension PartitionLog {
    /// Finishes what a stop interrupted, before anything else in the folder is looked at. Gives the names that are
    /// there afterwards. Any step may be repeated.
    func finishExchanges(_ names: [String]) throws(StorageError) -> [String] {
        var isChanged = false
        for name in names {
            if name.hasSuffix(".cleaned") {
                try store.fileSystem.remove(Path.join(folder, name))
                isChanged = true
            } else if let range = CleanerName.range(ofExchange: name) {
                // The process that gave it this name may have died before the name was on disk, and the old files go.
                try store.fileSystem.syncDirectory(folder)
                try replaceFiles(range, of: names)
                isChanged = true
            }
        }
        return isChanged ? try store.fileSystem.list(folder) : names
    }

    /// Removes the files of the segments in `range`, then gives the exchange's file the name of the first. The order
    /// holds after any stop, as each step is on disk before the next.
    func replaceFiles(_ range: Range<Int64>, of names: [String]) throws(StorageError) {
        let fileSystem = store.fileSystem
        for name in names {
            guard name.hasSuffix(".log") || name.hasSuffix(".index"), let base = Int64(name.prefix(20)),
                range.contains(base)
            else { continue }
            try fileSystem.remove(Path.join(folder, name))
        }
        try fileSystem.syncDirectory(folder)
        try fileSystem.rename(
            Path.join(folder, CleanerName.exchange(range.lowerBound, range.upperBound)),
            to: Path.join(folder, Segment.name(range.lowerBound, ".log")))
        try fileSystem.syncDirectory(folder)
    }
}
