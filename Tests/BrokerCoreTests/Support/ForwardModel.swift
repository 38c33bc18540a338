import BrokerTestKit
import ByteBuffers
import Forwarder
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import StorageIO

@testable import BrokerCore

/// Another cluster's topic, in memory: it checks producers as Kafka does, outlives the broker, and fails when it is told to.
final class OtherTopic: ForwardDestination {
    enum Mood { case fine, refusesAll(ErrorCode), losesAnswers, takesNothing, cannotBeReached(String) }

    struct Arrived: Equatable {
        let text: String
        let key: String?
        let headers: [RecordHeader]
        let timestampMs: Int64
    }

    struct State {
        var random: SeededRandom
        var mood = Mood.fine
        /// Of a hundred batches so many fail, half of them when they are there.
        var failures = 0
        var refused: (String) -> ErrorCode? = { _ in nil }
        var logs: [[Arrived]]
        var known: [Int32: [ForwardProducer: (base: Sequence32, count: Int32)]] = [:]
        var producers: Int64 = 1000
        var sent = 0
        var looks = 0
    }

    let state: Lock<State>

    init(partitions: Int = 3, seed: UInt64 = 1) {
        state = Lock(State(random: SeededRandom(seed: seed), logs: Array(repeating: [], count: partitions)))
    }

    var logs: [[Arrived]] { state.withLock { $0.logs } }
    var texts: [String] { logs.flatMap { $0.map(\.text) } }
    func set(_ mood: Mood) { state.withLock { $0.mood = mood } }

    func target() throws(ForwardTrouble) -> ForwardTarget {
        let (mood, partitions) = state.withLock { state in
            state.looks += 1
            return (state.mood, state.logs.count)
        }
        if case .cannotBeReached(let reason) = mood { throw ForwardTrouble(reason) }
        return ForwardTarget(
            identity: Array(repeating: 9, count: ForwardIntent.destinationBytes), partitionCount: Int32(partitions))
    }

    func openProducer() throws(ForwardTrouble) -> ForwardProducer {
        state.withLock { state in
            state.producers += 1
            return ForwardProducer(id: ProducerID(state.producers), epoch: ProducerEpoch(rawValue: 0))
        }
    }

    func send(_ batches: [ForwardedBatch]) -> [ForwardOutcome] {
        state.withLock { state in batches.map { Self.take($0, &state) } }
    }

    func interrupt() {}

    private static func take(_ batch: ForwardedBatch, _ state: inout State) -> ForwardOutcome {
        state.sent += 1
        if case .refusesAll(let code) = state.mood { return ForwardOutcome(code) }
        switch state.mood {
        case .takesNothing, .cannotBeReached: return .failed("NETWORK_EXCEPTION")
        case .fine, .refusesAll, .losesAnswers: break
        }
        let fails = state.random.below(100) < state.failures
        if fails, state.random.chance(0.5) { return .failed("NETWORK_EXCEPTION") }
        let outcome = append(batch, &state)
        if case .losesAnswers = state.mood { return .failed("REQUEST_TIMED_OUT") }
        return fails ? .failed("REQUEST_TIMED_OUT") : outcome
    }

    private static func append(_ batch: ForwardedBatch, _ state: inout State) -> ForwardOutcome {
        let records = batch.records.map(Arrived.init)
        for record in records { if let code = state.refused(record.text) { return ForwardOutcome(code) } }
        let (index, producer) = (batch.intent.partitionIndex, batch.intent.producer)
        let (base, count) = (batch.intent.baseSequence, Int32(records.count))
        if let last = state.known[index]?[producer] {
            if last == (base, count) { return .accepted }
            if last.base.advanced(by: last.count) != base { return ForwardOutcome(.outOfOrderSequenceNumber) }
        }
        state.known[index, default: [:]][producer] = (base, count)
        state.logs[Int(index)] += records
        return .accepted
    }
}

extension OtherTopic.Arrived {
    init(_ record: ForwardedRecord) {
        var builder = RecordBatchBuilder()
        let batch = ForwardedBatch(
            intent: ForwardIntent(
                destination: Array(repeating: 0, count: ForwardIntent.destinationBytes), partitionIndex: 0,
                producer: ForwardProducer(id: ProducerID(1), epoch: ProducerEpoch(rawValue: 0)),
                baseSequence: Sequence32(0), offsets: [record.offset]), records: [record])
        // As a reader of the topic sees it.
        let bytes = (try? batch.encoded(.none, &builder)) ?? []
        self = bytes.withUnsafeBytes { Self.all(in: $0) }[0]
    }

    init(_ view: RecordView) {
        text = String(decoding: view.value ?? UnsafeRawBufferPointer(start: nil, count: 0), as: UTF8.self)
        key = view.key.map { String(decoding: $0, as: UTF8.self) }
        headers = view.headers.map(\.copied)
        timestampMs = view.timestampMs
    }

    private static func all(in bytes: UnsafeRawBufferPointer) -> [Self] {
        var found: [Self] = []
        var cursor = RecordBatchCursor(bytes)
        var records = RecordIterator()
        while let batch = try? cursor.next() {
            try? records.open(batch)
            while let record = try? records.next() { found.append(Self(record)) }
        }
        return found
    }
}

extension QueueNode {
    /// Lets exactly these forwarders run, without threads.
    func forward(_ definitions: [ForwarderDefinition], to other: OtherTopic? = nil) {
        // A block of ids is at hand: the thread that claims one does not run.
        _ = broker.producerIDs.next()
        broker.forwarders.replace(definitions, withThreads: false) { _ in other }
    }

