import HTTPWire

/// Whole values: the grammar above the tokens.
extension JSONScan {
    /// What the values that were scanned hold.
    struct Counts {
        var tokens = 0
        var keys = 0
    }

    /// Returns the position behind the value that begins at `start`, or a failure.
    @inline(never)
    static func value(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, outerDepth: Int, _ maxDepth: Int, _ counts: inout Counts,
        _ marks: inout JSONMarks
    ) -> Int {
        var at = start
        // Bit 0 belongs to the innermost container: 1 for an object.
        var containers: UInt64 = 0
        var depth = outerDepth
        var tokens = 0
        var keys = 0
        values: while true {
            // Whatever goes on within an object goes on with a key.
            if containers & 1 == 1 {
                keys &+= 1
                at = key(base, at, end, &marks)
                if at < 0 { return at }
            }
            tokens &+= 1
            switch byte(base, at) {
            case UInt8(ascii: "\""): at = string(base, at &+ 1, end, &marks)
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                at = number(base, at, end)
            case UInt8(ascii: "{"):
                depth &+= 1
                guard depth <= maxDepth else { return failed(.tooDeep, at) }
                at = skipSpace(base, at &+ 1, end)
                if at < end, byte(base, at) == UInt8(ascii: "}") {
                    at &+= 1
                    depth &-= 1
                } else {
                    containers = containers &<< 1 | 1
                    continue values
                }
            case UInt8(ascii: "["):
                depth &+= 1
                guard depth <= maxDepth else { return failed(.tooDeep, at) }
                at = skipSpace(base, at &+ 1, end)
                guard at < end else { return failed(.unexpectedEnd, at) }
                if byte(base, at) == UInt8(ascii: "]") {
                    at &+= 1
                    depth &-= 1
                } else {
                    containers = containers &<< 1
                    continue values
                }
            case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"):
                at = literal(base, at, end)
            default: return failed(.unexpectedByte, at)
            }
            if at < 0 { return at }
            // The usual case at once: another member of an object, with no whitespace or one space before it.
            if at &+ 4 <= end, containers & 1 == 1 {
                let four = four(base, at)
                if four & 0xffff == 0x222c {
                    at &+= 1
                    continue values
                }
                if four & 0xff_ffff == 0x22_202c {
                    at &+= 2
                    continue values
                }
            }
            // Behind a value: close containers until one goes on.
            while depth > outerDepth {
                at = skipSpace(base, at, end)
                guard at < end else { return failed(.unexpectedEnd, at) }
                let next = byte(base, at)
                if next == UInt8(ascii: ",") {
                    at = skipSpace(base, at &+ 1, end)
                    guard at < end else { return failed(.unexpectedEnd, at) }
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

    /// Scans `"key" :` and returns the position of the value.
    @inline(__always)
    private static func key(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ marks: inout JSONMarks
    ) -> Int {
        guard start < end else { return failed(.unexpectedEnd, start) }
        guard byte(base, start) == UInt8(ascii: "\"") else { return failed(.unexpectedByte, start) }
        let at = string(base, start &+ 1, end, &marks)
        if at < 0 { return at }
        // The usual case at once: a colon with no whitespace or one space behind it.
        if at &+ 4 <= end {
            let four = four(base, at)
            if four & 0xff == 0x3a, four & 0xff00 > 0x2000 { return at &+ 1 }
            if four & 0xffff == 0x203a, four & 0xff_0000 > 0x20_0000 { return at &+ 2 }
        }
        return afterKey(base, at, end)
    }

    /// Does the same with any whitespace; returns the position of the value.
    @inline(never)
    private static func afterKey(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Int {
        var at = skipSpace(base, start, end)
        guard at < end else { return failed(.unexpectedEnd, at) }
        guard byte(base, at) == UInt8(ascii: ":") else { return failed(.unexpectedByte, at) }
        at = skipSpace(base, at &+ 1, end)
        return at < end ? at : failed(.unexpectedEnd, at)
    }

    /// Four bytes, the first lowest.
    @inline(__always)
    private static func four(_ base: UnsafeRawPointer, _ at: Int) -> UInt32 {
        UInt32(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt32.self))
    }
}
