import BrokerTestKit
import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import StorageIO

@testable import BrokerCore

/// Senders and receivers of one queue, on a broker whose disk loses what was not synced, with power cuts and kills at any call; beside it
/// what they were told. A message that was acknowledged never comes again; every other one does when its time has come; the counters
/// are what a receiver of everything finds; a FIFO group keeps its order.
final class QueueModel {
    /// A broker that breaks the rules, and has to be caught.
    enum Control: Equatable {
        case none
        /// Nothing is synced.
        case withoutSync
        /// An acknowledgement is answered before its record is on disk.
        case answersEarly
    }

    struct Failure: Error, CustomStringConvertible { let description: String }

    /// What its sender and its receiver know of a message.
    private struct Message {
        let number: Int
        let group: Int
        var isSent = false
        var isEnded = false
        /// Its acknowledgement was asked for, and not answered.
        var isEnding = false
    }

    private var random: SeededRandom
    private let control: Control
    private let node: QueueNode
    private let order: DeliveryOrder
    private var messages: [Message] = []
    /// What was received last, by message.
    private var held: [Int: ReceivedMessage] = [:]
    /// What waits for a commit.
    private var waits: [(ticket: UInt64, body: () -> Void)] = []
    private(set) var crashes = 0
    private(set) var ends = 0

    private static let groups = 3

    init(seed: UInt64, _ control: Control = .none) throws {
        var random = SeededRandom(seed: seed)
        self.control = control
        order = random.pick([.standard, .standard, .fair, .fifo])
        let isFIFO = order == .fifo
        node = try QueueNode(seed: random.next()) { options in
            options.store.unsafeWithoutSync = control == .withoutSync
            options.store.checkpointBytes = 64 << 10
        }
        self.random = random
        let order = order
        try node.create("q", partitions: isFIFO ? 1 : 2) { $0.order = order }
        try node.compactStateOften()
    }

    private var isDown: Bool { node.node.fileSystem.isHalted || node.broker.store.isOffline }

    // MARK: Steps

    func step() throws {
        let files = node.node.fileSystem
        if !files.isHalted, random.chance(0.02) { files.haltAtCall(files.callCount + random.number(in: 1...40)) }
        switch random.below(100) {
        case 0..<22: send()
        case 22..<42: try receive()
        case 42..<60: acknowledge()
        case 60..<64: changeVisibility()
        case 64..<82: node.commit()
        case 82..<88: node.clock.pass(Int64(random.below(4000)))
        case 88..<93: node.turn()
        case 93: try? node.broker.store.checkpoint()
        case 94: _ = node.broker.store.clean(nowMs: node.clock.now)
        case 95: snapshot()
        case 96, 97: if random.chance(0.3) { try settle() }
        default: try restart()
        }
        poll()
        if isDown { try restart() }
    }

    private func poll() {
        guard !isDown else { return }
        let durable = node.broker.store.durableTicket
        let due = waits.filter { $0.ticket <= durable }
        waits.removeAll { $0.ticket <= durable }
        for wait in due { wait.body() }
    }

    private func when(_ commits: UInt64, _ body: @escaping () -> Void) {
        if commits == 0 { return body() }
        waits.append((commits, body))
    }

    private func send() {
        let first = messages.count
        for _ in 0..<random.number(in: 1...4) {
            messages.append(Message(number: messages.count, group: random.below(Self.groups)))
        }
        let batch = messages[first...].map { message in
            var sent = QueueMessage(body: Array("\(message.number)".utf8))
            if order != .standard { sent.groupID = "g\(message.group)" }
            if order == .fifo { sent.deduplicationID = "\(message.number)" }
            return sent
        }
        let outcome = node.queues.send(batch, to: "q")
        let taken = zip(messages[first...].map(\.number), outcome.answer).filter { (try? $0.1.get()) != nil }
        when(outcome.commits.last) { [unowned self] in
            for (number, _) in taken { messages[number].isSent = true }
        }
    }

