import BrokerTestKit
import Forwarder
import KafkaModel

/// A queue, a destination and a disk around one lane, each of which may fail at any step: what a forwarder has to live with.
///
/// The queue gives each message to the lane until it has ended, with `isOrdered` as FIFO queues do. The destination checks producers as
/// Kafka does: it knows the last five batches of each.
struct ForwardWorld {
    struct Rules {
        var messages = 40
        var groups = 4
        var partitions: Int32 = 3
        var isOrdered = false
        /// One of so many messages is taken by nobody; 0: none.
        var poison = 0
        /// What the destination takes of a batch; each message has ten bytes.
        var limit = Int.max
        /// Of a thousand steps so many fail, and so many are crashes.
        var failures = 100
        var crashes = 50
        /// The lane is told nothing of what was under way before a crash: the negative control.
        var forgetsIntents = false
        /// The destination forgets its producers now and then.
        var forgetsProducers = false
        var hasDeadLetters = true
    }

    struct Sent: Equatable {
        let producer: ForwardProducer
        let baseSequence: Sequence32
        let count: Int
    }

    struct Partition {
        var log: [Offset] = []
        var known: [ForwardProducer: [Sent]] = [:]
    }

    let rules: Rules
    var random: SeededRandom
    var nowMs: Int64 = 0
    var lane: ForwardLane
    // On disk.
    var state = ForwardState()
    var ended: Set<Offset> = []
    var deadLetters: [Offset] = []
    /// Messages that the queue has leased to the lane, which a crash does not change.
    var leased: Set<Offset> = []
    // The destination.
    var partitions: [Partition]
    /// Batches that were sent and have not arrived: they may do so later.
    var onTheWay: [ForwardIntent] = []
    var producers: Int64 = 0
    var crashes = 0

    static let name = [UInt8](repeating: 7, count: ForwardIntent.destinationBytes)

    init(_ rules: Rules, seed: UInt64) {
        self.rules = rules
        random = SeededRandom(seed: seed)
        partitions = Array(repeating: Partition(), count: Int(rules.partitions))
        lane = Self.makeLane(rules, seed)
    }

    private static func makeLane(_ rules: Rules, _ seed: UInt64) -> ForwardLane {
        var settings = ForwardSettings()
        settings.maxRecords = 5
        settings.maxBytes = 1024
        settings.windowMs = 20
        settings.isOrdered = rules.isOrdered
        return ForwardLane(settings, destination: name, partitionCount: rules.partitions, seed: seed)
    }

    func group(of offset: Offset) -> Int { Int(offset.rawValue * 7) % rules.groups }
    func isPoison(_ offset: Offset) -> Bool { rules.poison > 0 && offset.rawValue % Int64(rules.poison) == 3 }
    private mutating func happens(_ ofThousand: Int) -> Bool { Int(random.next() % 1000) < ofThousand }

    // MARK: Running

    /// Runs until all messages have ended, or so many steps are over. Returns whether they have.
    mutating func run(steps: Int = 4000) -> Bool {
        for _ in 0..<steps {
            if ended.count == rules.messages { return true }
            if happens(rules.crashes), crashes < 40 { crash() }
            if rules.forgetsProducers, happens(20) {
                partitions[Int(random.next() % UInt64(partitions.count))].known = [:]
            }
            if happens(200), let late = onTheWay.popLast() { _ = append(late) }
            fill()
            let actions = lane.actions(nowMs: nowMs)
            if actions.isEmpty { nowMs = max(nowMs + 1, lane.nextDeadlineMs ?? nowMs + 50) }
            for action in actions where !perform(action) {
                crash()
                break
            }
        }
        return ended.count == rules.messages
    }

    private mutating func crash() {
        crashes += 1
        lane = Self.makeLane(rules, random.next())
        let intents = state.intents
        if rules.forgetsIntents {
            for index in intents.keys { state.apply(.settled(partitionIndex: index)) }
        } else {
            for intent in intents.values { lane.restore(intent) }
        }
        // Leases of what is not under way are given back; some of the others are over, too.
        let pending = Set(state.intents.values.flatMap(\.offsets))
        leased = leased.filter { pending.contains($0) && random.next() % 4 != 0 }
    }

