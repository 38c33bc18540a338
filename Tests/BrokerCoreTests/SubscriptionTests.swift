import BrokerTestKit
import ByteBuffers
import Forwarder
import KafkaModel
import LogStorage
import QueueLedger
import Security
import Telemetry
import Testing

@testable import BrokerCore

/// A receiver in memory, which outlives the broker.
private final class Receiver: PushDestination, PushConnection {
    struct State {
        /// What it says of a batch.
        var answer: @Sendable ([ReceivedMessage]) -> PushOutcome = { _ in .answered(failed: []) }
        var batches: [[ReceivedMessage]] = []
    }

    let state = Lock(State())

    func connection() -> any PushConnection { self }
    func interrupt() {}

    func push(_ messages: [ReceivedMessage]) -> PushOutcome {
        let answer = state.withLock { state in
            state.batches.append(messages)
            return state.answer
        }
        return answer(messages)
    }

    func answer(_ answer: @escaping @Sendable ([ReceivedMessage]) -> PushOutcome) {
        state.withLock { $0.answer = answer }
    }

    var batches: [[String]] { state.withLock { $0.batches }.map { $0.map(\.text) } }
    var texts: [String] { batches.flatMap { $0 } }
    /// Of all messages that it was given, by text, how often.
    var counts: [Int] { state.withLock { $0.batches }.flatMap { $0.map(\.receiveCount) } }
}

extension QueueNode {
    fileprivate func subscribe(_ definitions: [SubscriptionDefinition], _ receiver: Receiver) {
        broker.subscriptions.replace(definitions, withThreads: false) { _ in receiver }
    }

    /// Lets them work until nothing is to be done within so many milliseconds.
    fileprivate func pushAll(within ms: Int64 = 5000) {
        let until = clock.now + ms
        while true {
            var next = broker.subscriptions.turn()
            commit()
            next = min(next, turn())
            commit()
            if next > until { return }
            clock.pass(max(1, next - clock.now))
        }
    }
}

/// Subscriptions whose turns are calls, on the simulated file system.
@Suite struct SubscriptionTests {
    private static let key = Secret(copying: [1, 2, 3])
    private static var definition: SubscriptionDefinition {
        SubscriptionDefinition(name: "s", from: "q", url: "http://receiver/path", signingKey: key)
    }
    private static let lost = PushFailure(.lost, "nobody answers")

    private func node(seed: UInt64 = 1, _ change: (inout QueueSettings) -> Void = { _ in }) throws -> QueueNode {
        let node = try QueueNode(seed: seed)
        try node.create("dead")
        try node.create("q") { settings in
            settings.deadLetterQueue = "dead"
            settings.maxReceives = 3
            change(&settings)
        }
        return node
    }

    private func texts(_ range: Range<Int>) -> [String] { range.map { "\($0)" } }

    private func live(_ node: QueueNode, _ name: String = "q") throws -> Int {
        let counts = try node.counts(name)
        return counts.visible + counts.inFlight + counts.delayed + counts.ending
    }

    @Test func messagesComeInBatchesAndEnd() throws {
        let (node, receiver) = (try node(), Receiver())
        try node.send(texts(0..<25), to: "q")
        node.subscribe([Self.definition], receiver)
        node.pushAll()
        #expect(receiver.batches == [texts(0..<10), texts(10..<20), texts(20..<25)])
        #expect(try live(node) == 0)
        let status = try #require(node.broker.subscriptions.statuses.first)
        #expect([status.records, status.batches, status.lag, status.underWay] == [25, 3, 0, 0])
        #expect(status.trouble == nil)
        // What comes later wakes it.
        try node.send(["later"], to: "q")
        node.pushAll()
        #expect(receiver.texts.last == "later")
    }

    @Test func whatIsNamedComesBackByTheQueuesBackoffAndTheOthersEnd() throws {
        let (node, receiver) = (try node { $0.backoffMs = [7000] }, Receiver())
        receiver.answer { messages in
            .answered(failed: messages.indices.filter { messages[$0].text == "1" && messages[$0].receiveCount == 1 })
        }
        try node.send(texts(0..<3), to: "q")
        node.subscribe([Self.definition], receiver)
        let began = node.clock.now
        node.pushAll(within: 1000)
        #expect(receiver.batches == [["0", "1", "2"]])
        #expect(try live(node) == 1)
        node.pushAll(within: 20_000)
        #expect(receiver.batches == [["0", "1", "2"], ["1"]])
        #expect(node.clock.now >= began + 7000)
        #expect(try live(node) == 0)
        #expect(node.broker.subscriptions.statuses[0].failedRecords == 1)
        #expect(node.broker.subscriptions.statuses[0].records == 3)
    }

