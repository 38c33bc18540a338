import HTTPWire

/// The lines of newline-delimited JSON, each without its line end and the whitespace around. Empty lines are left out.
struct NDJSONLines {
    private let text: UnsafeRawBufferPointer
    private var at = 0
    /// The number of the line last given, from 1, empty ones counted.
    private(set) var number = 0

    init(_ text: UnsafeRawBufferPointer) { self.text = text }

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

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d }
}
