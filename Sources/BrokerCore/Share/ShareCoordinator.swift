import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage
import QueueLedger
import StorageIO
import Synchronization
import Telemetry

/// Who has which record of the partitions that share groups read: a ledger for each partition and group, as queues have them
/// (`DeliveryLedger`), and the sessions of the members. Source: KIP-932.
///
/// ```
///   ShareFetch ───► session ─► acquire ─┐                      ┌─► leases, ends: records ─► __share_state-s
///                                       ├─► DeliveryLedger ────┤
///   ShareAcknowledge ─► session ─► settle ┘        ▲           └─► the answer: of a settlement when they are on disk
///                                                  │
///   thread "shares": locks that end, waits that are over, loading
/// ```
/// A group's ledgers stand in one partition of the topic, by the group's name, under one lock with those of other groups there. The topic is
/// made with the first of them. A ledger begins when a member first fetches from a partition that somebody of the group subscribes to.
///
/// All calls may wait for a disk: they are made on a worker. Each answer rests on the commits that it names.
public final class ShareCoordinator: Sendable {
    struct Shard: StoredShard {
        var machine: ShareShard
        let log: PartitionLog
        var term: LeaderEpoch?
        var ticket: UInt64 = 0
        var countedBytes = 0
        /// What `entryCount` has of it.
        var countedLedgers = 0
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
    }

    let wiring = Lock<Wiring?>(nil)
    let sessions: Lock<ShareSessions>
    let waits = ShareWaits()
    let agenda = Lock(ShareAgenda())
    let signal = Signal()
    private let memoryBytes = Atomic<Int>(0)
    let entryCount = Atomic<Int>(0)
    /// Numbers of leases begin with one that no loading of this run had.
    private let generations = Atomic<Int32>(Int32.random(in: 1...1 << 30))

    /// The loop of a waiter that is a share group and no connection.
    public static let waiterLoop = QueueCoordinator.waiterLoop - 1
    /// Bytes of all ledgers. Above it records that were not acquired before are not acquired, until others end.
    static let maxMemoryBytes = 256 << 20
    /// Partitions that all groups read, each counted for each group. One more is refused with INVALID_REQUEST.
    static let maxLedgers = 20_000
    /// Of `__share_state`: the cleaner never touches an active segment, and a start replays all of each.
    static let segmentBytes = 4 << 20
    /// When a ledger is looked at again that could not have its turn.
    static let refusedMs: Int64 = 1000

    private let clock: @Sendable () -> Int64
    private let steadyClock: @Sendable () -> Int64

    /// - Parameters:
    ///   - clock: milliseconds since 1970.
    ///   - steadyClock: milliseconds since some moment; nobody sets it.
    init(maxSessions: Int, clock: @escaping @Sendable () -> Int64, steadyClock: @escaping @Sendable () -> Int64) {
        sessions = Lock(ShareSessions(maxSessions: maxSessions))
        self.clock = clock
        self.steadyClock = steadyClock
    }

    func nowMs() -> Int64 { clock() }
    /// By the clock that nobody sets.
    public func steadyMs() -> Int64 { steadyClock() }

    func attach(_ broker: Broker) { wiring.withLock { $0 = Wiring(broker: broker) } }

    var broker: Broker { wiring.withLock { $0!.broker } }
    var shards: [Lock<Shard>] { wiring.withLock { $0!.shards } }

    // MARK: A start

    func open() {
        if let topic = broker.catalog.topic(named: Topic.shareStateTopicName) { serve(topic) }
    }

    private func serve(_ topic: Topic) {
        let known: @Sendable (TopicPartition, ExactString) -> ShareRules? = { [weak self] partition, group in
            guard let self, broker.catalog.topic(id: partition.topicID)?.partition(partition.partitionIndex) != nil
            else { return nil }
            return rules(of: group)
        }
        let shards = topic.partitions.map { Lock(Shard(machine: ShareShard(rules: known), log: $0)) }
        wiring.withLock { $0!.shards = shards }
    }