    @Test func whatFailsAsOftenAsItMayGoesToTheDeadLetters() throws {
        let (node, receiver) = (try node(), Receiver())
        receiver.answer { _ in .failed(Self.lost) }
        try node.send(["poison"], to: "q")
        node.subscribe([Self.definition], receiver)
        node.pushAll(within: 600_000)
        #expect(receiver.counts == [1, 2, 3])
        #expect(try live(node) == 0)
        #expect(try live(node, "dead") == 1)
        let status = node.broker.subscriptions.statuses[0]
        #expect(status.trouble == "nobody answers")
        #expect(status.failures == 3)
        receiver.answer { _ in .answered(failed: []) }
        try node.send(["good"], to: "q")
        node.pushAll(within: 60_000)
        #expect(receiver.texts.last == "good")
        #expect(node.broker.subscriptions.statuses[0].trouble == nil)
    }

    @Test func aReceiverThatIsNotThereUsesUpNoDelivery() throws {
        let (node, receiver) = (try node(), Receiver())
        receiver.answer { _ in .untouched(PushFailure(.unreachable, "nobody is there"), pauseMs: nil) }
        try node.send(["a"], to: "q")
        node.subscribe([Self.definition], receiver)
        node.pushAll(within: 3_600_000)
        let tries = receiver.batches.count
        #expect((100...300).contains(tries), "\(tries) tries in an hour")
        #expect(Set(receiver.counts) == [1])
        #expect(try live(node, "dead") == 0)
        receiver.answer { _ in .answered(failed: []) }
        node.pushAll(within: 60_000)
        #expect(receiver.counts.last == 1)
        #expect(try live(node) == 0)
    }

    @Test func aPauseThatIsAskedForIsKeptWhateverComes() throws {
        let (node, receiver) = (try node(), Receiver())
        receiver.answer { _ in .untouched(PushFailure(.busy, "busy"), pauseMs: 120_000) }
        try node.send(["a"], to: "q")
        node.subscribe([Self.definition], receiver)
        node.pushAll(within: 100)
        for number in 0..<20 {
            try node.send(["\(number)"], to: "q")
            node.pushAll(within: 2000)
            node.clock.pass(2000)
        }
        #expect(receiver.batches.count == 1)
        // Nothing is leased meanwhile: whoever else receives gets it.
        #expect(try node.counts("q").visible == 21)
        receiver.answer { _ in .answered(failed: []) }
        node.pushAll(within: 200_000)
        #expect(Set(receiver.texts).count == 21)
    }

