public import ByteBuffers

/// What many records have in common, encoded once: the key and the headers. `RecordBatchBuilder.append(value:like:)` writes
/// records of it.
public struct RecordPattern: ~Copyable {
    /// Length of the key and the key, then the number of headers and the headers.
    @usableFromInline var bytes: ByteWriter
    /// Bytes of the first part.
    @usableFromInline var keyCount = 0

    /// The pattern of records without key and headers; its memory serves for any number of patterns after each other.
    public init(capacity: Int = 256) {
        bytes = ByteWriter(capacity: capacity)
        set(key: nil, headers: UnsafeRawBufferPointer(start: nil, count: 0), headerCount: 0)
    }

    /// Bytes that each record takes beside its value and the lengths in front of it.
    public var count: Int { bytes.count }

    /// `headers` are encoded (`EncodedRecordHeaders`), `headerCount` of them.
    public mutating func set(key: UnsafeRawBufferPointer?, headers: UnsafeRawBufferPointer, headerCount: Int32) {
        bytes.removeAll()
        bytes.varint(Int32(key?.count ?? -1))
        if let key { bytes.bytes(key) }
        keyCount = bytes.count
        bytes.varint(headerCount)
        bytes.bytes(headers)
    }

    /// Writes the last `count` bytes of the last header's value anew, for all records to come.
    public mutating func setEnd(count: Int, _ write: (UnsafeMutableRawPointer) -> Void) {
        precondition(count <= bytes.count - keyCount, "more than the headers")
        bytes.truncate(to: bytes.count - count)
        write(bytes.append(uninitialized: count))
    }
}

extension RecordBatchBuilder {
    /// Appends one record of `value` with the pattern's key and headers. The result is where the record ends: what differs
    /// in the last header's value may be written before it, until the next change of the builder.
    @inlinable
    public mutating func append(
        value: UnsafeRawBufferPointer, like pattern: borrowing RecordPattern, timestampMs: Int64
    ) -> UnsafeMutableRawPointer {
        let delta = Int64(lastOffsetDelta + 1)
        let first = baseTimestampMs ?? timestampMs
        let timestampDelta = timestampMs &- first
        let shared = pattern.bytes.bytes
        // The attributes byte, then the fields in the order they are written below.
        let body =
            1 &+ Varint.size(timestampDelta) &+ Varint.size(delta) &+ Varint.size(Int64(value.count)) &+ value.count
            &+ shared.count
        let total = Varint.size(Int64(body)) &+ body
        if capacity &- count < total { grow(total) }

        var at = base + count
        Varint.writeShort(Int64(body), to: &at)
        at.storeBytes(of: 0, as: UInt8.self)
        at += 1
        Varint.writeShort(timestampDelta, to: &at)
        Varint.writeShort(delta, to: &at)
        guard let source = shared.baseAddress else { preconditionFailure("a pattern holds two lengths at least") }
        Self.copyShort(source, pattern.keyCount, to: &at)
        Varint.writeShort(Int64(value.count), to: &at)
        if let bytes = value.baseAddress { Self.copyShort(bytes, value.count, to: &at) }
        Self.copyShort(source + pattern.keyCount, shared.count &- pattern.keyCount, to: &at)
        assert(at == base + count + total)
        appended(total, delta: Int32(truncatingIfNeeded: delta), first: first, timestampMs: timestampMs)
        return at
    }

    /// Copies without a call when there are few bytes: the last sixteen overlap those before.
    @inlinable @inline(__always)
    static func copyShort(_ source: UnsafeRawPointer, _ count: Int, to at: inout UnsafeMutableRawPointer) {
        typealias Piece = SIMD16<UInt8>
        if count >= 16, count <= 256 {
            var done = 0
            while done &+ 16 < count {
                let piece = source.loadUnaligned(fromByteOffset: done, as: Piece.self)
                at.storeBytes(of: piece, toByteOffset: done, as: Piece.self)
                done &+= 16
            }
            let last = count &- 16
            let piece = source.loadUnaligned(fromByteOffset: last, as: Piece.self)
            at.storeBytes(of: piece, toByteOffset: last, as: Piece.self)
        } else if count == 1 {
            at.storeBytes(of: source.load(as: UInt8.self), as: UInt8.self)
        } else {
            at.copyMemory(from: source, byteCount: count)
        }
        at += count
    }

    /// Takes memory for a batch of `size` bytes at once, header included, instead of by doubling.
    public mutating func reserve(_ size: Int) {
        if capacity < size { grow(size - count) }
    }
}
