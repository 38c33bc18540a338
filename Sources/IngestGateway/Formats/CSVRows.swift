import HTTPWire

/// The rows of a CSV text, each as ranges of its cells. Source: RFC 4180, with any line end (CR LF, LF, CR) and any delimiter.
///
///     row   ─ cell *(delimiter cell) line-end
///     cell  ─ "anything, with "" for a quote"  |  bytes without quote, delimiter and line end
///
/// Empty lines are no rows. A mark of the byte order at the start is passed over. A text may come in parts: a row whose end is
/// not there yet, and a CR that may have its LF to come, are left for the next one.
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
        /// The rest is no whole row, and more is to come.
        case incomplete
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
    private let isLast: Bool
    /// Behind the last row.
    private(set) var at = 0
    /// Where the last row begins.
    private(set) var start = 0
    /// Number of the line at which the last row begins, from 1.
    private(set) var line = 0
    /// That of the line at `at`.
    private(set) var nextLine: Int

    /// - Parameters:
    ///   - firstLine: number of the text's first line; 1: the text begins with it.
    ///   - isLast: nothing comes behind the text.
    init(
        _ text: UnsafeRawBufferPointer, delimiter: UInt8, firstLine: Int = 1, isFirst: Bool = true, isLast: Bool = true
    ) {
        base = text.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
        end = text.count
        self.delimiter = delimiter
        delimiters = ByteScan.ones &* UInt64(delimiter)
        nextLine = firstLine
        self.isLast = isLast
        if isFirst, text.starts(with: JSONText.byteOrderMark) { at = 3 }
    }

    @inline(__always)
    private func byte(_ at: Int) -> UInt8 { ByteScan.byte(base, at) }

    /// Passes over so many lines, whatever is in them; gives how many there were.
    mutating func skipLines(_ count: Int) -> Int {
        for skipped in 0..<count {
            let start = at
            while at < end, byte(at) != 0x0a, byte(at) != 0x0d { at &+= 1 }
            guard endLine() else {
                at = start
                return skipped
            }
        }
        return count
    }

    /// Passes over the line end. False: it has not come.
    private mutating func endLine() -> Bool {
        guard at < end else { return isLast }
        if byte(at) == 0x0d {
            if at &+ 1 == end, !isLast { return false }
            if at &+ 1 < end, byte(at &+ 1) == 0x0a { at &+= 1 }
        }
        at &+= 1
        nextLine &+= 1
        return true
    }

    /// Reads the next row into `cells`.
    mutating func next(into cells: inout [Cell]) -> Outcome {
        cells.removeAll(keepingCapacity: true)
        while at < end, byte(at) == 0x0a || byte(at) == 0x0d {
            if !endLine() { return .incomplete }
        }
        guard at < end else { return isLast ? .end : .incomplete }
        start = at
        line = nextLine
        while true {
            guard cells.count < Self.maxCells else { return .failure("A row has more than 1024 cells") }
            if at < end, byte(at) == 0x22 {
                switch readQuoted(into: &cells) {
                case .row: break
                case .incomplete: return takeBack()
                case let failure: return failure
                }
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
        return endLine() ? .row : takeBack()
    }

    private mutating func takeBack() -> Outcome {
        (at, nextLine) = (start, line)
        return .incomplete
    }

    /// Passes over the first line of the row that was begun last, and of no row where that had none. False: its end has not come.
    mutating func skipLine() -> Bool {
        (at, nextLine) = (start, line)
        while at < end, byte(at) != 0x0a, byte(at) != 0x0d { at &+= 1 }
        if endLine() { return true }
        (at, nextLine) = (start, line)
        return false
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

    /// Reads a cell in quotes; `row`: it is whole.
    private mutating func readQuoted(into cells: inout [Cell]) -> Outcome {
        let start = at &+ 1
        var hasQuotes = false
        at = start
        while true {
            let quote = ByteScan.find(0x22, base, from: at, end: end)
            // Lines within the cell count, for what is said of later rows.
            countLines(at, quote)
            guard quote < end else { return isLast ? .failure("A quoted cell does not end") : .incomplete }
            at = quote &+ 1
            // Another quote may be to come.
            if at == end, !isLast { return .incomplete }
            guard at < end, byte(at) == 0x22 else { break }
            hasQuotes = true
            at &+= 1
        }
        cells.append(Cell(range: JSONRange(start, at &- 1), isQuoted: true, hasQuotes: hasQuotes))
        let isEnd = at == end || byte(at) == delimiter || byte(at) == 0x0a || byte(at) == 0x0d
        return isEnd ? .row : .failure("Something follows the quote that ends a cell")
    }

    /// Any end of a line is one; of a CR and its LF, which may stand behind `end`, the LF is.
    private mutating func countLines(_ start: Int, _ end: Int) {
        var at = start
        while at < end {
            while at &+ 8 <= end {
                let word = ByteScan.word(base, at)
                if ByteScan.equal(word, 0x0a) | ByteScan.equal(word, 0x0d) != 0 { break }
                at &+= 8
            }
            guard at < end else { return }
            let isCR = byte(at) == 0x0d && !(at &+ 1 < self.end && byte(at &+ 1) == 0x0a)
            if isCR || byte(at) == 0x0a { nextLine &+= 1 }
            at &+= 1
        }
    }
}
