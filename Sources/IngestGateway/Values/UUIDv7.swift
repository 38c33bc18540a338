/// A time-ordered UUID (RFC 9562, 5.7).
struct UUIDv7: Equatable {
    var high: UInt64
    var low: UInt64

    static let textLength = 36

    /// The text form as `write` makes it; nil: it is none.
    init?(text: UnsafeRawBufferPointer) {
        guard text.count == Self.textLength else { return nil }
        (high, low) = (0, 0)
        for (index, byte) in text.enumerated() {
            let digit: UInt64
            switch byte {
            case UInt8(ascii: "-") where [8, 13, 18, 23].contains(index): continue
            case _ where [8, 13, 18, 23].contains(index): return nil
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = UInt64(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = UInt64(byte - UInt8(ascii: "a") + 10)
            default: return nil
            }
            high = high << 4 | low >> 60
            low = low << 4 | digit
        }
    }

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// When it was made, in milliseconds since 1970; nil: it is of another version.
    var milliseconds: Int64? { high >> 12 & 0xf == 7 ? Int64(high >> 16) : nil }

    /// Returns the identifier of the event `index` places after this one's in a request.
    @inline(__always)
    func advanced(by index: Int) -> UUIDv7 {
        // The generator leaves room: the sum does not reach the variant bits.
        UUIDv7(high: high, low: low &+ UInt64(truncatingIfNeeded: index))
    }

    /// Writes the 36 characters of the usual text form.
    @inline(__always)
    func write(to out: UnsafeMutableRawPointer) {
        // 8-4-4-4-12: two halves of eight digits, each second one with dashes in between.
        let second = Self.digits(UInt32(truncatingIfNeeded: high))
        let third = Self.digits(UInt32(truncatingIfNeeded: low &>> 32))
        out.storeBytes(of: Self.digits(UInt32(truncatingIfNeeded: high &>> 32)), as: UInt64.self)
        out.storeBytes(of: 0x2d, toByteOffset: 8, as: UInt8.self)
        out.storeBytes(of: UInt32(truncatingIfNeeded: second), toByteOffset: 9, as: UInt32.self)
        out.storeBytes(of: 0x2d, toByteOffset: 13, as: UInt8.self)
        out.storeBytes(of: UInt32(truncatingIfNeeded: second &>> 32), toByteOffset: 14, as: UInt32.self)
        out.storeBytes(of: 0x2d, toByteOffset: 18, as: UInt8.self)
        out.storeBytes(of: UInt32(truncatingIfNeeded: third), toByteOffset: 19, as: UInt32.self)
        out.storeBytes(of: 0x2d, toByteOffset: 23, as: UInt8.self)
        out.storeBytes(of: UInt32(truncatingIfNeeded: third &>> 32), toByteOffset: 24, as: UInt32.self)
        writeLastDigits(to: out + (Self.textLength - Self.lastDigits))
    }

    /// How many digits of the text stand for the lowest 32 bits, which count up from event to event.
    static let lastDigits = 8

    @inline(__always)
    func writeLastDigits(to out: UnsafeMutableRawPointer) {
        out.storeBytes(of: Self.digits(UInt32(truncatingIfNeeded: low)), as: UInt64.self)
    }

    /// Eight hexadecimal digits as they lie in memory: the first in the lowest byte.
    @inline(__always)
    private static func digits(_ value: UInt32) -> UInt64 {
        // One digit a byte, by halving; the highest digit goes to the lowest byte at the end.
        var spread = UInt64(value)
        spread = (spread | spread &<< 16) & 0x0000_ffff_0000_ffff
        spread = (spread | spread &<< 8) & 0x00ff_00ff_00ff_00ff
        spread = (spread | spread &<< 4) & 0x0f0f_0f0f_0f0f_0f0f
        // Digits from 10 on carry into bit 4 with 6 added; letters are 0x27 above where the decimal digits would go on.
        let letters = (spread &+ 0x0606_0606_0606_0606) &>> 4 & 0x0101_0101_0101_0101
        return (spread &+ 0x3030_3030_3030_3030 &+ letters &* 0x27).bigEndian
    }
}

/// Makes UUIDs for one event loop: ordered by time, and within a millisecond by the order of making. They identify, they
/// do not protect: a fast generator, seeded from the system's, is enough.
struct UUIDv7Generator {
    private var state: (UInt64, UInt64)
    private var last = UUIDv7(high: 0, low: 0)

    init() {
        var system = SystemRandomNumberGenerator()
        state = (system.next() | 1, system.next())
    }

    /// Returns the first of `count` identifiers; the others are `advanced(by: 1 ..< count)`.
    mutating func next(atMs milliseconds: Int64, count: Int = 1) -> UUIDv7 {
        let time = UInt64(truncatingIfNeeded: milliseconds) << 16
        if time > last.high & ~0xffff || last.low & 0x3fff_ffff_ffff_ffff > 0x3000_0000_0000_0000 {
            // A new millisecond: new random bits. The two highest of `rand_b` stay clear, so that counting up from
            // there never reaches the variant.
            let bits = random()
            last.high = max(time, last.high & ~0xffff) | 0x7000 | (bits >> 52)
            last.low = 0x8000_0000_0000_0000 | (random() & 0x0fff_ffff_ffff_ffff)
        }
        let first = last
        last.low &+= UInt64(count)
        return first
    }

    /// xorshift128+.
    private mutating func random() -> UInt64 {
        var x = state.0
        let y = state.1
        state.0 = y
        x ^= x << 23
        state.1 = x ^ y ^ (x >> 17) ^ (y >> 26)
        return state.1 &+ y
    }
}
