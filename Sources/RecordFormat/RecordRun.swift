/// What the records of a run have in common: the size of every field, and the bytes of every length. A record of the
/// run is known by two masked words and the byte that counts its headers, none, without decoding a field and without
/// waiting for a length to find the next record: some 15 instructions.
///
///     length  attributes  timestampDelta  offsetDelta  keyLength  key  valueLength  value  headerCount
///     same    any         size            expected     same       any  same         any    0
///
/// The head is the 8 bytes from the record's start, the tail those up to the value. The head holds all up to the offset
/// delta; the key's length lies in either.
struct RecordRun {
    /// Bytes of each record.
    let size: Int
    private let head: UInt64
    private let headMask: UInt64
    private let tailAt: Int
    private let tail: UInt64
    private let tailMask: UInt64
    /// What goes from one head to the next: the offset delta's step, and its bits that say that a byte follows.
    private let step: UInt64
    private let more: UInt64

    /// A run that begins with the record at `start`, which `RecordWalk.endOfShortRecord` has accepted as the one of
    /// `delta`. Nil: the words do not hold all the fields that must be compared, or reach past the record.
    init?(of start: UnsafeRawPointer, _ delta: OffsetDelta) {
        func fieldSize(_ at: Int) -> Int { start.load(fromByteOffset: at, as: UInt8.self) < 0x80 ? 1 : 2 }
        func count(_ at: Int) -> Int {
            var field = start + at
            return max(0, Int(Varint.read32(&field, field + 2)!))
        }
        func word(_ at: Int) -> UInt64 {
            UInt64(littleEndian: start.loadUnaligned(fromByteOffset: at, as: UInt64.self))
        }

        let lengthEnd = fieldSize(0)
        size = lengthEnd + count(0)
        let timestampAt = lengthEnd + 1
        let offsetAt = timestampAt + fieldSize(timestampAt)
        let keyAt = offsetAt + delta.size
        let keyStart = keyAt + fieldSize(keyAt)
        let valueAt = keyStart + count(keyAt)
        let valueStart = valueAt + fieldSize(valueAt)
        guard size >= 8, keyAt <= 8 else { return nil }

        var fields = Self.bits(0, lengthEnd) | Self.bits(timestampAt, offsetAt) & 0x8080_8080_8080_8080
        tailAt = max(0, valueStart - 8)
        var lengths = Self.bits(valueAt - tailAt, valueStart - tailAt)
        if keyStart <= 8 {
            fields |= Self.bits(keyAt, keyStart)
        } else {
            guard keyAt >= tailAt else { return nil }
            lengths |= Self.bits(keyAt - tailAt, keyStart - tailAt)
        }
        let shift = UInt64(8 * offsetAt)
        head = word(0) & fields | delta.bytes << shift
        headMask = fields | Self.bits(offsetAt, keyAt)
        tail = word(tailAt) & lengths
        tailMask = lengths
        step = OffsetDelta.step << shift
        more = delta.more << shift
    }

    /// All bits of the bytes from `start` to `end` of a word.
    private static func bits(_ start: Int, _ end: Int) -> UInt64 {
        (~0 << UInt64(8 * start)) & ~(~0 << UInt64(8 * end))
    }

    /// Passes over records from `at` on, at most `maximum` and none that reaches past `end`, while they are of this
    /// run. Returns how many.
    func pass(_ at: inout UnsafeRawPointer, _ end: UnsafeRawPointer, maximum: Int32) -> Int32 {
        // Kept in registers, as `here` is.
        let (size, tailAt, tail, tailMask, headMask, step, more) = (size, tailAt, tail, tailMask, headMask, step, more)
        var head = head
        var here = at
        let count = min(Int(maximum), (end - at) / size)
        let stop = at + count * size
        while here < stop {
            // Both words lie inside the record: it has eight bytes at least, and `tailAt + 8` is at most where the
            // value begins, or 8.
            let first = UInt64(littleEndian: here.loadUnaligned(as: UInt64.self))
            let second = UInt64(littleEndian: here.loadUnaligned(fromByteOffset: tailAt, as: UInt64.self))
            let headerCount = UInt64(here.load(fromByteOffset: size &- 1, as: UInt8.self))
            guard (first ^ head) & headMask | (second ^ tail) & tailMask | headerCount == 0 else { break }
            head = (head &+ step) | more
            here += size
        }
        defer { at = here }
        return Int32(truncatingIfNeeded: (here - at) / size)
    }
}

/// The number of a record in its batch, as the record holds it: a varint of up to three bytes, the first one lowest.
struct OffsetDelta {
    /// The first index that it cannot hold.
    static let end: Int32 = 1 << 20
    /// What one more adds to `bytes` before `more` is set again: zigzag doubles. A carry passes through the bits of
    /// `more`, because they are set.
    static let step: UInt64 = 2

    let size: Int
    let bytes: UInt64
    /// All bits of the bytes, and those that say that another byte follows.
    let mask: UInt64
    let more: UInt64
    /// The first index of another size.
    let sizeEnd: Int32

    /// Nil from `end` on.
    @inline(__always)
    init?(_ index: Int32) {
        guard index < Self.end else { return nil }
        (size, sizeEnd) = index < 1 << 6 ? (1, 1 << 6) : index < 1 << 13 ? (2, 1 << 13) : (3, Self.end)
        mask = 1 << UInt64(8 * size) - 1
        more = 0x8080 & mask >> 8
        let raw = UInt64(UInt32(bitPattern: index)) << 1
        bytes = raw & 0x7f | raw << 1 & 0x7f00 | raw << 2 & 0x7f_0000 | more
    }
}
