import Foundation
import Testing

/// The page of what one connection may hold says what the code does: each limit is declared, each key is one of the
/// configuration's, and the default is what is in force with both.
@Suite struct ConnectionPageTests {
    private static let page = "Sources/Transport/Transport.docc/OneConnection.md"

    @Test func limitsKeysAndDefaultsAreTheCodes() throws {
        let page = try #require(try SourceTree.pages().first { $0.path == Self.page })
        let rows = LimitRow.all(in: page)
        #expect(rows.count > 50)
        let known = DeclaredLimits(try SourceTree.handWritten())
        for row in rows { for problem in known.problems(of: row) { Issue.record("\(Self.page):\(problem)") } }
    }

    /// A limit of the edges that the page does not name is not found by who looks for it there.
    @Test func noLimitOfAConnectionIsMissing() throws {
        let page = try #require(try SourceTree.pages().first { $0.path == Self.page })
        let named = Set(LimitRow.all(in: page).flatMap(\.limits))
        let known = DeclaredLimits(try SourceTree.handWritten())
        let ofConnections = known.members(of: "ConnectionLimits").subtracting(Self.besides)
        #expect(!ofConnections.isEmpty)
        #expect(ofConnections.subtracting(named).sorted() == [], "limits of ConnectionLimits without a row")
    }

    /// Told in the row of the limit that they belong to.
    private static let besides: Set<String> = ["ConnectionLimits.outputLowWater", "ConnectionLimits.minimumInputRate"]

