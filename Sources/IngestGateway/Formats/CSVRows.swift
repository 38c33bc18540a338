import HTTPWire

/// The rows of a CSV text, each as ranges of its cells. Source: RFC 4180, with any line end (CR LF, LF, CR) and any delimiter.
///
///     row   ─ cell *(delimiter cell) line-end
///     cell  ─ "anything, with "" for a quote"  |  bytes without quote, delimiter and line end
///
/// Empty lines are no rows. A mark of the byte order at the start is passed over.
struct CSVRows {
    struct Cell {
        /// Without the quotes around.
        var range: JSONRange
        var isQuoted = false
        /// A quote within it stands twice.
        var hasQuotes = false
    }

    enum Outcome {
        case row
        case end
        /// The text cannot be read on.
        case failure(StaticString)
    }

    /// Cells of a row.
    static let maxCells = 1024

    private let base: UnsafeRawPointer
    private let end: Int
    private let delimiter: UInt8
    /// It, eight times.
    private let delimiters: UInt64
    private var at = 0
    /// Number of the line at which the last row begins, from 1.
    private(set) var line = 0
    private var nextLine = 1

    init(_ text: UnsafeRawBufferPointer, delimiter: UInt8) {
        base = text.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
        end = text.count
        self.delimiter = delimiter
        delimiters = ByteScan.ones &* UInt64(delimiter)
        if text.starts(with: [0xef, 0xbb, 0xbf]) { at = 3 }
    }

    @inline(__always)
    private func byte(_ at: Int) -> UInt8 { ByteScan.byte(base, at) }

    /// Passes over so many lines, whatever is in them.
    mutating func skipLines(_ count: Int) {
        for _ in 0..<count {
            while at < end, byte(at) != 0x0a, byte(at) != 0x0d { at &+= 1 }
            endLine()
        }
    }

    private mutating func endLine() {
        guard at < end else { return }
        at &+= byte(at) == 0x0d && at &+ 1 < end && byte(at &+ 1) == 0x0a ? 2 : 1
        nextLine &+= 1
    }

    /// Reads the next row into `cells`.
    mutating func next(into cells: inout [Cell]) -> Outcome {
        cells.removeAll(keepingCapacity: true)
        while at < end, byte(at) == 0x0a || byte(at) == 0x0d { endLine() }
        guard at < end else { return .end }
        line = nextLine
        while true {
            guard cells.count < Self.maxCells else { return .failure("A row has more than 1024 cells") }
            if at < end, byte(at) == 0x22 {
                if let failure = readQuoted(into: &cells) { return .failure(failure) }
            } else {
                let start = at
                at = endOfCell(from: start)
                if at < end, byte(at) == 0x22 {
                    return .failure("A quote stands within a cell that has none around it")
                }
                cells.append(Cell(range: JSONRange(start, at)))
            }
            guard at < end, byte(at) == delimiter else { break }
            at &+= 1
        }
        endLine()
        return .row
    }

    /// The first delimiter, quote or end of a line from `start` on, or the end of the text.
    @inline(__always)
    private func endOfCell(from start: Int) -> Int {
        var at = start
        while at &+ 8 <= end {
            let word = ByteScan.word(base, at)
            let mark =
                ByteScan.zeros(word ^ delimiters) | ByteScan.equal(word, 0x0a) | ByteScan.equal(word, 0x0d)
                | ByteScan.equal(word, 0x22)
            if mark != 0 { return at &+ ByteScan.index(mark) }
            at &+= 8
        }
        while at < end {
            let next = byte(at)
            if next == delimiter || next == 0x0a || next == 0x0d || next == 0x22 { break }
            at &+= 1
        }
        return at
    }

    private mutating func readQuoted(into cells: inout [Cell]) -> StaticString? {
        let start = at &+ 1
        var hasQuotes = false
        at = start
        while true {
            let quote = ByteScan.find(0x22, base, from: at, end: end)
            // Lines within the cell count, for what is said of later rows.
            countLines(at, quote)
            guard quote < end else { return "A quoted cell does not end" }
            at = quote &+ 1
            guard at < end, byte(at) == 0x22 else { break }
            hasQuotes = true
            at &+= 1
        }
        cells.append(Cell(range: JSONRange(start, at &- 1), isQuoted: true, hasQuotes: hasQuotes))
        let isEnd = at == end || byte(at) == delimiter || byte(at) == 0x0a || byte(at) == 0x0d
        return isEnd ? nil : "Something follows the quote that ends a cell"
    }

    private mutating func countLines(_ start: Int, _ end: Int) {
        var at = start
        while at < end {
            at = ByteScan.find(0x0a, base, from: at, end: end)
            if at < end { nextLine &+= 1 }
            at &+= 1
        }
    }
}