    private mutating func fill() {
        var (room, _) = lane.room
        var blocked: Set<Int> = []
        var taken: [ForwardMessage] = []
        for value in 0..<Int64(rules.messages) where room > 0 {
            let offset = Offset(value)
            if ended.contains(offset) { continue }
            if leased.contains(offset) {
                blocked.insert(group(of: offset))
                continue
            }
            if rules.isOrdered, blocked.contains(group(of: offset)) { continue }
            leased.insert(offset)
            let hash = rules.isOrdered || value % 3 != 0 ? UInt32(group(of: offset)) : nil
            taken.append(ForwardMessage(offset: offset, bytes: 10, keyHash: hash))
            room -= 1
        }
        lane.take(taken, nowMs: nowMs)
    }

    /// False: the process ends in the middle.
    private mutating func perform(_ action: ForwardAction) -> Bool {
        switch action {
        case .openProducer:
            if happens(rules.failures) {
                lane.producerFailed(nowMs: nowMs)
            } else {
                producers += 1
                lane.producer(ForwardProducer(id: ProducerID(producers), epoch: ProducerEpoch(rawValue: 0)))
            }
        case .record(let intent):
            if happens(rules.crashes) { return false }
            state.apply(.intent(intent))
            if happens(rules.crashes) { return false }
            lane.recorded(intent.partitionIndex)
        case .send(let intent):
            // What is not on disk is never sent.
            precondition(state.intents[intent.partitionIndex] == intent, "a batch was sent that was not recorded")
            return send(intent)
        case .end(let index, let offsets):
            if happens(rules.crashes) { return false }
            ended.formUnion(offsets)
            if happens(rules.crashes) { return false }
            state.apply(.settled(partitionIndex: index))
            if happens(rules.crashes) { return false }
            leased.subtract(offsets)
            lane.ended(index)
        case .giveUp(let index, let offset, _):
            if !rules.hasDeadLetters {
                lane.kept(index, nowMs: nowMs)
                return true
            }
            if happens(rules.crashes) { return false }
            if ended.insert(offset).inserted { deadLetters.append(offset) }
            if happens(rules.crashes) { return false }
            state.apply(.settled(partitionIndex: index))
            leased.remove(offset)
            lane.ended(index)
        }
        return true
    }

    private mutating func send(_ intent: ForwardIntent) -> Bool {
        var outcome = ForwardOutcome.failed("REQUEST_TIMED_OUT")
        if happens(rules.failures) {
            // The connection is lost: before the batch has arrived, or on the way, or behind it.
            switch random.next() % 3 {
            case 0: break
            case 1: onTheWay.append(intent)
            default: _ = append(intent)
            }
        } else {
            outcome = append(intent)
        }
        if happens(rules.crashes) { return false }
        lane.answered(intent.partitionIndex, outcome, nowMs: nowMs)
        return true
    }

    private mutating func append(_ intent: ForwardIntent) -> ForwardOutcome {
        if intent.offsets.count * 10 > rules.limit { return ForwardOutcome(.messageTooLarge) }
        if intent.offsets.contains(where: { isPoison($0) }) { return ForwardOutcome(.invalidRecord) }
        let index = Int(intent.partitionIndex)
        let sent = Sent(
            producer: intent.producer, baseSequence: intent.baseSequence, count: intent.offsets.count)
        let known = partitions[index].known[intent.producer] ?? []
        if known.contains(sent) { return .accepted }
        if let last = known.last, last.baseSequence.advanced(by: Int32(last.count)) != intent.baseSequence {
            return ForwardOutcome(.outOfOrderSequenceNumber)
        }
        partitions[index].log += intent.offsets
        partitions[index].known[intent.producer] = (known + [sent]).suffix(5)
        return .accepted
    }

    // MARK: What came of it

    var delivered: [Offset] { partitions.flatMap(\.log) }

    /// Groups whose messages are not in the order in which they were sent, in the partition where they are.
    var disordered: [Int] {
        (0..<rules.groups).filter { group in
            let logs = partitions.map { $0.log.filter { self.group(of: $0) == group } }.filter { !$0.isEmpty }
            return logs.count > 1 || logs.contains { $0 != $0.sorted() }
        }
    }
}
