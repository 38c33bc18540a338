import Testing

/// A link of DocC (a symbol in double back-ticks, a page) leads within its own module, which is all that DocC looks at. What is
/// another module's is named in single back-ticks, and with its module where that does not go without saying.
@Suite struct LinksTests {
    @Test func linksStayInTheirModule() throws {
        let modules = Dictionary(grouping: try SourceTree.allSources(), by: \.module).mapValues(Links.declared)
        let pages = Dictionary(grouping: try SourceTree.pages().filter { $0.path.contains(".docc/") }, by: \.module)
        var met = 0
        for (path, lines) in try SourceTree.prose() where path.hasPrefix("Sources/") {
            let module = SourceText(path: path, text: "").module
            let known = (modules[module] ?? []).union([module])
            let names = Set((pages[module] ?? []).map { String($0.path.split(separator: "/").last!.dropLast(3)) })
            for line in lines {
                let links = Links.all(in: line.text)
                met += links.count
                for link in links where !(link.isPage ? names : known).contains(link.name) {
                    Issue.record("\(path):\(line.number): \(link.name) is not in \(module)")
                }
            }
        }
        #expect(met > 200)
    }

    @Test func linksAreFound() {
        let text: Substring = "``Broker/start(_:in:)``, ``stop()`` and `Node`; <doc:Faults>, <doc:NoPage>."
        #expect(Links.all(in: text).map(\.name) == ["Broker", "stop", "Faults", "NoPage"])
        #expect(Links.all(in: text).map(\.isPage) == [false, false, true, true])
        #expect(Links.all(in: "a `value`, <a> and `` ` ``") == [])
        let file = SourceText(
            path: "Sources/M/A.swift", text: "public struct Broker {\n    func start() {}\n}  // stop()")
        #expect(Links.declared(in: [file]) == ["Broker", "start"])
    }
}

private enum Links {
    struct Link: Equatable {
        /// Of a symbol its first part: the type, where it is a member's.
        let name: String
        let isPage: Bool
    }

    static func all(in text: Substring) -> [Link] {
        var links: [Link] = []
        if text.contains("``") {
            for match in text.matches(of: /``([A-Za-z_]\w*)[^`]*``/) {
                links.append(Link(name: String(match.1), isPage: false))
            }
        }
        if text.contains("<doc:") {
            for match in text.matches(of: /<doc:([\w-]+)/) { links.append(Link(name: String(match.1), isPage: true)) }
        }
        return links
    }

    static func declared(in files: [SourceText]) -> Set<String> {
        Set(files.flatMap { file in file.lines.compactMap { Declaration($0.code)?.name } })
    }
}
