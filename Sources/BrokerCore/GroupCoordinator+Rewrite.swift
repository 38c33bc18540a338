import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage
import RecordFormat

/// Keeps each partition of `__consumer_offsets` at a bounded multiple of what is alive in it: a log that has outgrown that
/// gets all live records appended once more, and then starts with them.
///
/// ```
///  log      [ old ........................ ][ live and later appends, in turn ][ later appends ...
///  1. begun                                  ▲ start
///  2. appended, step by step                                                  ▲ pending.end
///  3. published: everything up to here is on disk ────────────────────────────┘
///  4. the log's start moves to ──────────────┘
/// ```
/// The shard's lock is held for a step (`GroupShard.maxStepBytes`), and requests come between two of them. A step
/// writes what its keys have at that moment, so every key that is alive in the end has its newest record behind `start`
/// (`GroupShard.liveRecords`).
///
/// No crash loses state: the start is moved only once the commit that covers the last live record is published, and
/// the move is an entry of a later commit still. So a replay sees one of
/// - old, and none or some of live in their order: each repeats what its key had then, and what changed it is behind it;
/// - old, live, later appends: as before;
/// - live, later appends: of each key that is alive its newest record; of one that is not none, or a tombstone behind it.
///
/// What is appended waits for a commit in memory, and what is alive may be a thousand times what it takes as groups:
/// each record repeats its group's id. So all rewrites together stop at `maxQueuedBytes` that are not on disk, and go
/// on when they are.
///
/// Where the state is thrown away and read back (`GroupCoordinator+Loading`), the walk ends; what it has appended stays, and
/// the start does not move.
///
/// Segments below the start go with the store's next round of retention. Tombstones are not live, so they go too.
///
/// The topic's policy is `compact`, so the log cleaner compacts its closed segments as well. It does not make this
/// superfluous: it never touches an active segment, of which each partition may have `segment.bytes` (100 MiB) to be
/// replayed at a start.
struct LogRewrite {
    /// Live records that were appended, and that the log is to begin with.
    struct Pending {
        /// Offset of the first live record.
        var start: Offset
        /// Offset behind the last one.
        var end: Offset
        /// Bytes of log before `start`.
        var bytesBefore: Int64
    }

    /// Live records that are being appended.
    struct Writing {
        var walk = ShardWalk(.offsets)
        /// The log's end when the walk began.
        var start: Offset
        /// Bytes of log before `start`.
        var bytesBefore: Int64
    }

    /// Bytes of log from its start on.
    var logBytes: Int64 = 0
    /// A walk has begun and is not complete.
    var writing: Writing?
    /// The live records are appended, the log's start has not moved yet.
    var pending: Pending?
    /// Bytes of live records that were appended and may not be on disk, and the offset behind the last of them.
    private var queued = (bytes: 0, end: Offset(0))
    /// The timer thread was woken, and has not looked yet.
    fileprivate(set) var isAsked = false

    /// A log is rewritten when it has grown to this many times what is alive: each live byte is then written again at
    /// most once for three bytes of commits.
    static let growth: Int64 = 4

    func isOutgrown(_ liveBytes: Int, floor: Int64) -> Bool { logBytes > max(floor, Int64(liveBytes) * Self.growth) }

    /// The timer thread sees to it already.
    var isSeenTo: Bool { isAsked || writing != nil || pending != nil }

    /// Begins a walk, with the log's end.
    mutating func begin(_ start: Offset) { writing = Writing(start: start, bytesBefore: logBytes) }

    /// Counts live records that were appended.
    mutating func queue(_ bytes: Int, end: Offset) { queued = (queued.bytes + bytes, end) }

    /// Returns the bytes of live records that wait for a commit to the log.
    mutating func queuedBytes(_ log: PartitionLog) -> Int {
        // What a commit has left out waits for its log's files, perhaps for ever, and nothing more is appended behind
        // it.
        if log.highWatermark >= queued.end || log.hasLeftOutAppends { queued.bytes = 0 }
        return queued.bytes
    }
}

extension GroupCoordinator {
    /// Bytes of live records of all shards that wait for a commit, about: with as many, a rewrite goes on when the
    /// timer thread looks again, and a sweep when it has committed them. Some commits' worth.
    static let maxQueuedBytes = 4 << 20
    /// How often the timer thread looks whether the live records have reached the disk.
    static let rewritePollMs: Int64 = 20

