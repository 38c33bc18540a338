/// How a route reads CSV.
struct CSVPlan: Sendable {
    var delimiter = UInt8(ascii: ",")
    /// Lines before the header, of whatever is in them.
    var skippedLines = 0
    /// Names of the columns of a text without a header; nil: its first row is one.
    var columns: [String]?
    /// Members for columns, where they have other names.
    var names: [String: String] = [:]

    /// A name is written into every event.
    static let maxNameBytes = 256
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