    /// Makes the topic of the groups' state when it is missing, on the admin thread, which this waits for.
    func makeStateTopic() throws(ShareRefusal) {
        if !shards.isEmpty { return }
        let isDone = Signal()
        let isTaken = broker.admin.submit { [self] in
            createStateTopic()
            isDone.raise()
        }
        if isTaken { isDone.wait(timeoutMs: Self.maxTopicWaitMs) }
        if shards.isEmpty { throw Self.unavailable }
    }

    func createStateTopic() {
        guard shards.isEmpty else { return }
        let made = broker.createTopic(
            Topic.shareStateTopicName, isOwn: true, partitions: broker.options.shareStatePartitions,
            settings: [
                "cleanup.policy": "compact", "compression.type": "producer",
                "segment.bytes": String(Self.segmentBytes),
            ])
        guard case .success(let topic) = made else { return }
        serve(topic)
        for log in topic.partitions where log.leadership.isLeader { load(log) }
    }

    /// How long a fetch waits for the topic that the first of all makes.
    private static let maxTopicWaitMs: Int64 = 10_000

    static let unavailable = ShareRefusal(
        .coordinatorNotAvailable, "The group's state is not served by this broker just now.")

    /// What a group's ledgers go by.
    func rules(of group: ExactString) -> ShareRules {
        let settings = broker.groups.settings(of: group)
        return ShareRules(deliveryLimit: settings.shareDeliveryLimit, recordLocks: settings.shareRecordLocks)
    }

    // MARK: A ledger's turn

    /// Where a ledger is to begin that is not there.
    enum Beginning {
        /// It is not made.
        case none
        /// At an offset, of a topic that somebody of the group subscribes to.
        case at(Offset, topicName: String)
    }

    func shard(ofGroup group: ExactString) -> Lock<Shard>? {
        let shards = shards
        return shards.isEmpty ? nil : shards[Int(groupPartition(group.text, count: Int32(shards.count)))]
    }

