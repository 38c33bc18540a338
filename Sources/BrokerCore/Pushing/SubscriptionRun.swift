import ByteBuffers
import Forwarder
import KafkaModel
import LogStorage
import QueueLedger
import Synchronization
import Telemetry

/// One subscription at work: a thread that receives and makes batches, and one for each request that is under way.
///
/// ```
///   receive ─► lane ─► a sender: push, end or give back, on disk ─► ended
/// ```
/// Nothing of it is kept: what is under way is leased from the queue, and comes back when its lease ends.
final class SubscriptionRun: @unchecked Sendable {
    // SAFETY: `lane`, `senders`, `slots` and what is beside them are the thread's alone, and of who calls `turn` where there is none; the rest
    // is constant or has its lock.
    typealias Batch = PushLane<ReceivedMessage>.Batch

    let definition: SubscriptionDefinition
    private unowned let broker: Broker
    private let destination: any PushDestination
    private let counters: SubscriptionCounters
    private let withThreads: Bool
    private let signal = Signal()
    private let thread = Lock<Thread?>(nil)
    private let stopping = Atomic(false)
    private let trouble = Lock<String?>(nil)
    private let results = Lock<[Result]>([])

    private var lane: PushLane<ReceivedMessage>
    private var senders: [PushSender] = []
    private var slots: [Int32: Int32] = [:]
    private var queueNumber: UInt64 = 0
    /// The queue is not asked before.
    private var askAgainAtMs = Int64.min
    /// Nothing is looked for before, whoever wakes the thread: what was given back does.
    private var pausedUntilMs = Int64.min
    /// What is in the way is over when the queue is asked again, and not when something is answered.
    private var isPaused = false
    private var retries = Backoff()
    /// In a row, and whether the log says so.
    private var troubles = 0
    private var isTroubleTold = false

    struct Result {
        let batch: Batch
        let outcome: PushOutcome
        /// Why what came of it could not be stored; nil: it is on disk.
        let problem: String?
        let sender: PushSender?
    }

    /// Receives of one turn at most: then it is looked whether the subscription is to stop.
    private static let maxRounds = 64
    /// Failures in a row that the log hears of: what goes well again at once is in the counters.
    private static let toldFailures = 3

    init(
        _ broker: Broker, _ definition: SubscriptionDefinition, _ destination: any PushDestination,
        _ metrics: MetricsRegistry, withThreads: Bool
    ) {
        self.broker = broker
        self.definition = definition
        self.destination = destination
        self.withThreads = withThreads
        counters = SubscriptionCounters(metrics, definition.name)
        lane = PushLane(definition.settings, seed: UInt64(bitPattern: broker.queues.nowMs()))
    }

    var status: SubscriptionStatus {
        var status = SubscriptionStatus(definition: definition)
        status.trouble = trouble.withLock { $0 }
        status.records = Int(counters.records.value)
        status.batches = Int(counters.batches.value)
        status.bytes = Int(counters.bytes.value)
        status.failedRecords = Int(counters.failedRecords.value)
        status.failures = counters.failureCount
        status.underWay = Int(counters.underWay.value)
        status.lag = Int(counters.lag.value)
        return status
    }

    // MARK: The thread

    func start() {
        thread.withLock { thread in
            thread = Thread(name: "subscription") { [self, broker] in withExtendedLifetime(broker) { run() } }
        }
    }

    private func run() {
        while !stopping.load(ordering: .acquiring) {
            let next = turn()
            if stopping.load(ordering: .acquiring) { break }
            signal.wait(timeoutMs: next == .max ? nil : max(0, next - broker.queues.nowMs()))
        }
        for sender in senders { sender.stop() }
    }

