import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import Security
import StorageIO
import Synchronization
public import Telemetry

/// Runs the ledgers of queues: each partition of a queue's topic `q.<name>` has one, and each ledger's records stand in a partition of
/// `__queue_state`, under one lock with the others of that partition.
///
/// ```
///   send ───────► q.<name>-p ───committed──► arrive ┐             ┌─► leases, ends, delays: records ─► __queue_state-s
///                                                   ▼             │
///   receive, acknowledge, … ───────────────────► DeliveryLedger ──┴─► the answer, when they are on disk
///                                                   ▲
///   thread "queues": deadlines, dead letters, retention, snapshots, loading, moves
/// ```
/// A ledger hears of its messages when it is asked for something, by how far its log is committed: so every append counts, however it
/// was made, and a queue that nobody asks costs nothing. Who waits for messages is told of commits by the log itself
/// (`PartitionLog.watch`).
///
/// The topic is made with the first queue; until then there is none, and no thread's time.
public final class QueueCoordinator: QueueService {
    struct Shard: StoredShard {
        var machine: QueueShard
        let log: PartitionLog
        var term: LeaderEpoch?
        var ticket: UInt64 = 0
        var countedBytes = 0
        var isSuspended = false
        var suspensions = 0
        var resumption = Resumption()

        mutating func beginLoading() { machine.beginLoading() }
        mutating func wasReplayed(_ bytes: Int64) {}
        mutating func wasAppended(_ receipt: AppendReceipt, _ bytes: Int) {}
    }

    struct Wiring {
        unowned var broker: Broker
        var shards: [Lock<Shard>] = []
        var thread: Thread?
        var isActive = false
        var stopping = false
        /// What handles are sealed with.
        var seal: ReceiptSeal?
        var nextNumber: UInt64 = 0
    }

    /// What the thread is to do, and when.
    struct Agenda {
        /// Ledgers, by the clock on the wall, as their records have it.
        private(set) var due = BinaryHeap<QueueDue>()
        /// Waits, by the one that nobody sets.
        private(set) var waits = BinaryHeap<QueueDue>()
        /// When each ledger is looked at: entries of other times are passed over.
        private(set) var armed: [TopicPartition: Int64] = [:]
        /// Partitions whose messages are on their way to the dead letters, and when that is tried.
        var ending: [TopicPartition: Int64] = [:]
        /// What is looked for in dead letters just now.
        var search: DeadLetterSearch? {
            didSet { if search == nil { awaiting = [] } }
        }
        /// Those of `ending` that are not looked at before that is over.
        var awaiting: Set<TopicPartition> = []
        /// Those of `ending` that came to nothing, as the log says.
        var troubled: Set<TopicPartition> = []
        var snapshots: Set<TopicPartition> = []
        var waiters = 0

        /// Returns whether it is the first thing that is due by its clock.
        mutating func add(_ entry: QueueDue) -> Bool {
            guard case .ledger(let id) = entry.subject else {
                let isFirst = waits.first.map { entry.atMs < $0.atMs } ?? true
                waits.insert(entry)
                // Receives that were answered leave theirs behind.
                if waits.count > 2 * waiters + Self.leftovers { rebuildWaits() }
                return isFirst
            }
            // Two turns may tell their times in the other order: the earlier look finds the later time.
            if let earlier = armed[id], earlier <= entry.atMs { return false }
            let isFirst = due.first.map { entry.atMs < $0.atMs } ?? true
            armed[id] = entry.atMs
            due.insert(entry)
            // And so do ledgers whose times have changed.
            if due.count > 2 * armed.count + Self.leftovers {
                due = BinaryHeap(armed.map { QueueDue(atMs: $0.value, subject: .ledger($0.key)) })
            }
            return isFirst
        }

        private static let leftovers = 1024

        private mutating func rebuildWaits() {
            var kept: [QueueDue] = []
            while let entry = waits.first {
                waits.removeFirst()
                if case .waiter(let queue, let number) = entry.subject, !queue.waiters.has(number) { continue }
                kept.append(entry)
            }
            waits = BinaryHeap(kept)
        }

