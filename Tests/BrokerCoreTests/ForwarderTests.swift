import BrokerTestKit
import ByteBuffers
import Forwarder
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import Telemetry
import Testing

@testable import BrokerCore

@Suite struct ForwarderTests {
    private static let definition = ForwarderDefinition(name: "f", from: "q", to: "out", windowMs: 0)

    private func node(
        partitions: Int32 = 1, out: Int32 = 1, topic: [String: String] = [:],
        _ change: (inout QueueSettings) -> Void = { _ in }
    ) throws -> QueueNode {
        let node = try QueueNode()
        try node.create("dead")
        try node.create("q", partitions: partitions) { settings in
            settings.deadLetterQueue = "dead"
            settings.maxReceives = 3
            change(&settings)
        }
        _ = try node.broker.createTopic("out", partitions: out, settings: topic).get()
        return node
    }

    @Test func messagesArriveWithKeyHeadersAndTimeAndEnd() throws {
        let node = try node()
        var message = QueueMessage(body: Array("hello".utf8))
        message.key = Array("k".utf8)
        message.groupID = "g"
        message.headers = [RecordHeader(key: "trace", value: [1]), RecordHeader(key: "empty", value: nil)]
        _ = try node.queues.send([message], to: "q").answer[0].get()
        node.commit()
        let sentMs = node.clock.now
        node.clock.pass(5)
        node.forward([Self.definition])
        node.forwardAll()
        let arrived = try node.arrived("out")[0]
        #expect(arrived.count == 1)
        #expect(arrived.first?.text == "hello")
        #expect(arrived.first?.key == "k")
        #expect(arrived.first?.timestampMs == sentMs)
        // The queue's own are not the destination's.
        #expect(arrived.first?.headers == message.headers)
        let counts = try node.counts("q")
        #expect(counts.visible + counts.inFlight == 0)
        let status = node.broker.forwarders.statuses[0]
        #expect(status.records == 1 && status.batches == 1 && status.lag == 0 && status.trouble == nil)
    }

    @Test func aPausedQueueIsForwardedWhenItsPauseIsOver() throws {
        let node = try node { $0.deadLetterBreaker = 50 }
        try node.send((0..<10).map { "\($0)" }, to: "q")
        _ = try node.queues.reject(node.receive("q").map(\.handle), in: "q").answer.get()
        try node.send(["a"], to: "q")
        node.forward([Self.definition])
        node.forwardAll()
        #expect(try node.arrived("out")[0].isEmpty && node.counts("q").visible == 1)
        node.pass(60_000)
        node.forwardAll()
        #expect(try node.arrived("out")[0].map(\.text) == ["a"])
    }

    @Test func keysGoToThePartitionsOfKafkasDefault() throws {
        let node = try node(out: 5)
        for key in ["foobar", "a", "b", "c"] { try node.send([key], to: "q", group: key) }
        node.forward([Self.definition])
        node.forwardAll()
        let arrived = try node.arrived("out")
        for (index, log) in arrived.enumerated() {
            for record in log {
                let expected = Array(record.text.utf8).withUnsafeBytes { Murmur2.partition(of: $0, among: 5) }
                #expect(expected == index, "\(record.text)")
            }
        }
        #expect(arrived.flatMap { $0 }.count == 4)
    }

    @Test func keyOfRecordsIsAsDefined() throws {
        for (choice, expected) in [(ForwarderDefinition.Key.group, "g"), (.none, nil)] {
            let node = try node()
            var message = QueueMessage(body: [1])
            message.key = Array("k".utf8)
            message.groupID = "g"
            _ = try node.queues.send([message], to: "q").answer[0].get()
            node.commit()
            var definition = Self.definition
            definition.key = choice
            node.forward([definition])
            node.forwardAll()
            #expect(try node.arrived("out")[0].map(\.key) == [expected])
        }
    }

    @Test func whatTheTopicDoesNotTakeGoesToTheDeadLettersAlone() throws {
        // A compacted topic takes no record without a key.
        let node = try node(topic: ["cleanup.policy": "compact"])
        try node.send(["a", "b", "c"], to: "q", group: "key")
        try node.send(["poison"], to: "q")
        try node.send(["d", "e"], to: "q", group: "key")
        node.forward([Self.definition])
        node.forwardAll()
        node.turn()
        #expect(try node.arrived("out")[0].map(\.text) == ["a", "b", "c", "d", "e"])
        let letters = try node.receive("dead")
        #expect(letters.map(\.text) == ["poison"])
        #expect(letters.first?.deadLetter?.reason == "forward_refused")
        #expect(node.broker.forwarders.statuses[0].refused == 1)
        let log = try node.log("dead")
        var errors: [String] = []
        var records = RecordIterator()
        _ = try QueueWalk(log: log).step(from: .zero, to: log.lastStableOffset, &records) { record in
            errors += record.headers.map(\.copied).filter { $0.key == QueueHeader.error }
                .map { String(decoding: $0.value ?? [], as: UTF8.self) }
        }
        #expect(errors == ["INVALID_RECORD"])
    }