    private func receive(all: Bool = false) throws {
        let most = all ? 4096 : random.number(in: 1...6)
        let received: [ReceivedMessage]
        do {
            received = try node.receive(
                "q", most, visibilityMs: all ? 43_200_000 : Int64(random.number(in: 500...6000)))
        } catch {
            if isDown || (error as? QueueRefusal)?.kind == .unavailable { return }
            throw error
        }
        var inCall: Set<Int> = []
        for message in received {
            guard let number = Int(message.text) else { throw Failure(description: "a message that nobody sent") }
            if messages[number].isEnded { throw Failure(description: "message \(number) came again after its end") }
            if order == .fifo {
                let before = messages.first {
                    $0.group == messages[number].group && $0.number < number && $0.isSent && !$0.isEnded && !$0.isEnding
                        && !inCall.contains($0.number)
                }
                if let before { throw Failure(description: "message \(number) came before \(before.number)") }
            }
            inCall.insert(number)
            held[number] = message
        }
    }

    private func acknowledge() {
        guard !held.isEmpty else { return }
        let numbers = held.keys.sorted().filter { _ in random.chance(0.6) }
        let chosen = numbers.compactMap { held.removeValue(forKey: $0) }
        if chosen.isEmpty { return }
        let outcome = node.queues.acknowledge(chosen.map(\.handle), in: "q")
        guard case .success(let settlements) = outcome.answer else { return }
        for (number, settlement) in zip(numbers, settlements) where settlement == .settled(.done) {
            messages[number].isEnding = true
            when(control == .answersEarly ? 0 : outcome.commits.last) { [unowned self] in
                messages[number].isEnded = true
                ends += 1
            }
        }
    }

    private func changeVisibility() {
        guard let number = held.keys.sorted().first, let message = held[number] else { return }
        let outcome = node.queues.changeVisibility([(message.handle, Int64(random.below(3) * 2000))], in: "q")
        _ = outcome.answer
    }

    private func snapshot() {
        guard let topic = node.broker.catalog.topic(named: "q.q") else { return }
        let log = random.pick(topic.partitions)
        guard let queue = node.queues.directory.byName["q"] else { return }
        let partition = QueuePartition(queue: queue, log: log)
        _ = try? node.queues.withLedger(of: partition) { entry, shard, nowMs throws(QueueRefusal) in
            try shard.takeSnapshot(&entry, nowMs)
        }
    }

    func restart() throws {
        waits = []
        crashes += 1
        let isKill = random.chance(0.3)
        if isKill {
            try node.node.kill()
        } else {
            try node.node.crash(keeping: random.chance(0.5) ? .nothing : .random, seed: random.next())
        }
        node.turn()
    }

    /// Nil: the disk has gone meanwhile.
    private func counts() throws -> QueueCounts? {
        do { return try node.counts("q") } catch {
            if isDown { return nil }
            throw error
        }
    }

    // MARK: The end

    /// Receives everything that is there, when nothing is in flight any more, and compares.
    func settle() throws {
        node.commit()
        poll()
        if isDown { return }
        node.clock.pass(43_200_000)
        node.turn()
        guard let counts = try self.counts() else { return }
        if counts.inFlight + counts.delayed + counts.ending != 0 {
            throw Failure(description: "in flight for longer than anything can be: \(counts)")
        }
        held = [:]
        var before = -1
        while before != held.count {
            before = held.count
            try receive(all: true)
        }
        guard let after = try self.counts() else { return }
        node.commit()
        poll()
        if isDown { return }
        for message in messages where message.isSent && !message.isEnded && !message.isEnding {
            // Behind the first of its group nothing of a FIFO queue comes while that is in flight.
            let isBlocked = order == .fifo && after.visible > 0
            if held[message.number] == nil, !isBlocked {
                throw Failure(description: "message \(message.number) is lost")
            }
        }
        if after.inFlight != held.count || after.inFlight + after.visible != counts.visible {
            throw Failure(description: "counted \(counts) before, \(after) after \(held.count) were received")
        }
        // They are there for the next steps.
        _ = node.queues.changeVisibility(held.values.map { ($0.handle, 0) }, in: "q").answer
        // What was asked for and not answered is known now.
        for number in messages.indices where messages[number].isEnding && held[number] != nil {
            messages[number].isEnding = false
        }
    }
}