    /// Lets them work until nothing is to be done within so many milliseconds.
    func forwardAll(within ms: Int64 = 5000) {
        let until = clock.now + ms
        while true {
            let next = broker.forwarders.turn()
            commit()
            if next > until { return }
            clock.pass(max(1, next - clock.now))
        }
    }

    func arrived(_ topic: String) throws -> [[OtherTopic.Arrived]] {
        try (broker.catalog.topic(named: topic)?.partitions ?? []).map { log in
            var found: [OtherTopic.Arrived] = []
            var records = RecordIterator()
            var next = log.logStartOffset
            while next < log.highWatermark {
                next = try QueueWalk(log: log, visibility: .committed).step(
                    from: next, to: log.highWatermark, &records
                ) { found.append(OtherTopic.Arrived($0)) }
            }
            return found
        }
    }
}

/// Senders of a queue and its forwarder, on a broker whose disk loses what was not synced, with power cuts and kills at any call: what was
/// sent arrives once, in its group's order, whatever was under way.
final class ForwardModel {
    enum Control { case none, forgetsIntents }

    struct Failure: Error, CustomStringConvertible { let description: String }

    private struct Message {
        let group: Int
        var isSent = false
    }

    private var random: SeededRandom
    private let control: Control
    private let node: QueueNode
    private let isOrdered: Bool
    private let other: OtherTopic?
    private var messages: [Message] = []
    private var waits: [(ticket: UInt64, numbers: [Int])] = []
    private(set) var crashes = 0
    private(set) var arrivals = 0

    private static let groups = 4

    init(seed: UInt64, _ control: Control = .none) throws {
        var random = SeededRandom(seed: seed)
        self.control = control
        isOrdered = random.chance(0.4)
        other = random.chance(0.5) ? OtherTopic(seed: random.next()) : nil
        node = try QueueNode(seed: random.next()) { $0.store.checkpointBytes = 64 << 10 }
        self.random = random
        let isOrdered = isOrdered
        try node.create("q", partitions: isOrdered ? 1 : 2) { $0.order = isOrdered ? .fifo : .standard }
        _ = try node.broker.createTopic("out", partitions: 3).get()
        try node.compactStateOften()
        other?.state.withLock { $0.failures = 20 }
        begin()
    }

    private func begin() {
        if control == .forgetsIntents { node.queues.endLanes { _ in true } }
        node.forward(
            [ForwarderDefinition(name: "f", from: "q", to: "out", maxRecords: 6, windowMs: 50)], to: other)
    }

    private var isDown: Bool { node.node.fileSystem.isHalted || node.broker.store.isOffline }

    func step() throws {
        let files = node.node.fileSystem
        if !files.isHalted, random.chance(0.03) { files.haltAtCall(files.callCount + random.number(in: 1...30)) }
        switch random.below(100) {
        case 0..<30: send()
        case 30..<55: _ = node.broker.forwarders.turn()
        case 55..<70: node.commit()
        case 70..<85: node.clock.pass(Int64(random.below(400)))
        case 85..<92: node.turn()
        case 92: try? node.broker.store.checkpoint()
        case 93: _ = node.broker.store.clean(nowMs: node.clock.now)
        case 94: node.clock.pass(46_000_000)
        default: if random.chance(0.5) { try restart() }
        }
        poll()
        if isDown { try restart() }
    }

    private func poll() {
        guard !isDown else { return }
        let durable = node.broker.store.durableTicket
        for wait in waits where wait.ticket <= durable { for number in wait.numbers { messages[number].isSent = true } }
        waits.removeAll { $0.ticket <= durable }
    }

    private func send() {
        let first = messages.count
        for _ in 0..<random.number(in: 1...5) { messages.append(Message(group: random.below(Self.groups))) }
        let batch = messages[first...].enumerated().map { index, message in
            var sent = QueueMessage(body: Array("\(first + index)".utf8))
            if isOrdered || message.group != 0 { sent.groupID = "g\(message.group)" }
            if isOrdered { sent.deduplicationID = "\(first + index)" }
            return sent
        }
        let outcome = node.queues.send(batch, to: "q")
        let taken = zip(first..., outcome.answer).filter { (try? $0.1.get()) != nil }.map(\.0)
        waits.append((outcome.commits.last, taken))
    }

    func restart() throws {
        waits = []
        crashes += 1
        if random.chance(0.3) {
            try node.node.kill()
        } else {
            try node.node.crash(keeping: random.chance(0.5) ? .nothing : .random, seed: random.next())
        }
        node.turn()
        begin()
    }

    /// Lets all arrive, and compares.
    func settle() throws {
        try restart()
        other?.state.withLock { $0.failures = 0 }
        node.forwardAll(within: 60_000)
        let counts = try node.counts("q")
        guard counts.visible + counts.inFlight + counts.delayed + counts.ending == 0 else {
            let status = node.broker.forwarders.statuses[0]
            throw Failure(
                description: "messages are left: \(counts), \(isOrdered ? "FIFO" : "standard"), \(status)")
        }
        let logs = try other?.logs ?? node.arrived("out")
        var seen: [Int: Int] = [:]
        for log in logs {
            var last: [Int: Int] = [:]
            for record in log {
                guard let number = Int(record.text) else { throw Failure(description: "\(record.text) was not sent") }
                seen[number, default: 0] += 1
                let group = messages[number].group
                if isOrdered, let before = last[group], before > number {
                    throw Failure(description: "message \(number) arrived behind \(before) of its group")
                }
                last[group] = number
            }
        }
        if let twice = seen.first(where: { $0.value > 1 }) {
            throw Failure(description: "message \(twice.key) arrived \(twice.value) times")
        }
        if let lost = messages.indices.first(where: { messages[$0].isSent && seen[$0] == nil }) {
            throw Failure(description: "message \(lost) is lost")
        }
        arrivals = seen.count
    }
}
