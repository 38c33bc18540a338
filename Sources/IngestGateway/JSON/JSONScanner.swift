import HTTPWire

/// Checks that bytes are JSON (RFC 8259, strictly, in UTF-8) without building anything: it moves a position over them and
/// tells where values begin and end. What it accepted is stored byte for byte as it came.
///
/// The ends of strings are found in blocks (`JSONMarks`); a container costs one bit. Numbers are checked, never converted.
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
    private var marks = JSONMarks()

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

    /// Does the same, and gives the value's range instead of its kind. What is no JSON costs the more.
    mutating func onlyEvent() throws(JSONFailure) -> JSONRange {
        let text = UnsafeRawBufferPointer(start: base, count: end)
        if let range = JSONBlocks.value(of: text, limits: limits) { return range }
        position = skipSpace(position)
        let start = position
        _ = try value()
        let range = JSONRange(start, position)
        try finish()
        return range
    }

    /// Checks that only whitespace is left.
    mutating func finish() throws(JSONFailure) {
        position = skipSpace(position)
        if position < end { throw JSONFailure(reason: .trailingBytes, position: position) }
    }

    /// Returns the kind of the next value, by its first byte; `nil` when there is none or no value begins so.
    mutating func peek() -> JSONKind? {
        position = skipSpace(position)
        return position < end ? JSONScan.kind(byte(position)) : nil
    }

    /// Splits an array into the ranges of its elements, each checked as an event of its own, without whitespace around. It is
    /// the whole text but for whitespace.
    mutating func onlyElements(into ranges: inout [JSONRange]) throws(JSONFailure) {
        position = skipSpace(position)
        guard position < end, byte(position) == UInt8(ascii: "[") else { throw unexpected(position) }
        let known = ranges.count
        let text = UnsafeRawBufferPointer(start: base, count: end)
        if JSONBlocks.elements(of: text, from: position &+ 1, limits: limits, into: &ranges) { return }
        ranges.removeSubrange(known...)
        try elements(into: &ranges)
        try finish()
    }

    /// Does the same one by one, so that the first failure is known; what follows the array is not looked at.
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

    /// The value at `start`, which is no space, as an event of its own; what follows it is not looked at.
    mutating func element(at start: Int) throws(JSONFailure) -> JSONRange {
        (position, tokens, keys) = (start, 0, 0)
        _ = try value()
        return JSONRange(start, position)
    }

    // MARK: One value

    /// Returns the position behind the string at `position`, whose first byte was seen to be a quote.
    mutating func string() throws(JSONFailure) -> Int {
        let end = JSONScan.string(base, position &+ 1, end, &marks)
        guard end >= 0 else { throw JSONScan.failure(end) }
        return end
    }

    /// Checks the value at `position`, whitespace before it allowed, and moves behind it. `outerDepth` containers are
    /// already open around it.
    mutating func value(outerDepth: Int = 0) throws(JSONFailure) -> JSONKind {
        let start = skipSpace(position)
        guard start < end, let kind = JSONScan.kind(byte(start)) else { throw unexpected(start) }
        var counts = JSONScan.Counts(tokens: tokens, keys: keys)
        let result = JSONScan.value(base, start, end, outerDepth: outerDepth, limits.depth, &counts, &marks)
        guard result >= 0 else { throw JSONScan.failure(result) }
        (tokens, keys) = (counts.tokens, counts.keys)
        guard tokens <= limits.tokens else { throw JSONFailure(reason: .tooManyTokens, position: result) }
        guard keys <= limits.keys else { throw JSONFailure(reason: .tooManyKeys, position: result) }
        position = result
        return kind
    }
}