    /// Gives a ledger its turn, by the group's rules, with what is due done. Nil: there is none, and none is to be made. The result rests on
    /// the commit that is named.
    func turn<Result>(
        of group: ExactString, _ log: PartitionLog, beginning: Beginning = .none,
        _ body: (inout ShareShard.Entry, inout Shard, _ nowMs: Int64) throws(ShareRefusal) -> Result
    ) throws(ShareRefusal) -> (result: Result, ticket: UInt64)? {
        guard let lock = shard(ofGroup: group) else { return nil }
        let id = TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex)
        let (nowMs, steadyMs) = (nowMs(), steadyMs())
        let rules = rules(of: group)
        let store = broker.store
        var dueMs: Int64?
        defer { if let dueMs, agenda.withLock({ $0.add(dueMs, .ledger(group, id)) }) { signal.raise() } }
        return try lock.withLock { shard throws(ShareRefusal) in
            try check(&shard, store)
            shard.prepare(memoryBytes: memoryBytes.load(ordering: .relaxed))
            guard var entry = try find(id, group, rules, beginning, &shard, nowMs) else { return nil }
            defer {
                dueMs = Self.arm(&entry, nowMs, steadyMs)
                shard.machine.put(entry, id, of: group)
                count(&shard)
            }
            if !entry.isServed {
                try begin(&entry, log, nowMs)
                try shard.take(entry.ledger.releaseAll(nowMs: nowMs), &entry, nowMs)
            }
            if entry.rules != rules {
                do { try entry.ledger.change(rules.ledger) } catch { throw Self.unavailable }
                entry.rules = rules
            }
            try shard.take(entry.ledger.advance(nowMs: nowMs), &entry, nowMs)
            let result = try body(&entry, &shard, nowMs)
            // Refused: the next turn asks for it again.
            if entry.ledger.wantsSnapshot { try? shard.takeSnapshot(&entry, nowMs) }
            // What many ledgers keep for records that are gone would have no other acquire any.
            if entry.ledger.counters.inFlight == 0 { entry.ledger.shrink(nowMs: nowMs) }
            return (result, shard.ticket)
        }
    }

    private func find(
        _ id: TopicPartition, _ group: ExactString, _ rules: ShareRules, _ beginning: Beginning, _ shard: inout Shard,
        _ nowMs: Int64
    ) throws(ShareRefusal) -> ShareShard.Entry? {
        if let known = shard.machine.take(id, of: group) { return known }
        guard case .at(let start, let topicName) = beginning else { return nil }
        // Under the lock: who deletes the group forgets its ledgers under it, once nobody subscribes any more.
        let (standing, isRead) = broker.groups.read(group: group.text) {
            ($0.shareStanding(of: group.text), $0.sharesTopic(topicName, in: group.text))
        }.answer
        if let refusal = standing.refusal { throw ShareRefusal(refusal.code, refusal.message) }
        guard isRead, broker.catalog.topic(id: id.topicID) != nil else {
            throw ShareRefusal(.unknownTopicOrPartition, "No member of the group subscribes to the topic.")
        }
        guard entryCount.load(ordering: .relaxed) < Self.maxLedgers else {
            throw ShareRefusal(.invalidRequest, "All share groups together read at most \(Self.maxLedgers) partitions.")
        }
        return try shard.makeEntry(ShareKey(id, group), start, rules, nowMs)
    }

    /// Has a ledger whose records were read serve. Nobody has a session from before: what was acquired goes back.
    private func begin(_ entry: inout ShareShard.Entry, _ log: PartitionLog, _ nowMs: Int64) throws(ShareRefusal) {
        if let fault = entry.fault { throw ShareRefusal(.coordinatorNotAvailable, fault) }
        if log.unavailability != nil || log.hasLeftOutAppends { throw Self.unavailable }
        let end = log.highWatermark
        for range in entry.ledger.rangesToRead(logEndOffset: end) { entry.ledger.arrive(range, nowMs: nowMs) }
        do {
            try entry.ledger.finishLoading(
                generation: generations.add(1, ordering: .relaxed).newValue, logEndOffset: end, nowMs: nowMs)
        } catch {
            let fault = "the state of \(log.name) for a share group does not belong to its records: \(error)"
            entry.fault = fault
            Log.error("a share group's partition is not served", "partition", log.name, "reason", "\(error)")
            throw ShareRefusal(.coordinatorNotAvailable, fault)
        }
        entry.isServed = true
    }

    /// Why nothing can be said of a shard's ledgers just now.
    func check(_ shard: inout Shard, _ store: LogStore) throws(ShareRefusal) {
        if shard.term == nil || store.isOffline { throw Self.unavailable }
        if !shard.isSuspended, !shard.follow(store) {
            shard.machine.beginLoading()
            count(&shard)
            suspendEmptied(&shard)
        }
        guard !shard.isSuspended, shard.machine.phase == .active else { throw Self.unavailable }
    }

    func count(_ shard: inout Shard) {
        let change = shard.countMemory()
        if change != 0 { memoryBytes.add(change, ordering: .relaxed) }
        let ledgers = shard.machine.entryCount - shard.countedLedgers
        if ledgers != 0 {
            shard.countedLedgers += ledgers
            entryCount.add(ledgers, ordering: .relaxed)
        }
    }

    /// Whether ledgers have all the memory that they may.
    var isFull: Bool { memoryBytes.load(ordering: .relaxed) > Self.maxMemoryBytes }

    /// When the thread has to look at a ledger, by the clock that nobody sets; nil: it does so soon enough.
    private static func arm(_ entry: inout ShareShard.Entry, _ nowMs: Int64, _ steadyMs: Int64) -> Int64? {
        guard entry.isServed, let deadline = entry.ledger.nextDeadline else { return nil }
        let dueMs = steadyMs + max(0, deadline - nowMs)
        guard dueMs < entry.armedAtMs else { return nil }
        entry.armedAtMs = dueMs
        return dueMs
    }

    /// Tells a ledger of what was committed since its last turn, and of what the log has no more.
    func catchUp(
        _ entry: inout ShareShard.Entry, _ shard: inout Shard, _ log: PartitionLog, _ end: Offset, _ nowMs: Int64
    ) throws(ShareRefusal) {
        try shard.take(entry.ledger.retain(from: min(log.logStartOffset, end)), &entry, nowMs)
        let next = entry.ledger.toldEnd
        if next < end { entry.ledger.arrive(OffsetRange(next, Offset(end.rawValue - 1)), nowMs: nowMs) }
    }
}

