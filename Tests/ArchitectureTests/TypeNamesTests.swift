import Testing

/// A type's name means one thing in the whole package, so that a comment, a page or a search can use it without its module.
@Suite struct TypeNamesTests {
    /// Names that several modules have, and why.
    private static let exceptions: [String: String] = [:]

    @Test func noNameHasTwoMeanings() throws {
        let modules = Self.modulesByType(in: try SourceTree.allSources())
        let shared = modules.filter { $0.value.count > 1 }
        for (name, modules) in shared where Self.exceptions[name] == nil {
            Issue.record("\(name) is a type of \(modules.sorted().joined(separator: " and of "))")
        }
        #expect(Set(Self.exceptions.keys).subtracting(shared.keys).sorted() == [], "take it off the list")
    }

    @Test func aSecondMeaningIsFound() {
        let one = SourceText(
            path: "Sources/One/A.swift", text: "public final class A {\n    struct Entry {}\n}\nstruct B {}")
        let two = SourceText(path: "Sources/Two/B.swift", text: "private enum A {}\nstruct B {}\nstruct Entry {}")
        let shared = Self.modulesByType(in: [one, two]).filter { $0.value.count > 1 }
        #expect(shared == ["B": ["One", "Two"]])
    }

    /// Types that stand by themselves and are seen by their module: a nested one has its owner's name before it, and a
    /// private one no reader elsewhere.
    private static func modulesByType(in files: [SourceText]) -> [String: Set<String>] {
        var modules: [String: Set<String>] = [:]
        for file in files {
            for line in file.lines where line.indent == 0 {
                guard let declaration = Declaration(line.code), !declaration.isPrivate,
                    ["struct", "class", "enum", "actor", "protocol", "typealias"].contains(declaration.keyword)
                else { continue }
                modules[declaration.name, default: []].insert(file.module)
            }
        }
        return modules
    }
}