    /// Lets requests that are under way end soon.
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
        giveBack(lane.takeWaiting())
        for gauge in [counters.isRunning, counters.lag, counters.underWay] { gauge.set(0) }
        broker.queues.directory.byName[ExactString(definition.from)]?.waiters.setForwarder(nil)
    }

    // MARK: A turn

    /// Does all that can be done just now; returns when there is more, in milliseconds since 1970.
    func turn() -> Int64 {
        takeResults()
        let nowMs = broker.queues.nowMs()
        // By a clock that was set back the wait is no longer than it may be.
        if nowMs < pausedUntilMs, pausedUntilMs - nowMs <= Backoff.mostMs { return pausedUntilMs }
        let found: (queue: Queue, topic: Topic)
        do throws(QueueRefusal) { found = try broker.queues.find(definition.from) } catch {
            counters.lag.set(0)
            return pause(error.message)
        }
        let (queue, topic) = found
        defer {
            counters.lag.set(broker.queues.lag(of: queue, topic))
            counters.underWay.set(lane.underWay)
        }
        if queue.number != queueNumber { (slots, queueNumber) = ([:], queue.number) }
        queue.waiters.setForwarder(signal)
        broker.queues.watchForForwarder(topic, queue, &slots)
        var mayHaveMore = true
        for _ in 0..<Self.maxRounds where mayHaveMore {
            if stopping.load(ordering: .acquiring) { return .max }
            do throws(QueueRefusal) { mayHaveMore = try receive(from: queue) } catch { return pause(error.message) }
            // One receive may give less than a batch has room for.
            if mayHaveMore, hasRoom { continue }
            sendBatches()
            // What an answer has given back may be asked for again.
            if takeResults() { mayHaveMore = true }
        }
        sendBatches()
        if isPaused || trouble.withLock({ $0 == nil }) { goOn() }
        isPaused = false
        return nextTurn(mayHaveMore)
    }

    private var hasRoom: Bool {
        let room = lane.room(nowMs: broker.queues.nowMs())
        return room.messages > 0 && room.bytes > 0
    }

    private func nextTurn(_ mayHaveMore: Bool) -> Int64 {
        let nowMs = broker.queues.nowMs()
        if mayHaveMore { return nowMs }
        let room = lane.room(nowMs: nowMs)
        let askMs = room.messages > 0 && room.bytes > 0 && askAgainAtMs > nowMs ? askAgainAtMs : Int64.max
        return min(askMs, lane.nextDeadlineMs(nowMs: nowMs) ?? .max)
    }

    private func sendBatches() {
        while let batch = lane.nextBatch(nowMs: broker.queues.nowMs()) {
            // What did not fit would wait for the next one with its lease running.
            giveBack(lane.takeWaiting())
            if !withThreads {
                results.withLock { $0.append(Self.push(batch, definition, broker, destination.connection(), nil)) }
                continue
            }
            let idle = senders.first(where: \.isIdle)
            let sender = idle ?? PushSender(definition, broker, destination) { [weak self] in self?.take($0) }
            if idle == nil { senders.append(sender) }
            sender.push(batch)
        }
    }

    private func take(_ result: Result) {
        results.withLock { $0.append(result) }
        signal.raise()
    }

    /// Returns whether there may be more.
    private func receive(from queue: Queue) throws(QueueRefusal) -> Bool {
        let nowMs = broker.queues.nowMs()
        let room = lane.room(nowMs: nowMs)
        guard room.messages > 0, room.bytes > 0, nowMs >= askAgainAtMs else { return false }
        var request = QueueReceive()
        request.maxMessages = min(room.messages, LedgerRecord.maxLeased)
        request.maxBytes = min(room.bytes, QueueReceive.maxBytesLimit)
        request.visibilityMs = definition.leaseMs
        let outcome = broker.queues.tryReceive(request, from: queue)
        switch outcome.answer {
        case .refused(let refusal): throw refusal
        case .overLimit:
            askAgainAtMs = nowMs + QueueCoordinator.retryMs
            return false
        case .messages(let messages):
            // A lease of a group that a crash may forget would let it have two receivers.
            do throws(QueueRefusal) { try broker.queues.waitForCommit(of: outcome.commits) } catch {
                giveBack(messages)
                throw error
            }
            for message in messages { lane.take(message, bytes: message.byteCount, nowMs: nowMs) }
            return !messages.isEmpty
        }
    }

    /// Returns whether there were any.
    @discardableResult
    private func takeResults() -> Bool {
        let ended = results.withLock { results in
            defer { results = [] }
            return results
        }
        for result in ended {
            result.sender?.isIdle = true
            let isPaused = lane.ended(result.outcome, wasFull: result.batch.isFull, nowMs: broker.queues.nowMs())
            count(result)
            if isPaused { giveBack(lane.takeWaiting()) }
        }
        return !ended.isEmpty
    }

    private func count(_ result: Result) {
        switch result.outcome {
        case .answered(let failed):
            counters.batches.add()
            counters.bytes.add(result.batch.bytes)
            counters.failedRecords.add(failed.count)
            if let problem = result.problem { return note(trouble: problem) }
            counters.records.add(result.batch.messages.count - failed.count)
            goOn()
        case .failed(let failure), .untouched(let failure, _):
            counters.failed(failure)
            note(trouble: failure.reason)
        }
    }

    // MARK: What becomes of messages

    /// Hands a batch over, and settles its messages as the receiver says. On a sender's thread.
    static func push(
        _ batch: Batch, _ definition: SubscriptionDefinition, _ broker: Broker, _ connection: any PushConnection,
        _ sender: PushSender?
    ) -> Result {
        let outcome = connection.push(batch.messages)
        let handles = batch.messages.map(\.handle)
        var problem: String?
        switch outcome {
        case .answered(let failed):
            let places = Set(failed)
            let done = handles.indices.filter { !places.contains($0) }.map { handles[$0] }
            problem = acknowledge(done, definition.from, broker.queues)
            release(places.sorted().map { handles[$0] }, definition.from, broker.queues)
        case .failed: release(handles, definition.from, broker.queues)
        case .untouched: giveBack(handles, definition.from, broker.queues)
        }
        return Result(batch: batch, outcome: outcome, problem: problem, sender: sender)
    }

    /// Ends messages, on disk; gives why not all have, which come back when their leases end.
    private static func acknowledge(_ handles: [String], _ name: String, _ queues: QueueCoordinator) -> String? {
        var problem: String?
        inParts(handles) { part in
            let outcome = queues.acknowledge(part, in: name)
            switch outcome.answer {
            case .failure(let refusal): problem = refusal.message
            case .success(let settlements):
                for case .refused(let refusal) in settlements { problem = refusal.message }
                if !queues.areDurable(outcome.commits) { problem = QueueCoordinator.noDisk.message }
            }
        }
        return problem
    }

    /// Lets messages come back by the queue's own backoff. Where that is refused they come when their leases end.
    private static func release(_ handles: [String], _ name: String, _ queues: QueueCoordinator) {
        inParts(handles) { part in _ = queues.release(part.map { ($0, nil) }, in: name) }
    }

    /// Lets messages come back at once: that delivery does not count.
    private static func giveBack(_ handles: [String], _ name: String, _ queues: QueueCoordinator) {
        guard let queue = queues.directory.byName[ExactString(name)] else { return }
        queues.giveBack(handles, to: queue)
    }

    private func giveBack(_ messages: [ReceivedMessage]) {
        Self.giveBack(messages.map(\.handle), definition.from, broker.queues)
    }

    private static func inParts(_ handles: [String], _ body: ([String]) -> Void) {
        var rest = handles[...]
        while !rest.isEmpty {
            body(Array(rest.prefix(LedgerRecord.maxLeased)))
            rest = rest.dropFirst(LedgerRecord.maxLeased)
        }
    }

    // MARK: Whether it goes on

    private func pause(_ reason: String) -> Int64 {
        note(trouble: reason)
        isPaused = true
        giveBack(lane.takeWaiting())
        pausedUntilMs = broker.queues.nowMs() + max(1_000, retries.failed())
        return pausedUntilMs
    }

    private func note(trouble reason: String) {
        trouble.withLock { $0 = ForwardTrouble(reason).reason }
        counters.isRunning.set(0)
        troubles += 1
        guard troubles >= Self.toldFailures, !isTroubleTold else { return }
        isTroubleTold = true
        Log.warning("a subscription does not go on", "subscription", definition.name, "reason", reason)
    }

    private func goOn() {
        retries.reset()
        counters.isRunning.set(1)
        trouble.withLock { $0 = nil }
        if isTroubleTold { Log.info("a subscription goes on", "subscription", definition.name) }
        (troubles, isTroubleTold) = (0, false)
    }
}

