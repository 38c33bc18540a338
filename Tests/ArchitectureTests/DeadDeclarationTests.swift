import Testing

/// What nobody uses is not there. Seen as far as text shows it: a name that stands once in all of `Sources` is declared and
/// used by nothing, and so is a private one that stands once in its file. A name that occurs twice for two things passes.
@Suite struct DeadDeclarationTests {
    /// Declared for tests, or for what is about to use it.
    private static let exceptions: [String: String] = [
        "cleanupPolicy": "tests of the configuration read it",
        "compressionType": "tests of the configuration read it",
        "debugDescription": "the standard library asks for it",
        "expectsNothing": "tests give a verdict where one is waited for",
        "expireAllowance": "tests let an allowance end",
        "implementation": "tests ask which checksum was chosen",
        "maxTimestampAfterMs": "tests of the configuration read it",
        "maxTimestampBeforeMs": "tests of the configuration read it",
        "roundrobin": "made from the name of the protocol, which it is",
        "segmentCount": "tests count segments",
        "maintain": "tests make the calls of the store's threads",
        "truncateEnd": "for the truncation of a follower; tests drive it",
        "unserved": "a test holds the three parts of the table against all APIs",
        "wireSource": "tests of the configuration read it",
    ]
    /// A complete list of what a protocol or the system defines, and the module that is there for the tests.
    private static let complete = [
        "Sources/KafkaModel/ErrorCode.swift", "Sources/RecordFormat/ControlRecord.swift",
        "Sources/ConsoleCommands/ExitCode.swift", "Sources/BrokerTestKit/",
    ]
    /// What the gateway is about to ask for: in each of these files something is used by nothing yet.
    private static let ahead = ["Sources/Security/Gateway/TwilioSignature.swift"]

    @Test func everyDeclarationIsUsed() throws {
        let files = try SourceTree.allSources()
        let unused = Self.unused(in: files)
        for path in Self.ahead where !unused.contains(where: { $0.path == path }) {
            Issue.record("\(path) is used now, or gone: take it off the list")
        }
        let exempt = Self.complete + Self.ahead
        let dead = unused.filter { found in !exempt.contains { found.path.hasPrefix($0) } }
        for found in dead where Self.exceptions[found.name] == nil {
            Issue.record("\(found.path): \(found.name) is used nowhere")
        }
        let stale = Set(Self.exceptions.keys).subtracting(dead.map(\.name)).sorted()
        #expect(stale == [], "used now, or gone: take it off the list")
    }

    @Test func anUnusedDeclarationIsFound() {
        let text = """
            struct Used {
                static let unusedLimit = 1
                /// unusedFunction is only spoken of.
                func unusedFunction() {}
                func usedFunction() -> Used { Used() }
                var usedToo: Int { usedFunction() }
                private func inOneFile() {}
                enum Kind { case first }
                enum Way: String {
                    case used, unused(Int, Used), alsoUnused = "x"
                }
            }
            let total = value.usedToo
            switch total {
            case .used: Kind.first
            case let way: Way(way)
            }
            """
        let other = "func work() { inOneFile() }\nlet more = work(more)"
        let found = Self.unused(in: [
            SourceText(path: "Sources/M/A.swift", text: text), SourceText(path: "Sources/M/B.swift", text: other),
        ])
        #expect(
            found.map(\.name) == [
                "unusedLimit", "unusedFunction", "inOneFile", "unused", "alsoUnused",
            ])
    }

    private static func unused(in files: [SourceText]) -> [(path: String, name: String)] {
        let counts = files.map(Self.counts)
        let all = counts.reduce(into: [Substring: Int]()) { $0.merge($1, uniquingKeysWith: +) }
        let kinds: Set<String> = ["func", "let", "var", "struct", "class", "enum", "actor", "protocol", "typealias"]
        var unused: [(path: String, name: String)] = []
        for (file, own) in zip(files, counts) where !file.path.contains("/Generated/") {
            for line in file.lines {
                guard let declaration = Declaration(line.code) else { continue }
                if declaration.keyword == "case" {
                    for name in cases(in: line.code) where all[name] == 1 { unused.append((file.path, String(name))) }
                }
                let seen = declaration.isPrivate ? own : all
                if kinds.contains(declaration.keyword), seen[Substring(declaration.name)] == 1 {
                    unused.append((file.path, declaration.name))
                }
            }
        }
        return unused
    }

    private static func counts(of file: SourceText) -> [Substring: Int] {
        var counts: [Substring: Int] = [:]
        for line in file.lines { for word in line.code.words { counts[word, default: 0] += 1 } }
        return counts
    }

    /// The names that a line with cases of an enumeration declares. In a switch a case begins with a dot, a value, a constant of C,
    /// or a word that stands in other places as well.
    private static func cases(in code: Substring) -> [Substring] {
        guard let start = code.firstRange(of: "case ") else { return [] }
        var depth = 0
        var names: [Substring] = []
        for piece in code[start.upperBound...].split(separator: ",") {
            let name = piece.drop { $0 == " " || $0 == "`" }.prefix { $0.isIdentifier }
            if depth == 0, name.first?.isLowercase == true { names.append(name) }
            depth += piece.reduce(0) { $0 + ($1 == "(" ? 1 : $1 == ")" ? -1 : 0) }
        }
        return names
    }
}
