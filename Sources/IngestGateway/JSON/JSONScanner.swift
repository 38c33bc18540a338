import HTTPWire

/// Checks that bytes are JSON (RFC 8259, strictly, in UTF-8) without building anything: it moves a position over them and
/// tells where values begin and end. What it accepted is stored byte for byte as it came.
///
/// Strings are scanned eight bytes at a time; a container costs one bit. Numbers are checked, never converted.
struct JSONScanner {
    let base: UnsafeRawPointer
    let end: Int
    let limits: JSONLimits
    /// The next byte to look at.
    var position = 0
    /// Values and keys of the current event.
    private(set) var tokens = 0
    /// Keys of the current event.
    private(set) var keys = 0

    init(_ bytes: UnsafeRawBufferPointer, limits: JSONLimits = JSONLimits()) {
        base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
        end = bytes.count
        self.limits = limits
    }

    @inline(__always)
    func byte(_ at: Int) -> UInt8 { JSONScan.byte(base, at) }

    @inline(__always)
    func skipSpace(_ start: Int) -> Int { JSONScan.skipSpace(base, start, end) }

    func unexpected(_ at: Int) -> JSONFailure {
        JSONFailure(reason: at < end ? .unexpectedByte : .unexpectedEnd, position: at)
    }

    // MARK: Whole texts

    /// Checks one value with nothing but whitespace around it.
    mutating func onlyValue() throws(JSONFailure) -> JSONKind {
        let kind = try value()
        try finish()
        return kind
    }

    /// Checks that only whitespace is left.
    mutating func finish() throws(JSONFailure) {
        position = skipSpace(position)
        if position < end { throw JSONFailure(reason: .trailingBytes, position: position) }
    }

    /// The kind of the next value, by its first byte; `nil` when there is none or no value begins so.
    mutating func peek() -> JSONKind? {
        position = skipSpace(position)
        return position < end ? JSONScan.kind(byte(position)) : nil
    }

    /// Splits an array into the ranges of its elements, each checked as an event of its own, without whitespace around.
    mutating func elements(into ranges: inout [JSONRange]) throws(JSONFailure) {
        position = skipSpace(position)
        guard position < end, byte(position) == UInt8(ascii: "[") else { throw unexpected(position) }
        position = skipSpace(position &+ 1)
        if position < end, byte(position) == UInt8(ascii: "]") {
            position &+= 1
            return
        }
        while true {
            guard ranges.count < limits.elements else {
                throw JSONFailure(reason: .tooManyElements, position: position)
            }
            tokens = 0
            keys = 0
            let start = position
            _ = try value(outerDepth: 1)
            ranges.append(JSONRange(start, position))
            position = skipSpace(position)
            guard position < end else { throw unexpected(position) }
            let next = byte(position)
            if next == UInt8(ascii: "]") {
                position &+= 1
                return
            }
            guard next == UInt8(ascii: ",") else { throw unexpected(position) }
            position = skipSpace(position &+ 1)
        }
    }

    // MARK: One value

    /// Checks the value at `position`, whitespace before it allowed, and moves behind it. `outerDepth` containers are
    /// already open around it.
    mutating func value(outerDepth: Int = 0) throws(JSONFailure) -> JSONKind {
        let start = skipSpace(position)
        guard start < end, let kind = JSONScan.kind(byte(start)) else { throw unexpected(start) }
        var counts = Counts(tokens: tokens, keys: keys)
        let result = Self.scan(base, start, end, outerDepth: outerDepth, limits.depth, &counts)
        guard result >= 0 else { throw JSONScan.failure(result) }
        (tokens, keys) = (counts.tokens, counts.keys)
        guard tokens <= limits.tokens else { throw JSONFailure(reason: .tooManyTokens, position: result) }
        guard keys <= limits.keys else { throw JSONFailure(reason: .tooManyKeys, position: result) }
        position = result
        return kind
    }

    private struct Counts {
        var tokens: Int
        var keys: Int
    }

    /// The position behind the value that begins at `start`, or a failure.
    private static func scan(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, outerDepth: Int, _ maxDepth: Int, _ counts: inout Counts
    ) -> Int {
        var at = start
        // Bit 0 belongs to the innermost container: 1 for an object.
        var containers: UInt64 = 0
        var depth = outerDepth
        var tokens = 0
        var keys = 0
        values: while true {
            tokens &+= 1
            switch JSONScan.byte(base, at) {
            case UInt8(ascii: "\""): at = JSONScan.string(base, at &+ 1, end)
            case UInt8(ascii: "{"):
                depth &+= 1
                guard depth <= maxDepth else { return JSONScan.failed(.tooDeep, at) }
                at = JSONScan.skipSpace(base, at &+ 1, end)
                if at < end, JSONScan.byte(base, at) == UInt8(ascii: "}") {
                    at &+= 1
                    depth &-= 1
                } else {
                    containers = containers &<< 1 | 1
                    keys &+= 1
                    at = key(base, at, end)
                    if at < 0 { return at }
                    continue values
                }
            case UInt8(ascii: "["):
                depth &+= 1
                guard depth <= maxDepth else { return JSONScan.failed(.tooDeep, at) }
                at = JSONScan.skipSpace(base, at &+ 1, end)
                guard at < end else { return JSONScan.failed(.unexpectedEnd, at) }
                if JSONScan.byte(base, at) == UInt8(ascii: "]") {
                    at &+= 1
                    depth &-= 1
                } else {
                    containers = containers &<< 1
                    continue values
                }
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): at = JSONScan.number(base, at, end)
            case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"): at = JSONScan.literal(base, at, end)
            default: return JSONScan.failed(.unexpectedByte, at)
            }
            if at < 0 { return at }
            // Behind a value: close containers until one goes on.
            while depth > outerDepth {
                at = JSONScan.skipSpace(base, at, end)
                guard at < end else { return JSONScan.failed(.unexpectedEnd, at) }
                let next = JSONScan.byte(base, at)
                if next == UInt8(ascii: ",") {
                    at = JSONScan.skipSpace(base, at &+ 1, end)
                    if containers & 1 == 1 {
                        keys &+= 1
                        at = key(base, at, end)
                        if at < 0 { return at }
                    } else if at >= end {
                        return JSONScan.failed(.unexpectedEnd, at)
                    }
                    continue values
                }
                guard next == (containers & 1 == 1 ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
                    return JSONScan.failed(.unexpectedByte, at)
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
    private static func key(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Int {
        guard start < end else { return JSONScan.failed(.unexpectedEnd, start) }
        guard JSONScan.byte(base, start) == UInt8(ascii: "\"") else { return JSONScan.failed(.unexpectedByte, start) }
        var at = JSONScan.string(base, start &+ 1, end)
        if at < 0 { return at }
        at = JSONScan.skipSpace(base, at, end)
        guard at < end else { return JSONScan.failed(.unexpectedEnd, at) }
        guard JSONScan.byte(base, at) == UInt8(ascii: ":") else { return JSONScan.failed(.unexpectedByte, at) }
        at = JSONScan.skipSpace(base, at &+ 1, end)
        return at < end ? at : JSONScan.failed(.unexpectedEnd, at)
    }
}
