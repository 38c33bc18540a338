/// Growing memory that big-endian fields are appended to. Owns its memory; `slice` copies it out, `bytes` shows it.
public struct ByteWriter: ~Copyable {
    @usableFromInline var base: UnsafeMutableRawPointer
    /// Bytes that it has memory for.
    public internal(set) var capacity: Int
    /// Bytes written so far; also the position of the next one.
    public private(set) var count: Int
    private let limit: Int
    /// More was written than the limit allows: what it was is lost, and so is all that is written from then on. Who
    /// writes much looks, and stops.
    public private(set) var isOverLimit = false

    /// - Parameter limit: bytes that it takes at most.
    public init(capacity: Int = 256, limit: Int = .max) {
        self.limit = limit
        self.capacity = max(min(capacity, limit), 16)
        base = .allocate(byteCount: self.capacity, alignment: 16)
        count = 0
    }

    deinit { base.deallocate() }

    /// Forgets the bytes, keeps the memory.
    public mutating func removeAll() { count = 0 }

    /// Takes back everything from `position` on.
    public mutating func truncate(to position: Int) {
        precondition(position >= 0 && position <= count)
        count = position
    }

    /// Takes back the first `length` bytes: what follows is moved to the front, in time that goes with how much that is.
    public mutating func removeFirst(_ length: Int) {
        precondition(length >= 0 && length <= count)
        base.copyMemory(from: base + length, byteCount: count - length)
        count -= length
    }

    /// What was written. Valid until the next change.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }
    public var array: [UInt8] { Array(bytes) }

    /// Makes room for `length` more bytes and gives the place; the caller fills all of it.
    @inlinable
    public mutating func append(uninitialized length: Int) -> UnsafeMutableRawPointer {
        precondition(length >= 0)
        if capacity &- count < length { grow(length) }
        let at = base + count
        advance(length)
        return at
    }

    @usableFromInline mutating func advance(_ length: Int) { count &+= length }

    @usableFromInline
    mutating func grow(_ length: Int) {
        if isOverLimit || length > limit - count {
            // What comes goes over what is lost.
            isOverLimit = true
            count = 0
            if length <= capacity { return }
        }
        let larger = max(min(capacity * 2, limit), count + length)
        let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        moved.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = moved
        capacity = larger
    }

    @inlinable
    public mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
        append(uninitialized: MemoryLayout<T>.size).storeBytes(of: value.bigEndian, as: T.self)
    }

    @inlinable public mutating func int8(_ value: Int8) { integer(value) }
    @inlinable public mutating func int16(_ value: Int16) { integer(value) }
    @inlinable public mutating func uint16(_ value: UInt16) { integer(value) }
    @inlinable public mutating func int32(_ value: Int32) { integer(value) }
    @inlinable public mutating func uint32(_ value: UInt32) { integer(value) }
    @inlinable public mutating func int64(_ value: Int64) { integer(value) }
    @inlinable public mutating func bool(_ value: Bool) { integer(value ? UInt8(1) : 0) }
    @inlinable public mutating func float64(_ value: Double) { integer(value.bitPattern) }

    @inlinable
    public mutating func unsignedVarint(_ value: UInt32) {
        var rest = value
        while rest >= 0x80 {
            integer(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest &>>= 7
        }
        integer(UInt8(truncatingIfNeeded: rest))
    }

    @inlinable
    public mutating func varint(_ value: Int32) {
        unsignedVarint(UInt32(bitPattern: (value &<< 1) ^ (value &>> 31)))
    }

    @inlinable
    public mutating func varlong(_ value: Int64) {
        var rest = UInt64(bitPattern: (value &<< 1) ^ (value &>> 63))
        while rest >= 0x80 {
            integer(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest &>>= 7
        }
        integer(UInt8(truncatingIfNeeded: rest))
    }

    @inlinable
    public mutating func bytes(_ source: UnsafeRawBufferPointer) {
        guard let start = source.baseAddress, source.count > 0 else { return }
        append(uninitialized: source.count).copyMemory(from: start, byteCount: source.count)
    }

    @inlinable
    public mutating func bytes(_ source: [UInt8]) { source.withUnsafeBytes { bytes($0) } }

    /// Writes the UTF-8 bytes of `string`, without a length.
    public mutating func utf8(_ string: String) {
        var copy = string
        copy.withUTF8 { bytes(UnsafeRawBufferPointer($0)) }
    }

    /// Overwrites an integer written before, at `position`.
    @inlinable
    public mutating func overwrite<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at position: Int) {
        if isOverLimit { return }
        precondition(position >= 0 && position + MemoryLayout<T>.size <= count)
        (base + position).storeBytes(of: value.bigEndian, as: T.self)
    }
}
