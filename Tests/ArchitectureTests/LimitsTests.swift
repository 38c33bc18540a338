import Foundation
import Testing

/// A limit that is declared is looked at somewhere: a bound that nothing reads promises what nobody keeps.
@Suite struct LimitsTests {
    private static let exceptions: Set<String> = [
        // Enforced by the topics' settings, which take their defaults by key; these are for who asks by name.
        "Configuration.maxTimestampBeforeMs", "Configuration.maxTimestampAfterMs",
    ]

    @Test func everyDeclaredLimitIsRead() throws {
        let files = try Self.files()
        let unread = Limit.all(in: files).filter { limit in !files.contains { $0.reads(limit) } }
        let names = Set(unread.map { "\($0.type).\($0.name)" })
        #expect(names.subtracting(Self.exceptions).sorted() == [], "declared and read nowhere")
        #expect(Self.exceptions.subtracting(names).sorted() == [], "read now, or gone: take it off the list")
    }

    /// The scan sees what it is for.
    @Test func theScanTellsReadFromUnread() {
        let text = """
            struct A {
                /// `maxUnread` is only spoken of. A.maxUnread
                static let maxUnread = 1
                static let maxBare = 2
                static var maxComputed: Int { maxBare }
                public var maxAssigned = 3
                let maxField: Int
            }
            extension B {
                private static let maxUnread = 4
                func f() -> Int { Self.maxUnread + A.maxComputed + a.maxField }
                func g() { a.maxAssigned = 5 }
            }
            """
        let file = SourceFile(text: text)
        let limits = Limit.all(in: [file])
        #expect(limits.count == 6)
        let unread = limits.filter { !file.reads($0) }.map { "\($0.type).\($0.name)" }
        #expect(unread == ["A.maxUnread", "A.maxAssigned"])
    }

    private static func files() throws -> [SourceFile] {
        try SourceTree.swiftModules().flatMap { module in
            try SourceTree.swiftFiles(of: module)
                .filter { !$0.path().contains("/Generated/") }
                .map { SourceFile(text: try String(contentsOf: $0, encoding: .utf8)) }
        }
    }
}

/// A declaration whose name says that it bounds something.
private struct Limit {
    let type: String
    let name: String
    let isStatic: Bool

    static func all(in files: [SourceFile]) -> [Limit] { files.flatMap(\.limits) }
}

/// The code of one file, without its comments.
private struct SourceFile {
    let lines: [Substring]
    private(set) var limits: [Limit] = []
    /// Each name that stands here in another place than its declaration or the left of an assignment, with what stands
    /// before the dot in front of it: for `Self`, and where there is none, each type around it.
    private var reads: Set<String> = []

    init(text: String) {
        lines = text.split(separator: "\n").map { line in
            line.firstRange(of: "//").map { line[..<$0.lowerBound] } ?? line
        }
        let type = #/^\s*(?:[\w@()]+\s+)*(?:struct|class|enum|actor|extension|protocol)\s+([\w.]+)/#
        let declaration = #/^\s*(?:[\w@()]+\s+)*?(static\s+)?(?:let|var)\s+((?:max|most|largest)[A-Z]\w*)\b/#
        // By default a dot between two words is no boundary.
        let use = #/(?:\b(\w+)\)?[?!]?\.)?\b((?:max|most|largest)[A-Z]\w*)\b(?!\s*=[^=]|:)/#
            .wordBoundaryKind(.simple)
        var open: [(indent: Int, name: String)] = []
        for line in lines {
            let indent = line.prefix { $0 == " " }.count
            if line.dropFirst(indent).first == "}" { open.removeAll { $0.indent >= indent } }
            // One that is closed on its line has nothing of its own below.
            if let match = line.firstMatch(of: type), line.last != "}" {
                let name = String(match.output.1.split(separator: ".").last!)
                open.removeAll { $0.indent >= indent }
                open.append((indent, name))
            }
            var rest = line
            if let match = line.firstMatch(of: declaration) {
                limits.append(
                    Limit(
                        type: open.last?.name ?? "", name: String(match.output.2), isStatic: match.output.1 != nil))
                rest = line[match.range.upperBound...]
            }
            for match in rest.matches(of: use) {
                let (before, name) = (match.output.1.map(String.init) ?? "", match.output.2)
                if before == "Self" || before.isEmpty {
                    for type in open { reads.insert("\(type.name).\(name)") }
                }
                reads.insert("\(before).\(name)")
            }
        }
    }

    func reads(_ limit: Limit) -> Bool {
        if reads.contains("\(limit.type).\(limit.name)") { return true }
        return !limit.isStatic && reads.contains { $0.hasSuffix(".\(limit.name)") }
    }
}