    @Test func aWrongRowIsFound() {
        let known = DeclaredLimits([
            SourceText(
                path: "Sources/M/A.swift",
                text: """
                    struct A {
                        static let maxBytes = 3 << 20
                        static let maxCount = B.maxCount
                        static var maxPart: Int { 64 << 10 }
                        var waitMs: Int64 = 120_000
                        var patience: Duration? = .seconds(30)
                        var never: Duration?
                        struct Inner {
                            var most = Int.max
                        }
                    }
                    extension B {
                        static let maxCount = 10_000
                    }
                    """),
            SourceText(
                path: "Sources/Configuration/T.swift",
                text: """
                    ConfigurationKey(
                        "a.bytes", .bytes(1...9, width: .int),
                        default: "1048576", "Text"),
                    ConfigurationKey("a.count", .integer(1...9), default: "10000", "Text"),
                    ConfigurationKey("a.ms", .duration(.milliseconds, 1...9), default: "60000", "Text"),
                    """),
        ])
        func problems(_ row: String) -> Int {
            let page = SourceText(path: "P.md", text: "| What | Limit | Key | Default | At it |\n|---|\n\(row)")
            return LimitRow.all(in: page).reduce(0) { $0 + known.problems(of: $1).count }
        }
        for right in [
            "| x | `A.maxBytes` | | 3 MiB | y |", "| x | `A.maxCount`, `B.maxCount` | | 10,000 and more | y |",
            "| x | `A.maxPart` | | 64 KiB, or less | y |", "| x | `A.waitMs` | | 2 min | y |",
            "| x | `A.patience` | | 30 s | y |", "| x | `A.never` | | none | y |",
            "| x | `A.never` | | what is left | y |",
            "| x | `A.maxBytes` | `a.bytes` | 1 MiB | y |", "| x | `A.Inner.most` | `a.count` | 10,000 | y |",
            "| x | `Inner.most` | `a.ms` | 1 min | y |",
        ] { #expect(problems(right) == 0, "\(right)") }
        for wrong in [
            "| x | `A.gone` | | 3 MiB | y |", "| x | `A.maxBytes` | | 4 MiB | y |", "| x | `A.maxBytes` | | 3 s | y |",
            "| x | `A.maxBytes` | `a.bytes` | 3 MiB | y |", "| x | `A.maxBytes` | `b.bytes` | 3 MiB | y |",
            "| x | `A.never` | | 5 s | y |", "| x | no limit | | 5 s | y |", "| x | `A.maxCount` | | 10,001 | y |",
        ] { #expect(problems(wrong) == 1, "\(wrong)") }
    }
}

/// A row of the page's table.
struct LimitRow {
    let line: Int
    /// Type and member with a dot between, as they stand in the column.
    let limits: [String]
    let key: String?
    let value: String

    static func all(in page: SourceText) -> [LimitRow] {
        let table = page.lines.drop { !$0.code.hasPrefix("| What | Limit |") }.dropFirst(2)
        return table.prefix { $0.code.hasPrefix("|") }.map { line in
            let cells = line.code.split(separator: "|", omittingEmptySubsequences: false).map {
                $0.trimmingCharacters(in: .whitespaces)
            }
            return LimitRow(
                line: line.number, limits: quoted(cells[2]), key: quoted(cells[3]).first, value: cells[4])
        }
    }

    private static func quoted(_ cell: String) -> [String] {
        cell.split(separator: "`", omittingEmptySubsequences: false).enumerated()
            .filter { !$0.offset.isMultiple(of: 2) }.map { String($0.element) }
    }
}

/// A number with what it counts, so that 30 s is not 30 bytes.
enum LimitValue: Equatable {
    case bytes(Int)
    case nanoseconds(Int)

    var number: Int {
        switch self {
        case .bytes(let number), .nanoseconds(let number): number
        }
    }

    /// Reads what a cell begins with: "64 KiB, or less", "10,000", "2 min"; nil where that is no number.
    init?(cell: String) {
        let words = cell.split(separator: " ").map { $0.hasSuffix(",") ? $0.dropLast() : $0 }
        guard let first = words.first, let number = Int(first.replacing(",", with: "")) else { return nil }
        switch words.dropFirst().first ?? "" {
        case "KiB": self = .bytes(number << 10)
        case "MiB": self = .bytes(number << 20)
        case "ms": self = .nanoseconds(number * 1_000_000)
        case "s": self = .nanoseconds(number * 1_000_000_000)
        case "min": self = .nanoseconds(number * 60_000_000_000)
        default: self = .bytes(number)
        }
    }
}

/// The limits that the code declares with a value, and the keys of the configuration.
struct DeclaredLimits {
    /// By type and member with a dot between, for a nested type with and without those around it: what stands behind the name.
    private var values: [String: Substring] = [:]
    private var keys: [String: LimitValue] = [:]

    init(_ files: [SourceText]) {
        for file in files {
            readDeclarations(of: file)
            if file.module == "Configuration" { readKeys(of: file) }
        }
    }

    func members(of type: String) -> Set<String> { Set(values.keys.filter { $0.hasPrefix("\(type).") }) }

    /// What is wrong with a row, each with its line.
    func problems(of row: LimitRow) -> [String] {
        if row.limits.isEmpty { return ["\(row.line): names no limit"] }
        let unknown = row.limits.filter { values[$0] == nil }
        if !unknown.isEmpty { return unknown.map { "\(row.line): there is no \($0)" } }
        let ofKey = row.key.flatMap { keys[$0] }
        if let key = row.key, ofKey == nil { return ["\(row.line): there is no key \(key) with a number"] }
        guard let told = LimitValue(cell: row.value) else { return [] }
        return row.limits.compactMap { limit in
            let inForce = [value(of: limit), ofKey].compactMap { $0 }.min { $0.number < $1.number }
            return inForce == told
                ? nil : "\(row.line): \(limit) is \(inForce.map { "\($0)" } ?? "nothing"), not \(told)"
        }
    }

    private static let types: Set<String> = ["struct", "class", "enum", "actor", "extension"]

    private mutating func readDeclarations(of file: SourceText) {
        var open: [(indent: Int, name: String)] = []
        for line in file.lines where !line.isBlank {
            guard let declaration = Declaration(line.code) else { continue }
            open.removeAll { $0.indent >= line.indent }
            if Self.types.contains(declaration.keyword) {
                // An extension's name may be a path.
                let path = line.code.split { " :{".contains($0) }.first { $0.hasPrefix("\(declaration.name).") }
                open.append((line.indent, String(path ?? Substring(declaration.name))))
            } else if ["let", "var"].contains(declaration.keyword), line.indent == (open.last?.indent ?? -8) + 4 {
                // What stands further in is of a function.
                let value = line.code.firstRange(of: #/ = | \{ /#).map { line.code[$0.upperBound...] } ?? ""
                let path = open.map(\.name).joined(separator: ".").split(separator: ".")
                for start in path.indices {
                    values[(path[start...] + [Substring(declaration.name)]).joined(separator: ".")] = value
                }
            }
        }
    }

    private mutating func readKeys(of file: SourceText) {
        let text = file.lines.map(\.code).joined(separator: " ")
        let row = #/ConfigurationKey\(\s*"([a-z.]+)",\s*\.(bytes|integer|duration)\((?:\.(\w+))?[^"]*?default: "(\d+)"/#
        for match in text.matches(of: row) {
            let number = Int(match.output.4)!
            switch match.output.3 {
            case "milliseconds": keys[String(match.output.1)] = .nanoseconds(number * 1_000_000)
            case nil: keys[String(match.output.1)] = .bytes(number)
            default: continue
            }
        }
    }

    /// The number that a limit has by itself: written there, or of another limit.
    private func value(of limit: String) -> LimitValue? {
        guard let text = values[limit]?.split(separator: " }").first else { return nil }
        if let match = text.wholeMatch(of: #/([\d_]+)(?: << (\d+))?/#) {
            let number = Int(match.output.1.replacing("_", with: ""))! << (match.output.2.flatMap { Int($0) } ?? 0)
            let name = limit.split(separator: ".").last!
            if name.hasSuffix("Ms") { return .nanoseconds(number * 1_000_000) }
            return name.hasSuffix("Nanoseconds") || name.hasSuffix("Time") ? .nanoseconds(number) : .bytes(number)
        }
        if let match = text.wholeMatch(of: #/\.(seconds|milliseconds)\((\d+)\)/#) {
            return .nanoseconds(Int(match.output.2)! * (match.output.1 == "seconds" ? 1_000_000_000 : 1_000_000))
        }
        return values[String(text)] == nil ? nil : value(of: String(text))
    }
}
