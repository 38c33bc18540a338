import BrokerCore
import Foundation
import Security
import Testing

@testable import Server

/// `millrace queue …` against a gateway of this process.
@Suite struct QueueCommandTests {
    @Test func aMessageGoesThroughAQueueByCommands() throws {
        let harness = try CommandHarness(["http.enable": "true"])
        let http = harness.httpAddress
        func queue(_ words: String..., status: Int32 = 0) throws -> CommandRun {
            let run = try CommandRun.of(["queue"] + words + ["--http", http] + CommandHarness.patience)
            #expect(run.status == status, "\(words): \(run.output)\(run.errors)")
            return run
        }
        #expect(try queue("list").errors.contains("no queues"))
        #expect(try queue("create", "dead").lines == ["created queue dead"])
        _ = try queue("create", "orders", "--dead-letters", "dead", "--max-receives", "3", "--visibility", "45s")
        #expect(try queue("list").lines == ["dead", "orders"])
        #expect(try queue("send", "orders", "{\"n\":1}", "plain words").lines.count == 2)
        let shown = try queue("describe", "orders").lines
        #expect(shown.contains { $0.contains("visibility_ms") && $0.contains("45000") })
        #expect(shown.contains { $0.contains("messages visible") && $0.contains("2") })
        let page = try JSON(queue("receive", "orders", "--max", "1", "--json").output)
        #expect(page["messages"][0]["receive_count"].integer == 1)
        #expect(try queue("receive", "orders", "--ack", "--wait", "5s").lines == ["\"plain words\""])
        #expect(try queue("receive", "orders").errors.contains("no messages"))
        #expect(try JSON(queue("describe", "orders", "--json").output)["messages"]["in_flight"].integer == 1)
        _ = try queue("purge", "orders")
        #expect(try JSON(queue("describe", "orders", "--json").output)["messages"]["in_flight"].integer == 0)
        let dry = try queue("redrive", "dead", "--dry-run", "--reason", "rejected", "--max", "5").lines
        #expect(dry == ["0 messages would be moved, 0 would stay"])
        #expect(try queue("redrive", "dead").lines.first?.hasPrefix("move ") == true)
        let capacity = try queue(
            "capacity", "orders", "--workers", "100", "--service-time", "300ms", "--rate", "233", "--backlog", "601200"
        ).lines
        #expect(capacity.contains { $0.hasPrefix("receivers that are needed ") && $0.hasSuffix(" 70") }, "\(capacity)")
        #expect(capacity.contains { $0.hasPrefix("seconds until it is gone ") && $0.hasSuffix(" 6012") }, "\(capacity)")
        #expect(capacity.contains { $0.hasPrefix("messages that come a second ") && $0.hasSuffix(" -") }, "\(capacity)")
        #expect(try JSON(queue("capacity", "orders", "--json").output)["queue"].text == "orders")
        #expect(try queue("capacity", "none", status: 1).errors.contains("no such queue"))
        #expect(try queue("describe", "none", status: 1).errors.contains("no such queue"))
        #expect(try queue("send", "none", "1", status: 1).errors.contains("no queue"))
        _ = try queue("delete", "orders")
        #expect(try queue("list").lines == ["dead"])
    }

    @Test func forwardersAreListed() throws {
        let harness = try CommandHarness(["http.enable": "true"])
        func list(_ words: String...) throws -> CommandRun {
            try CommandRun.of(["forwarder", "list", "--http", harness.httpAddress] + words + CommandHarness.patience)
        }
        #expect(try list().errors.contains("no forwarders"))
        #expect(try list("--json").output == "{}\n")
    }

    @Test func subscriptionsAreListed() throws {
        let harness = try CommandHarness(["http.enable": "true"])
        func list(_ words: String...) throws -> CommandRun {
            try CommandRun.of(
                ["subscription", "list", "--http", harness.httpAddress] + words + CommandHarness.patience)
        }
        #expect(try list().errors.contains("no subscriptions"))
        let push = SubscriptionDefinition(
            name: "push", from: "jobs", url: "https://worker/batch?key=1", signingKey: Secret(copying: [1]))
        harness.node.broker.subscriptions.replace([push]) { _ in Nowhere() }
        let lines = try list().lines
        #expect(lines.first?.contains("FAILED RECORDS  UNDER WAY  LAG") == true, "\(lines)")
        #expect(lines.last?.hasPrefix("push  jobs  https://worker/batch  ") == true, "\(lines)")
        #expect(try JSON(list("--json").output)["push"]["records"].integer == 0)
    }

    /// Where nothing is ever pushed to, as the queue is not there.
    private final class Nowhere: PushDestination {
        func connection() -> any PushConnection { preconditionFailure("there is nothing to push") }
        func interrupt() {}
    }

    @Test func theKeyIsReadFromAFile() throws {
        let harness = try CommandHarness(["http.enable": "true", "http.auth": "required"])
        let folder = FileManager.default.temporaryDirectory.appending(path: "queue-key-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func list(key: String?) throws -> CommandRun {
            var words = ["queue", "list", "--http", harness.httpAddress] + CommandHarness.patience
            if let key {
                let file = folder.appending(path: "key")
                try key.write(to: file, atomically: true, encoding: .utf8)
                words += ["--api-key-file", file.path]
            }
            return try CommandRun.of(words)
        }
        let without = try list(key: nil)
        let wrong = try list(key: "gk_nobody_secret\n")
        #expect(without.status == 1 && wrong.status == 1)
        // The gateway was shown a key that is not known.
        #expect(without.errors != wrong.errors)
        #expect(!wrong.errors.contains("nobody"))
        #expect(try list(key: "one\ntwo").errors.contains("holds several lines; a key is one"))
        #expect(try list(key: "").errors.contains("holds no key"))
        #expect(try list(key: "caf\u{e9}").status == 2)
    }

    @Test func withoutAGatewayItEndsAsWithoutABroker() throws {
        let run = try CommandRun.of(["queue", "list", "--http", "127.0.0.1:1"])
        #expect(run.status == 3 && run.errors.contains("127.0.0.1:1"))
    }
}
