import HTTPWire

/// The lines of newline-delimited JSON, each without its line end and the whitespace around. Empty lines are left out.
struct NDJSONLines {
    private let text: UnsafeRawBufferPointer
    private let limits: JSONLimits
    private var at = 0

    init(_ text: UnsafeRawBufferPointer, limits: JSONLimits = JSONLimits()) {
        self.text = text
        self.limits = limits
    }

    /// Returns the next line, whatever is in it.
    mutating func next() -> JSONRange? {
        guard let base = text.baseAddress else { return nil }
        while at < text.count {
            var start = at
            var end = ByteScan.find(0x0a, base, from: at, end: text.count)
            at = end &+ 1
            while start < end, Self.isSpace(text[start]) { start &+= 1 }
            while end > start, Self.isSpace(text[end &- 1]) { end &-= 1 }
            if start < end { return JSONRange(start, end) }
        }
        return nil
    }

    /// Appends the lines from here on that are JSON texts within the limits, up to one that may be none: it is the one that
    /// `next` gives then. Of more events than the limit there are not many more.
    mutating func appendSound(to ranges: inout [JSONRange]) {
        guard at < text.count else { return }
        at = JSONBlocks.lines(of: text, from: at, limits: limits, into: &ranges)
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d }
}
