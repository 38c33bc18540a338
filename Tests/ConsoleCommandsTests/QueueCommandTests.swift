import Foundation
import Testing

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
        #expect(try queue("redrive", "dead").lines.first?.hasPrefix("move ") == true)
        #expect(try queue("describe", "none", status: 1).errors.contains("no such queue"))
        #expect(try queue("send", "none", "1", status: 1).errors.contains("no queue"))
        _ = try queue("delete", "orders")
        #expect(try queue("list").lines == ["dead"])
    }

    @Test func withoutAGatewayItEndsAsWithoutABroker() throws {
        let run = try CommandRun.of(["queue", "list", "--http", "127.0.0.1:1"])
        #expect(run.status == 3 && run.errors.contains("127.0.0.1:1"))
    }
}
