/// Why bytes could not be decoded. The peer sent something that is not the protocol: log at debug, close or refuse.
public enum DecodeError: Error, Equatable, Sendable {
    /// Fewer bytes than the format needs, at this position (bytes from the start of the reader).
    case truncated(position: Int)
    /// A value that the format does not allow, named, at this position.
    case invalid(StaticString, position: Int)

    public static func == (lhs: DecodeError, rhs: DecodeError) -> Bool {
        switch (lhs, rhs) {
        case (.truncated(let a), .truncated(let b)): a == b
        case (.invalid(let a, let p), .invalid(let b, let q)): a.description == b.description && p == q
        default: false
        }
    }
}

extension DecodeError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .truncated(let position): "it ends too early, at byte \(position)"
        case .invalid(let what, let position): "invalid \(what) at byte \(position)"
        }
    }
}

/// Reads big-endian fields from raw bytes, each read checked against the end.
///
/// The reader does not own the bytes: the caller keeps them alive (a `ByteSlice`, an array inside
/// `withUnsafeBytes`) while the reader is used.
public struct ByteReader {
    public let base: UnsafeRawPointer
    /// Bytes in all.
    public let count: Int
    /// The next byte to read, from `base`.
    public var position: Int
    /// Bytes of memory that what is decoded may still take; without a limit unless a caller sets one.
    public var allowance = Int.max

    @inlinable
    public init(_ bytes: UnsafeRawBufferPointer) {
        // An empty buffer may have no address; any non-null one will do, for nothing is read from it.
        base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
        count = bytes.count
        position = 0
    }

    @inlinable
    public init(_ slice: ByteSlice) { self.init(slice.bytes) }

    @inlinable public var remaining: Int { count &- position }
    @inlinable public var isAtEnd: Bool { position == count }

    /// Takes `length` bytes and gives the address of the first.
    @inlinable
    public mutating func take(_ length: Int) throws(DecodeError) -> UnsafeRawPointer {
        // Overflow-free: both sides are non-negative.
        guard length >= 0, length <= count &- position else { throw .truncated(position: position) }
        let at = base + position
        position &+= length
        return at
    }

    /// Takes `bytes` from the allowance, before they are allocated.
    public mutating func spend(_ bytes: Int) throws(DecodeError) {
        guard bytes <= allowance else {
            throw .invalid("the decoded form takes more memory than allowed", position: position)
        }
        allowance -= bytes
    }

    @inlinable
    public mutating func skip(_ length: Int) throws(DecodeError) { _ = try take(length) }

    @inlinable
    public mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(
        _ type: T.Type = T.self
    ) throws(DecodeError) -> T {
        T(bigEndian: try take(MemoryLayout<T>.size).loadUnaligned(as: T.self))
    }

    @inlinable public mutating func int8() throws(DecodeError) -> Int8 { try integer() }
    @inlinable public mutating func int16() throws(DecodeError) -> Int16 { try integer() }
    @inlinable public mutating func uint16() throws(DecodeError) -> UInt16 { try integer() }
    @inlinable public mutating func int32() throws(DecodeError) -> Int32 { try integer() }
    @inlinable public mutating func uint32() throws(DecodeError) -> UInt32 { try integer() }
    @inlinable public mutating func int64() throws(DecodeError) -> Int64 { try integer() }
    @inlinable public mutating func bool() throws(DecodeError) -> Bool { try integer(UInt8.self) != 0 }
    @inlinable public mutating func float64() throws(DecodeError) -> Double {
        Double(bitPattern: try integer(UInt64.self))
    }

    /// Reads an unsigned base-128 varint of at most 32 bits (Kafka's UNSIGNED_VARINT, KIP-482).
    @inlinable
    public mutating func unsignedVarint() throws(DecodeError) -> UInt32 {
        var value: UInt32 = 0
        var shift: UInt32 = 0
        while true {
            let byte = try integer(UInt8.self)
            if shift == 28 && byte > 0x0f { throw .invalid("varint longer than 32 bits", position: position) }
            value |= UInt32(byte & 0x7f) &<< shift
            if byte & 0x80 == 0 { return value }
            shift &+= 7
        }
    }

    /// Reads a zigzag varint of at most 32 bits (VARINT).
    @inlinable
    public mutating func varint() throws(DecodeError) -> Int32 {
        let raw = try unsignedVarint()
        return Int32(bitPattern: raw &>> 1) ^ -Int32(bitPattern: raw & 1)
    }

    /// Reads a zigzag varint of at most 64 bits (VARLONG).
    @inlinable
    public mutating func varlong() throws(DecodeError) -> Int64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try integer(UInt8.self)
            if shift == 63 && byte > 1 { throw .invalid("varint longer than 64 bits", position: position) }
            value |= UInt64(byte & 0x7f) &<< shift
            if byte & 0x80 == 0 { break }
            shift &+= 7
        }
        return Int64(bitPattern: value &>> 1) ^ -Int64(bitPattern: value & 1)
    }

    /// Reads the next `length` bytes in place.
    @inlinable
    public mutating func bytes(_ length: Int) throws(DecodeError) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: try take(length), count: length)
    }

    /// Reads the next `length` bytes as a String; invalid UTF-8 is refused.
    public mutating func string(_ length: Int) throws(DecodeError) -> String {
        let start = position
        let raw = try bytes(length)
        guard let string = String(validating: raw.bindMemory(to: UInt8.self), as: UTF8.self) else {
            throw .invalid("string is not UTF-8", position: start)
        }
        return string
    }
}
