import Foundation
import Testing

/// The modules as three places tell of them: the table of imports (`AllowedImports.swift`), Package.swift, and the README.
@Suite struct DependenciesTests {
    /// A target that its manifest lets depend on more than the table allows could import it by the way.
    @Test func thePackageDeclaresWhatTheTableAllows() throws {
        let declared = Self.targets(in: try Self.text("Package.swift"))
        for (module, rule) in allowedImports {
            #expect(declared[module] == rule.modules, "\(module) in Package.swift")
        }
    }

    @Test func noArrowIsUnused() throws {
        for (module, rule) in allowedImports {
            let imported = Set(try SourceTree.imports(of: module).map(\.module))
            #expect(rule.modules.subtracting(imported).sorted() == [], "\(module) does not import these")
        }
    }

    /// The README's table goes from the top down: a module imports what stands below it.
    @Test func theReadmesTableGoesDown() throws {
        let rows = Self.rows(in: try Self.text("README.md"))
        for module in try SourceTree.swiftModules() {
            #expect(rows[module] != nil, "\(module) is not in the README's table of modules")
        }
        for (module, row) in rows {
            guard let rule = allowedImports[module] else {
                Issue.record("the README's table has \(module), which is no module")
                continue
            }
            for imported in rule.modules {
                if let other = rows[imported] { #expect(row < other, "\(module) → \(imported)") }
            }
        }
    }

    /// In the README's drawing the path of an event goes down from module to module.
    @Test func theReadmesDrawingGoesDown() throws {
        let lines = Self.drawing(in: try Self.text("README.md"))
        var places: [String: Int] = [:]
        for (number, line) in lines.enumerated() {
            for word in line.words where allowedImports[String(word)] != nil && places[String(word)] == nil {
                places[String(word)] = number
            }
        }
        #expect(places.count > 5, "the drawing was not found")
        for (module, place) in places {
            for imported in allowedImports[module]!.modules {
                if let other = places[imported] { #expect(place <= other, "\(module) stands below \(imported)") }
            }
        }
    }

    @Test func aManifestAndATableAreRead() {
        let manifest = """
            module("A", []),
            module(
                "B",
                [
                    "A", "CSystem",
                ], settings: x),
            .executableTarget(
                name: "C",
                dependencies: ["A", "B"],
            .target(name: "CSystem"),
            tests("ATests", ["A"]),
            """
        #expect(Self.targets(in: manifest) == ["A": [], "B": ["A", "CSystem"], "C": ["A", "B"], "CSystem": []])
        let readme = "| Module | What |\n|---|---|\n| `B` | uses `A` |\n| `C`, `A` | below |\n\n| `tools/x` | a tool |"
        #expect(Self.rows(in: readme) == ["B": 0, "C": 1, "A": 2])
    }

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: SourceTree.root.appending(path: path), encoding: .utf8)
    }

    private static func targets(in manifest: String) -> [String: Set<String>] {
        var targets: [String: Set<String>] = [:]
        let flat = manifest.split(separator: "\n").map { $0.drop { $0 == " " } }.joined(separator: " ")
        let pattern = #/(?:[^s]module\(|arget\(\s*name:)\s*"(\w+)"([^\[\]]*?)(?:\[([^\]]*)\]|\))/#
        for match in (" " + flat).matches(of: pattern) {
            let listed = match.output.3.map { $0.split(separator: "\"").filter { $0.first?.isLetter == true } } ?? []
            targets[String(match.output.1)] = Set(listed.map(String.init))
        }
        return targets
    }

    /// The place of each module in the table under "| Module |", from the top.
    private static func rows(in readme: String) -> [String: Int] {
        let lines = readme.split(separator: "\n", omittingEmptySubsequences: false)
        let table = lines.drop { !$0.hasPrefix("| Module") }.dropFirst(2).prefix { $0.hasPrefix("|") }
        var rows: [String: Int] = [:]
        for line in table {
            let cell = line.split(separator: "|")[0]
            for name in cell.split(separator: "`").filter({ $0.first?.isIdentifier == true }) {
                rows[String(name)] = rows.count
            }
        }
        return rows
    }

    private static func drawing(in readme: String) -> [Substring] {
        let lines = readme.split(separator: "\n", omittingEmptySubsequences: false)
        let part = lines.drop { !$0.hasPrefix("## The path of an event") }.drop { !$0.hasPrefix("```") }
        return Array(part.dropFirst().prefix { !$0.hasPrefix("```") })
    }
}
