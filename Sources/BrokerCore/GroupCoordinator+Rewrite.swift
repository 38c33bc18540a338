import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage

/// Keeps each partition of `__consumer_offsets` at a bounded multiple of what is alive in it: a log that has outgrown that
/// gets all live records appended once more, and then starts with them.
///
/// ```
///  log      [ old ........................ ][ live, batch by batch ][ later appends ...
///  1. appended, under the shard's lock       ▲ pending.start       ▲ pending.end
///  2. published: everything up to here is on disk ─────────────────┘
///  3. the log's start moves to ──────────────┘
/// ```
/// No crash loses state: the start is moved only once the commit that covers the last live record is published, and
/// the move is an entry of a later commit still. So a replay sees one of
/// - old, and none or some of live in their order: each repeats what its key already has;
/// - old, live, later appends: as before;
/// - live, later appends: live alone is the state at 1, because nothing else was appended while the lock was held.
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

    /// Bytes of log from its start on.
    var logBytes: Int64 = 0
    /// Size of the live records in bytes, when they were last counted.
    var liveBytes: Int64 = 0
    /// The live records are appended, the log's start has not moved yet.
    var pending: Pending?
    private var isAsked = false

    /// A log is rewritten when it has grown to this many times what is alive: each live byte is then written again at
    /// most once for three bytes of commits.
    static let growth: Int64 = 4

    func isOutgrown(floor: Int64) -> Bool { logBytes > max(floor, liveBytes * Self.growth) }

    /// Whether the timer thread has to be woken: once for each time that the log outgrows.
    mutating func asks(floor: Int64) -> Bool {
        if isAsked || pending != nil || !isOutgrown(floor: floor) { return false }
        isAsked = true
        return true
    }

    mutating func counted(liveBytes: Int64) {
        self.liveBytes = liveBytes
        isAsked = false
    }
}

extension GroupCoordinator {
    /// Largest batch of live records, in bytes; a larger single record is a batch of its own.
    static let rewriteBatchBytes = 512 << 10
    /// How often the timer thread looks whether the live records have reached the disk.
    static let rewritePollMs: Int64 = 20

    /// Takes one step for every shard that needs one. Runs on the timer thread, because a shard's lock is held while
    /// all that is alive in it is encoded. Returns whether a shard waits for a commit and wants the next step soon.
    func rewriteOutgrown() -> Bool {
        var waits = false
        for shard in shards {
            waits = shard.withLock { rewriteIfOutgrown(&$0) } || waits
        }
        return waits
    }

    private func rewriteIfOutgrown(_ shard: inout Shard) -> Bool {
        let store = broker.store
        // An offline store commits nothing more; a restart begins with what is on disk.
        if store.isOffline { return false }
        if let pending = shard.rewrite.pending {
            // Decided by the high watermark rather than the commit's ticket, because that commit may have left these
            // records out.
            guard shard.log.highWatermark >= pending.end else { return !shard.isSuspended }
            // Fails only when the store goes offline now.
            guard case .success(let moved) = shard.log.deleteRecords(before: pending.start) else { return false }
            shard.ticket = max(shard.ticket, moved.ticket)
            shard.rewrite.logBytes -= pending.bytesBefore
            shard.rewrite.pending = nil
            return false
        }
        guard !shard.isSuspended, shard.rewrite.isOutgrown(floor: rewriteFloor),
            let live = shard.machine.liveRecords()
        else {
            return false
        }
        let size = live.reduce(0) { $0 + $1.sizeInBatch }
        shard.rewrite.counted(liveBytes: Int64(size))
        // Much of the growth is alive.
        guard shard.rewrite.isOutgrown(floor: rewriteFloor) else { return false }
        return append(live, &shard)
    }

    /// Appends the live records; false where the log refuses.
    private func append(_ live: [CoordinatorRecord], _ shard: inout Shard) -> Bool {
        let bytesBefore = shard.rewrite.logBytes
        let now = BrokerClock.now()
        // Where nothing is alive the whole log can go.
        var start = shard.log.logEndOffset
        if !live.isEmpty {
            // Refused halfway: the log has some records twice, and its start does not move.
            guard let base = Self.append(live[...], to: &shard, now, batchBytes: Self.rewriteBatchBytes) else {
                return false
            }
            start = base
        }
        shard.rewrite.pending = LogRewrite.Pending(
            start: start, end: shard.log.logEndOffset, bytesBefore: bytesBefore)
        return true
    }
}
