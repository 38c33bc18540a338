import ByteBuffers
public import Coordinators
public import KafkaModel
import LogStorage
import RecordFormat
import StorageIO
import Synchronization
import Telemetry

/// Runs the state machines of transactions: one shard for each partition of `__transaction_state`, under one lock each. A
/// shard's records are appended to its partition inside that lock, and what it answers waits for them.
///
/// ```
///   EndTxn ─► prepare… appended ─► on disk ─► markers appended to all partitions ─► all on disk ─► complete… appended
///   (loop)          └─ answered ──────┘        (thread "transactions", woken by commits)
/// ```
/// No step begins before the one before it is on disk: so no crash leaves a marker of what was not decided, or forgets a
/// partition that has none. What a start finds decided goes on from the markers, which may be written twice.
///
/// The topic is made when somebody first looks for a coordinator; until then there is none, and no thread's time.
/// Source: KIP-98, KIP-890.
public final class TransactionCoordinator: Sendable {
    struct Shard: StoredShard {
        var machine: TransactionShard
        let log: PartitionLog
        var term: LeaderEpoch?
        var ticket: UInt64 = 0
        /// The offset of the newest append.
        var newest = Offset(0)
        var countedBytes = 0
        var isSuspended = false
        var suspensions = 0
        var resumption = Resumption()
        /// Counts how often its state was given up: what was begun of another is over, as the log says anew what is to be ended.
        var generation: UInt64 = 0

        mutating func giveUp() {
            machine.unload()
            generation += 1
            ticket = 0
        }

        mutating func beginLoading() { machine.beginLoading(epoch: (term ?? log.leaderEpoch).rawValue) }

        mutating func wasReplayed(_ bytes: Int64) {
            // What was replayed may be on its way to the disk still.
            newest = Offset(max(0, log.logEndOffset.rawValue - 1))
        }

        mutating func wasAppended(_ receipt: AppendReceipt, _ bytes: Int) { newest = receipt.baseOffset }
    }

    struct Wiring {
        /// Holds the coordinator; whatever runs by itself, on a thread, holds the broker meanwhile.
        unowned var broker: Broker
        var shards: [Lock<Shard>] = []
        var thread: Thread?
        var isActive = false
        var stopping = false
    }

    /// What waits for commits, for the thread alone to take.
    struct Waiting {
        var ends: [EndingTransaction] = []
        var calls: [WaitingCall] = []
        /// Calls that the thread has taken out to look at.
        var callsInHand = 0
    }

    struct WaitingCall {
        let ticket: UInt64
        let log: PartitionLog
        /// Of the newest record that it waits for.
        let offset: Offset
        let body: @Sendable (_ isStored: Bool) -> Void
    }

    let settings: TransactionSettings
    private let memoryBytes = Atomic<Int>(0)
    let wiring = Lock<Wiring?>(nil)
    let waiting = Lock(Waiting())
    let signal = Signal()
    /// Partitions that take no marker just now, by name: so many at most as there are partitions.
    let refusing = Lock(Set<String>())
    /// The least ticket that something waits for. Signed, because `min` compares unsigned atomics as if they were: no ticket
    /// would be less than the largest number.
    private let wakeAt = Atomic<Int64>(.max)
    /// A block of producer ids is being claimed for transactions whose epoch has run out.
    private let isClaiming = Atomic<Bool>(false)
    private let isMaking = Atomic<Bool>(false)