    @Test func aQueueThatIsNotThereIsWaitedFor() throws {
        let node = try QueueNode()
        let receiver = Receiver()
        node.subscribe([Self.definition], receiver)
        #expect(node.broker.subscriptions.turn() == node.clock.now + 1000)
        #expect(node.broker.subscriptions.statuses[0].trouble != nil)
        try node.create("q")
        try node.send(["a"], to: "q")
        // Whoever wakes it: what it gives back does.
        for _ in 0..<100 { #expect(node.broker.subscriptions.turn() == node.clock.now + 1000) }
        #expect(receiver.texts.isEmpty)
        node.clock.pass(1000)
        _ = node.broker.subscriptions.turn()
        #expect(node.broker.subscriptions.statuses[0].trouble == nil)
        node.pushAll()
        #expect(receiver.texts == ["a"])
    }

    /// A receive gives what fits, which is less than a batch has room for: the batch is full all the same.
    @Test func aBacklogOfLargeMessagesFillsItsBatches() throws {
        let (node, receiver) = (try node(), Receiver())
        var definition = Self.definition
        (definition.maxRecords, definition.maxBytes, definition.concurrency) = (100, 10_000, 8)
        try node.send((0..<40).map { "\($0) " + String(repeating: "x", count: 3000) }, to: "q")
        node.subscribe([definition], receiver)
        node.pushAll()
        #expect(Set(receiver.texts).count == 40)
        #expect(receiver.batches.dropLast().allSatisfy { $0.count == 3 }, "\(receiver.batches.map(\.count))")
    }

    @Test func oneThatIsTakenAwayGivesBackWhatItHas() throws {
        let (node, receiver) = (try node(), Receiver())
        var definition = Self.definition
        definition.windowMs = 60_000
        try node.send(texts(0..<3), to: "q")
        node.subscribe([definition], receiver)
        node.pushAll(within: 100)
        #expect(try node.counts("q").inFlight == 3)
        node.subscribe([], receiver)
        #expect(try node.receive("q").map(\.receiveCount) == [1, 1, 1])
        #expect(receiver.batches.isEmpty)
    }

    @Test func whatDoesNotFitIsNotLeasedMeanwhile() throws {
        let (node, receiver) = (try node(), Receiver())
        var definition = Self.definition
        (definition.windowMs, definition.maxBytes) = (1000, 1024)
        let (broker, seen) = (node.broker, Lock<[QueueCounts]>([]))
        receiver.answer { _ in
            let counts = try? broker.queues.counts(of: "q", withOldest: false).answer.get()
            seen.withLock { $0.append(counts ?? QueueCounts()) }
            return .answered(failed: [])
        }
        node.subscribe([definition], receiver)
        let texts = [600, 900].map { String(repeating: "x", count: $0) }
        for text in texts {
            try node.send([text], to: "q")
            _ = node.broker.subscriptions.turn()
        }
        node.pushAll()
        #expect(receiver.batches == texts.map { [$0] })
        #expect(receiver.counts == [1, 1])
        #expect(seen.withLock { $0.map(\.inFlight) } == [1, 1])
        #expect(seen.withLock { $0.map(\.visible) } == [1, 0])
    }

    @Test func groupsOfAFIFOQueueComeInTheirOrder() throws {
        let node = try node { ($0.order, $0.maxReceives, $0.deadLetterQueue) = (.fifo, nil, nil) }
        let receiver = Receiver()
        let chance = Lock(SeededRandom(seed: 5))
        receiver.answer { _ in chance.withLock { $0.chance(0.4) } ? .failed(Self.lost) : .answered(failed: []) }
        var definition = Self.definition
        definition.maxRecords = 4
        for number in 0..<40 { try node.send(["\(number)"], to: "q", group: "g\(number % 3)", id: { $0 }) }
        node.subscribe([definition], receiver)
        node.pushAll(within: 600_000)
        #expect(try live(node) == 0)
        for group in 0..<3 {
            // The last time that each came is when it was done.
            let numbers = receiver.texts.compactMap(Int.init).filter { $0 % 3 == group }
            let last = Dictionary(numbers.enumerated().map { ($1, $0) }) { $1 }
            let order = last.sorted { $0.value < $1.value }.map(\.key)
            #expect(order == order.sorted())
        }
    }

    /// Stops at any moment: each message comes, and none comes again that the receiver was done with when that was on disk.
    @Test(arguments: 0..<25) func noMessageIsLostOverStops(seed: UInt64) throws {
        let node = try node(seed: seed) { ($0.maxReceives, $0.deadLetterQueue) = (nil, nil) }
        let receiver = Receiver()
        let world = Lock((random: SeededRandom(seed: seed), done: Set<String>(), again: [String]()))
        receiver.answer { messages in
            world.withLock { world in
                world.again += messages.map(\.text).filter { world.done.contains($0) }
                if world.random.chance(0.3) { return .failed(Self.lost) }
                let failed = messages.indices.filter { _ in world.random.chance(0.2) }
                world.done.formUnion(messages.indices.filter { !failed.contains($0) }.map { messages[$0].text })
                return .answered(failed: failed)
            }
        }
        var definition = Self.definition
        definition.maxRecords = 5
        node.subscribe([definition], receiver)
        var sent = 0
        for _ in 0..<40 {
            let count = world.withLock { $0.random.below(8) }
            try node.send(texts(sent..<sent + count), to: "q")
            sent += count
            for _ in 0..<world.withLock({ $0.random.below(4) }) {
                _ = node.broker.subscriptions.turn()
                node.pass(Int64(world.withLock { $0.random.below(400) }))
            }
            guard world.withLock({ $0.random.chance(0.2) }) else { continue }
            try node.node.crash()
            node.subscribe([definition], receiver)
        }
        node.pushAll(within: 3_600_000)
        #expect(world.withLock { $0.done } == Set(texts(0..<sent)))
        #expect(world.withLock { $0.again } == [])
        #expect(try live(node) == 0)
    }
}
