internal import ByteBuffers

/// The buffers that all connections of a loop share, so that an idle one holds none.
///
/// Both are written from left to right. As soon as nobody holds a slice any more they begin anew at 0; if slices are
/// held, the rest is used, and then a fresh chunk is taken while the old one returns to the pool with its last slice.
extension EventLoop {
    static var readChunkSize: Int { 256 << 10 }
    /// A read gets at least this much room.
    static var smallestRead: Int { 64 << 10 }
    static var outputChunkSize: Int { 64 << 10 }
    /// An encoded reply above this gets a chunk of its own.
    static var largestPlaced: Int { 16 << 10 }
    /// The scratch writer's memory is given back after a larger reply.
    static var keptScratch: Int { 1 << 20 }

    /// Returns the chunk and offset for the next read, which must be made before `readSpace` is called again.
    func readSpace() -> (Chunk, Int) {
        if readOffset > 0 {
            if isKnownUniquelyReferenced(&readChunk) {
                readOffset = 0
            } else if readChunk.capacity - readOffset < Self.smallestRead {
                readChunk = pool.chunk(atLeast: Self.readChunkSize)
                readOffset = 0
            }
        }
        return (readChunk, readOffset)
    }

    /// Counts the bytes up to `end` as read into the chunk: they are not overwritten while a slice of the chunk is
    /// held.
    func didRead(upTo end: Int) {
        // To the next cache line, so that another thread that reads the slice does not share one with the next read.
        readOffset = min((end + 63) & ~63, readChunk.capacity)
    }

    /// Copies `bytes` to where output is collected.
    func place(_ bytes: UnsafeRawBufferPointer) -> ByteSlice {
        if bytes.count > Self.largestPlaced { return pool.slice(copying: bytes) }
        return place(upTo: bytes.count) { space in
            space.copyMemory(from: bytes)
            return bytes.count
        }
    }

    func place(upTo limit: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Int) -> ByteSlice {
        if limit > Self.largestPlaced {
            let chunk = pool.chunk(atLeast: limit)
            let count = fill(UnsafeMutableRawBufferPointer(start: chunk.base, count: limit))
            precondition(count >= 0 && count <= limit, "filled \(count) of \(limit) bytes")
            return ByteSlice(chunk: chunk, offset: 0, count: count)
        }
        if outputOffset > 0, isKnownUniquelyReferenced(&outputChunk) { outputOffset = 0 }
        if outputChunk.capacity - outputOffset < limit {
            outputChunk = pool.chunk(atLeast: Self.outputChunkSize)
            outputOffset = 0
        }
        let start = outputOffset
        let count = fill(UnsafeMutableRawBufferPointer(start: outputChunk.base + start, count: limit))
        precondition(count >= 0 && count <= limit, "filled \(count) of \(limit) bytes")
        outputOffset = start + count
        return ByteSlice(chunk: outputChunk, offset: start, count: count)
    }

    func trimScratch() {
        if scratch.count > Self.keptScratch { scratch = ByteWriter(capacity: 4096) }
    }
}
