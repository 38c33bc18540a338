import ByteBuffers
import HTTPWire

/// Makes events of the rows of a CSV text: objects with a member for each cell that is not empty.
///
///     name,km,paid                 {"name":"a","km":12.5,"paid":true}
///     a,12.5,true
///
/// A cell is a string unless the schema says that its column is a number or a truth value, and the cell is one. A text may come in
/// parts, each of which begins with the row that the one before has left.
struct CSVEvents {
    private let plan: CSVPlan
    private let schema: JSONSchema?
    /// That of the present call.
    private var text = UnsafeRawBufferPointer(start: nil, count: 0)
    private var rows = CSVRows(UnsafeRawBufferPointer(start: nil, count: 0), delimiter: 0)
    private var cells: [CSVRows.Cell] = []
    /// Lines before the header that are still to come.
    private var skips: Int
    private var hasHeader = false
    /// Nothing of the text has been taken yet.
    private var isFirst = true
    /// Number of the line at which the next part begins.
    private var nextLine = 1
    /// Cells of the last call that a spreadsheet would take for a formula; they are kept as they came.
    private(set) var formulas = 0
    /// The columns' names behind each other, each as it stands before a value: `,"name":`. Behind the last one there are more bytes, for
    /// they are copied eight at a time.
    private var keys = [UInt8](repeating: 0, count: 8)
    /// Where each begins, and where the last one ends.
    private var keyStarts = [0]
    private var types: [CSVCellType] = []

    init(_ plan: CSVPlan, _ schema: JSONSchema?) {
        self.plan = plan
        self.schema = schema
        skips = plan.skippedLines
    }

    /// Bytes of one row, and the events of one call.
    struct Limits {
        var rowBytes: Int
        var events: Int
        /// Of all that is made.
        var madeBytes: Int
        /// The rows beyond those limits are left for another call; else a text that has such is refused.
        var leavesMore = false
        /// What is told of each row; then one that cannot be read ends with its first line, and the text is read on.
        var places: RowPlaces?
        /// The first row does not end where it should.
        var isStuck = false
    }

    /// What a call has come to.
    struct Outcome {
        /// Bytes of the text whose rows are in `events`, and of what stands between them.
        var used = 0
        /// Why the text is not read on. What stands in `events` came before.
        var problem: Problem?
    }

    /// Writes the events behind each other into `out`. Rows that are none are in `rejections`, with an empty range in `events`.
    ///
    /// - Parameter isLast: nothing comes behind `text`; else it ends with a row that is left, most often.
    mutating func read(
        _ text: UnsafeRawBufferPointer, isLast: Bool = true, into out: inout ByteWriter, _ events: inout [JSONRange],
        _ rejections: inout [Rejection], _ limits: Limits
    ) -> Outcome {
        // A character may be cut at the end of a part, but not at that of a row.
        if !limits.leavesMore || isLast, JSONText.isUTF8(text) {
            return read(text, isLast, &out, &events, &rejections, limits, looksAtEach: false)
        }
        if !limits.leavesMore { return Outcome(problem: Problem(.invalidUTF8, "The body is not UTF-8.")) }
        let (before, made) = (self, out.count)
        let outcome = read(text, isLast, &out, &events, &rejections, limits, looksAtEach: false)
        if JSONText.isUTF8(UnsafeRawBufferPointer(rebasing: text[..<outcome.used])) { return outcome }
        // Rare: the rows before the first that is not are found.
        self = before
        out.truncate(to: made)
        events.removeAll()
        rejections.removeAll()
        limits.places?.places.removeAll()
        return read(text, isLast, &out, &events, &rejections, limits, looksAtEach: true)
    }

