import Foundation

/// One `import` line of one source file.
struct ImportLine: CustomStringConvertible {
    let module: String
    let file: String
    let line: Int
    let text: String

    var description: String { "\(file):\(line): \(text)" }
}

/// The package's own `Sources` folder, found from where this file was compiled.
enum SourceTree {
    static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    static let sources = root.appending(path: "Sources")

    /// The targets that hold Swift code, by folder name; C shims and module maps are left out.
    static func swiftModules() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: sources.path(percentEncoded: false))
            .filter { try !swiftFiles(of: $0).isEmpty }
            .sorted()
    }

    static func swiftFiles(of module: String) throws -> [URL] {
        let folder = sources.appending(path: module)
        let walk = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        return (walk?.compactMap { $0 as? URL } ?? []).filter { $0.pathExtension == "swift" }
    }

    static func imports(of module: String) throws -> [ImportLine] {
        try swiftFiles(of: module).flatMap { url in
            let text = try String(contentsOf: url, encoding: .utf8)
            return importLines(in: text, file: "Sources/\(module)/\(url.lastPathComponent)")
        }
    }

    /// Reads `import` declarations line by line: access level, attributes and a kind such as `struct` may stand
    /// around the keyword; a submodule counts as its top module. Lines inside a comment block or a multi-line string
    /// are not told apart from code: nothing in `Sources` begins such a line with `import`.
    static func importLines(in text: String, file: String) -> [ImportLine] {
        let pattern =
            #/^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias|actor)\s+)?(?<module>\w+)/#
        var found: [ImportLine] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            guard let match = line.firstMatch(of: pattern) else { continue }
            found.append(
                ImportLine(
                    module: String(match.output.module), file: file, line: index + 1,
                    text: line.trimmingCharacters(in: .whitespaces)))
        }
        return found
    }

    /// Every Swift file below `Sources`, generated ones included.
    static func allSources() throws -> [SourceText] { try sourceTexts.get() }

    static func handWritten() throws -> [SourceText] { try allSources().filter { !$0.path.contains("/Generated/") } }

    static func allTests() throws -> [SourceText] { try testTexts.get() }

    /// The READMEs and the DocC pages; all their lines are prose.
    static func pages() throws -> [SourceText] {
        let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
        return try [SourceText(path: "README.md", text: readme)] + texts(below: "Sources", ending: "md")
            + texts(below: "Benchmarks", ending: "md") + texts(below: "Tests", ending: "md")
    }

    /// The comments of what is neither Swift nor a page: Python with its documentation strings, C, and the scripts of `tools`.
    static func scriptComments() throws -> [(path: String, lines: [(number: Int, text: Substring)])] {
        let python = try ["Tests", "Benchmarks"].flatMap { try texts(below: $0, ending: "py") }
        let c = try ["Tests", "Benchmarks", "Sources"].flatMap {
            try texts(below: $0, ending: "c") + texts(below: $0, ending: "h")
        }
        let tools = root.appending(path: "tools")
        let names = try FileManager.default.contentsOfDirectory(atPath: tools.path(percentEncoded: false)).sorted()
        let scripts = names.compactMap { name in
            (try? String(contentsOf: tools.appending(path: name), encoding: .utf8)).map {
                SourceText(path: "tools/\(name)", text: $0)
            }
        }
        let ofC = c.map { file in (file.path, file.lines.map { ($0.number, $0.comment) }) }
        return ofC
            + (python + scripts).map { file in
                var isDocumentation = false
                return (
                    file.path,
                    file.lines.map { line in
                        let text = line.code + line.comment
                        let marks = text.matches(of: #/"""/#).count
                        defer { if marks == 1 { isDocumentation.toggle() } }
                        if isDocumentation || marks > 0 { return (line.number, Substring(text)) }
                        return (
                            line.number,
                            text.firstRange(of: #/(^|\s)#\s/#).map { Substring(text[$0.lowerBound...]) } ?? ""
                        )
                    }
                )
            }
    }

    /// What is written for readers: the comments of all Swift files, and the pages.
    static func prose() throws -> [(path: String, lines: [(number: Int, text: Substring)])] {
        let comments = try (allSources() + allTests()).map { file in
            (file.path, file.lines.filter { !$0.comment.isEmpty }.map { ($0.number, $0.comment) })
        }
        let pages = try pages().map { page in
            (page.path, page.lines.map { line in (line.number, line.code + line.comment) })
        }
        return comments + pages
    }

    /// Read once for all checks.
    private static let sourceTexts = Result { try texts(below: "Sources", ending: "swift") }
    private static let testTexts = Result { try texts(below: "Tests", ending: "swift") }

    private static func texts(below folder: String, ending: String) throws -> [SourceText] {
        let base = root.appending(path: folder).path(percentEncoded: false)
        let walk = FileManager.default.enumerator(atPath: base)
        let paths = (walk?.compactMap { $0 as? String } ?? [])
            .filter { $0.hasSuffix(".\(ending)") && !$0.contains(".build") }
        return try paths.sorted().map { path in
            SourceText(
                path: "\(folder)/\(path)",
                text: try String(contentsOf: root.appending(path: "\(folder)/\(path)"), encoding: .utf8))
        }
    }
}
