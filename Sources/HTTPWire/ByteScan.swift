/// Looking at eight bytes at once in a 64-bit word (SWAR). Words are little-endian: the lowest byte is the first.
///
/// The classic tests below may also mark bytes *above* the first true match (a borrow runs upwards), never below it.
/// So "is there one" and "where is the first" are exact, and nothing else is asked of them.
public enum ByteScan {
    @inlinable @inline(__always) public static var ones: UInt64 { 0x0101_0101_0101_0101 }
    @inlinable @inline(__always) public static var highs: UInt64 { 0x8080_8080_8080_8080 }

    /// Marks the bytes of `word` that are zero.
    @inlinable @inline(__always)
    public static func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word & highs }

    /// Marks the bytes equal to `byte`.
    @inlinable @inline(__always)
    public static func equal(_ word: UInt64, _ byte: UInt8) -> UInt64 { zeros(word ^ (ones &* UInt64(byte))) }

    /// Marks the bytes below `limit` (at most 128).
    @inlinable @inline(__always)
    public static func below(_ word: UInt64, _ limit: UInt8) -> UInt64 {
        (word &- ones &* UInt64(limit)) & ~word & highs
    }

    @inlinable @inline(__always)
    public static func word(_ base: UnsafeRawPointer, _ at: Int) -> UInt64 {
        UInt64(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
    }

    @inlinable @inline(__always)
    public static func byte(_ base: UnsafeRawPointer, _ at: Int) -> UInt8 {
        base.load(fromByteOffset: at, as: UInt8.self)
    }

    /// Returns the index of the first byte of a mark.
    @inlinable @inline(__always)
    public static func index(_ mark: UInt64) -> Int { mark.trailingZeroBitCount &>> 3 }

    /// Returns the first position in `from..<end` that holds `byte`, or `end`.
    @inlinable @inline(__always)
    public static func find(_ byte: UInt8, _ base: UnsafeRawPointer, from: Int, end: Int) -> Int {
        var at = from
        while at &+ 8 <= end {
            let mark = equal(word(base, at), byte)
            if mark != 0 { return at &+ index(mark) }
            at &+= 8
        }
        while at < end, self.byte(base, at) != byte { at &+= 1 }
        return at
    }

    /// Returns the first position in `from..<end` of a control character (below 0x20, or DEL), or `end`.
    @inlinable @inline(__always)
    public static func findControl(_ base: UnsafeRawPointer, from: Int, end: Int) -> Int {
        var at = from
        while at &+ 8 <= end {
            let word = word(base, at)
            let mark = below(word, 0x20) | equal(word, 0x7f)
            if mark != 0 { return at &+ index(mark) }
            at &+= 8
        }
        while at < end {
            let byte = byte(base, at)
            if byte < 0x20 || byte == 0x7f { break }
            at &+= 1
        }
        return at
    }

    /// Returns the first position in `from..<end` of a byte outside visible ASCII (0x21...0x7e), or `end`.
    @inlinable @inline(__always)
    public static func findNonVisible(_ base: UnsafeRawPointer, from: Int, end: Int) -> Int {
        var at = from
        while at &+ 8 <= end {
            let word = word(base, at)
            let mark = below(word, 0x21) | equal(word, 0x7f) | (word & highs)
            if mark != 0 { return at &+ index(mark) }
            at &+= 8
        }
        while at < end {
            let byte = byte(base, at)
            if byte < 0x21 || byte > 0x7e { break }
            at &+= 1
        }
        return at
    }

    /// `token` of RFC 9110: letters, digits and ``!#$%&'*+-.^_`|~``.
    @inlinable @inline(__always)
    public static func isTokenByte(_ byte: UInt8) -> Bool {
        // One bit a character, two words: 0...63 and 64...127.
        let low: UInt64 = 0x03ff_6cfa_0000_0000
        let high: UInt64 = 0x57ff_ffff_c7ff_fffe
        return byte < 64
            ? (low &>> UInt64(byte)) & 1 != 0
            : byte < 128 && (high &>> UInt64(byte &- 64)) & 1 != 0
    }

    /// Whether all of `from..<end` are token characters and there is at least one.
    @inlinable @inline(__always)
    public static func isToken(_ base: UnsafeRawPointer, from: Int, end: Int) -> Bool {
        var at = from
        while at < end {
            guard isTokenByte(byte(base, at)) else { return false }
            at &+= 1
        }
        return from < end
    }
}
