import ByteBuffers
import HTTPWire

/// Makes events of the rows of a CSV text: objects with a member for each cell that is not empty.
///
///     name,km,paid                 {"name":"a","km":12.5,"paid":true}
///     a,12.5,true
///
/// A cell is a string unless the schema says that its column is a number or a truth value, and the cell is one.
struct CSVEvents {
    private let text: UnsafeRawBufferPointer
    private let plan: CSVPlan
    private let schema: JSONSchema?
    private var rows: CSVRows
    private var cells: [CSVRows.Cell] = []
    /// The column's name as it stands before each value: `"name":`.
    private var keys: [[UInt8]] = []
    private var types: [CSVCellType] = []

    init(_ text: UnsafeRawBufferPointer, _ plan: CSVPlan, _ schema: JSONSchema?) {
        self.text = text
        self.plan = plan
        self.schema = schema
        rows = CSVRows(text, delimiter: plan.delimiter)
    }

    /// Bytes of one row, and the events of one request.
    struct Limits {
        var rowBytes: Int
        var events: Int
        /// Of all that is made.
        var madeBytes: Int
    }

    /// Writes the events behind each other into `out`. Rows that are none are in `rejections`, with an empty range in `events`.
    mutating func read(
        into out: inout ByteWriter, _ events: inout [JSONRange], _ rejections: inout [Rejection], _ limits: Limits
    ) -> Problem? {
        guard JSONText.isUTF8(text) else { return Problem(.invalidUTF8, "The body is not UTF-8.") }
        rows.skipLines(plan.skippedLines)
        if let problem = readHeader() { return problem }
        while true {
            switch rows.next(into: &cells) {
            case .end: return events.isEmpty ? Problem(.emptyBatch, "The body has no rows.") : nil
            case .failure(let detail): return Problem(.invalidCSV, "\(detail), in the row of line \(rows.line).")
            case .row: break
            }
            guard events.count < limits.events else {
                return Problem(.tooManyEvents, "There are more than \(limits.events) rows.", limit: limits.events)
            }
            let start = out.count
            if let words = problemOfRow(limits) {
                rejections.append(
                    Rejection(
                        index: events.count, kind: .invalidCSV, detail: "",
                        finding: EventFinding("csv", "", words + ", in line \(rows.line)")))
            } else {
                write(into: &out)
            }
            events.append(JSONRange(start, out.count))
            guard out.count <= limits.madeBytes else {
                return Problem(
                    .repeatedTooMuch,
                    "The names of the columns, once a row, come to too much; send fewer rows a request.",
                    limit: limits.madeBytes)
            }
        }
    }

    private func problemOfRow(_ limits: Limits) -> String? {
        guard cells.count == keys.count else { return "The row has \(cells.count) cells, and the header \(keys.count)" }
        let bytes = Int(cells[cells.count - 1].range.end) - Int(cells[0].range.start)
        return bytes <= limits.rowBytes ? nil : "The row is longer than \(limits.rowBytes) bytes"
    }

    private mutating func readHeader() -> Problem? {
        var names = plan.columns ?? []
        if plan.columns == nil {
            switch rows.next(into: &cells) {
            case .end: return Problem(.bodyRequired, "Request body is required")
            case .failure(let detail): return Problem(.invalidCSV, "\(detail), in the header of line \(rows.line).")
            case .row: names = cells.map { String(decoding: unquoted($0), as: UTF8.self) }
            }
        }
        guard let members = plan.members(of: names) else { return Problem(.invalidCSV, CSVPlan.namesProblem + ".") }
        for name in members {
            var key = ByteWriter(capacity: name.utf8.count + 8)
            JSONText.write(name, into: &key)
            key.text(":")
            keys.append(key.array)
            types.append(CSVCellType(of: name, in: schema))
        }
        return nil
    }

    private func write(into out: inout ByteWriter) {
        out.text("{")
        var isFirst = true
        for column in cells.indices {
            let cell = cells[column]
            if cell.range.count == 0, !cell.isQuoted { continue }
            if !isFirst { out.text(",") }
            isFirst = false
            out.bytes(keys[column])
            let bytes = cell.range.bytes(of: text)
            if !cell.isQuoted, isLiteral(bytes, types[column]) {
                out.bytes(bytes)
            } else if cell.hasQuotes {
                unquoted(cell).withUnsafeBytes { JSONText.write($0, into: &out) }
            } else {
                JSONText.write(bytes, into: &out)
            }
        }
        out.text("}")
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

    private func unquoted(_ cell: CSVRows.Cell) -> [UInt8] {
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
