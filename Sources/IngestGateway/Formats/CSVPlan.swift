/// How a route reads CSV.
struct CSVPlan: Sendable {
    var delimiter = UInt8(ascii: ",")
    /// Lines before the header, of whatever is in them.
    var skippedLines = 0
    /// Names of the columns of a text without a header; nil: its first row is one.
    var columns: [String]?
    /// Members for columns, where they have other names.
    var names: [String: String] = [:]

    /// Lines before the header.
    static let maxSkippedLines = 1000

    /// The byte that a text means: one character, or the word tab; nil: none that may stand between cells.
    static func delimiter(_ text: String) -> UInt8? {
        let byte = text == "\\t" || text == "tab" ? 0x09 : text.utf8.first ?? 0
        return text.utf8.count == 1 && byte < 0x80 && ![0x0a, 0x0d, 0x22].contains(byte) || byte == 0x09 ? byte : nil
    }

    /// A name is written into every event.
    static let maxNameBytes = 256

    /// The members that columns of these names make; nil: one is empty, too long, or stands twice.
    func members(of columns: [String]) -> [String]? {
        var known: Set<String> = []
        let members = columns.map { names[$0] ?? $0 }
        let areGood = members.allSatisfy {
            !$0.isEmpty && $0.utf8.count <= Self.maxNameBytes && known.insert($0).inserted
        }
        return areGood ? members : nil
    }

    static let namesProblem = "A column's name is empty, longer than \(maxNameBytes) bytes, or stands twice"
}

/// What the cells of a column become.
enum CSVCellType {
    case text, number, boolean

    /// By the schema of an event, if it says what the member is.
    init(of name: String, in schema: JSONSchema?) {
        self = .text
        guard let schema, let root = schema.parts.first else { return }
        let bytes = Array(name.utf8)
        guard let index = root.properties.first(where: { $0.name == bytes })?.part else { return }
        let types = schema.parts[index].types.subtracting(.null)
        if !types.isEmpty, types.isSubset(of: [.number, .integer]) { self = .number }
        if types == .boolean { self = .boolean }
    }
}
