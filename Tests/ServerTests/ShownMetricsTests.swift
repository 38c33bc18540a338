import BrokerCore
import BrokerTestKit
import Foundation
import Security
import Testing

@testable import Server

/// The page of metrics in the documentation says what a running node shows: names, kinds, labels and texts.
@Suite struct ShownMetricsTests {
    /// A row of the page's table, and what makes one of the metrics shown.
    private struct Family: Equatable, CustomStringConvertible {
        var kind = ""
        var labels: Set<String> = []
        var text = ""

        var description: String {
            "\(kind) | \(labels.sorted().map { "`\($0)`" }.joined(separator: ", ")) | \(text)"
        }
    }

    @Test func thePageListsWhatIsShown() throws {
        let folder = try TemporaryFolder()
        let node = try Node.start(
            folder: folder.path,
            [
                "listeners": "PLAINTEXT://127.0.0.1:0,SSL://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0",
                "authorizer.enable": "false",
                "sasl.enabled.mechanisms": "OAUTHBEARER", "sasl.oauthbearer.expected.issuer": "issuer",
                "sasl.oauthbearer.expected.audience": "us",
                "sasl.oauthbearer.jwks.endpoint.url": "file://\(folder.path)/keys",
                "ssl.keystore.certificate.chain": TestCertificates.serverCertificate,
                "ssl.keystore.key": TestCertificates.serverKey,
            ])
        // So that the metrics whose labels are not known before have a series.
        Node.runForwarders([ForwarderDefinition(name: "f", from: "q", to: "rides")], node.broker)
        Node.runSubscriptions(
            [SubscriptionDefinition(name: "s", from: "q", url: "http://a/", signingKey: Secret(copying: [1]))],
            node.broker,
            region: "us-east-1")
        var queue = QueueSettings()
        _ = try node.broker.queues.createQueue("dead", queue, partitions: 1, tags: [:]).get()
        queue.deadLetterQueue = "dead"
        queue.maxReceives = 3
        queue.deadLetterBreaker = 50
        _ = try node.broker.queues.createQueue("q", queue, partitions: 1, tags: [:]).get()
        node.alarms?.turn(at: 0)
        node.alarms?.lookAtQueues()
        #expect(try node.post("rides", "{}") == 201)
        #expect(try node.post("rides", "not json") == 400)
        var shown = Self.families(shown: try node.get("/metrics"))
        // Shown of a queue that receivers have worked on for a while.
        for name in ["drain_seconds", "work_visibility_ratio"] { shown["millrace_queue_" + name]?.labels = ["queue"] }
        try node.stop()

        #expect(shown.count > 40)
        #expect(shown.filter { !$0.key.hasPrefix("millrace_") || $0.value.text.isEmpty }.isEmpty)
        let listed = try Self.listed()
        for name in Set(shown.keys).union(listed.keys).sorted() where shown[name]?.description != listed[name] {
            let wanted = shown[name].map { "| `\(name)` | \($0) |" } ?? "no row of \(name)"
            Issue.record("Telemetry.docc/Metrics.md should have: \(wanted)")
        }
    }

    private static func families(shown page: String) -> [String: Family] {
        var families: [String: Family] = [:]
        for line in page.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
            if line.hasPrefix("# HELP ") {
                families[words[2], default: Family()].text = words[3]
            } else if line.hasPrefix("# TYPE ") {
                families[words[2], default: Family()].kind = words[3]
            } else {
                var name = String(line.prefix { $0 != "{" && $0 != " " })
                if families[name] == nil { name.replace(#/_(bucket|sum|count)$/#, with: "") }
                let labels = line.matches(of: #/[{,]([a-z_]+)="/#).map { String($0.1) }.filter { $0 != "le" }
                families[name, default: Family()].labels.formUnion(labels)
            }
        }
        return families
    }

    /// The rows of the page's table, without their names.
    private static func listed() throws -> [String: String] {
        let page = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Sources/Telemetry/Telemetry.docc/Metrics.md")
        var rows: [String: String] = [:]
        for line in try String(contentsOf: page, encoding: .utf8).split(separator: "\n") {
            if let row = line.wholeMatch(of: #/\| `(millrace_\w+)` \| (.*) \|/#) { rows[String(row.1)] = String(row.2) }
        }
        return rows
    }
}