        /// - Parameters:
        ///   - nowMs: milliseconds since 1970.
        ///   - steadyMs: by the clock that nobody sets.
        mutating func takeDue(_ nowMs: Int64, steadyMs: Int64) -> QueueDue? {
            if let entry = waits.first, entry.atMs <= steadyMs {
                waits.removeFirst()
                return entry
            }
            while let entry = due.first, entry.atMs <= nowMs {
                due.removeFirst()
                guard case .ledger(let id) = entry.subject, armed[id] == entry.atMs else { continue }
                armed[id] = nil
                return entry
            }
            return nil
        }

        func isAwaiting(_ id: TopicPartition) -> Bool { search != nil && awaiting.contains(id) }

        /// Nothing of a partition is on its way to the dead letters any more.
        mutating func forgetEnding(_ id: TopicPartition) {
            ending[id] = nil
            awaiting.remove(id)
            troubled.remove(id)
            if search?.partition == id { search = nil }
        }

        /// Forgets a topic.
        mutating func forget(_ topic: TopicID) {
            for id in armed.keys where id.topicID == topic { armed[id] = nil }
            for id in ending.keys where id.topicID == topic { forgetEnding(id) }
            snapshots = snapshots.filter { $0.topicID != topic }
        }
    }

    let wiring = Lock<Wiring?>(nil)
    let current = Lock(QueueDirectory([]))
    let agenda = Lock(Agenda())
    let moves = Lock(QueueMoves())
    let signal = Signal()
    /// Messages that have ended as no reader of their log can make them out.
    public let unreadableMessages = Counter()
    private let memoryBytes = Atomic<Int>(0)
    /// `maxMemoryBytes`, or what a test takes for it.
    let memoryLimit = Atomic<Int>(maxMemoryBytes)
    /// A receive was given nothing for the first time, as the memory was full.
    let isTurnedAway = Atomic(false)
    /// And there is room since: the thread has those that wait try again.
    let hasRoomAgain = Atomic(false)
    /// Callers that wait for a loading of others, of all queues.
    private let loadingWaits = Atomic<Int>(0)
    /// Lease generations that were claimed and are not used: the next one, and their end.
    let generations = Lock<(next: Int32, end: Int32)>((0, 0))
    private let clock: @Sendable () -> Int64
    private let steadyClock: @Sendable () -> Int64

    /// The topic of a queue is called so and as the queue.
    public static let topicPrefix = "q."
    static let receiptKey = "secrets/receipts"
    static let generationKey = "queues-generation"
    /// Generations that are claimed at once: one is used by each partition of `__queue_state` that is loaded.
    static let claimedGenerations: Int32 = 64
    /// Of `__queue_state`: the cleaner never touches an active segment, and a start replays all of each.
    static let segmentBytes = 4 << 20
    /// Most queues. A creation beyond it is refused with `limit`; each costs about 2 KiB, and a partition.
    public static let maxQueues = 20_000
    /// Bytes of all ledgers. Above it no message is given state that has none: it is not received for the first time, nor sorted by its
    /// group, nor are ids and delays of their own taken, until others end. What has state is received and ends.
    static let maxMemoryBytes = 1 << 30
    /// Receives that wait for messages, of all queues, at most; more are answered at once, as if nothing had come.
    static let maxWaiters = 100_000
    /// How often what is older than a queue's retention is looked for.
    static let retentionCheckMs: Int64 = 60_000
    /// When what a worker could not be given, or a log did not take, is tried again.
    static let retryMs: Int64 = 100
    /// When a ledger is looked at again that could not have its turn.
    static let refusedMs: Int64 = 1000

    /// - Parameters:
    ///   - clock: milliseconds since 1970.
    ///   - steadyClock: milliseconds since some moment; nobody sets it.
    init(clock: @escaping @Sendable () -> Int64, steadyClock: @escaping @Sendable () -> Int64) {
        self.clock = clock
        self.steadyClock = steadyClock
    }

    func attach(_ broker: Broker) { wiring.withLock { $0 = Wiring(broker: broker) } }