extension ShareCoordinator.Shard {
    /// Appends a step's records and takes it in. Refused: nothing has changed.
    @discardableResult
    mutating func take<Reply>(
        _ step: LedgerStep<Reply>, _ entry: inout ShareShard.Entry, _ nowMs: Int64
    ) throws(ShareRefusal) -> Reply {
        try append(entry.ledger.entries(of: step).map { CoordinatorRecord(key: $0.key, value: $0.value) }, nowMs)
        entry.ledger.apply(step)
        return step.reply
    }

    mutating func takeSnapshot(_ entry: inout ShareShard.Entry, _ nowMs: Int64) throws(ShareRefusal) {
        let entries = entry.ledger.snapshot()
        try append(entries.map { CoordinatorRecord(key: $0.key, value: $0.value) }, nowMs)
        entry.ledger.snapshotAppended(entries)
    }

    /// Begins a ledger, in place of one that may be there.
    mutating func makeEntry(
        _ key: ShareKey, _ start: Offset, _ rules: ShareRules, _ nowMs: Int64
    ) throws(ShareRefusal) -> ShareShard.Entry {
        let incarnation = UInt64.random(in: .min ... .max)
        var entry: ShareShard.Entry
        do { entry = try ShareShard.makeEntry(key, incarnation, start, rules) } catch {
            throw ShareRefusal(.invalidRequest, "The group's name or settings are none that a partition is read by.")
        }
        try append([CoordinatorRecord(key: key.bytes, value: ShareKey.value(incarnation, start: start))], nowMs)
        entry.beginTicket = ticket
        return entry
    }

    mutating func append(_ records: [CoordinatorRecord], _ nowMs: Int64) throws(ShareRefusal) {
        if records.isEmpty { return }
        guard append(records, CoordinatorTime(monotonicMs: 0, wallClockMs: nowMs)) else {
            throw ShareCoordinator.unavailable
        }
    }
}

extension ShareCoordinator: StateCoordinator {
    static let suspendedMessage: StaticString = "share groups' records are not served until their log works again"
    static let resumedMessage: StaticString = "share groups' records are served again"

    var isActive: Bool { wiring.withLock { $0!.isActive } }

    func unload(_ log: PartitionLog) {
        shard(of: log)?.withLock { shard in
            shard.term = nil
            shard.isSuspended = false
            shard.ticket = 0
            shard.machine.beginLoading()
            count(&shard)
        }
    }

    /// Serves the ledgers of a shard that was replayed, and forgets what of its log no group has any more.
    func begin(_ shard: Lock<Shard>) {
        let nowMs = nowMs()
        shard.withLock { shard in
            guard shard.term != nil, !shard.isSuspended, shard.machine.phase == .loading else { return }
            shard.machine.loaded()
            count(&shard)
            let orphans = shard.machine.takeOrphans().map { CoordinatorRecord(key: $0, value: nil) }
            // Where the log refuses them the next start finds them again.
            if !orphans.isEmpty { _ = shard.append(orphans, CoordinatorTime(monotonicMs: 0, wallClockMs: nowMs)) }
        }
        broker.store.kick()
    }
}

// MARK: - The thread

/// What the thread of share groups is to look at, and when, by the clock that nobody sets.
struct ShareAgenda {
    enum Subject {
        case ledger(ExactString, TopicPartition)
        case wait(ExactString, UInt64)
        /// Its sessions end.
        case connection(UInt64)
    }

