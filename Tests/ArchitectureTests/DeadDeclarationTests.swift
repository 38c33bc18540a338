import Testing

/// What nobody uses is not there. Seen as far as text shows it: a name that stands once in all of `Sources` is declared and
/// used by nothing. A name that occurs twice for two things passes.
@Suite struct DeadDeclarationTests {
    /// Declared for tests, or for what is about to use it.
    private static let exceptions: [String: String] = [
        "cleanupPolicy": "tests of the configuration read it",
        "completeTransaction": "an event of the state machine, driven by tests until transactions are served",
        "compressionType": "tests of the configuration read it",
        "encodeURL": "tests of tokens make them by it",
        "expireAllowance": "tests let an allowance end",
        "implementation": "tests ask which checksum was chosen",
        "isLockedByAnother": "tests tell the error by it",
        "maxTimestampAfterMs": "tests of the configuration read it",
        "maxTimestampBeforeMs": "tests of the configuration read it",
        "producerCount": "tests count producer states",
        "replayTransactionEnd": "an event of the state machine, driven by tests until transactions are served",
        "segmentCount": "tests count segments",
        "maintain": "tests make the calls of the store's threads",
        "truncateEnd": "for the truncation of a follower; tests drive it",
        "wireSource": "tests of the configuration read it",
    ]
    /// A complete list of what a protocol defines, and the module that is there for the tests.
    private static let complete = ["Sources/KafkaModel/ErrorCode.swift", "Sources/BrokerTestKit/"]
    /// Modules of which no edge asks yet what they are for, so most that they offer looks dead, and who uses some of it already.
    private static let ahead = ["Security": ["Server", "TLS"]]

    @Test func everyDeclarationIsUsed() throws {
        let files = try SourceTree.allSources()
        for (module, users) in Self.ahead {
            let importers = allowedImports.filter { $0.value.modules.contains(module) }.keys.sorted()
            #expect(importers == users, "\(module) is used now")
        }
        let exempt = Self.complete + Self.ahead.keys.map { "Sources/\($0)/" }
        let dead = Self.unused(in: files).filter { found in !exempt.contains { found.path.hasPrefix($0) } }
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
            }
            let total = value.usedToo
            """
        let found = Self.unused(in: [SourceText(path: "Sources/M/A.swift", text: text)])
        #expect(found.map(\.name) == ["unusedLimit", "unusedFunction", "total"])
    }

    private static func unused(in files: [SourceText]) -> [(path: String, name: String)] {
        var counts: [Substring: Int] = [:]
        for file in files {
            for line in file.lines { for word in line.code.words { counts[word, default: 0] += 1 } }
        }
        let kinds: Set<String> = ["func", "let", "var", "struct", "class", "enum", "actor", "protocol", "typealias"]
        return files.filter { !$0.path.contains("/Generated/") }.flatMap { file in
            file.lines.compactMap { line in
                guard let declaration = Declaration(line.code), kinds.contains(declaration.keyword),
                    counts[Substring(declaration.name)] == 1
                else { return nil }
                return (file.path, declaration.name)
            }
        }
    }
}
