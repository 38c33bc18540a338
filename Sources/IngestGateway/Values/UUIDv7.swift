/// A time-ordered UUID (RFC 9562, 5.7).
struct UUIDv7: Equatable {
    var high: UInt64
    var low: UInt64

    static let textLength = 36

    /// The identifier of the event `index` places after this one's in a request.
    @inline(__always)
    func advanced(by index: Int) -> UUIDv7 {
        // The generator leaves room: the sum does not reach the variant bits.
        UUIDv7(high: high, low: low &+ UInt64(truncatingIfNeeded: index))
    }

    /// Writes the 36 characters of the usual text form.
    @inline(__always)
    func write(to out: UnsafeMutableRawPointer) {
        Self.write(high >> 32, digits: 8, to: out)
        out.storeBytes(of: 0x2d, toByteOffset: 8, as: UInt8.self)
        Self.write(high >> 16, digits: 4, to: out + 9)
        out.storeBytes(of: 0x2d, toByteOffset: 13, as: UInt8.self)
        Self.write(high, digits: 4, to: out + 14)
        out.storeBytes(of: 0x2d, toByteOffset: 18, as: UInt8.self)
        Self.write(low >> 48, digits: 4, to: out + 19)
        out.storeBytes(of: 0x2d, toByteOffset: 23, as: UInt8.self)
        Self.write(low >> 32, digits: 4, to: out + 24)
        Self.write(low, digits: 8, to: out + 28)
    }

    @inline(__always)
    private static func write(_ value: UInt64, digits: Int, to out: UnsafeMutableRawPointer) {
        for index in 0..<digits {
            let nibble = UInt8(truncatingIfNeeded: value &>> UInt64((digits &- 1 &- index) &* 4)) & 15
            out.storeBytes(of: nibble < 10 ? 0x30 &+ nibble : 0x57 &+ nibble, toByteOffset: index, as: UInt8.self)
        }
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

    /// The first of `count` identifiers; the others are `advanced(by: 1 ..< count)`.
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