    @Test func whatIsTooLargeGoesToTheDeadLettersAlone() throws {
        let node = try node(topic: ["max.message.bytes": "2000"])
        try node.send(["a", String(repeating: "x", count: 3000), "b"], to: "q", group: "g")
        node.forward([Self.definition])
        node.forwardAll()
        node.turn()
        #expect(try node.arrived("out")[0].map(\.text) == ["a", "b"])
        #expect(try node.receive("dead").map(\.text.count) == [3000])
    }

    @Test func withoutDeadLettersWhatIsRefusedStays() throws {
        let node = try node { ($0.deadLetterQueue, $0.maxReceives) = (nil, nil) }
        let other = OtherTopic(partitions: 1)
        other.state.withLock { $0.refused = { $0 == "poison" ? .invalidRecord : nil } }
        try node.send(["a", "poison", "b"], to: "q", group: "g")
        node.forward([Self.definition], to: other)
        node.forwardAll(within: 1000)
        #expect(other.texts == ["a"])
        #expect(try node.counts("q").inFlight == 2)
        other.state.withLock { $0.refused = { _ in nil } }
        node.forwardAll(within: 100_000)
        #expect(other.texts == ["a", "poison", "b"])
    }

    @Test func aDestinationThatIsDownLosesNothingAndUsesUpNoDeliveries() throws {
        let node = try node { ($0.maxReceives, $0.visibilityMs) = (1, 1000) }
        let other = OtherTopic()
        other.set(.takesNothing)
        node.forward([Self.definition], to: other)
        try node.send((0..<50).map { "\($0)" }, to: "q")
        for _ in 0..<60 {
            node.forwardAll(within: 60_000)
            node.turn()
        }
        #expect(node.broker.forwarders.statuses[0].trouble != nil)
        #expect(node.broker.forwarders.statuses[0].failures > 50)
        other.set(.fine)
        node.forwardAll(within: 60_000)
        #expect(other.texts.count == 50)
        #expect(Set(other.texts).count == 50)
        #expect(node.broker.forwarders.statuses[0].trouble == nil)
        #expect(try node.receive("dead").isEmpty)
    }

    @Test func lostAnswersRepeatNothingAlsoAfterAStop() throws {
        let node = try node()
        let other = OtherTopic()
        other.set(.losesAnswers)
        node.forward([Self.definition], to: other)
        try node.send((0..<20).map { "\($0)" }, to: "q")
        node.forwardAll(within: 1000)
        #expect(other.texts.count == 20)
        #expect(try node.counts("q").inFlight == 20)
        try node.node.crash()
        other.set(.fine)
        node.forward([Self.definition], to: other)
        node.forwardAll(within: 1000)
        #expect(other.texts.count == 20)
        #expect(try node.counts("q").inFlight == 0)
    }

    @Test func aForwarderThatIsTakenAwayGivesBackWhatItHas() throws {
        let node = try nodeWhoseForwarderIsStuck()
        #expect(try node.receive("q").isEmpty)
        node.forward([])
        #expect(try node.receive("q").map(\.text).sorted() == ["a", "b"])
    }

    /// It has both of the queue's messages, and its destination takes none.
    private func nodeWhoseForwarderIsStuck() throws -> QueueNode {
        let node = try node()
        let other = OtherTopic()
        other.set(.takesNothing)
        node.forward([Self.definition], to: other)
        try node.send(["a", "b"], to: "q")
        node.forwardAll(within: 100)
        return node
    }

    @Test func aForwarderThatIsTakenAwayDuringAStopGivesBackWhatItHas() throws {
        let node = try nodeWhoseForwarderIsStuck()
        node.commit()
        try node.node.crash()
        #expect(try node.receive("q").isEmpty)
        node.forward([])
        #expect(try node.receive("q").map(\.text).sorted() == ["a", "b"])
    }

    @Test func aMissingQueueOrTopicIsWaitedFor() throws {
        let node = try QueueNode()
        node.forward([Self.definition])
        #expect(node.broker.forwarders.turn() > node.clock.now)
        #expect(node.broker.forwarders.statuses[0].trouble == "there is no queue q")
        try node.create("q")
        node.clock.pass(10_000)
        _ = node.broker.forwarders.turn()
        #expect(node.broker.forwarders.statuses[0].trouble != nil)
        #expect(node.broker.forwarders.statuses[0].trouble == "there is no topic out")
        _ = try node.broker.createTopic("out").get()
        // Also while there is nothing to forward.
        node.clock.pass(10_000)
        _ = node.broker.forwarders.turn()
        #expect(node.broker.forwarders.statuses[0].trouble == nil)
        try node.send(["a"], to: "q")
        node.forwardAll()
        #expect(try node.arrived("out")[0].map(\.text) == ["a"])
        #expect(node.broker.forwarders.statuses[0].trouble == nil)
    }

