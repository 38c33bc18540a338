import HTTPWire

/// The lines of newline-delimited JSON, each without its line end and the whitespace around. Empty lines are left out.
struct NDJSONLines {
    private let text: UnsafeRawBufferPointer
    private let limits: JSONLimits
    private var at = 0
    /// The number of the line last given, from 1, empty ones counted.
    private(set) var number = 0
    /// What begins before it has a line feed behind it, with enough bytes behind that to be scanned without an end.
    private let lastLine: Int
    private var marks = JSONMarks()

    init(_ text: UnsafeRawBufferPointer, limits: JSONLimits = JSONLimits()) {
        self.text = text
        self.limits = limits
        var last = text.count - JSONMarks.count
        while last > 0, text[last] != 0x0a { last &-= 1 }
        lastLine = max(last, 0)
    }

    /// Returns the next line, whatever is in it.
    mutating func next() -> JSONRange? {
        guard let base = text.baseAddress else { return nil }
        while at < text.count {
            var start = at
            var end = ByteScan.find(0x0a, base, from: at, end: text.count)
            at = end &+ 1
            number &+= 1
            while start < end, Self.isSpace(text[start]) { start &+= 1 }
            while end > start, Self.isSpace(text[end &- 1]) { end &-= 1 }
            if start < end { return JSONRange(start, end) }
        }
        return nil
    }

    /// Returns the next line if it is a JSON text within the limits, for sure: its end and its text are found in one
    /// go. `nil`: nothing is said, and `next` gives the same line.
    @inline(__always)
    mutating func nextSound() -> JSONRange? {
        guard at < lastLine, let base = text.baseAddress else { return nil }
        var counts = JSONScan.Counts()
        let end = JSONScan.valueOfLine(base, at, text.count, limits.depth, &counts, &marks)
        guard end >= 0, counts.tokens <= limits.tokens, counts.keys <= limits.keys else { return nil }
        // Other whitespace than this one line end, as clients write it, is for `next`.
        let feed = JSONScan.byte(base, end) == 0x0d ? end &+ 1 : end
        guard JSONScan.byte(base, feed) == 0x0a else { return nil }
        let line = JSONRange(at, end)
        at = feed &+ 1
        number &+= 1
        return line
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d }
}
