import HTTPWire

/// Marks what ends or interrupts a string in a block of text, one bit a byte: quotes, backslashes, control characters and
/// bytes beyond ASCII.
///
/// Where a string ends decides where the next one begins, so a scanner that looks at the bytes of each string by itself
/// waits for every one of them in turn. The marks of a block depend on nothing before it; what is left of that chain is
/// to shift a word and to count its zeros.
struct JSONMarks {
    /// Bytes of a block.
    static let count = 64

    /// The block's first byte; so low at first that nothing is in the block.
    let start: Int
    let bits: UInt64

    init() {
        start = .min / 2
        bits = 0
    }

    /// The block that begins at `start`; all of it must be readable.
    @inline(__always)
    init(_ base: UnsafeRawPointer, _ start: Int) {
        self.start = start
        bits =
            Self.packed(base, start) | Self.packed(base, start &+ 16) &<< 16
            | Self.packed(base, start &+ 32) &<< 32 | Self.packed(base, start &+ 48) &<< 48
    }

    /// Sixteen bytes' marks, each in its byte's highest bit.
    @inline(__always)
    static func sixteen(_ base: UnsafeRawPointer, _ at: Int) -> (x: UInt64, y: UInt64) {
        let bytes = base.loadUnaligned(fromByteOffset: at, as: SIMD16<UInt8>.self)
        // Exchanging bit 1 puts the quote (0x22) below 0x21, among the control characters, and the two characters that
        // were there (0x20 and 0x21) above it. Differences are used where a comparison would do: comparisons of vectors
        // are not compiled to instructions on vectors.
        let low = (bytes ^ SIMD16(repeating: 0x02)) &- SIMD16(repeating: 0x21)
        let backslash = (bytes ^ SIMD16(repeating: UInt8(ascii: "\\"))) &- SIMD16(repeating: 1)
        let marks = unsafeBitCast(low | backslash | bytes, to: SIMD2<UInt64>.self)
        return (marks.x & ByteScan.highs, marks.y & ByteScan.highs)
    }

    /// Sixteen bytes' marks in sixteen bits.
    @inline(__always)
    private static func packed(_ base: UnsafeRawPointer, _ at: Int) -> UInt64 {
        // The product gathers the eight highest bits in its highest byte, the first one lowest.
        let gather: UInt64 = 0x0002_0408_1020_4081
        let words = sixteen(base, at)
        return (words.x &* gather) &>> 56 | ((words.y &* gather) &>> 56) &<< 8
    }
}