    private mutating func read(
        _ text: UnsafeRawBufferPointer, _ isLast: Bool, _ out: inout ByteWriter, _ events: inout [JSONRange],
        _ rejections: inout [Rejection], _ limits: Limits, looksAtEach: Bool
    ) -> Outcome {
        self.text = text
        formulas = 0
        rows = CSVRows(text, delimiter: plan.delimiter, firstLine: nextLine, isFirst: isFirst, isLast: isLast)
        if !hasHeader {
            if let problem = beginText(looksAtEach: looksAtEach) { return Outcome(problem: problem) }
            if !hasHeader { return taken() }
            reserve(in: &out, limits)
        }
        while true {
            if limits.leavesMore, events.count >= limits.events || out.count >= limits.madeBytes { return taken() }
            switch rows.next(into: &cells) {
            case .end:
                return Outcome(used: taken().used, problem: events.isEmpty && !limits.leavesMore ? noRows : nil)
            case .incomplete:
                guard limits.isStuck, events.isEmpty, rows.skipLine() else { return taken() }
                reject("A quoted cell does not end", column: cells.count + 1, out.count, &events, &rejections, limits)
                continue
            case .failure(let detail):
                guard limits.places != nil else {
                    let problem = Problem(.invalidCSV, "\(detail), in the row of line \(rows.line).")
                    return Outcome(used: taken().used, problem: problem)
                }
                guard rows.skipLine() else { return taken() }
                reject(detail.description, column: cells.count + 1, out.count, &events, &rejections, limits)
                continue
            case .row: break
            }
            if looksAtEach, let problem = problemOfBytes(from: rows.start) {
                guard limits.places != nil else { return Outcome(problem: problem) }
                reject("The row is not UTF-8", column: nil, out.count, &events, &rejections, limits)
                continue
            }
            guard events.count < limits.events else {
                return Outcome(
                    problem: Problem(.tooManyEvents, "There are more than \(limits.events) rows.", limit: limits.events)
                )
            }
            let start = out.count
            if let words = problemOfRow(limits) {
                let column = cells.count == types.count ? nil : min(cells.count, types.count) + 1
                reject(words, column: column, start, &events, &rejections, limits)
                continue
            }
            write(into: &out)
            events.append(JSONRange(start, out.count))
            limits.places?.places.append(place)
            guard limits.leavesMore || out.count <= limits.madeBytes else {
                return Outcome(
                    problem: Problem(
                        .repeatedTooMuch,
                        "The names of the columns, once a row, come to too much; send fewer rows a request.",
                        limit: limits.madeBytes))
            }
        }
    }

    private var noRows: Problem {
        let isOneLine = plan.columns == nil && !text.contains(0x0a) && !text.contains(0x0d)
        return Problem(
            .emptyBatch,
            isOneLine
                ? "The body has no rows: it is one line, the header. curl -d takes line ends away; --data-binary does not."
                : "The body has no rows.")
    }

    /// Where the last row stands.
    private var place: RowPlaces.Place { RowPlaces.Place(range: JSONRange(rows.start, rows.at), line: rows.line) }

    /// Notes that the last row is no event.
    private func reject(
        _ words: String, column: Int?, _ place: Int, _ events: inout [JSONRange], _ rejections: inout [Rejection],
        _ limits: Limits
    ) {
        // Where each row is told of, its line is beside.
        let words = limits.places == nil ? words + ", in line \(rows.line)" : words
        rejections.append(
            Rejection(
                index: events.count, kind: .invalidCSV, detail: "", finding: EventFinding("csv", "", words),
                column: column))
        events.append(JSONRange(place, place))
        limits.places?.places.append(self.place)
    }

    /// Lines that were taken.
    var linesTaken: Int { nextLine - 1 }

    /// The number of the column whose member is the first of an RFC 6901 pointer, from 1; nil: none is.
    func column(of pointer: String) -> Int? {
        guard let token = JSONPointer(pointer)?.tokens.first else { return nil }
        var key = ByteWriter(capacity: 64)
        key.text(",")
        token.withUnsafeBytes { JSONText.write($0, into: &key) }
        key.text(":")
        let wanted = key.array
        let index = types.indices.first { keys[keyStarts[$0]..<keyStarts[$0 + 1]].elementsEqual(wanted) }
        return index.map { $0 + 1 }
    }

    /// Passes over the lines before the header, and reads that, as far as they have come.
    private mutating func beginText(looksAtEach: Bool) -> Problem? {
        skips -= rows.skipLines(skips)
        if skips == 0, let problem = readHeader() { return problem }
        return looksAtEach ? problemOfBytes(from: 0) : nil
    }

    private func problemOfBytes(from start: Int) -> Problem? {
        if JSONText.isUTF8(UnsafeRawBufferPointer(rebasing: text[start..<rows.at])) { return nil }
        return Problem(.invalidUTF8, "The body is not UTF-8, in the row of line \(rows.line).")
    }

    /// What was read up to here is not read again.
    private mutating func taken() -> Outcome {
        nextLine = rows.nextLine
        if rows.at > 0 { isFirst = false }
        return Outcome(used: rows.at)
    }

    /// Makes room for what a long text comes to at once: to grow towards it would take up to three times as much for a moment.
    private func reserve(in out: inout ByteWriter, _ limits: Limits) {
        guard text.count > Self.grownBytes else { return }
        // Beside the cells: names, quotes, and the braces.
        let each = keyStarts[types.count] &+ 2 &* types.count &+ 2
        let (names, isMore) = each.multipliedReportingOverflow(by: Self.lines(of: text) &+ 1)
        let before = out.count
        _ = out.append(uninitialized: isMore ? limits.madeBytes : min(limits.madeBytes, names &+ text.count))
        out.truncate(to: before)
    }

