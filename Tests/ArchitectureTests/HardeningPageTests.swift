import Foundation
import Testing

/// The page of what bad input gets names tests that exist, and some for each threat.
@Suite struct HardeningPageTests {
    private static let page = SourceTree.sources.appending(path: "IngestGateway/IngestGateway.docc/Hardening.md")

    @Test func eachThreatHasTestsThatExist() throws {
        let tests = try Self.tests()
        let rows = try String(contentsOf: Self.page, encoding: .utf8).split(separator: "\n")
            .filter { $0.hasPrefix("| ") && !$0.hasPrefix("| Threat") }
        #expect(tests.count > 500 && rows.count > 15)
        for row in rows {
            let named = (row.split(separator: "|").last ?? "").matches(of: #/`(\w+)`/#).map { String($0.1) }
            #expect(!named.isEmpty, "\(row)")
            #expect(named.filter { !tests.contains($0) } == [], "there is no such test")
        }
    }

    /// The functions of all files of tests.
    private static func tests() throws -> Set<String> {
        let folder = sources.deletingLastPathComponent().appending(path: "Tests")
        var names: Set<String> = []
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        while let file = files?.nextObject() as? URL {
            guard file.pathExtension == "swift" else { continue }
            let text = try String(contentsOf: file, encoding: .utf8)
            for match in text.matches(of: #/func (\w+)\(/#) { names.insert(String(match.1)) }
        }
        return names
    }

    private static var sources: URL { SourceTree.sources }
}
