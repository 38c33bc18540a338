import ByteBuffers
import Forwarder
import KafkaModel
import LogStorage
import QueueLedger
import Synchronization
import Telemetry

/// One forwarder at work: lanes for the partitions of its queue, and a thread that does what they want.
///
/// ```
///   a round:  take from the queue ─► append ends and intents of all lanes ─► one commit ─► send all batches
/// ```
/// A lane whose wishes cannot be met (the disk is full, the queue's state was loaded anew) is thrown away and made again from what is on disk.
final class ForwarderRun: @unchecked Sendable {
    // SAFETY: `lanes`, `slots`, `target` and what is beside them are the thread's alone, and of who calls `turn` where there is none;
    // the rest is constant or has its lock.
    let definition: ForwarderDefinition
    private unowned let broker: Broker
    private let destination: any ForwardDestination
    private let counters: ForwarderCounters
    private let signal = Signal()
    private let thread = Lock<Thread?>(nil)
    private let stopping = Atomic(false)
    private let trouble = Lock<String?>(nil)
    private let failures = Atomic<Int>(0)

    private var lanes: [Int32: ForwarderLane] = [:]
    private var slots: [Int32: Int32] = [:]
    private var queueNumber: UInt64 = 0
    private var target: ForwardTarget?
    private var targetUntilMs = Int64.min
    private var retries = Backoff()
    /// Since something was taken last, and whether the log says so.
    private var troubles = 0
    private var isTroubleTold = false
    /// What is in the way is over when a turn gets to its rounds, and not when something is taken.
    private var isPaused = false
    /// Nothing is looked for before, whoever wakes the thread.
    private var pausedUntilMs = Int64.min

    /// How long a destination's number of partitions is taken for true, and how soon something missing is looked for again.
    private static let targetMs: Int64 = 60_000
    private static let missingMs: Int64 = 1000
    /// Rounds of one turn at most: then it is looked whether the forwarder is to stop.
    private static let maxRounds = 64
    /// Failures in a row that the log hears of: what goes well again at once is in the counters.
    private static let toldFailures = 3
    /// Bytes of messages that all lanes of a forwarder hold at most, but for one message each: with many partitions batches get smaller.
    static let maxHeldBytes = 64 << 20

    init(
        _ broker: Broker, _ definition: ForwarderDefinition, _ destination: any ForwardDestination,
        _ metrics: MetricsRegistry
    ) {
        self.broker = broker
        self.definition = definition
        self.destination = destination
        counters = ForwarderCounters(metrics, definition.name)
    }

    var status: ForwarderStatus {
        var status = ForwarderStatus(definition: definition)
        status.trouble = trouble.withLock { $0 }
        status.records = Int(counters.records.value)
        status.batches = Int(counters.batches.value)
        status.bytes = Int(counters.bytes.value)
        status.refused = Int(counters.refused.value)
        status.failures = failures.load(ordering: .relaxed)
        status.lag = Int(counters.lag.value)
        return status
    }

    // MARK: The thread

    func start() {
        thread.withLock { thread in
            thread = Thread(name: "forwarder") { [self, broker] in withExtendedLifetime(broker) { run() } }
        }
    }

    private func run() {
        while !stopping.load(ordering: .acquiring) {
            let next = turn()
            if stopping.load(ordering: .acquiring) { return }
            let isWoken = signal.wait(timeoutMs: next == .max ? nil : max(0, next - broker.queues.nowMs()))
            if isWoken { lookAgain() }
        }
    }

    /// Something may have come into the queue, or back into it.
    func lookAgain() { for lane in lanes.values { lane.wake() } }

    /// Lets a call that waits for the destination end soon.
    func interrupt() {
        stopping.store(true, ordering: .releasing)
        destination.interrupt()
        signal.raise()
    }

    func stop() {
        interrupt()
        thread.withLock { thread in
            thread?.join()
            thread = nil
        }
        counters.isRunning.set(0)
        counters.lag.set(0)
        // Whoever forwards the queue from now on says so himself.
        broker.queues.directory.byName[ExactString(definition.from)]?.waiters.setForwarder(nil)
    }

    // MARK: A turn

    /// Does all that can be done just now; returns when there is more, in milliseconds since 1970.
    func turn() -> Int64 {
        let nowMs = broker.queues.nowMs()
        // By a clock that was set back the wait is no longer than it may be.
        if nowMs < pausedUntilMs, pausedUntilMs - nowMs <= Backoff.mostMs { return pausedUntilMs }
        let found: (queue: Queue, topic: Topic)
        do throws(QueueRefusal) { found = try broker.queues.find(definition.from) } catch {
            counters.lag.set(0)
            return pause(error.message)
        }
        defer { counters.lag.set(broker.queues.lag(of: found.queue, found.topic)) }
        do throws(ForwardTrouble) { return rounds(found.queue, found.topic, try findTarget()) } catch {
            return pause(error.reason)
        }
    }

