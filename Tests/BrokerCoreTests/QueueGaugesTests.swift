import ByteBuffers
import QueueLedger
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
        var page = ByteWriter()
        metrics.render(into: &page)
        let text = String(decoding: page.array, as: UTF8.self)
        #expect(text.contains("\nmillrace_queue_messages{queue=\"q\",state=\"visible\"} 1.0\n"), "\(text)")
    }

    /// What a queue's receivers do with it, by the clock of the test.
    @Test func howLongAQueueTakesIsShown() throws {
        let node = try QueueNode()
        try node.create("dead")
        try node.create("q") { settings in
            (settings.deadLetterQueue, settings.maxReceives, settings.deadLetterBreaker) = ("dead", 3, 50)
            settings.visibilityMs = 10_000
        }
        let metrics = MetricsRegistry()
        let gauges = QueueGauges(node.broker.queues, in: metrics)
        func read(_ name: String) -> String {
            gauges.look(nowMs: node.clock.now)
            return "\(metrics.read(MetricSelector("millrace_queue_" + name)!))"
        }
        try node.send((0..<200).map { "\($0)" }, to: "q")
        // Nobody has been at it for long enough.
        #expect(read("drain_seconds") == "missing" && read("work_visibility_ratio") == "missing")
        #expect(read("paused") == "gauges([0.0])")
        for _ in 0..<60 {
            let messages = try node.receive("q", 2)
            node.pass(1000)
            try node.acknowledge(messages, "q")
        }
        // 80 are left of 200, at two a second.
        gauges.look(nowMs: node.clock.now)
        guard case .gauges(let seconds) = metrics.read(MetricSelector("millrace_queue_drain_seconds")!) else {
            return #expect(Bool(false), "no drain time is shown")
        }
        #expect(seconds.count == 1 && abs((seconds.first ?? 0) - 40) < 4, "\(seconds)")
        #expect(read("work_visibility_ratio") == "gauges([0.1023])")
        // More come than go.
        for _ in 0..<60 {
            try node.send(["a", "b"], to: "q")
            let messages = try node.receive("q", 1)
            node.pass(1000)
            try node.acknowledge(messages, "q")
        }
        // Of what is there one a second goes.
        gauges.look(nowMs: node.clock.now)
        guard case .gauges(let slow) = metrics.read(MetricSelector("millrace_queue_drain_seconds")!) else {
            return #expect(Bool(false), "no drain time is shown")
        }
        #expect(slow.count == 1 && abs((slow.first ?? 0) - 140) < 20, "\(slow)")
        _ = try node.queues.reject(node.receive("q", 100).map(\.handle), in: "q").answer.get()
        #expect(read("paused") == "gauges([1.0])")
    }

    @Test func whatIsNotKnownIsNotShown() {
        var flow = QueueFlow()
        flow.counts.visible = 10
        #expect(flow.drainSeconds == nil)
        (flow.arrivedPerSecond, flow.acknowledgedPerSecond) = (0, 0)
        #expect(flow.drainSeconds == nil)
        flow.acknowledgedPerSecond = 2
        #expect(flow.drainSeconds == 5)
        // As much comes as goes: a busy queue, and no slow one.
        for arrived in [1.99, 2, 2.01] {
            flow.arrivedPerSecond = arrived
            #expect(flow.drainSeconds == 5)
        }
        flow.acknowledgedPerSecond = 0
        #expect(flow.drainSeconds == QueueFlow.maxDrainSeconds)
        flow.counts.visible = 0
        #expect(flow.drainSeconds == 0)
        var work = WorkTimes()
        for _ in 0..<19 { work.note(1000) }
        var settings = QueueSettings()
        #expect(QueueGauges.workShare(work, settings) == nil)
        work.note(1000)
        #expect(QueueGauges.workShare(work, settings).map { abs($0 - 1.0 / 30) < 0.002 } == true)
        settings.visibilityMs = 0
        #expect(QueueGauges.workShare(work, settings) == nil)
    }
}