    /// Up to here memory grows as it is needed.
    private static let grownBytes = 64 << 10

    /// Ends of lines, but for those of CR alone.
    static func lines(of text: UnsafeRawBufferPointer) -> Int {
        guard let base = text.baseAddress else { return 0 }
        var (count, at) = (0, 0)
        while at &+ 8 <= text.count {
            let other = ByteScan.word(base, at) ^ (ByteScan.ones &* 0x0a)
            // The high bit of each byte that is not zero; exact, unlike marks that find the first.
            let low = ~ByteScan.highs
            count &+= 8 &- (((other & low) &+ low | other) & ByteScan.highs).nonzeroBitCount
            at &+= 8
        }
        while at < text.count {
            if ByteScan.byte(base, at) == 0x0a { count &+= 1 }
            at &+= 1
        }
        return count
    }

    private func problemOfRow(_ limits: Limits) -> String? {
        guard cells.count == types.count else {
            let cells = "\(cells.count) \(cells.count == 1 ? "cell" : "cells")"
            return plan.columns == nil
                ? "The row has \(cells), and the header \(types.count)"
                : "The row has \(cells), and the route names \(types.count) columns"
        }
        let bytes = Int(cells[cells.count - 1].range.end) - Int(cells[0].range.start)
        return bytes <= limits.rowBytes ? nil : "The row is longer than \(limits.rowBytes) bytes"
    }

    /// Reads the names of the columns, if they have come.
    private mutating func readHeader() -> Problem? {
        var names = plan.columns ?? []
        if plan.columns == nil {
            switch rows.next(into: &cells) {
            case .end:
                let words: StaticString =
                    text.isEmpty && plan.skippedLines == 0
                    ? "Request body is required"
                    : "The body has no header: it is empty, or ends within the lines that are skipped."
                return Problem(.bodyRequired, words.description)
            case .incomplete: return nil
            case .failure(let detail): return Problem(.invalidCSV, "\(detail), in the header of line \(rows.line).")
            case .row: names = cells.map { String(decoding: unquoted($0), as: UTF8.self) }
            }
        }
        guard let members = plan.members(of: names) else { return Problem(.invalidCSV, CSVPlan.namesProblem + ".") }
        for name in members {
            var key = ByteWriter(capacity: name.utf8.count + 8)
            key.text(",")
            JSONText.write(name, into: &key)
            key.text(":")
            keys.insert(contentsOf: key.array, at: keys.count - 8)
            keyStarts.append(keys.count - 8)
            types.append(CSVCellType(of: name, in: schema))
        }
        hasHeader = true
        return nil
    }

    private mutating func write(into out: inout ByteWriter) {
        // The writer has what it needs as values of its own: a method of this one would be handed a copy of all of it, a cell.
        formulas &+= keys.withUnsafeBytes { keys in
            keyStarts.withUnsafeBufferPointer { keyStarts in
                types.withUnsafeBufferPointer { types in
                    CSVRowWriter(text: text, keys: keys, keyStarts: keyStarts, types: types).write(cells, into: &out)
                }
            }
        }
    }

    private func unquoted(_ cell: CSVRows.Cell) -> [UInt8] { CSVRowWriter.unquoted(cell, of: text) }
}

/// Writes rows as objects.
private struct CSVRowWriter {
    let text: UnsafeRawBufferPointer
    /// As `CSVEvents` has them.
    let keys: UnsafeRawBufferPointer
    let keyStarts: UnsafeBufferPointer<Int>
    let types: UnsafeBufferPointer<CSVCellType>

    /// Writes a row that has a cell for each column, and gives how many of them a spreadsheet would take for a formula.
    func write(_ cells: [CSVRows.Cell], into out: inout ByteWriter) -> Int {
        out.text("{")
        let start = out.count
        var formulas = 0
        for column in cells.indices {
            let cell = cells[column]
            if cell.range.count == 0, !cell.isQuoted { continue }
            // The bytes of an empty one in quotes are the quote behind it.
            if CSVFormula.mayBegin(with: text[Int(cell.range.start)]), CSVFormula.isOne(cell.range.bytes(of: text)) {
                formulas &+= 1
            }
            // The first one's comma is left out.
            let from = keyStarts[column] &+ (out.count == start ? 1 : 0)
            write(
                cell, of: types[column], behind: keys.baseAddress! + from, keyCount: keyStarts[column &+ 1] &- from,
                into: &out)
        }
        out.text("}")
        return formulas
    }

