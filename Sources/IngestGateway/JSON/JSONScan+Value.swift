import HTTPWire

/// Whole values: the grammar above the tokens.
extension JSONScan {
    /// What the values that were scanned hold.
    struct Counts {
        var tokens = 0
        var keys = 0
    }

    /// The position behind the value that begins at `start`, or a failure.
    @inline(never)
    static func value(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, outerDepth: Int, _ maxDepth: Int, _ counts: inout Counts,
        _ marks: inout JSONMarks
    ) -> Int {
        scan(base, start, end, outerDepth: outerDepth, maxDepth, &counts, &marks, isLine: false)
    }

    /// The same for a text that is one line with a line feed behind it, which no token takes: it needs no end, so that
    /// nothing is compared with one. A block of marks behind the line feed can be read.
    ///
    /// A negative result says only that something is wrong: `end` bounds what it takes to see that.
    @inline(__always)
    static func valueOfLine(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ maxDepth: Int, _ counts: inout Counts,
        _ marks: inout JSONMarks
    ) -> Int {
        scan(base, start, end, outerDepth: 0, maxDepth, &counts, &marks, isLine: true)
    }

    @inline(__always)
    private static func scan(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, outerDepth: Int, _ maxDepth: Int, _ counts: inout Counts,
        _ marks: inout JSONMarks, isLine: Bool
    ) -> Int {
        var at = start
        // Bit 0 belongs to the innermost container: 1 for an object.
        var containers: UInt64 = 0
        var depth = outerDepth
        var tokens = 0
        var keys = 0
        values: while true {
            tokens &+= 1
            let first = byte(base, at)
            switch first {
            case UInt8(ascii: "\""): at = string(base, at &+ 1, end, &marks, isLine: isLine)
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                at = number(base, at, end, isLine: isLine)
            case UInt8(ascii: "{"):
                depth &+= 1
                guard depth <= maxDepth else { return failed(.tooDeep, at) }
                at = skipSpace(base, at &+ 1, end, isLine: isLine)
                if isLine || at < end, byte(base, at) == UInt8(ascii: "}") {
                    at &+= 1
                    depth &-= 1
                } else {
                    containers = containers &<< 1 | 1
                    keys &+= 1
                    at = key(base, at, end, &marks, isLine: isLine)
                    if at < 0 { return at }
                    continue values
                }
            case UInt8(ascii: "["):
                depth &+= 1
                guard depth <= maxDepth else { return failed(.tooDeep, at) }
                at = skipSpace(base, at &+ 1, end, isLine: isLine)
                guard isLine || at < end else { return failed(.unexpectedEnd, at) }
                if byte(base, at) == UInt8(ascii: "]") {
                    at &+= 1
                    depth &-= 1
                } else {
                    containers = containers &<< 1
                    continue values
                }
            case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"):
                at = literal(base, at, end, isLine: isLine)
            default: return failed(.unexpectedByte, at)
            }
            if at < 0 { return at }
            // The usual case at once: another member of an object, without whitespace.
            if containers & 1 == 1, isLine || at &+ 2 <= end, pair(base, at) == commaAndQuote {
                keys &+= 1
                at = key(base, at &+ 1, end, &marks, isLine: isLine)
                if at < 0 { return at }
                continue values
            }
            // Behind a value: close containers until one goes on.
            while depth > outerDepth {
                at = skipSpace(base, at, end, isLine: isLine)
                guard isLine || at < end else { return failed(.unexpectedEnd, at) }
                let next = byte(base, at)
                if next == UInt8(ascii: ",") {
                    at = skipSpace(base, at &+ 1, end, isLine: isLine)
                    if containers & 1 == 1 {
                        keys &+= 1
                        at = key(base, at, end, &marks, isLine: isLine)
                        if at < 0 { return at }
                    } else if !isLine, at >= end {
                        return failed(.unexpectedEnd, at)
                    }
                    continue values
                }
                guard next == (containers & 1 == 1 ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
                    return failed(.unexpectedByte, at)
                }
                at &+= 1
                depth &-= 1
                containers &>>= 1
            }
            counts.tokens &+= tokens &+ keys
            counts.keys &+= keys
            return at
        }
    }

    /// `"key" :`; the position of the value.
    @inline(__always)
    private static func key(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ marks: inout JSONMarks, isLine: Bool
    ) -> Int {
        guard isLine || start < end else { return failed(.unexpectedEnd, start) }
        guard byte(base, start) == UInt8(ascii: "\"") else { return failed(.unexpectedByte, start) }
        var at = string(base, start &+ 1, end, &marks, isLine: isLine)
        if at < 0 { return at }
        // The usual case at once: no whitespace around the colon.
        if isLine || at &+ 2 <= end, byte(base, at) == UInt8(ascii: ":"), byte(base, at &+ 1) > 0x20 { return at &+ 1 }
        at = skipSpace(base, at, end, isLine: isLine)
        guard isLine || at < end else { return failed(.unexpectedEnd, at) }
        guard byte(base, at) == UInt8(ascii: ":") else { return failed(.unexpectedByte, at) }
        at = skipSpace(base, at &+ 1, end, isLine: isLine)
        return isLine || at < end ? at : failed(.unexpectedEnd, at)
    }

    /// `,"` as a pair.
    @inline(__always) private static var commaAndQuote: UInt16 { 0x222c }

    /// Two bytes, the first in the lower half.
    @inline(__always)
    private static func pair(_ base: UnsafeRawPointer, _ at: Int) -> UInt16 {
        UInt16(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt16.self))
    }
}
