import ByteBuffers
public import Coordinators
public import KafkaModel
import LogStorage
import RecordFormat
import StorageIO
import Synchronization
import Telemetry

/// Takes replies of the group coordinator to the requests that wait for them; implemented by the Kafka edge. Called on
/// any thread, outside all locks.
public protocol GroupReplySink: AnyObject, Sendable {
    /// Delivers replies, each of which may leave once the commits have reached `ticket`.
    func deliver(_ replies: [GroupActions.Reply], ticket: UInt64)
    /// Ends the connections of requests that will not be answered truthfully any more, because the data folder is
    /// offline.
    func abandon(_ waiters: [WaiterID])
}

/// Runs the group state machines: one shard for each partition of `__consumer_offsets`, under one lock each. A shard's
/// records are appended to its partition inside that lock; replies wait for the shard's newest append, heartbeats' do not.
///
/// An event whose records the log refuses changes nothing, and its request is told COORDINATOR_NOT_AVAILABLE, which clients
/// try again; requests that others have parked stay parked.
///
/// Rewrite: a partition of `__consumer_offsets` whose log has outgrown what is alive in it gets everything alive
/// appended once more, and its start is moved up to there (`GroupCoordinator+Rewrite`).
public final class GroupCoordinator: Sendable {
    struct Shard: StoredShard {
        var machine: GroupShard
        let log: PartitionLog
        var term: LeaderEpoch?
        var ticket: UInt64 = 0
        var countedBytes = 0
        /// Its groups are told that they are being loaded.
        var isSuspended = false
        var suspensions = 0
        var resumption = Resumption()
        var rewrite = LogRewrite()
        var hold = SessionHold()
        /// The state is what the log gives, because appends were refused: nothing that was not stored is in it.
        var isReverted = false
        /// Deleted topics whose offsets are to be removed still, because the log took nothing, or could not be read.
        var missedDeletions: [MissedDeletion] = []

        mutating func beginLoading() { machine.beginLoading() }

        mutating func wasReplayed(_ bytes: Int64) {
            rewrite.logBytes = bytes
            renumberMissedDeletions()
        }

        mutating func wasAppended(_ receipt: AppendReceipt, _ bytes: Int) { rewrite.logBytes += Int64(bytes) }
    }

    struct Wiring {
        /// Holds the coordinator; whatever runs by itself, on a thread or a worker, holds the broker meanwhile.
        unowned var broker: Broker
        var shards: [Lock<Shard>] = []
        var sink: (any GroupReplySink)?
        var thread: Thread?
        /// Requests are served: what is loaded from now on is served at once.
        var isActive = false
        var stopping = false
    }

    let settings: GroupSettings
    /// Of groups that have some; changed on the broker's `admin` alone.
    let ownSettings: Lock<OwnGroupSettings>
    /// Memory of the groups of all shards.
    private let memoryBytes = Atomic<Int>(0)
    /// Bytes that sweeps of all shards have appended since one of them has waited for a commit.
    private let sweptBytes = Atomic<Int>(0)
    /// A log below this size, in bytes, is not worth rewriting.
    let rewriteFloor: Int64
    let wiring = Lock<Wiring?>(nil)
    let patternQueues = Lock(PatternQueues())
    let assignmentQueue = Lock(AssignmentQueue())
    let signal = Signal()
    /// Monotonic milliseconds at which the timer thread wakes by itself.
    private let wakeAtMs = Atomic<Int64>(.max)
    /// `offsets.retention.check.interval.ms`.
    static let retentionCheckMs: Int64 = 600_000
    /// How often timers and sweeps are tried again whose records the log refuses.
    static let refusedPollMs: Int64 = 1000

    init(settings: GroupSettings, own: OwnGroupSettings, rewriteFloor: Int64) {
        self.settings = settings
        ownSettings = Lock(own)
        self.rewriteFloor = rewriteFloor
    }

    /// What holds for a group: its own settings over the broker's.
    public func settings(of group: ExactString) -> GroupSettings {
        ownSettings.withLock { $0.settings[group] } ?? settings
    }

    func attach(_ broker: Broker) { wiring.withLock { $0 = Wiring(broker: broker) } }

