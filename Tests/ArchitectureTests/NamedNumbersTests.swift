import Testing

/// A number that has got a name, as each limit has, is read by that name: another one in its place would be the one in force.
@Suite struct NamedNumbersTests {
    @Test func everyNamedNumberIsRead() throws {
        let unread = Self.unread(in: try SourceTree.handWritten())
        for number in unread { Issue.record("\(number.path): \(number.type).\(number.name) is read nowhere") }
    }

    @Test func aNumberThatNobodyReadsIsFound() {
        let one = """
            struct A {
                static let limit = 1 << 20
                static var part: Int { 8 }
                static let spoken = 3  // A.spoken
                static let bare: Int64 = 5_000
                static let patience = Duration.seconds(3)
                static let implied: Duration = .milliseconds(20)
                let field = 7
                func f() -> Int64 { bare }
            }
            """
        let two = """
            struct B {
                static let limit = 2
                static let spoken = 4
                func f() -> Int { Self.limit + A.part + Self.spoken }
                func g() { wait(.implied) }
            }
            """
        let unread = Self.unread(in: [
            SourceText(path: "Sources/M/A.swift", text: one), SourceText(path: "Sources/M/B.swift", text: two),
        ])
        #expect(unread.map { "\($0.type).\($0.name)" } == ["A.limit", "A.spoken", "A.patience"])
    }

    private struct Number {
        let path: String
        let type: String
        let name: String
    }

    /// The names in the code of one file: with the word before their dot, ".name" where there is none, and how often each
    /// stands alone.
    private struct Names {
        var types: Set<Substring> = []
        var qualified: Set<String> = []
        var bare: [Substring: Int] = [:]

        init(_ file: SourceText) {
            for line in file.lines {
                let code = line.code
                var before: Substring?
                for word in code.words {
                    let isMember = word.startIndex > code.startIndex && code[code.index(before: word.startIndex)] == "."
                    if isMember {
                        let owner = before.flatMap { $0.endIndex == code.index(before: word.startIndex) ? $0 : nil }
                        qualified.insert("\(owner ?? "").\(word)")
                    } else {
                        bare[word, default: 0] += 1
                    }
                    before = word
                }
            }
        }
    }

    private static func unread(in files: [SourceText]) -> [Number] {
        var names = files.map(Names.init)
        var numbers: [(number: Number, file: Int)] = []
        for (index, file) in files.enumerated() {
            var open: [(indent: Int, name: String)] = []
            for line in file.lines {
                guard let declaration = Declaration(line.code) else { continue }
                open.removeAll { $0.indent >= line.indent }
                if ["struct", "class", "enum", "actor", "extension", "protocol"].contains(declaration.keyword) {
                    // Of a path, such as an extension may name, the type at its end.
                    let path = line.code.split { " :{<".contains($0) }.first { $0.hasPrefix("\(declaration.name).") }
                    // None: a line of text that begins with such a word.
                    guard let name = (path ?? Substring(declaration.name)).split(separator: ".").last else { continue }
                    open.append((line.indent, String(name)))
                    names[index].types.insert(name)
                } else if let type = open.last, isNumber(line.code) {
                    numbers.append((Number(path: file.path, type: type.name, name: declaration.name), index))
                }
            }
        }
        let qualified = names.reduce(into: Set<String>()) { $0.formUnion($1.qualified) }
        return numbers.filter { entry in
            let (number, name) = (entry.number, Substring(entry.number.name))
            if qualified.contains("\(number.type).\(name)") || qualified.contains(".\(name)") { return false }
            return !names.enumerated().contains { index, own in
                own.types.contains(Substring(number.type))
                    && (own.qualified.contains("Self.\(name)")
                        || own.bare[name, default: 0] > (index == entry.file ? 1 : 0))
            }
        }.map(\.number)
    }

    /// Whether a line gives a static name to a number or a time.
    private static func isNumber(_ code: Substring) -> Bool {
        guard code.contains("static "), let value = code.firstRange(of: #/ = | \{ /#).map({ code[$0.upperBound...] })
        else { return false }
        return value.first?.isNumber == true || value.hasPrefix("-") || value.hasPrefix("Duration")
            || value.hasPrefix(".seconds(") || value.hasPrefix(".milliseconds(")
    }
}