    /// What a step of a rewrite came to.
    enum RewriteStep {
        /// There is nothing to rewrite, or it cannot be done now.
        case idle
        /// Some was appended, and there is more.
        case goesOn
        /// All is appended, or as much as may be, and not on disk yet; or a transaction is open.
        case waits
    }

    /// Takes for every shard the steps that can be taken now. Runs on the timer thread. Returns whether a shard waits for a
    /// commit and wants the next step soon.
    func rewriteOutgrown(maxBytes: Int = maxQueuedBytes) -> Bool {
        let shards = shards
        var room = shards.reduce(maxBytes) { room, shard in room - shard.withLock { $0.rewrite.queuedBytes($0.log) } }
        var waits = false
        for shard in shards {
            var step = RewriteStep.goesOn
            while step == .goesOn { step = rewriteStep(shard, &room) }
            waits = waits || step == .waits
        }
        return waits
    }

    /// Takes one step, for which the shard's lock is held. What it appends is taken from `room`, and nothing is where
    /// there is none.
    func rewriteStep(_ shard: Lock<Shard>, _ room: inout Int) -> RewriteStep {
        // An offline store commits nothing more; a restart begins with what is on disk.
        if broker.store.isOffline { return .idle }
        return shard.withLock { shard in
            if let pending = shard.rewrite.pending { return moveStart(of: &shard, pending) }
            if shard.rewrite.writing == nil, !beginRewrite(&shard) { return .idle }
            return appendLive(&shard, &room)
        }
    }

    /// Begins a walk where the log has outgrown what is alive. What cannot begin now is asked for again by the first event with
    /// which it can.
    private func beginRewrite(_ shard: inout Shard) -> Bool {
        shard.rewrite.isAsked = false
        guard shard.rewrite.isOutgrown(shard.machine.liveBytes, floor: rewriteFloor), shard.canBeRewritten else {
            return false
        }
        shard.rewrite.begin(shard.log.logEndOffset)
        return true
    }

    private func appendLive(_ shard: inout Shard, _ room: inout Int) -> RewriteStep {
        guard var writing = shard.rewrite.writing else { return .idle }
        // A transaction that began behind the walk's beginning has all its records there. So the walk goes on when it
        // is over: begun anew for each, it would make the log longer and never end.
        guard room > 0, shard.machine.canBeRewritten else { return .waits }
        shard.rewrite.writing = nil
        // Given up halfway, the log has some records twice, and its start does not move.
        guard let live = shard.machine.liveRecords(&writing.walk) else { return .idle }
        let before = shard.rewrite.logBytes
        let isAppended = shard.append(live, BrokerClock.now())
        let bytes = Int(shard.rewrite.logBytes - before)
        shard.rewrite.queue(bytes, end: shard.log.logEndOffset)
        room -= bytes
        guard isAppended else { return .idle }
        guard writing.walk.isComplete else {
            shard.rewrite.writing = writing
            return .goesOn
        }
        shard.rewrite.pending = LogRewrite.Pending(
            start: writing.start, end: shard.log.logEndOffset, bytesBefore: writing.bytesBefore)
        return .waits
    }

    /// Moves the log's start, once all live records are on disk.
    private func moveStart(of shard: inout Shard, _ pending: LogRewrite.Pending) -> RewriteStep {
        // Decided by the high watermark rather than the commit's ticket, because that commit may have left these
        // records out.
        guard shard.log.highWatermark >= pending.end else { return shard.isSuspended ? .idle : .waits }
        // Fails only when the store goes offline now.
        guard case .success(let moved) = shard.log.deleteRecords(before: pending.start) else { return .idle }
        shard.ticket = max(shard.ticket, moved.ticket)
        shard.rewrite.logBytes -= pending.bytesBefore
        shard.rewrite.pending = nil
        return .idle
    }
}

extension GroupCoordinator.Shard {
    /// Whether what is alive can be appended once more now.
    fileprivate var canBeRewritten: Bool {
        !isSuspended && machine.canBeRewritten && log.refusal(.broker) == nil
    }

    /// Whether the timer thread has to be woken: once for each time that the log has outgrown what is alive and can be
    /// rewritten.
    mutating func asksForRewrite(floor: Int64) -> Bool {
        if rewrite.isSeenTo || !rewrite.isOutgrown(machine.liveBytes, floor: floor) || !canBeRewritten { return false }
        rewrite.isAsked = true
        return true
    }
}