    /// Sets who gets the replies. Called once, before `Broker.start`.
    public func deliver(to sink: any GroupReplySink) { wiring.withLock { $0!.sink = sink } }

    var shards: [Lock<Shard>] { wiring.withLock { $0!.shards } }
    var broker: Broker { wiring.withLock { $0!.broker } }

    /// Returns the partition of `__consumer_offsets` that holds a group.
    public func partitionIndex(of groupID: String) -> Int32 { groupPartition(groupID, count: Int32(shards.count)) }

    /// Returns whether this node leads the partition that holds the group.
    public func isServed(group groupID: String) -> Bool {
        let log = broker.catalog.topic(named: Topic.offsetsTopicName)?.partition(partitionIndex(of: groupID))
        return log?.leadership.isLeader ?? false
    }

    /// Does what `start` does, without the thread.
    func activate() {
        wiring.withLock { $0!.isActive = true }
        beginAll()
    }

    /// Requests are served from now on, sessions of recorded members begin.
    func start() {
        activate()
        // It holds the broker until `stop`.
        let thread = Thread(name: "groups") { [self, broker] in withExtendedLifetime(broker) { runTimers() } }
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
    }

    // MARK: Requests

    /// Runs one event of the group's shard, which may run twice and must be about this group alone. Its replies are
    /// delivered to the sink, perhaps before this returns. `isVisible`: which topics the client may know of, where patterns have to
    /// be looked up; nil: it is no client's event, and none are.
    public func perform(
        group groupID: String, isVisible: (@Sendable (String) -> Bool)? = nil,
        _ event: (inout GroupShard, CoordinatorTime) -> GroupActions
    ) {
        let outcome = run(shards[Int(partitionIndex(of: groupID))], of: groupID, event)
        deliver(outcome)
        if !outcome.work.isEmpty { begin(outcome.work, isVisible: isVisible) }
    }

    /// Runs one event of the group's shard, and returns the reply to `waiter` instead of delivering it. The reply is
    /// nil when the data folder is offline. May be called on any thread; the caller kicks the store afterwards.
    public func ask(
        group groupID: String, as waiter: WaiterID, _ event: (inout GroupShard, CoordinatorTime) -> GroupActions
    ) -> (reply: GroupReply?, ticket: UInt64) {
        var outcome = run(shards[Int(partitionIndex(of: groupID))], of: groupID, event)
        let own = outcome.replies.firstIndex { $0.waiter == waiter }.map { outcome.replies.remove(at: $0).reply }
        outcome.abandoned.removeAll { $0 == waiter }
        deliver(outcome)
        return (own, outcome.ticket)
    }

    /// Looks at the group's shard. The answer may leave once the commits have reached the ticket.
    public func read<Answer>(
        group groupID: String, _ body: (borrowing GroupShard) -> Answer
    ) -> (answer: Answer, ticket: UInt64) {
        look(shards[Int(partitionIndex(of: groupID))]) { (body($0.machine), $0.ticket) }
    }

    /// Looks at every shard in turn.
    public func readAll<Answer>(_ body: (borrowing GroupShard) -> Answer) -> [Answer] {
        shards.map { shard in look(shard) { body($0.machine) } }
    }

    /// Looks at every shard in turn, at each as often as a walk through its groups takes steps.
    public func walkAll<Answer>(_ body: (borrowing GroupShard, inout ShardWalk) -> Answer) -> [Answer] {
        shards.flatMap { shard in
            var walk = ShardWalk(.groups)
            var answers: [Answer] = []
            while !walk.isComplete { answers.append(look(shard) { body($0.machine, &walk) }) }
            return answers
        }
    }

    private func look<Answer>(_ shard: Lock<Shard>, _ body: (borrowing Shard) -> Answer) -> Answer {
        let (answer, lost) = shard.withLock { shard in
            let lost = followLog(&shard, BrokerClock.now())
            return (body(shard), lost)
        }
        deliver(Outcome(replies: lost))
        return answer
    }

    /// Forgets a parked request whose connection is gone. `groupID` is the request's.
    public func waiterGone(_ waiter: WaiterID, groupID: String) {
        perform(group: groupID) { machine, now in machine.waiterGone(waiter, now: now) }
    }