    /// Calls that wait for commits together, about 10 MB: a connection waits with one, and what a client leaves behind by going stays
    /// until the commit. While a disk hangs, more are told at once that nobody knows what is stored: clients try again.
    static let maxWaitingCalls = 50_000

    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`; Kafka's 10 s make no sense for short timeouts, and only
    /// while a transaction is open does anybody look.
    static let timeoutCheckMs: Int64 = 1000
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    static let expiryCheckMs: Int64 = 3_600_000

    init(settings: TransactionSettings) { self.settings = settings }

    func attach(_ broker: Broker) { wiring.withLock { $0 = Wiring(broker: broker) } }

    var shards: [Lock<Shard>] { wiring.withLock { $0!.shards } }
    var broker: Broker { wiring.withLock { $0!.broker } }

    // MARK: Where an id is

    /// Whether this node leads the partition that holds the id; nil: the topic is not there yet.
    public func isServed(_ id: String) -> Bool? {
        let shards = shards
        if shards.isEmpty { return nil }
        return shards[Int(groupPartition(id, count: Int32(shards.count)))].withLock { $0.log.leadership.isLeader }
    }

    private func shard(of id: ExactString) -> Lock<Shard>? {
        let shards = shards
        return shards.isEmpty ? nil : shards[Int(groupPartition(id.text, count: Int32(shards.count)))]
    }

    /// Has the topic made when it is missing, by one job at a time, however many ask.
    public func wantTopic() {
        guard isMaking.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else { return }
        let isQueued = broker.admin.submit { [self, broker] in
            withExtendedLifetime(broker) { makeTopic() }
            isMaking.store(false, ordering: .relaxed)
        }
        if !isQueued { isMaking.store(false, ordering: .relaxed) }
    }

    /// Makes the topic when it is missing. Waits for the disk: on `Broker.admin`.
    func makeTopic() {
        guard shards.isEmpty, !broker.isDraining else { return }
        if let made = broker.catalog.topic(named: Topic.transactionsTopicName) { return take(made) }
        switch broker.createTopic(
            Topic.transactionsTopicName, isOwn: true, partitions: broker.options.transactionPartitions,
            settings: [
                "cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": String(Self.segmentBytes),
            ])
        {
        case .success(let topic): take(topic)
        case .failure(let refusal): Log.warning("no coordinator of transactions yet", "reason", refusal.message)
        }
    }

    private func take(_ topic: Topic) {
        serve(topic)
        for log in topic.partitions where log.leadership.isLeader { load(log) }
    }

    /// Of `__transaction_state`. The cleaner never touches an active segment, and a start replays all of each partition's: with
    /// Kafka's 100 MiB that would be 5 GiB of transactions that are long over.
    static let segmentBytes = 4 << 20

    func serve(_ topic: Topic) {
        let shards = topic.partitions.map { Lock(Shard(machine: TransactionShard(settings: settings), log: $0)) }
        wiring.withLock { $0!.shards = shards }
    }

    // MARK: Requests

    /// What an event of the state machine has led to.
    public struct Outcome<Answer: Sendable>: Sendable {
        public var answer: Answer
        /// The answer may leave once the commits have reached it.
        public var ticket: UInt64
        /// The record that the answer rests on.
        fileprivate var newest: (log: PartitionLog, offset: Offset)?

        fileprivate init(_ answer: Answer, _ shard: Shard? = nil) {
            self.answer = answer
            ticket = shard?.ticket ?? 0
            newest = shard.map { ($0.log, $0.newest) }
        }

        /// The same with another answer.
        public func map<Other: Sendable>(_ transform: (Answer) -> Other) -> Outcome<Other> {
            var other = Outcome<Other>(transform(answer))
            (other.ticket, other.newest) = (ticket, newest)
            return other
        }
    }

    /// Runs one event of the id's shard. `refused` is the answer where there is no shard, or its log takes nothing. May be
    /// called on any thread; the caller kicks the store afterwards.
    public func perform<Answer>(
        _ id: ExactString, refused: (ErrorCode) -> Answer,
        _ event: (inout TransactionShard, CoordinatorTime) -> TransactionOutcome<Answer>
    ) -> Outcome<Answer> {
        guard let shard = shard(of: id) else { return Outcome(refused(.coordinatorNotAvailable)) }
        return run(shard, refused: refused, event)
    }

    /// Adds a group's partition of `__consumer_offsets` to a transaction.
    public func addGroup(
        _ groupID: String, to id: ExactString, _ producer: ProducerIdentity, isVersion2: Bool
    ) -> Outcome<ErrorCode> {
        let partitions = [ExactString(Topic.offsetsTopicName): Set([broker.groups.partitionIndex(of: groupID)])]
        return perform(id, refused: { $0 }) { shard, now in
            shard.addPartitions(id, producer, partitions, isVersion2: isVersion2, now: now)
        }
    }

    /// Whether a group's partition of `__consumer_offsets` is in a transaction. It is on disk once the outcome is: a client may ask before
    /// it was told that the partition was added.
    public func verifyGroup(
        _ groupID: String, of id: ExactString, _ producer: ProducerIdentity
    ) -> Outcome<ErrorCode> {
        let index = broker.groups.partitionIndex(of: groupID)
        return read(id, refused: { $0 }) { shard in
            shard.verify(id, producer, ExactString(Topic.offsetsTopicName), index)
        }
    }

    func run<Answer>(
        _ shard: Lock<Shard>, refused: (ErrorCode) -> Answer,
        _ event: (inout TransactionShard, CoordinatorTime) -> TransactionOutcome<Answer>
    ) -> Outcome<Answer> {
        let now = BrokerClock.now()
        var isFirst = false
        let origin = shard
        let (outcome, ends) = shard.withLock { shard -> (Outcome<Answer>, [EndingTransaction]) in
            let wasOpen = shard.machine.hasOpen
            defer { isFirst = !wasOpen && shard.machine.hasOpen }
            if let refusal = refusal(&shard) { return (Outcome(refused(refusal)), []) }
            shard.prepare(memoryBytes: memoryBytes.load(ordering: .relaxed))
            let made = event(&shard.machine, now)
            defer { count(&shard) }
            guard shard.append(made.records, now) else {
                // Refused since the look a moment ago: the state has gone ahead of the log, and is made from it again.
                suspend(&shard)
                return (Outcome(refused(.coordinatorNotAvailable)), [])
            }
            let ends = made.ends.map { EndingTransaction($0, decidedIn: shard, origin) }
            return (Outcome(made.answer, shard), ends)
        }
        if !ends.isEmpty { wait(for: ends.map(\.ticket).min() ?? 0) { $0.ends += ends } }
        // Somebody has to look whether it is open for too long.
        if isFirst { signal.raise() }
        return outcome
    }

    /// Looks at the id's shard. The answer may leave once the commits have reached the ticket.
    public func read<Answer>(
        _ id: ExactString, refused: (ErrorCode) -> Answer, _ body: (borrowing TransactionShard) -> Answer
    ) -> Outcome<Answer> {
        guard let shard = shard(of: id) else { return Outcome(refused(.coordinatorNotAvailable)) }
        return shard.withLock { shard in
            if let refusal = lookRefusal(&shard) { return Outcome(refused(refusal)) }
            return Outcome(body(shard.machine), shard)
        }
    }

    /// Bytes of memory that an event takes which writes a record of the id, about: it names all partitions of the transaction, which
    /// are copied, and it is there as values, as bytes and in its batch.
    public func recordPrice(of id: ExactString) -> Int {
        4 * read(id, refused: { _ in 0 }) { $0.memoryBytes(of: id) }.answer
    }

    /// What every shard has said that this node serves.
    public struct Looks<Answer> {
        public var answers: [Answer] = []
        /// They may be told once the commits have reached it.
        public var ticket: UInt64 = 0
        /// Why they are not all there is: COORDINATOR_LOAD_IN_PROGRESS where a shard is being loaded, or
        /// COORDINATOR_NOT_AVAILABLE.
        public var refusal: ErrorCode?
    }

    /// Looks in turn at every shard that this node serves.
    public func readAll<Answer>(_ body: (borrowing TransactionShard) -> Answer) -> Looks<Answer> {
        var looks = Looks<Answer>()
        for shard in shards {
            shard.withLock { shard in
                switch lookRefusal(&shard) {
                case .notCoordinator: break
                case .some(let refusal):
                    if looks.refusal != .coordinatorLoadInProgress { looks.refusal = refusal }
                case nil:
                    looks.ticket = max(looks.ticket, shard.ticket)
                    looks.answers.append(body(shard.machine))
                }
            }
        }
        return looks
    }

    /// Why the shard's log takes nothing just now.
    private func refusal(_ shard: inout Shard) -> ErrorCode? {
        if let refusal = lookRefusal(&shard) { return refusal }
        return shard.log.refusal(.broker) == nil ? nil : .coordinatorNotAvailable
    }

    /// Why nothing can be said of the shard's ids just now. Brings the shard in line with its log before: where that has lost
    /// what was appended, or may have, the state is made from it again.
    private func lookRefusal(_ shard: inout Shard) -> ErrorCode? {
        let store = broker.store
        if shard.term == nil { return .notCoordinator }
        if shard.isSuspended { return .coordinatorLoadInProgress }
        if store.isOffline { return .coordinatorNotAvailable }
        guard shard.follow(store) else {
            suspend(&shard)
            return .coordinatorLoadInProgress
        }
        // It has been replayed, and is served in a moment.
        return shard.machine.phase == .loading ? .coordinatorLoadInProgress : nil
    }

    private func suspend(_ shard: inout Shard) {
        shard.giveUp()
        count(&shard)
        suspendEmptied(&shard)
    }

    func count(_ shard: inout Shard) {
        let change = shard.countMemory()
        if change != 0 { memoryBytes.add(change, ordering: .relaxed) }
    }

    // MARK: What waits for commits

    /// Calls `body` when what an answer rests on is on disk, or when it will never be, or when that cannot be waited for
    /// (`maxWaitingCalls`): at once, or on the thread of transactions. It should hold little: it is kept until the commit.
    public func afterCommit<Answer>(
        of outcome: Outcome<Answer>, _ body: @escaping @Sendable (_ isStored: Bool) -> Void
    ) {
        guard let (log, offset) = outcome.newest, outcome.ticket > 0 else { return body(true) }
        if broker.store.durableTicket >= outcome.ticket { return body(log.isFlushed(offset)) }
        let call = WaitingCall(ticket: outcome.ticket, log: log, offset: offset, body: body)
        let isTaken = wait(for: outcome.ticket) { waiting in
            guard waiting.calls.count + waiting.callsInHand < Self.maxWaitingCalls else { return false }
            waiting.calls.append(call)
            return true
        }
        if !isTaken { body(false) }
    }

    func wait<Result>(for ticket: UInt64, _ add: (inout Waiting) -> Result) -> Result {
        let result = waiting.withLock { add(&$0) }
        wakeAt.min(Int64(clamping: ticket), ordering: .sequentiallyConsistent)
        // A commit that was published before this saw nobody waiting.
        if broker.store.durableTicket >= ticket || broker.store.isOffline { signal.raise() }
        return result
    }

    /// Everything with a ticket up to and including this one is on disk; or the data folder is offline.
    public func committed(through ticket: UInt64) {
        // Whoever waits has said so before it looked at what is durable.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if wakeAt.load(ordering: .relaxed) <= Int64(clamping: ticket) { signal.raise() }
    }

    // MARK: The thread

    func activate() {
        wiring.withLock { $0!.isActive = true }
        beginAll()
    }

    func start() {
        activate()
        // It holds the broker until `stop`.
        let thread = Thread(name: "transactions") { [self, broker] in withExtendedLifetime(broker) { runThread() } }
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
        // Nobody is told any more; connections have ended, or end now.
        for call in waiting.withLock({ waiting in
            defer { waiting.calls = [] }
            return waiting.calls
        }) { call.body(false) }
    }

    private func runThread() {
        var timers = Timers(BrokerClock.monotonicMs())
        while true {
            let wake = turn(&timers, BrokerClock.monotonicMs())
            broker.store.kick()
            if wiring.withLock({ $0!.stopping }) { return }
            wakeAt.store(Int64(clamping: wake.ticket), ordering: .sequentiallyConsistent)
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            // What came meanwhile has raised the signal, or stands in the list with its ticket.
            if broker.store.durableTicket >= wake.ticket || leastTicket() < wake.ticket { continue }
            signal.wait(timeoutMs: max(1, wake.atMs - BrokerClock.monotonicMs()))
        }
    }

    /// When the thread looks next after what only time brings.
    struct Timers {
        var timeoutsAtMs: Int64
        var expiryAtMs: Int64

        init(_ nowMs: Int64) {
            timeoutsAtMs = nowMs + TransactionCoordinator.timeoutCheckMs
            expiryAtMs = nowMs + TransactionCoordinator.expiryCheckMs
        }
    }

    /// What the thread waits for: the least ticket, and a time.
    struct Wake {
        var ticket: UInt64
        var atMs: Int64
    }

    /// Does all that can be done just now.
    func turn(_ timers: inout Timers, _ now: Int64) -> Wake {
        var wake = Wake(ticket: .max, atMs: .max)
        step(&wake, now)
        if shards.contains(where: { $0.withLock { $0.machine.hasOpen } }) {
            if now >= timers.timeoutsAtMs {
                // What is left has another turn, behind answers that wait.
                timers.timeoutsAtMs = abortTimedOut() ? now : now + Self.timeoutCheckMs
            }
            wake.atMs = min(wake.atMs, timers.timeoutsAtMs)
        } else {
            timers.timeoutsAtMs = now + Self.timeoutCheckMs
        }
        if now >= timers.expiryAtMs {
            timers.expiryAtMs = now + Self.expiryCheckMs
            forgetUnused()
        }
        if let atMs = resumeSuspended(now) { wake.atMs = min(wake.atMs, atMs) }
        wake.atMs = min(wake.atMs, timers.expiryAtMs)
        return wake
    }

    /// The least ticket that anything in the lists waits for.
    private func leastTicket() -> UInt64 {
        waiting.withLock { waiting in
            let ends = waiting.ends.lazy.filter { $0.retryAtMs == nil }.map(\.ticket)
            return min(ends.min() ?? .max, waiting.calls.lazy.map(\.ticket).min() ?? .max)
        }
    }

    /// Does what commits have made possible.
    private func step(_ wake: inout Wake, _ now: Int64) {
        let store = broker.store
        let (isOffline, durable) = (store.isOffline, store.durableTicket)
        let taken = waiting.withLock { waiting in
            defer { waiting = Waiting(callsInHand: waiting.calls.count) }
            return waiting
        }
        var left = Waiting()
        for call in taken.calls {
            if isOffline || call.ticket <= durable {
                call.body(!isOffline && call.log.isFlushed(call.offset))
            } else {
                left.calls.append(call)
                wake.ticket = min(wake.ticket, call.ticket)
            }
        }
        for var end in taken.ends where !isOffline && end.isCurrent {
            while end.isDue(durable, now) {
                guard advance(&end, now) else { break }
            }
            if end.isOver { continue }
            left.ends.append(end)
            // What is tried again waits for its time, and then for its ticket.
            if let retryAtMs = end.retryAtMs, retryAtMs > now || end.ticket <= durable {
                wake.atMs = min(wake.atMs, retryAtMs)
            } else {
                wake.ticket = min(wake.ticket, end.ticket)
            }
        }
        waiting.withLock { waiting in
            waiting.ends += left.ends
            waiting.calls += left.calls
            waiting.callsInHand = 0
        }
    }

    /// Takes one step in each shard; says whether there is more to do.
    private func abortTimedOut() -> Bool {
        var (goesOn, needsIDs) = (false, false)
        for shard in shards {
            let outcome = run(shard, refused: { _ in false }) { [broker] machine, now in
                machine.abortTimedOut(now: now) {
                    let ready = broker.producerIDs.takeReady()?.rawValue
                    if ready == nil { needsIDs = true }
                    return ready
                }
            }
            if outcome.answer { goesOn = true }
        }
        if needsIDs { claimProducerIDs() }
        return goesOn
    }

    /// Has a block of producer ids claimed, which waits for the disk.
    private func claimProducerIDs() {
        guard isClaiming.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else { return }
        let isQueued = broker.admin.submit { [self, broker] in
            // The first of the block is not used; the others are at hand from now on.
            _ = broker.producerIDs.next()
            isClaiming.store(false, ordering: .relaxed)
        }
        if !isQueued { isClaiming.store(false, ordering: .relaxed) }
    }

    private func forgetUnused() {
        for shard in shards {
            var goesOn = true
            while goesOn {
                goesOn = run(shard, refused: { _ in false }) { machine, now in machine.forgetUnused(now: now) }.answer
                // Each tombstone repeats its id, and waits in memory.
                if goesOn { broker.store.commitPending() }
            }
        }
    }
}
