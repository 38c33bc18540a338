import Testing

/// The page's table has every lock of LogStorage, and none that is not there: what it is held for, and in which order
/// locks are taken.
@Suite struct LocksTests {
    private static let page = "Sources/LogStorage/LogStorage.docc/WhoWaitsForTheDisk.md"

    @Test func everyLockOfTheStoreStandsInTheTable() throws {
        let page = try #require(try SourceTree.pages().first { $0.path == Self.page })
        let listed = Self.firstColumns(of: page)
        let locks = try SourceTree.handWritten().filter { $0.module == "LogStorage" }.flatMap(Self.locks)
        #expect(locks.count > 20)
        for lock in locks where !listed.contains(lock) { Issue.record("\(lock) is not in the table of \(Self.page)") }
    }

    @Test func theTableNamesNoLockThatIsGone() throws {
        let page = try #require(try SourceTree.pages().first { $0.path == Self.page })
        let listed = Self.firstColumns(of: page).filter { $0.wholeMatch(of: #/[A-Z]\w*\.\w+/#) != nil }
        // Those of other modules that a loop meets are named, too.
        let locks = Set(try SourceTree.handWritten().flatMap(Self.locks))
        #expect(listed.count > 20 && listed.subtracting(locks).sorted() == [])
    }

    @Test func theScanFindsLocks() {
        let text = """
            final class A {
                private let one = Lock(0)
                let two: Lock<[Int]>
                struct B {
                    let three = Lock<Int?>(nil)
                }
                // let four = Lock(0)
                func f() {
                    let five = Lock(0)
                }
                var list: [Lock<Int>]
                var six: Int { one.withLock { $0 } }
            }
            """
        let file = SourceText(path: "Sources/M/A.swift", text: text)
        #expect(Self.locks(file) == ["A.one", "A.two", "B.three", "A.list"])
    }

    private static func firstColumns(of page: SourceText) -> Set<String> {
        let rows = page.lines.filter { $0.code.hasPrefix("| `") }.map { $0.code.split(separator: "|")[0] }
        return Set(rows.flatMap { $0.split(separator: "`").map(String.init) })
    }

    /// The stored locks that a file declares, as `Type.name`.
    private static func locks(_ file: SourceText) -> [String] {
        let types: Set<String> = ["struct", "class", "enum", "actor", "extension"]
        var open: [(indent: Int, name: String)] = []
        var found: [String] = []
        for line in file.lines where !line.isBlank {
            open.removeAll { $0.indent >= line.indent }
            guard let declaration = Declaration(line.code) else { continue }
            if types.contains(declaration.keyword) { open.append((line.indent, declaration.name)) }
            // What stands deeper is a function's own.
            guard let type = open.last, line.indent == type.indent + 4, ["let", "var"].contains(declaration.keyword),
                ["= Lock(", "= Lock<", ": Lock<", ": [Lock<"].contains(where: line.code.contains)
            else { continue }
            found.append("\(type.name).\(declaration.name)")
        }
        return found
    }
}
