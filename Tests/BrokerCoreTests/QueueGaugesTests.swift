import Telemetry
import Testing

@testable import BrokerCore

@Suite struct QueueGaugesTests {
    /// Records of clients have whatever time they have written.
    @Test(
        arguments: [
            (nil, 0), (Int64.min, 0), (-1, 0), (0, 1_000), (400, 600), (1_000, 0), (2_000, 0), (.max, 0),
        ] as [(Int64?, Int64)])
    func theAgeOfAnyTimeIsTold(sentMs: Int64?, age: Int64) { #expect(QueueGauges.age(of: sentMs, 1_000) == age) }

    @Test func queuesAreShownByTheirStates() throws {
        let node = try QueueNode()
        try node.create("dead")
        try node.create("q") { ($0.deadLetterQueue, $0.maxReceives) = ("dead", 3) }
        try node.send(["a", "b"], to: "q")
        _ = try node.receive("q", 1)
        let metrics = MetricsRegistry()
        let gauges = QueueGauges(node.broker.queues, in: metrics)
        func read(_ text: String) -> String { "\(metrics.read(MetricSelector(text)!))" }
        #expect(read("millrace_queue_messages") == "missing")
        gauges.look(nowMs: node.clock.now + 5000)
        #expect(read(#"millrace_queue_messages{queue="q",state="visible"}"#) == "gauges([1.0])")
        #expect(read(#"millrace_queue_messages{queue="q",state="in_flight"}"#) == "gauges([1.0])")
        #expect(read(#"millrace_queue_oldest_age_seconds{queue="q"}"#) == "gauges([5.0])")
        #expect(read("millrace_queue_dead_letters") == "gauges([0.0])")
    }
}