    var broker: Broker { wiring.withLock { $0!.broker } }
    var shards: [Lock<Shard>] { wiring.withLock { $0!.shards } }
    var directory: QueueDirectory { current.withLock { $0 } }
    var seal: ReceiptSeal? { wiring.withLock { $0!.seal } }
    func nowMs() -> Int64 { clock() }
    func steadyMs() -> Int64 { steadyClock() }

    // MARK: Where a queue is

    func find(_ name: String) throws(QueueRefusal) -> (queue: Queue, topic: Topic) {
        guard let queue = directory.byName[ExactString(name)],
            let topic = broker.catalog.topic(id: queue.record.topicID)
        else { throw QueueRefusal(.notFound, "there is no queue \(name)") }
        return (queue, topic)
    }

    func partition(_ id: TopicPartition) -> QueuePartition? {
        guard let queue = directory.byTopic[id.topicID],
            let log = broker.catalog.topic(id: id.topicID)?.partition(id.partitionIndex)
        else { return nil }
        return QueuePartition(queue: queue, log: log)
    }

    func shard(of id: TopicPartition) -> Lock<Shard>? {
        let shards = shards
        if shards.isEmpty { return nil }
        // The same for as long as the topic has its partitions, which are never more.
        let place = (id.topicID.high ^ id.topicID.low) &+ UInt64(UInt32(bitPattern: id.partitionIndex))
        return shards[Int(place % UInt64(shards.count))]
    }

    // MARK: A ledger's turn

    /// Gives the ledger of a partition its turn, loaded and by the queue's rules. The result rests on the commit that is named. May wait for
    /// the disk, and where the ledger is to be loaded for what is read then: under no lock.
    func withLedger<Result>(
        of partition: QueuePartition,
        _ body: (inout QueueShard.Entry, inout Shard, _ nowMs: Int64) throws(QueueRefusal) -> Result
    ) throws(QueueRefusal) -> (result: Result, ticket: UInt64) {
        if let done = try turn(of: partition, nil, body) { return done }
        guard beginLoading(partition) else { throw QueueRefusal(.unavailable, "the queue's state is being loaded") }
        defer { partition.queue.loadings.end(partition.log.partitionIndex) }
        for _ in 0..<Self.maxReadings {
            // Nil where somebody else has loaded it meanwhile; of no use where its shard was replayed.
            let reading = try readAhead(of: partition)
            if let done = try turn(of: partition, reading, body) { return done }
        }
        throw QueueRefusal(.unavailable, "the queue's state is being loaded")
    }

    /// Whether the caller is the one who reads what the partition's ledger is told of when it is loaded. Where somebody else does that, which
    /// is over in milliseconds as a rule, it waits for some; not all workers at once, as other queues need them.
    private func beginLoading(_ partition: QueuePartition) -> Bool {
        let (loadings, index) = (partition.queue.loadings, partition.log.partitionIndex)
        if loadings.begin(index) { return true }
        defer { loadingWaits.subtract(1, ordering: .relaxed) }
        guard loadingWaits.add(1, ordering: .relaxed).oldValue < Self.maxLoadingWaits else { return false }
        let pause = Signal()
        for _ in 0..<Self.loadingWaitMs {
            pause.wait(timeoutMs: 1)
            if loadings.begin(index) { return true }
        }
        return false
    }

    /// Callers that wait for a loading of others at most, of all queues, and how long: then they are refused (`unavailable`).
    private static let maxLoadingWaits = 2
    private static let loadingWaitMs = 100

    /// Times that what a ledger is told of is read for one caller: once, unless the shard is replayed in the middle, or the queue changed.
    private static let maxReadings = 3