    struct Outcome {
        var replies: [GroupActions.Reply]
        var ticket: UInt64 = 0
        /// The log refused the event's records, so the event had no effect.
        var refused = false
        /// No truthful reply exists for these.
        var abandoned: [WaiterID] = []
        /// Bytes that were appended.
        var bytes = 0
        var work: [GroupWork] = []
    }

    /// Runs an event of the group, or of the whole shard (nil). Where the log takes nothing it runs twice. `isBeginning`: it is the
    /// one by which a shard that was replayed is served, and does nothing where there is none just now.
    func run(
        _ shard: Lock<Shard>, of groupID: String? = nil, isBeginning: Bool = false,
        _ event: (inout GroupShard, CoordinatorTime) -> GroupActions
    ) -> Outcome {
        let now = BrokerClock.now()
        let (outcome, deadline, isOutgrown, lost) = shard.withLock {
            shard -> (Outcome, Int64?, Bool, [GroupActions.Reply]) in
            var lost = followLog(&shard, now)
            prepare(&shard)
            if isBeginning, shard.isSuspended || shard.machine.phase != .loading {
                return (Outcome(replies: []), nil, false, lost)
            }
            let outcome: Outcome
            if shard.log.refusal(.broker) != nil, let refused = refusal(of: event, groupID, shard, now) {
                outcome = refused
            } else {
                let actions = event(&shard.machine, now)
                let before = shard.rewrite.logBytes
                if !actions.records.isEmpty, !shard.append(actions.records, now) {
                    // Refused since the look a moment ago: the state has gone ahead of the log, and is made from it again.
                    outcome = refusal(of: actions.replies)
                    lost += readBack(&shard, now)
                } else {
                    outcome = Outcome(
                        replies: actions.replies, ticket: shard.ticket, bytes: Int(shard.rewrite.logBytes - before),
                        work: actions.work)
                }
            }
            count(&shard)
            return (
                outcome, shard.machine.nextDeadline,
                shard.asksForRewrite(floor: rewriteFloor), lost
            )
        }
        deliver(Outcome(replies: lost))
        if isOutgrown { signal.raise() }
        if let deadline, deadline < wakeAtMs.load(ordering: .relaxed) {
            wakeAtMs.store(deadline, ordering: .relaxed)
            signal.raise()
        }
        return outcome
    }

    /// Tries an event while the shard's log takes nothing. One that needs a record is refused, as if it had never come; nil for
    /// one that needs none, such as a heartbeat, and counts. A request is tried on a shard of its group alone (`trial(of:)`);
    /// timers and sweeps, which are rare, on a copy of all.
    private func refusal(
        of event: (inout GroupShard, CoordinatorTime) -> GroupActions, _ groupID: String?, _ shard: Shard,
        _ now: CoordinatorTime
    ) -> Outcome? {
        var trial = groupID.map { shard.machine.trial(of: $0) } ?? shard.machine
        let actions = event(&trial, now)
        if actions.records.isEmpty { return nil }
        // Requests that were parked before stay parked. The request of this event is not parked, even if the event would
        // have done so.
        var outcome = refusal(of: actions.replies.filter { !shard.machine.isParked($0.waiter) })
        outcome.abandoned += trial.newlyParked
        return outcome
    }

    /// Refuses the requests that an event would have answered if its records had been appended: they are told to try
    /// again. On an offline folder that would be for ever, and no reply is truthful, so their connections end.
    private func refusal(of replies: [GroupActions.Reply]) -> Outcome {
        var outcome = Outcome(replies: [], refused: true)
        if broker.store.isOffline {
            outcome.abandoned = replies.map(\.waiter)
        } else {
            outcome.replies = replies.map { reply in
                GroupActions.Reply(waiter: reply.waiter, reply: reply.reply.refused(.coordinatorNotAvailable))
            }
        }
        return outcome
    }

    /// Gives the machine what it needs from outside: the log's batch limit, the memory of the other shards, the topics.
    func prepare(_ shard: inout Shard) {
        shard.prepare(memoryBytes: memoryBytes.load(ordering: .relaxed))
        shard.machine.topics = topics
        shard.machine.ownSettings = ownSettings.withLock { $0.settings }
    }

    func count(_ shard: inout Shard) {
        let change = shard.countMemory()
        if change != 0 { memoryBytes.add(change, ordering: .relaxed) }
    }

