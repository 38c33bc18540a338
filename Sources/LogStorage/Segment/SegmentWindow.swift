import ByteBuffers
import Glibc
import RecordFormat
import StorageIO

/// The bytes of a segment's file that a reader has in memory while it goes from batch to batch.
///
/// Either everything from the first batch that is handed out lies in one chunk (`keeps`), or a small window passes over
/// the file: then the bytes are looked at while they are in the processor's cache, and are sent from the file.
struct SegmentWindow {
    let file: any StorageFile
    /// Exclusive: bytes from here on are not read.
    var end: Int64
    let pool: ChunkPool
    let keeps: Bool
    /// Whether a read may wait for the disk. If not, reading bytes outside the page cache throws
    /// `StorageError.wouldWait`.
    let mayWait: Bool
    /// Bytes that one read should bring.
    let preferred: Int
    private(set) var chunk: Chunk
    /// What the chunk holds, by position in the file.
    private var loaded: Range<Int64>

    /// In bytes; small enough to stay in the processor's second cache. 16, 32 and 128 KiB were not told apart from it.
    static let passingSize = 64 << 10

    init(
        _ file: any StorageFile, at position: Int64, end: Int64, keeping maxBytes: Int?, mayWait: Bool, pool: ChunkPool
    ) {
        self.file = file
        self.end = end
        self.pool = pool
        keeps = maxBytes != nil
        self.mayWait = mayWait
        preferred = maxBytes ?? Self.passingSize
        chunk = pool.chunk(atLeast: Int(min(Int64(preferred), end - position)))
        loaded = position..<position
    }

    /// The header of the batch at `position`, valid until the window moves. With `isFree` the window may move there,
    /// and with `isAlone` nothing else is read. Nil: less than a header is left, or the window is full.
    mutating func header(
        at position: Int64, isFree: Bool, isAlone: Bool
    ) throws(StorageError) -> RecordBatchHeader? {
        guard try hold(RecordBatchHeader.size, at: position, isFree: isFree, isAlone: isAlone) else { return nil }
        return RecordBatchHeader(unchecked: chunk.base + Int(position - loaded.lowerBound))
    }

    /// CRC-32C of the batch of `total` bytes at `position`, whose header was just looked at. Nil: the window is full.
    mutating func crc(of total: Int, at position: Int64, isFree: Bool) throws(StorageError) -> UInt32? {
        if keeps {
            guard try hold(total, at: position, isFree: isFree, isAlone: false) else { return nil }
            return RecordBatchHeader(unchecked: chunk.base + Int(position - loaded.lowerBound)).computedCRC()
        }
        var crc: UInt32 = 0
        var at = position + Int64(RecordBatchHeader.Field.attributes)
        while true {
            let last = min(loaded.upperBound, position + Int64(total))
            crc = CRC32C.checksum(
                UnsafeRawBufferPointer(
                    start: chunk.base + Int(at - loaded.lowerBound), count: Int(last - at)), seed: crc)
            at = last
            if at == position + Int64(total) { return crc }
            // A batch of many windows seldom leaves room for the next one: of that only the header is looked at.
            let rest = Int(position - at) + total
            try load(at: at, upTo: total > preferred ? rest + RecordBatchHeader.size : preferred)
        }
    }

    /// Brings bytes that are to be sent from the file into the page cache, if they are not there.
    mutating func bring(_ range: Range<Int64>) throws(StorageError) {
        if file.isAtHand(from: range.lowerBound, length: range.count) { return }
        guard mayWait else { throw .wouldWait(file.path) }
        var at = range.lowerBound
        while at < range.upperBound {
            try load(at: at, upTo: Int(min(Int64(chunk.capacity), range.upperBound - at)))
            at = loaded.upperBound
        }
    }

    /// `count` bytes from `position` on, valid until the window moves; it may move there. Nil: the segment ends before.
    mutating func bytes(_ count: Int, at position: Int64) throws(StorageError) -> UnsafeRawBufferPointer? {
        guard try hold(count, at: position, isFree: true, isAlone: false) else { return nil }
        return UnsafeRawBufferPointer(start: chunk.base + Int(position - loaded.lowerBound), count: count)
    }

    /// A slice of what the window keeps.
    func slice(_ range: Range<Int64>) -> ByteSlice {
        ByteSlice(chunk: chunk, offset: Int(range.lowerBound - loaded.lowerBound), count: range.count)
    }

    /// Whether these bytes are, or could be brought, into the window.
    private mutating func hold(
        _ count: Int, at position: Int64, isFree: Bool, isAlone: Bool
    ) throws(StorageError) -> Bool {
        if position >= loaded.lowerBound, position + Int64(count) <= loaded.upperBound { return true }
        guard position + Int64(count) <= end, isFree || !keeps else { return false }
        let wanted = isAlone ? count : Int(min(Int64(max(count, preferred)), end - position))
        if wanted > chunk.capacity { chunk = pool.chunk(atLeast: wanted) }
        try load(at: position, upTo: keeps ? chunk.capacity : wanted)
        return true
    }

    private mutating func load(at position: Int64, upTo count: Int) throws(StorageError) {
        let room = UnsafeMutableRawBufferPointer(
            start: chunk.base, count: Int(min(Int64(min(count, chunk.capacity)), end - position)))
        let got = mayWait ? try file.read(into: room, at: position) : try file.readAtOnce(into: room, at: position)
        guard let got else { throw .wouldWait(file.path) }
        guard got == room.count else {
            throw StorageError(.corrupt("byte \(position): the file ends early"), .read, path: file.path)
        }
        loaded = position..<position + Int64(room.count)
    }
}

extension StorageError {
    /// What was to be read without waiting is not at hand.
    static func wouldWait(_ path: String) -> StorageError { StorageError(.io(errno: EAGAIN), .read, path: path) }

    var isWouldWait: Bool { kind == .io(errno: EAGAIN) }
}
