import Foundation
import Testing

/// The page of all metrics and the names in the code are the same set. What a running node shows, with kinds, labels and
/// texts, is compared by `ShownMetricsTests`.
@Suite struct MetricsPageTests {
    private static let page = SourceTree.sources.appending(path: "Telemetry/Telemetry.docc/Metrics.md")

    @Test func everyMetricOfTheCodeIsOnThePageAndNoOther() throws {
        var named: Set<String> = []
        for module in try SourceTree.swiftModules() where !["BrokerTestKit", "CommandSyntax"].contains(module) {
            for file in try SourceTree.swiftFiles(of: module) {
                let text = try String(contentsOf: file, encoding: .utf8)
                for match in text.matches(of: #/"(millrace_[a-z0-9_]*[a-z0-9])"/#) { named.insert(String(match.1)) }
            }
        }
        var listed: Set<String> = []
        for line in try String(contentsOf: Self.page, encoding: .utf8).split(separator: "\n") {
            if let match = line.firstMatch(of: #/^\| `(millrace_[a-z0-9_]+)` \|/#) { listed.insert(String(match.1)) }
        }
        #expect(named.count > 40)
        #expect(named.subtracting(listed).sorted() == [], "not in Telemetry.docc/Metrics.md")
        #expect(listed.subtracting(named).sorted() == [], "in Telemetry.docc/Metrics.md, not in the code")
    }
}
