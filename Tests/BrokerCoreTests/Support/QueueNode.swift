import BrokerTestKit
import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import StorageIO

@testable import BrokerCore

/// A broker with queues on a simulated disk, by a clock of the test's. Commits and the coordinator's thread are calls.
final class QueueNode {
    let node: SimulatedBroker
    let clock: TestClock

    final class TestClock: Sendable {
        private let times = Lock<(wall: Int64, steady: Int64)>((1_700_000_000_000, 0))
        var now: Int64 { times.withLock { $0.wall } }
        var steady: Int64 { times.withLock { $0.steady } }
        func pass(_ more: Int64) { times.withLock { $0 = ($0.wall + more, $0.steady + more) } }
        /// Somebody sets the clock on the wall: no time passes.
        func set(by ms: Int64) { times.withLock { $0.wall += ms } }
    }

    /// What a call has answered, once it has.
    final class Answer<Value: Sendable>: Sendable {
        private let value = Lock<Value?>(nil)
        func set(_ new: Value) { value.withLock { $0 = new } }
        var now: Value? { value.withLock { $0 } }
    }

    init(seed: UInt64 = 1, _ change: (inout BrokerOptions) -> Void = { _ in }) throws {
        let clock = TestClock()
        self.clock = clock
        var options = SimulatedBroker.options
        options.queueStatePartitions = 2
        options.queueClock = { clock.now }
        options.queueSteadyClock = { clock.steady }
        change(&options)
        node = try SimulatedBroker(SimulatedFileSystem(seed: seed), options: options)
    }

    var broker: Broker { node.broker }
    var queues: QueueCoordinator { node.broker.queues }

    func commit() { broker.store.commitPending() }

    /// What the thread would do.
    @discardableResult
    func turn() -> Int64 { queues.turn() }

    func pass(_ ms: Int64) {
        clock.pass(ms)
        turn()
    }

    /// Lets the log of the queues' state be compacted again and again: of models that live through it.
    func compactStateOften() throws {
        let settings = [
            "cleanup.policy": "compact", "internal.segment.bytes": "4096", "min.cleanable.dirty.ratio": "0",
        ]
        guard let topic = broker.catalog.topic(named: Topic.queueStateTopicName) else {
            throw QueueRefusal(.notFound, "there is no \(Topic.queueStateTopicName)")
        }
        if let refusal = broker.alterSettings(topic, settings, validateOnly: false) { throw refusal }
        commit()
    }

    // MARK: Calls

    func create(
        _ name: String, partitions: Int32 = 1, _ change: (inout QueueSettings) -> Void = { _ in }
    ) throws {
        var settings = QueueSettings()
        change(&settings)
        _ = try queues.createQueue(name, settings, partitions: partitions).get()
    }

    /// Sends texts, and commits them.
    @discardableResult
    func send(
        _ texts: [String], to name: String, group: String? = nil, id: ((String) -> String)? = nil,
        delayMs: Int64? = nil
    ) throws -> [SentMessage] {
        let messages = texts.map { text in
            var message = QueueMessage(body: Array(text.utf8))
            message.groupID = group
            message.deduplicationID = id?(text)
            message.delayMs = delayMs
            return message
        }
        let outcome = queues.send(messages, to: name)
        commit()
        return try outcome.answer.map { try $0.get() }
    }

    func receive(
        _ name: String, _ most: Int = 100, visibilityMs: Int64? = nil, _ change: (inout QueueReceive) -> Void = { _ in }
    ) throws -> [ReceivedMessage] {
        var request = QueueReceive()
        request.maxMessages = most
        request.visibilityMs = visibilityMs
        change(&request)
        let answer = Answer<QueueReceiveReply>()
        queues.receive(request, from: name) { answer.set($0.answer) }
        switch answer.now {
        case .messages(let messages)?: return messages
        case .overLimit?: throw QueueRefusal(.limit, "over the limit")
        case .refused(let refusal)?: throw refusal
        case nil: return []
        }
    }

    @discardableResult
    func acknowledge(_ messages: [ReceivedMessage], _ name: String) throws -> [QueueSettlement] {
        try queues.acknowledge(messages.map(\.handle), in: name).answer.get()
    }

    @discardableResult
    func move(
        _ source: String, to destination: String? = nil, perSecond: Int? = nil,
        _ change: (inout QueueMoveOrder) -> Void = { _ in }
    ) throws -> QueueMove {
        var order = QueueMoveOrder(from: source, to: destination, perSecond: perSecond)
        change(&order)
        return try queues.startMove(order).answer.get()
    }

    /// Newest first.
    func moves(_ source: String) throws -> [QueueMove] { try queues.moves(from: source).get() }

    func counts(_ name: String) throws -> QueueCounts {
        try queues.counts(of: name, withOldest: false).answer.get()
    }

    func log(_ name: String, _ partition: Int32 = 0) throws -> PartitionLog {
        try need(broker.catalog.topic(named: "q." + name)?.partition(partition))
    }

    struct Missing: Error {}

    private func need<Value>(_ value: Value?) throws -> Value {
        guard let value else { throw Missing() }
        return value
    }
}

extension ReceivedMessage {
    var text: String { String(decoding: body, as: UTF8.self) }
}