/// The thread of one request at a time, made when it is needed first.
final class PushSender: @unchecked Sendable {
    // SAFETY: `isIdle` is the subscription's thread's alone; the rest has its lock or is constant.
    var isIdle = true
    private let job = Lock<SubscriptionRun.Batch?>(nil)
    private let signal = Signal()
    private let stopping = Atomic(false)
    private let thread = Lock<Thread?>(nil)

    init(
        _ definition: SubscriptionDefinition, _ broker: Broker, _ destination: any PushDestination,
        _ done: @escaping @Sendable (SubscriptionRun.Result) -> Void
    ) {
        let made = Thread(name: "push") { [self] in
            let connection = destination.connection()
            while true {
                signal.wait()
                if let batch = job.withLock({ $0.take() }) {
                    done(SubscriptionRun.push(batch, definition, broker, connection, self))
                }
                if stopping.load(ordering: .acquiring) { return }
            }
        }
        thread.withLock { $0 = made }
    }

    func push(_ batch: SubscriptionRun.Batch) {
        isIdle = false
        job.withLock { $0 = batch }
        signal.raise()
    }

    /// Waits for the request that is under way.
    func stop() {
        stopping.store(true, ordering: .releasing)
        signal.raise()
        thread.withLock { $0 }?.join()
    }
}
