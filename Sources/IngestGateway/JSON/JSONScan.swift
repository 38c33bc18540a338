import HTTPWire

/// The tokens of JSON: each function checks one that begins at a position and gives the position behind it.
///
/// A failure is a negative number that holds reason and position (`failed`), not a thrown error: a throwing function
/// makes its caller keep the scanner's state in memory across the call, which costs a third of the speed.
enum JSONScan {
    @inline(__always)
    static func byte(_ base: UnsafeRawPointer, _ at: Int) -> UInt8 { base.load(fromByteOffset: at, as: UInt8.self) }

    /// Makes a result of a failure: it is always below 0.
    @inline(__always)
    static func failed(_ reason: JSONFailure.Reason, _ position: Int) -> Int {
        ~(position &<< 8 | Int(reason.rawValue))
    }

    /// Returns the failure that `failed` made a result of.
    static func failure(_ result: Int) -> JSONFailure {
        JSONFailure(reason: JSONFailure.Reason(rawValue: UInt8(~result & 0xff))!, position: ~result >> 8)
    }

    @inline(__always)
    static func skipSpace(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Int {
        if start < end, byte(base, start) > 0x20 { return start }
        return skipSpaceSlowly(base, start, end)
    }

    @inline(never)
    private static func skipSpaceSlowly(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Int {
        var at = start
        while at < end {
            let byte = byte(base, at)
            guard byte == 0x20 || byte == 0x0d || byte == 0x09 || byte == 0x0a else { break }
            at &+= 1
        }
        return at
    }

    /// Scans a string, from behind its opening quote.
    @inline(__always)
    static func string(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ marks: inout JSONMarks
    ) -> Int {
        var from = start
        while true {
            if from &- marks.start >= JSONMarks.count {
                guard from &+ JSONMarks.count <= end else { return longString(base, from, end) }
                marks = JSONMarks(base, from)
            }
            let rest = marks.bits &>> UInt64(truncatingIfNeeded: from &- marks.start)
            if rest != 0 {
                let at = from &+ rest.trailingZeroBitCount
                return byte(base, at) == UInt8(ascii: "\"") ? at &+ 1 : longString(base, at, end)
            }
            from = marks.start &+ JSONMarks.count
        }
    }

    @inline(never)
    private static func longString(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Int {
        var at = start
        while at &+ 16 <= end {
            let words = JSONMarks.sixteen(base, at)
            let first = words.x != 0 ? ByteScan.index(words.x) : 8 &+ ByteScan.index(words.y)
            at &+= first
            if first == 16 { continue }
            if byte(base, at) == UInt8(ascii: "\"") { return at &+ 1 }
            at = unusual(base, at, end)
            if at < 0 { return at }
        }
        // The last few bytes of the text.
        while at < end {
            let byte = byte(base, at)
            if byte == UInt8(ascii: "\"") { return at &+ 1 }
            if byte == UInt8(ascii: "\\") || byte < 0x20 || byte >= 0x80 {
                at = unusual(base, at, end)
                if at < 0 { return at }
            } else {
                at &+= 1
            }
        }
        return failed(.unexpectedEnd, end)
    }

    /// Scans an escape, or a run of characters beyond ASCII; anything else that stopped the scan is an error.
    private static func unusual(_ base: UnsafeRawPointer, _ at: Int, _ end: Int) -> Int {
        let first = byte(base, at)
        if first >= 0x80 { return beyondASCII(base, at, end) }
        guard first == UInt8(ascii: "\\") else { return failed(.controlCharacter, at) }
        guard at &+ 1 < end else { return failed(.unexpectedEnd, end) }
        switch byte(base, at &+ 1) {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return at &+ 2
        case UInt8(ascii: "u"):
            guard at &+ 6 <= end else { return failed(.unexpectedEnd, end) }
            for index in 2..<6 where JSONText.hex(byte(base, at &+ index)) == nil { return failed(.badEscape, at) }
            return at &+ 6
        default: return failed(.badEscape, at)
        }
    }

    /// Scans a run of multi-byte characters: no overlong form, no surrogate, nothing above U+10FFFF.
    static func beyondASCII(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Int {
        var at = start
        while at < end {
            let first = byte(base, at)
            if first < 0x80 { break }
            let length: Int
            var second: ClosedRange<UInt8> = 0x80...0xbf
            switch first {
            case 0xc2...0xdf: length = 2
            case 0xe0: (length, second) = (3, 0xa0...0xbf)
            case 0xed: (length, second) = (3, 0x80...0x9f)
            case 0xe1...0xef: length = 3
            case 0xf0: (length, second) = (4, 0x90...0xbf)
            case 0xf1...0xf3: length = 4
            case 0xf4: (length, second) = (4, 0x80...0x8f)
            default: return failed(.invalidUTF8, at)
            }
            guard at &+ length <= end, second.contains(byte(base, at &+ 1)) else { return failed(.invalidUTF8, at) }
            for index in 2..<max(length, 2) where byte(base, at &+ index) & 0xc0 != 0x80 {
                return failed(.invalidUTF8, at)
            }
            at &+= length
        }
        return at
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    @inline(__always)
    static func number(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Int {
        var at = start
        if byte(base, at) == UInt8(ascii: "-") { at &+= 1 }
        let integer = at
        at = digits(base, at, end)
        let count = at &- integer
        guard count > 0, count == 1 || byte(base, integer) != UInt8(ascii: "0") else {
            return failed(.badNumber, start)
        }
        if at < end, byte(base, at) == UInt8(ascii: ".") {
            let fraction = at &+ 1
            at = digits(base, fraction, end)
            guard at > fraction else { return failed(.badNumber, start) }
        }
        if at < end, byte(base, at) | 0x20 == UInt8(ascii: "e") {
            at &+= 1
            if at < end, byte(base, at) == UInt8(ascii: "+") || byte(base, at) == UInt8(ascii: "-") {
                at &+= 1
            }
            let exponent = at
            at = digits(base, exponent, end)
            guard at > exponent else { return failed(.badNumber, start) }
        }
        return at
    }

    @inline(__always)
    private static func digits(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Int {
        var at = start
        while at &+ 8 <= end {
            // A digit's low bits with 0x76 added stay below 0x80.
            let low = ByteScan.word(base, at) ^ 0x3030_3030_3030_3030
            let marks = ((low &+ 0x7676_7676_7676_7676) | low) & ByteScan.highs
            if marks != 0 { return at &+ ByteScan.index(marks) }
            at &+= 8
        }
        while at < end, byte(base, at) &- UInt8(ascii: "0") < 10 { at &+= 1 }
        return at
    }

    /// Scans `true`, `null` (a word of four bytes), or `false`, whose first byte was seen already.
    @inline(__always)
    static func literal(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Int {
        guard start &+ 4 <= end else { return failed(.badLiteral, start) }
        // The words as little-endian numbers.
        switch UInt32(littleEndian: base.loadUnaligned(fromByteOffset: start, as: UInt32.self)) {
        case 0x6575_7274, 0x6c6c_756e: return start &+ 4
        case 0x736c_6166:
            guard start &+ 5 <= end, byte(base, start &+ 4) == UInt8(ascii: "e") else {
                return failed(.badLiteral, start)
            }
            return start &+ 5
        default: return failed(.badLiteral, start)
        }
    }

    @inline(__always)
    static func kind(_ byte: UInt8) -> JSONKind? {
        switch byte {
        case UInt8(ascii: "{"): .object
        case UInt8(ascii: "["): .array
        case UInt8(ascii: "\""): .string
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): .number
        case UInt8(ascii: "t"): .true
        case UInt8(ascii: "f"): .false
        case UInt8(ascii: "n"): .null
        default: nil
        }
    }
}
