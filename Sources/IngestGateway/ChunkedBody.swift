import ByteBuffers
import HTTPWire

/// A chunked body while it arrives: the bytes so far in one piece of memory that grows with them.
final class ChunkedBody {
    var decoder: ChunkedDecoder
    private var chunk: Chunk?
    /// Bytes of the body so far.
    private(set) var count = 0
    /// More than so many bytes are not collected.
    let longest: Int
    /// What is longer is taken in windows.
    let becomesWindows: Bool

    static let firstCapacity = 16 << 10

    init(maxBody: Int, becomesWindows: Bool = false) {
        longest = maxBody
        self.becomesWindows = becomesWindows
        decoder = ChunkedDecoder(maxBody: becomesWindows ? .max : maxBody)
    }

    /// Returns by how many bytes the memory will grow to take `length` more.
    func growth(for length: Int) -> Int {
        let capacity = chunk?.capacity ?? 0
        return count + length <= capacity ? 0 : self.capacity(for: count + length, after: capacity) - capacity
    }

    /// It doubles, up to the longest body: a peer's share of the memory has room for one of those, and not for twice that.
    private func capacity(for needed: Int, after capacity: Int) -> Int {
        max(needed, min(max(Self.firstCapacity, capacity * 2), longest))
    }

    func append(_ bytes: UnsafeRawBufferPointer, pool: ChunkPool) {
        let capacity = chunk?.capacity ?? 0
        if count + bytes.count > capacity {
            let larger = pool.chunk(atLeast: self.capacity(for: count + bytes.count, after: capacity))
            if let chunk { larger.base.copyMemory(from: chunk.base, byteCount: count) }
            chunk = larger
        }
        if let source = bytes.baseAddress { (chunk!.base + count).copyMemory(from: source, byteCount: bytes.count) }
        count += bytes.count
    }

    /// Returns what has arrived.
    func slice(pool: ChunkPool) -> ByteSlice {
        ByteSlice(chunk: chunk ?? pool.chunk(atLeast: 1), offset: 0, count: count)
    }
}
