/// Rows of text in aligned columns, for people. Cells may be of anybody: they are escaped.
public struct TextTable: Sendable {
    public enum Alignment: Sendable {
        case left, right
    }

    private let columns: [(title: String, alignment: Alignment)]
    private var rows: [[String]] = []

    public init(_ columns: [(title: String, alignment: Alignment)]) { self.columns = columns }

    public mutating func append(_ row: [String]) {
        precondition(row.count == columns.count, "a row of \(row.count) in a table of \(columns.count) columns")
        rows.append(row.map { TerminalText.escaped($0) })
    }

    public var isEmpty: Bool { rows.isEmpty }

    public var text: String {
        let widths = columns.indices.map { column in
            max(columns[column].title.count, rows.map { $0[column].count }.max() ?? 0)
        }
        var text = ""
        for row in [columns.map(\.title)] + rows {
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                line += (columns[column].alignment == .left ? cell + padding : padding + cell) + "  "
            }
            while line.last == " " { line.removeLast() }
            text += line + "\n"
        }
        return text
    }
}