    /// Nil: the ledger is to be loaded, and `reading` is none of this loading.
    private func turn<Result>(
        of partition: QueuePartition, _ reading: Reading?,
        _ body: (inout QueueShard.Entry, inout Shard, _ nowMs: Int64) throws(QueueRefusal) -> Result
    ) throws(QueueRefusal) -> (result: Result, ticket: UInt64)? {
        guard let lock = shard(of: partition.id) else {
            throw QueueRefusal(.unavailable, "queues are not served yet")
        }
        let store = broker.store
        let nowMs = nowMs()
        var news = News()
        var ends = (acknowledged: 0, lost: 0)
        defer {
            note(ends, in: partition.queue)
            tell(news, of: partition)
        }
        return try lock.withLock { shard throws(QueueRefusal) in
            try check(&shard, store)
            shard.prepare(memoryBytes: memoryBytes.load(ordering: .relaxed))
            let id = partition.id
            let known = shard.machine.take(id)
            var entry: QueueShard.Entry
            if let known { entry = known } else { entry = try Self.newEntry(of: partition) }
            var before = entry.ledger.outcomes
            defer {
                let after = entry.ledger.outcomes
                ends = (after.acknowledged - before.acknowledged, after.lost - before.lost)
                if entry.isLost {
                    suspend(&shard)
                } else {
                    news = News(&entry, isFull: isFull, nowMs)
                    shard.machine.put(entry, id)
                    count(&shard)
                }
            }
            if !entry.isServed {
                try checkServable(entry, partition)
                guard let reading, reading.generation == shard.machine.generation,
                    reading.version == partition.queue.version
                else { return nil }
                try serve(&entry, reading, partition, nowMs)
                before = entry.ledger.outcomes
            }
            if entry.rules != partition.queue.version { try adopt(&entry, partition.queue) }
            let result = try body(&entry, &shard, nowMs)
            return (result, shard.ticket)
        }
    }

    private static func newEntry(of partition: QueuePartition) throws(QueueRefusal) -> QueueShard.Entry {
        do throws(LedgerRefusal) {
            return QueueShard.Entry(
                ledger: try DeliveryLedger(
                    id: LedgerID(partition: partition.id), settings: partition.queue.ledgerSettings, start: .zero))
        } catch {
            throw QueueRefusal(.invalid, "the queue's rules are none that a ledger goes by: \(error)")
        }
    }

    /// Goes by the queue's rules from now on.
    private func adopt(_ entry: inout QueueShard.Entry, _ queue: Queue) throws(QueueRefusal) {
        do throws(LedgerRefusal) { try entry.ledger.change(queue.ledgerSettings) } catch {
            throw QueueRefusal(.invalid, "the queue's rules are none that a ledger goes by: \(error)")
        }
        entry.rules = queue.version
    }

    /// Why nothing can be said of a shard's ledgers just now.
    private func check(_ shard: inout Shard, _ store: LogStore) throws(QueueRefusal) {
        if shard.term == nil { throw QueueRefusal(.unavailable, "another node serves the queue") }
        if store.isOffline { throw QueueRefusal(.unavailable, "the data folder takes no writes") }
        if !shard.isSuspended, !shard.follow(store) { suspend(&shard) }
        guard !shard.isSuspended, shard.machine.phase == .active else {
            throw QueueRefusal(.unavailable, "the queue's state is being loaded")
        }
    }

    func suspend(_ shard: inout Shard) {
        shard.machine.beginLoading()
        count(&shard)
        suspendEmptied(&shard)
    }

    func count(_ shard: inout Shard) {
        let change = shard.countMemory()
        if change == 0 { return }
        memoryBytes.add(change, ordering: .sequentiallyConsistent)
        guard change < 0, isTurnedAway.load(ordering: .sequentiallyConsistent), !isFull,
            isTurnedAway.exchange(false, ordering: .sequentiallyConsistent)
        else { return }
        hasRoomAgain.store(true, ordering: .sequentiallyConsistent)
        signal.raise()
    }

    /// Whether ledgers have all the memory that they may.
    var isFull: Bool { memoryBytes.load(ordering: .sequentiallyConsistent) > memoryLimit.load(ordering: .relaxed) }

    // MARK: What a turn leads to

    /// What others are to hear of a ledger that had its turn.
    private struct News {
        var hasDeliverable = false
        var isEnding = false
        var wantsSnapshot = false
        /// The thread looks at it too late.
        var dueMs: Int64?

        init() {}

