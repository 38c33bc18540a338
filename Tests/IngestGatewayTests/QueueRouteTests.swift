import BrokerCore
import BrokerTestKit
import Configuration
import IngestGateway
import KafkaModel
import QueueLedger
import Testing

/// Routes whose events are messages of a queue, and queues that a configuration declares.
@Suite struct QueueRouteTests {
    private static let yaml = """
        routes:
          - path: /jobs
            to: {queue: jobs}
            formats: [json, ndjson, csv]
            key: /user
            schema: {type: object, required: [kind]}
            idempotency: {header: Idempotency-Key}
        """

    private func harness(_ queue: QueueSettings? = QueueSettings()) throws -> GatewayHarness {
        let harness = try GatewayHarness(configuration: GatewayConfiguration(yaml: Self.yaml))
        if let queue { _ = try harness.broker.queues.createQueue("jobs", queue, partitions: 1, tags: [:]).get() }
        return harness
    }

    private func receive(_ harness: GatewayHarness, _ body: String = "{}") throws -> [[String: Any]] {
        let reply = try harness.call(
            "POST", "/v1/queues/jobs/messages:receive", body, fields: ["Content-Type: application/json"])
        return reply.json["messages"] as? [[String: Any]] ?? []
    }

    @Test func eventsOfARouteAreMessages() throws {
        let harness = try harness()
        let first = try harness.call(
            "POST", "/jobs", #"{"kind":"a","user":"u1"}"#, fields: ["Content-Type: application/json"])
        #expect(first.status == 201 && first.results[0]["topic"] as? String == "q.jobs", "\(first.text)")
        let rows = try harness.call("POST", "/jobs", "kind,user\nb,u2\n,u3\n", fields: ["Content-Type: text/csv"])
        #expect(rows.status == 207 && rows.number("accepted") == 1, "the schema counts: \(rows.text)")
        let messages = try receive(harness)
        #expect(messages.compactMap { ($0["body"] as? [String: String])?["kind"] } == ["a", "b"])
        // A repeat of a request with a key is no second message.
        for _ in 0..<2 {
            let reply = try harness.call(
                "POST", "/jobs", #"{"kind":"c"}"#, fields: ["Content-Type: application/json", "Idempotency-Key: k1"])
            #expect(reply.status == 201)
        }
        #expect(try receive(harness).count == 1)
    }

    @Test func whoWaitsGetsTheEventThatComes() throws {
        let harness = try harness()
        let client = try harness.connect()
        try client.send(
            HTTPClient.request(
                "POST", "/v1/queues/jobs/messages:receive", Array(#"{"wait_ms":20000}"#.utf8),
                fields: ["Content-Type: application/json"]))
        #expect(
            try harness.call("POST", "/jobs", #"{"kind":"a"}"#, fields: ["Content-Type: application/json"]).status
                == 201)
        let reply = try client.receive()
        #expect((reply.json["messages"] as? [Any])?.count == 1, "\(reply.text)")
    }

    /// A topic of the name would be there then, and no queue.
    @Test func aQueueThatIsNotThereIsNotMade() throws {
        let harness = try harness(nil)
        let reply = try harness.call("POST", "/jobs", #"{"kind":"a"}"#, fields: ["Content-Type: application/json"])
        #expect(reply.status == 404 && reply.string("code") == "queue_not_found")
        #expect(harness.broker.catalog.topic(named: "q.jobs") == nil)
    }

    @Test func whatTheQueueDoesNotTakeIsRefused() throws {
        var settings = QueueSettings()
        settings.maxMessageBytes = 1024
        let short = try harness(settings)
        let long = #"{"kind":"\#(String(repeating: "x", count: 1024))"}"#
        let refused = try short.call("POST", "/jobs", long, fields: ["Content-Type: application/json"])
        #expect(refused.status == 413, "\(refused.text)")
        #expect(
            try short.call("POST", "/jobs", #"{"kind":1}"#, fields: ["Content-Type: application/json"]).status == 201)
        var ordered = QueueSettings()
        ordered.order = .fifo
        let reply = try harness(ordered).call(
            "POST", "/jobs", #"{"kind":"a"}"#, fields: ["Content-Type: application/json"])
        #expect(reply.status == 422 && reply.string("code") == "queue_refused")
    }

    @Test func declarationsAreReadInTheirUnits() throws {
        let configuration = try GatewayConfiguration(
            yaml: """
                queues:
                  jobs:
                    partitions: 4
                    order: fair
                    visibility: 45s
                    delay: 1500
                    retention: 7d
                    max_message: 64KiB
                    receive_wait: 20s
                    backoff: [1s, 10s, 1m]
                    dead_letter_queue: dead
                    max_receives: 5
                  dead: {}
                """)
        // Behind the one that it needs.
        #expect(configuration.queues.map(\.name) == ["dead", "jobs"])
        var expected = QueueSettings()
        expected.order = .fair
        (expected.visibilityMs, expected.delayMs, expected.retentionMs) = (45_000, 1_500, 604_800_000)
        (expected.maxMessageBytes, expected.receiveWaitMs) = (64 << 10, 20_000)
        expected.backoffMs = [1_000, 10_000, 60_000]
        (expected.deadLetterQueue, expected.maxReceives) = ("dead", 5)
        #expect(configuration.queues[1].settings == expected && configuration.queues[1].partitions == 4)
        #expect(configuration.queues[0].settings == QueueSettings() && configuration.queues[0].partitions == nil)
    }

    @Test func whatIsDeclaredAndIsNotSoIsTold() throws {
        let configuration = try GatewayConfiguration(
            yaml: "queues: {jobs: {visibility: 1m, max_receives: 3, delay: 5s, partitions: 1}}")
        var settings = QueueSettings()
        (settings.visibilityMs, settings.delayMs, settings.retentionMs) = (30_000, 5_000, 60_000)
        let harness = try harness(settings)
        let queue = try #require(harness.broker.queues.queue(named: "jobs"))
        let found = configuration.queues[0].differences(from: queue)
        // What nobody has declared may be as it is.
        #expect(
            found == [
                "queues.jobs.visibility: has 30000 ms, declared 60000 ms; change it by: PUT /v1/queues/jobs",
                "queues.jobs.max_receives: has any number, declared 3; change it by: PUT /v1/queues/jobs",
            ])
    }

    @Test(arguments: [
        ("queues: {\"a b\": {}}", "the name of a queue has 1 to 200 letters"),
        ("queues: {a: {visibilty: 1s}}", "did you mean visibility?"),
        ("queues: {a: {visibility: 13h}}", "queues.a.visibility"),
        ("queues: {a: {order: lifo}}", "must be standard, fair or fifo"),
        ("queues: {a: {dead_letter_queue: a}}", "a queue does not take its own dead letters"),
        ("queues: {a: {partitions: 0}}", "queues.a.partitions"),
        ("routes:\n  - {path: /a, to: {queue: a, topic: b}}", "names one topic or one queue"),
        ("routes:\n  - {path: /a, to: {queue: \"a/b\"}}", "the name of a queue has"),
    ])
    func whatIsWrongIsTold(yaml: String, expected: String) throws {
        do {
            _ = try GatewayConfiguration(yaml: yaml)
            Issue.record("\(yaml) was taken")
        } catch let error as ConfigurationError {
            #expect(error.description.contains(expected), "\(error)")
        }
    }
}