    func deliver(_ outcome: Outcome) {
        if outcome.replies.isEmpty, outcome.abandoned.isEmpty { return }
        guard let sink = wiring.withLock({ $0!.sink }) else { return }
        if !outcome.abandoned.isEmpty { sink.abandon(outcome.abandoned) }
        if !outcome.replies.isEmpty { sink.deliver(outcome.replies, ticket: outcome.ticket) }
    }

    // MARK: Timers

    private func runTimers() {
        var nextRetentionMs = BrokerClock.monotonicMs() + Self.retentionCheckMs
        while true {
            let now = BrokerClock.monotonicMs()
            // Set before the shards are asked, so that a deadline that comes meanwhile raises the signal.
            wakeAtMs.store(nextRetentionMs, ordering: .sequentiallyConsistent)
            var earliest = nextRetentionMs
            for shard in shards {
                if let deadline = shard.withLock({ $0.machine.nextDeadline }) {
                    if deadline <= now {
                        if isHeldUp(shard, nowMs: now) {
                            earliest = min(earliest, now + SessionHold.pollMs)
                            continue
                        }
                        let outcome = run(shard) { machine, now in machine.advance(now: now) }
                        deliver(outcome)
                        // A timer asks for assignments alone.
                        begin(outcome.work, isVisible: nil)
                        // The timer stays due for as long as the log takes nothing.
                        if outcome.refused {
                            earliest = min(earliest, now + Self.refusedPollMs)
                            continue
                        }
                    }
                    earliest = min(earliest, shard.withLock { $0.machine.nextDeadline } ?? earliest)
                }
            }
            if now >= nextRetentionMs {
                nextRetentionMs = now + Self.retentionCheckMs
                for shard in shards { expireOffsets(shard) }
            }
            if let atMs = resumeSuspended(now) { earliest = min(earliest, atMs) }
            if sweepMissed() { earliest = min(earliest, now + Self.refusedPollMs) }
            if rewriteOutgrown() { earliest = min(earliest, now + Self.rewritePollMs) }
            broker.store.kick()
            if wiring.withLock({ $0!.stopping }) { return }
            wakeAtMs.store(earliest, ordering: .sequentiallyConsistent)
            signal.wait(timeoutMs: max(1, earliest - BrokerClock.monotonicMs()))
        }
    }

    private func isHeldUp(_ shard: Lock<Shard>, nowMs: Int64) -> Bool {
        let store = broker.store
        // Nothing will be durable any more, and nothing that waits for it will be answered.
        if store.isOffline { return false }
        let durable = store.durableTicket
        let longCommitMs = store.lastLongCommitMs
        return shard.withLock { shard in
            shard.hold.holds(ticket: shard.ticket, durable: durable, longCommitMs: longCommitMs, nowMs: nowMs)
        }
    }

    private func expireOffsets(_ shard: Lock<Shard>) { sweep(shard, .offsets) { $0.expireOffsets(&$1, now: $2) } }

    /// Runs an event of several steps to its end, or until the log takes no more of it, or the shard does not serve any more.
    /// Returns whether it came to its end.
    @discardableResult
    func sweep(
        _ shard: Lock<Shard>, _ scope: ShardWalk.Scope,
        _ step: (inout GroupShard, inout ShardWalk, CoordinatorTime) -> GroupActions
    ) -> Bool {
        var walk = ShardWalk(scope)
        while !walk.isComplete {
            var next = walk
            var isServed = true
            let outcome = run(shard) { machine, now in
                next = walk
                isServed = machine.phase == .active
                return step(&machine, &next, now)
            }
            deliver(outcome)
            if outcome.refused || !isServed { return false }
            walk = next
            waitForRoom(outcome.bytes)
        }
        return true
    }
    /// Commits what is queued when sweeps have appended so many bytes that more would be memory without a bound: each
    /// tombstone repeats its group's id. Sweeps run on threads that may wait for the disk.
    private func waitForRoom(_ bytes: Int) {
        guard sweptBytes.add(bytes, ordering: .relaxed).newValue >= Self.maxQueuedBytes else { return }
        sweptBytes.store(0, ordering: .relaxed)
        broker.store.commitPending()
    }
}
