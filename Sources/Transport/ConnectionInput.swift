public import ByteBuffers

/// The unconsumed bytes of a connection, in place: they live in a pooled chunk, and `take` hands out slices of it
/// without copying.
///
/// A slice keeps its whole chunk from being reused: up to 256 KiB that other connections share for a small frame, its
/// own chunk for a large one. Holding one until the next commit is what they are for; whoever keeps bytes longer
/// copies them.
public struct ConnectionInput {
    @usableFromInline let chunk: Chunk
    /// The first unconsumed byte, from `chunk.base`.
    @usableFromInline var start: Int
    @usableFromInline let end: Int

    /// The length in bytes of the next whole frame, counted from the first unconsumed byte and including all of its
    /// header; 0 when it is not known, so that any further byte is worth a call. `consume` and `take` set it to 0.
    public var needed: Int = 0

    /// Below `needed`: with so many bytes the call is repeated although the frame is not whole, so that a handler can take
    /// account of what arrives. 0: not before the frame is whole. Memory grows towards `needed` either way. `consume` and
    /// `take` set it to 0.
    public var review: Int = 0

    @inlinable
    init(chunk: Chunk, start: Int, end: Int) {
        self.chunk = chunk
        self.start = start
        self.end = end
    }

    /// Bytes that are there.
    @inlinable public var count: Int { end &- start }
    @inlinable public var isEmpty: Bool { end == start }

    /// What is there, in place. Valid during the call that was given this input.
    @inlinable public var readable: UnsafeRawBufferPointer {
        // `start` and `end` are within the chunk: the transport sets them so, and `consume` checks.
        UnsafeRawBufferPointer(start: chunk.base + start, count: end &- start)
    }

    /// Drops the first `count` bytes.
    @inlinable
    public mutating func consume(_ count: Int) {
        precondition(count >= 0 && count <= end &- start, "consumed \(count) of \(end &- start) bytes")
        start &+= count
        (needed, review) = (0, 0)
    }

    /// Drops the first `count` bytes and gives them as a slice that keeps them alive.
    @inlinable
    public mutating func take(_ count: Int) -> ByteSlice {
        precondition(count >= 0 && count <= end &- start, "took \(count) of \(end &- start) bytes")
        let slice = ByteSlice(chunk: chunk, offset: start, count: count)
        start &+= count
        (needed, review) = (0, 0)
        return slice
    }

    /// Returns a slice of bytes without consuming them; `offset` is from the first unconsumed byte.
    @inlinable
    public func slice(_ offset: Int, count: Int) -> ByteSlice {
        precondition(offset >= 0 && count >= 0 && offset &+ count <= end &- start, "slice outside the input")
        return ByteSlice(chunk: chunk, offset: start &+ offset, count: count)
    }
}