    private func rounds(_ queue: Queue, _ topic: Topic, _ target: ForwardTarget) -> Int64 {
        if queue.number != queueNumber {
            // Another queue of that name: nothing that is known is of it.
            (lanes, slots, queueNumber) = ([:], [:], queue.number)
        }
        let laneBytes = Self.maxHeldBytes / max(1, topic.partitions.count)
        for log in topic.partitions where lanes[log.partitionIndex] == nil {
            lanes[log.partitionIndex] = ForwarderLane(broker.queues, definition, laneBytes)
        }
        if isPaused { goOn() }
        if trouble.withLock({ $0 == nil }) { counters.isRunning.set(1) }
        queue.waiters.setForwarder(signal)
        broker.queues.watchForForwarder(topic, queue, &slots)
        for _ in 0..<Self.maxRounds {
            if stopping.load(ordering: .acquiring) { return .max }
            guard round(queue, topic, target) else { break }
        }
        let nowMs = broker.queues.nowMs()
        if let fault = lanes.values.lazy.compactMap(\.fault).first {
            note(trouble: fault)
            isPaused = true
        }
        return lanes.values.map { $0.nextMs(nowMs) }.min() ?? .max
    }

    /// Returns whether anything was done.
    private func round(_ queue: Queue, _ topic: Topic, _ target: ForwardTarget) -> Bool {
        var isBusy = false
        var commits = CommitSpan()
        let partitions = topic.partitions.map { QueuePartition(queue: queue, log: $0) }
        for partition in partitions {
            guard let lane = lanes[partition.log.partitionIndex] else { continue }
            if lane.advance(partition, target, openProducer, &commits) { isBusy = true }
        }
        let isDurable = broker.queues.areDurable(commits)
        for partition in partitions {
            lanes[partition.log.partitionIndex]?.stored(partition, isDurable, counters)
        }
        if send(partitions) { isBusy = true }
        return isBusy
    }

    private func openProducer() -> ForwardProducer? {
        do throws(ForwardTrouble) { return try destination.openProducer() } catch {
            note(trouble: error.reason)
            return nil
        }
    }

    /// Sends what all lanes have to send, as destinations may take it together: to each of their partitions once.
    private func send(_ partitions: [QueuePartition]) -> Bool {
        var batches: [(lane: ForwarderLane, batch: ForwardedBatch)] = []
        for partition in partitions {
            guard let lane = lanes[partition.log.partitionIndex] else { continue }
            batches += lane.takeBatches(partition).map { (lane, $0) }
        }
        if batches.isEmpty { return false }
        while !batches.isEmpty {
            // Batches of two lanes to one partition are two requests.
            var taken: Set<Int32> = []
            var some: [(lane: ForwarderLane, batch: ForwardedBatch)] = []
            var later = some
            for entry in batches {
                if taken.insert(entry.batch.intent.partitionIndex).inserted {
                    some.append(entry)
                } else {
                    later.append(entry)
                }
            }
            batches = later
            let outcomes = destination.send(some.map(\.batch))
            let nowMs = broker.queues.nowMs()
            for (entry, outcome) in zip(some, outcomes) {
                entry.lane.answered(entry.batch, outcome, nowMs, counters)
                tell(outcome)
            }
        }
        return true
    }

    private func tell(_ outcome: ForwardOutcome) {
        switch outcome {
        case .accepted: goOn()
        case .failed(let reason), .producerLost(let reason):
            failures.wrappingAdd(1, ordering: .relaxed)
            counters.failed(reason)
            targetUntilMs = .min
            note(trouble: "the destination answers \(reason)")
        case .tooLarge(let reason), .invalid(let reason):
            failures.wrappingAdd(1, ordering: .relaxed)
            counters.failed(reason)
        }
    }

    private func findTarget() throws(ForwardTrouble) -> ForwardTarget {
        let nowMs = broker.queues.nowMs()
        if let target, nowMs < targetUntilMs { return target }
        let found = try destination.target()
        // As an answer of another broker has it.
        guard found.partitionCount > 0 else { throw ForwardTrouble("topic \(definition.to) has no partitions") }
        if let target, found.identity != target.identity { lanes = [:] }
        target = found
        targetUntilMs = nowMs + Self.targetMs
        return found
    }

    // MARK: Whether it goes on

    private func pause(_ reason: String) -> Int64 {
        note(trouble: reason)
        isPaused = true
        lanes = [:]
        targetUntilMs = .min
        pausedUntilMs = broker.queues.nowMs() + max(Self.missingMs, retries.failed())
        return pausedUntilMs
    }

    private func note(trouble reason: String) {
        trouble.withLock { $0 = reason }
        counters.isRunning.set(0)
        troubles += 1
        guard troubles >= Self.toldFailures, !isTroubleTold else { return }
        isTroubleTold = true
        Log.warning("a forwarder does not go on", "forwarder", definition.name, "reason", reason)
    }

    private func goOn() {
        retries.reset()
        counters.isRunning.set(1)
        trouble.withLock { $0 = nil }
        if isTroubleTold { Log.info("a forwarder goes on", "forwarder", definition.name) }
        (troubles, isTroubleTold, isPaused) = (0, false, false)
    }
}
