/// Zigzag base-128 integers, as the record format writes them. A 32-bit VARINT and a 64-bit VARLONG of one value have
/// the same bytes, so that writing needs only one of them.
@usableFromInline
enum Varint {
    /// Returns the bytes that `value` takes: 1 to 10.
    @inlinable
    static func size(_ value: Int64) -> Int {
        let raw = zigzag(value) | 1
        return (70 &- raw.leadingZeroBitCount) / 7
    }

    @inlinable
    static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: (value &<< 1) ^ (value &>> 63)) }

    /// Writes `value` to memory that has room for it, and moves on.
    @inlinable
    static func write(_ value: Int64, to at: inout UnsafeMutableRawPointer) {
        var rest = zigzag(value)
        while rest >= 0x80 {
            at.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, as: UInt8.self)
            at += 1
            rest &>>= 7
        }
        at.storeBytes(of: UInt8(truncatingIfNeeded: rest), as: UInt8.self)
        at += 1
    }

    /// Does the same, with the usual lengths of one and two bytes before the loop.
    @inlinable @inline(__always)
    static func writeShort(_ value: Int64, to at: inout UnsafeMutableRawPointer) {
        let raw = zigzag(value)
        if raw < 0x80 {
            at.storeBytes(of: UInt8(truncatingIfNeeded: raw), as: UInt8.self)
            at += 1
        } else if raw < 0x4000 {
            let low = UInt16(truncatingIfNeeded: raw & 0x7f | 0x80)
            let high = UInt16(truncatingIfNeeded: raw &>> 7)
            at.storeBytes(of: (low | high &<< 8).littleEndian, as: UInt16.self)
            at += 2
        } else {
            write(value, to: &at)
        }
    }

    // MARK: Reading

    /// Returns the next VARINT before `end`; `nil` when it passes `end` or 32 bits. Nearly all are one or two bytes:
    /// those paths are inlined.
    @inline(__always)
    static func read32(_ at: inout UnsafeRawPointer, _ end: UnsafeRawPointer) -> Int32? {
        let start = at
        // Kafka's reader takes at most five bytes, however small the value.
        guard let raw = readRaw(&at, end), raw <= UInt64(UInt32.max), at - start <= 5 else { return nil }
        let narrow = UInt32(truncatingIfNeeded: raw)
        return Int32(bitPattern: narrow &>> 1) ^ -Int32(bitPattern: narrow & 1)
    }

    /// Returns the next VARLONG before `end`; `nil` when it passes `end` or 64 bits.
    @inline(__always)
    static func read64(_ at: inout UnsafeRawPointer, _ end: UnsafeRawPointer) -> Int64? {
        guard let raw = readRaw(&at, end) else { return nil }
        return Int64(bitPattern: raw &>> 1) ^ -Int64(bitPattern: raw & 1)
    }

    @inline(__always)
    private static func readRaw(_ at: inout UnsafeRawPointer, _ end: UnsafeRawPointer) -> UInt64? {
        if end - at >= 2 {
            let first = at.load(as: UInt8.self)
            if first < 0x80 {
                at += 1
                return UInt64(first)
            }
            let second = at.load(fromByteOffset: 1, as: UInt8.self)
            if second < 0x80 {
                at += 2
                return UInt64(first & 0x7f) | UInt64(second) &<< 7
            }
        }
        let long = readLong(at, end)
        guard long.size > 0 else { return nil }
        at += long.size
        return long.raw
    }

    /// Returns the zigzag value at `at`, of any length, and its bytes; size 0 when it passes `end` or 64 bits. Takes
    /// the position by value, so that the caller's stays in a register.
    @inline(never)
    private static func readLong(_ at: UnsafeRawPointer, _ end: UnsafeRawPointer) -> (raw: UInt64, size: Int) {
        var raw: UInt64 = 0
        var size = 0
        while size < min(end - at, 10) {
            let byte = at.load(fromByteOffset: size, as: UInt8.self)
            // The tenth byte has room for one bit.
            if size == 9, byte > 1 { break }
            raw |= UInt64(byte & 0x7f) &<< UInt64(7 &* size)
            size &+= 1
            if byte < 0x80 { return (raw, size) }
        }
        return (0, 0)
    }
}