        init(_ entry: inout QueueShard.Entry, isFull: Bool, _ nowMs: Int64) {
            guard entry.isServed else { return }
            hasDeliverable = entry.ledger.hasDeliverable(takesNew: !isFull)
            isEnding = entry.ledger.settings.endOfDeliveries == .deadLetters && entry.ledger.counters.ending > 0
            wantsSnapshot = entry.ledger.wantsSnapshot
            guard let deadline = entry.ledger.nextDeadline else { return }
            // By a clock that was set back meanwhile the wait is no longer than that of a look that was refused.
            let next = max(deadline, min(entry.restsUntilMs, nowMs + QueueCoordinator.refusedMs))
            guard next < entry.armedAtMs else { return }
            entry.armedAtMs = next
            dueMs = next
        }
    }

    /// Pauses a queue where too many of its messages are lost.
    private func note(_ ends: (acknowledged: Int, lost: Int), in queue: Queue) {
        guard let percent = queue.settings.deadLetterBreaker, ends.acknowledged + ends.lost > 0 else { return }
        let nowMs = steadyMs()
        let pause = queue.breaker.note(acknowledged: ends.acknowledged, lost: ends.lost, percent: percent, nowMs)
        guard let pause else { return }
        Log.warning(
            "a queue is paused, as its messages go to the dead letters", "queue", queue.name, "lost", pause.lost, "of",
            pause.all)
        let dueMs = nowMs + QueueBreaker.pauseMs
        if agenda.withLock({ $0.add(QueueDue(atMs: dueMs, subject: .serving(queue))) }) { signal.raise() }
    }

    private func tell(_ news: News, of partition: QueuePartition) {
        if news.dueMs != nil || news.isEnding || news.wantsSnapshot {
            let isFirst = agenda.withLock { agenda -> Bool in
                var isNews = false
                if let dueMs = news.dueMs {
                    isNews = agenda.add(QueueDue(atMs: dueMs, subject: .ledger(partition.id)))
                }
                if news.isEnding, agenda.ending[partition.id] == nil {
                    agenda.ending[partition.id] = 0
                    isNews = true
                }
                if news.wantsSnapshot, agenda.snapshots.insert(partition.id).inserted { isNews = true }
                return isNews
            }
            if isFirst { signal.raise() }
        }
        if news.hasDeliverable { serveWaiters(of: partition.queue) }
    }
}

extension QueueCoordinator.Shard {
    /// Appends a step's records and takes it in. Refused: nothing has changed.
    mutating func take<Reply>(
        _ step: LedgerStep<Reply>, _ entry: inout QueueShard.Entry, _ nowMs: Int64
    ) throws(QueueRefusal) -> Reply {
        try append(entry.ledger.entries(of: step), nowMs)
        entry.ledger.apply(step)
        return step.reply
    }

    mutating func takeSnapshot(_ entry: inout QueueShard.Entry, _ nowMs: Int64) throws(QueueRefusal) {
        let entries = entry.ledger.snapshot()
        // Where only its first parts are taken, the next one replaces them: it has the same keys.
        try append(entries, nowMs)
        entry.ledger.snapshotAppended(entries)
    }

    private mutating func append(_ entries: [LedgerEntry], _ nowMs: Int64) throws(QueueRefusal) {
        if entries.isEmpty { return }
        try append(entries.map { CoordinatorRecord(key: $0.key, value: $0.value) }, nowMs)
    }

    mutating func append(_ records: [CoordinatorRecord], _ nowMs: Int64) throws(QueueRefusal) {
        guard append(records, CoordinatorTime(monotonicMs: 0, wallClockMs: nowMs)) else {
            throw QueueRefusal(.unavailable, "the log of queues takes nothing just now")
        }
    }
}

/// Something that is to be looked at when its time has come.
struct QueueDue: HeapElement {
    enum Subject {
        case ledger(TopicPartition)
        case waiter(Queue, UInt64)
        /// Waiters whom no worker could be given, or whose queue was paused.
        case serving(Queue)
    }

    /// Of a ledger milliseconds since 1970, of waits by the clock that nobody sets.
    var atMs: Int64
    var subject: Subject

    func precedes(_ other: QueueDue) -> Bool { atMs < other.atMs }
}
