/// The broker keys of a file: nested mappings and dotted keys mean the same, sequences become comma-separated lists.
struct FlatEntries {
    struct Entry: Equatable {
        var key: String
        var value: String
        /// From 1.
        var line: Int
    }

    private(set) var entries: [Entry] = []

    init(_ tree: [ConfigurationEntry]) throws(YAMLDocument.Failure) {
        for entry in tree { try add(entry.key, entry.value) }
    }

    private mutating func add(_ key: String, _ node: ConfigurationNode) throws(YAMLDocument.Failure) {
        func failure(_ line: Int, _ reason: String) -> YAMLDocument.Failure {
            YAMLDocument.Failure(line: line, reason: reason)
        }
        switch node.content {
        case .text(let text, _):
            if node.isNull { throw failure(node.line, "no value for \(key); leave the key out for its default") }
            entries.append(Entry(key: key, value: text, line: node.line))
        case .mapping(let inner):
            for entry in inner { try add(key + "." + entry.key, entry.value) }
        case .list(let items):
            var values: [String] = []
            for item in items {
                switch item.content {
                case .list: throw failure(item.line, "a list inside a list")
                case .mapping:
                    let section = Spelling.nearest(to: key, among: Configuration.sectionNames)
                    throw failure(
                        item.line,
                        "a mapping inside a list, which \(key) does not take"
                            + (section.map { "; did you mean \($0)?" } ?? ""))
                case .text(let text, _):
                    if text.contains(",") { throw failure(item.line, "a list item with a comma in it") }
                    values.append(text)
                }
            }
            entries.append(Entry(key: key, value: values.joined(separator: ","), line: node.line))
        }
    }
}