    /// Writes a member. Most cells are copied word by word, and looked through on the way for what has to be escaped.
    private func write(
        _ cell: CSVRows.Cell, of type: CSVCellType, behind key: UnsafeRawPointer, keyCount: Int,
        into out: inout ByteWriter
    ) {
        let count = cell.range.count
        let bytes = cell.range.bytes(of: text)
        if !cell.isQuoted, type != .text, isLiteral(bytes, type) {
            out.bytes(UnsafeRawBufferPointer(start: key, count: keyCount))
            return out.bytes(bytes)
        }
        let before = out.count
        // Words are written whole: there is room for seven bytes too many of each.
        let place = out.append(uninitialized: keyCount &+ count &+ 2 &+ 16)
        Self.copy(key, keyCount, to: place)
        place.storeBytes(of: 0x22, toByteOffset: keyCount, as: UInt8.self)
        if !cell.hasQuotes, copyPlain(cell.range, to: place + (keyCount &+ 1)) {
            place.storeBytes(of: 0x22, toByteOffset: keyCount &+ 1 &+ count, as: UInt8.self)
            return out.truncate(to: before &+ keyCount &+ count &+ 2)
        }
        out.truncate(to: before &+ keyCount)
        if cell.hasQuotes {
            Self.unquoted(cell, of: text).withUnsafeBytes { JSONText.write($0, into: &out) }
        } else {
            JSONText.write(bytes, into: &out)
        }
    }

    /// Reads and writes up to seven bytes more than `count`.
    @inline(__always)
    private static func copy(_ source: UnsafeRawPointer, _ count: Int, to place: UnsafeMutableRawPointer) {
        var at = 0
        while at < count {
            place.storeBytes(
                of: source.loadUnaligned(fromByteOffset: at, as: UInt64.self), toByteOffset: at, as: UInt64.self)
            at &+= 8
        }
    }

    /// Copies a cell, and up to seven bytes more. False: a byte of it may have to be escaped.
    @inline(__always)
    private func copyPlain(_ range: JSONRange, to place: UnsafeMutableRawPointer) -> Bool {
        guard let base = text.baseAddress else { return false }
        let (start, end) = (Int(range.start), Int(range.end))
        var at = start
        while at &+ 8 <= end {
            let word = ByteScan.word(base, at)
            if Self.escapes(word) != 0 { return false }
            place.storeBytes(of: word.littleEndian, toByteOffset: at &- start, as: UInt64.self)
            at &+= 8
        }
        guard at < end else { return true }
        var word: UInt64 = 0
        if at &+ 8 <= text.count {
            word = ByteScan.word(base, at)
        } else {
            for position in at..<end {
                word |= UInt64(ByteScan.byte(base, position)) &<< UInt64(8 &* (position &- at))
            }
        }
        place.storeBytes(of: word.littleEndian, toByteOffset: at &- start, as: UInt64.self)
        // What stands behind the cell is looked at as if it were digits.
        let behind = ~UInt64(0) &<< UInt64(8 &* (end &- at))
        return Self.escapes(word & ~behind | (ByteScan.ones &* 0x30) & behind) == 0
    }

    /// Marks bytes that JSON escapes, and the one that begins the controls of two bytes; quotes are not among them.
    @inline(__always)
    private static func escapes(_ word: UInt64) -> UInt64 {
        ByteScan.below(word, 0x20) | ByteScan.equal(word, 0x5c) | ByteScan.equal(word, 0x7f)
            | ByteScan.equal(word, 0xc2)
    }

    private func isLiteral(_ bytes: UnsafeRawBufferPointer, _ type: CSVCellType) -> Bool {
        switch type {
        case .text: return false
        case .boolean: return bytes.equals("true") || bytes.equals("false")
        case .number:
            guard !bytes.isEmpty, let base = bytes.baseAddress, JSONScan.kind(bytes[0]) == .number else { return false }
            return JSONScan.number(base, 0, bytes.count) == bytes.count
        }
    }

    static func unquoted(_ cell: CSVRows.Cell, of text: UnsafeRawBufferPointer) -> [UInt8] {
        let bytes = cell.range.bytes(of: text)
        guard cell.hasQuotes else { return Array(bytes) }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var isSecond = false
        for byte in bytes {
            if byte == 0x22, !isSecond {
                isSecond = true
            } else {
                result.append(byte)
                isSecond = false
            }
        }
        return result
    }
}