    @Test func whoeverWakesItADestinationThatIsDownIsAskedSeldom() throws {
        let node = try node()
        let other = OtherTopic()
        other.set(.cannotBeReached("nobody is there"))
        node.forward([Self.definition], to: other)
        for _ in 0..<100 { #expect(node.broker.forwarders.turn() >= node.clock.now + 1000) }
        #expect(other.state.withLock { $0.looks } == 1)
        // By a clock that is set back it does not wait for hours.
        node.clock.set(by: -3_600_000)
        #expect(node.broker.forwarders.turn() < node.clock.now + 10_000)
        #expect(other.state.withLock { $0.looks } == 2)
        other.set(.fine)
        node.clock.pass(10_000)
        try node.send(["a"], to: "q")
        node.forwardAll()
        #expect(other.texts == ["a"])
    }

    @Test func lagGrowsWhileTheDestinationIsDownAlsoOverAStop() throws {
        let node = try node(partitions: 2)
        let other = OtherTopic()
        node.forward([Self.definition], to: other)
        node.forwardAll()
        other.set(.takesNothing)
        for number in 1...5 {
            try node.send((0..<10).map { "\(number) \($0)" }, to: "q")
            node.forwardAll(within: 60_000)
            #expect(node.broker.forwarders.statuses[0].lag == 10 * number)
        }
        other.set(.cannotBeReached("nobody is there"))
        try node.node.crash()
        node.forward([Self.definition], to: other)
        #expect(node.broker.forwarders.turn() > node.clock.now)
        #expect(node.broker.forwarders.statuses[0].lag == 50)
        node.forward([])
        other.set(.fine)
        node.forward([Self.definition], to: other)
        node.forwardAll()
        #expect(node.broker.forwarders.statuses[0].lag == 0)
        #expect(Set(other.texts).count == 50)
    }

    @Test func whatAnotherBrokerSaysOfItselfIsBounded() throws {
        let node = try node()
        let other = OtherTopic(partitions: 0)
        node.forward([Self.definition], to: other)
        _ = node.broker.forwarders.turn()
        #expect(node.broker.forwarders.statuses[0].trouble == "topic out has no partitions")
        other.set(.cannotBeReached(String(repeating: "no", count: 100_000)))
        node.clock.pass(10_000)
        _ = node.broker.forwarders.turn()
        #expect(node.broker.forwarders.statuses[0].trouble?.utf8.count == ForwardTrouble.maxReasonBytes)
    }

    @Test func codesWithoutANameAreOneSeries() {
        let metrics = MetricsRegistry()
        let counters = ForwarderCounters(metrics, "f")
        for code in Int16(2000)..<2100 {
            if case .failed(let reason) = ForwardOutcome(ErrorCode(rawValue: code)) { counters.failed(reason) }
        }
        var page = ByteWriter(capacity: 4096)
        metrics.render(into: &page)
        let lines = String(decoding: page.array, as: UTF8.self).split(separator: "\n")
        let failures = lines.filter { $0.hasPrefix("millrace_forwarder_failures_total{") }
        #expect(failures.count == 2)
        #expect(failures.contains { $0.contains("UNKNOWN_CODE") && $0.hasSuffix(" 100") }, "\(failures)")
    }

    @Test func nothingIsForwardedIntoTheBrokersOwnTopics() throws {
        let node = try node()
        try node.send(["a"], to: "q")
        var definition = Self.definition
        definition.to = Topic.queueStateTopicName
        node.forward([definition])
        node.forwardAll(within: 100)
        #expect(node.broker.forwarders.statuses[0].trouble?.contains("broker's own") == true)
        #expect(node.broker.forwarders.statuses[0].records == 0)
        #expect(try node.counts("q").visible == 1)
    }

    @Test func aTurnThatEndsInTheMiddleOfABatchGoesOnAtOnce() throws {
        let node = try node()
        var definition = Self.definition
        definition.maxRecords = 1
        try node.send((0..<200).map { "\($0)" }, to: "q")
        node.forward([definition])
        // A batch takes three rounds, which the rounds of a turn are no multiple of: each turn ends elsewhere.
        for turn in 0..<6 {
            #expect(node.broker.forwarders.turn() == node.clock.now, "turn \(turn)")
            node.commit()
        }
        node.forwardAll()
        #expect(try node.arrived("out")[0].count == 200)
    }

    @Test func groupsOfAFIFOQueueStayInOrderThroughFailures() throws {
        let node = try node(out: 3) { ($0.order, $0.deadLetterQueue, $0.maxReceives) = (.fifo, nil, nil) }
        let other = OtherTopic(seed: 7)
        other.state.withLock { $0.failures = 40 }
        var definition = Self.definition
        definition.maxRecords = 4
        node.forward([definition], to: other)
        for number in 0..<60 { try node.send(["\(number)"], to: "q", group: "g\(number % 5)", id: { $0 }) }
        node.forwardAll(within: 60_000)
        #expect(other.texts.count == 60)
        for log in other.logs {
            for group in 0..<5 {
                let numbers = log.compactMap { Int($0.text) }.filter { $0 % 5 == group }
                #expect(numbers == numbers.sorted())
                #expect(numbers.isEmpty || numbers.count == 12)
            }
        }
    }
}