    private struct Due: HeapElement {
        var atMs: Int64
        var subject: Subject

        func precedes(_ other: Due) -> Bool { atMs < other.atMs }
    }

    private var heap = BinaryHeap<Due>()
    private var cleanedAt = 0

    var nextMs: Int64? { heap.first?.atMs }

    /// Returns whether it is the first thing that is due.
    mutating func add(_ atMs: Int64, _ subject: Subject) -> Bool {
        let isFirst = heap.first.map { atMs < $0.atMs } ?? true
        heap.insert(Due(atMs: atMs, subject: subject))
        return isFirst
    }

    /// Whether so much was added that what is over should be taken out (`clean`).
    var isCrowded: Bool { heap.count > 2 * cleanedAt + Self.leftovers }

    private static let leftovers = 1024

    mutating func clean(_ isOver: (Subject) -> Bool) {
        heap.filter { !isOver($0.subject) }
        cleanedAt = heap.count
    }

    mutating func takeDue(_ nowMs: Int64) -> Subject? {
        guard let first = heap.first, first.atMs <= nowMs else { return nil }
        heap.removeFirst()
        return first.subject
    }
}

extension ShareCoordinator {
    /// Requests are served from now on; without the thread.
    func activate() {
        wiring.withLock { $0!.isActive = true }
        beginAll()
    }

    func start() {
        activate()
        // It holds the broker until `stop`.
        let thread = Thread(name: "shares") { [self, broker] in withExtendedLifetime(broker) { runThread() } }
        wiring.withLock { $0!.thread = thread }
    }

    func stop() {
        let thread = wiring.withLock { wiring in
            wiring!.stopping = true
            defer { wiring!.thread = nil }
            return wiring!.thread
        }
        signal.raise()
        thread?.join()
        endWaits()
    }

    /// Answers all fetches that wait with what they have: a stop waits for none of them.
    func endWaits() { waits.endAll() }

    private func runThread() {
        while true {
            let next = look()
            if wiring.withLock({ $0!.stopping }) { return }
            signal.wait(timeoutMs: next.map { max(1, $0 - steadyMs()) })
        }
    }

    /// Does all that can be done just now; returns when there is more, or nil.
    func look() -> Int64? {
        let now = BrokerClock.monotonicMs()
        var next = resumeSuspended(now).map { steadyMs() + max(1, $0 - now) }
        for _ in 0..<Self.maxLooks {
            guard let due = agenda.withLock({ $0.takeDue(steadyMs()) }) else { break }
            switch due {
            case .wait(let group, let number): waits.endWait(number, of: group)
            case .connection(let connection): endSessions(of: connection)
            case .ledger(let group, let id): look(at: id, of: group)
            }
        }
        if agenda.withLock({ $0.isCrowded }) {
            agenda.withLock { agenda in
                agenda.clean { subject in
                    guard case .wait(let group, let number) = subject else { return false }
                    return !waits.has(number, of: group)
                }
            }
        }
        broker.store.kick()
        if let due = agenda.withLock({ $0.nextMs }) { next = min(next ?? .max, due) }
        return next
    }

    /// What is due and looked at in one turn of the thread at most.
    private static let maxLooks = 1024

    /// Lets locks end whose time is over, and tells who waits.
    private func look(at id: TopicPartition, of group: ExactString) {
        guard let log = broker.catalog.topic(id: id.topicID)?.partition(id.partitionIndex) else { return }
        do throws(ShareRefusal) {
            let found = try turn(of: group, log) { entry, _, _ throws(ShareRefusal) in
                // An older time of a ledger that is looked at later: that one goes on, and this one has no other behind it.
                if entry.armedAtMs <= steadyMs() { entry.armedAtMs = .max }
                return entry.ledger.hasDeliverable(takesNew: !isFull)
            }
            if found?.result == true { waits.tell(id, of: group) }
        } catch {
            _ = agenda.withLock { $0.add(steadyMs() + Self.refusedMs, .ledger(group, id)) }
        }
    }
}
