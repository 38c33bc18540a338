import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization
import Telemetry

/// Write-behind, checkpoints and retention: everything that may block without anyone waiting for it.
///
/// One round, or one checkpoint, at a time: `state` is held for as long as it takes, by the maintaining thread, the cleaner
/// or an admin call, and never by an event loop. Under it the locks of commits and partitions are taken, not the other way
/// round.
final class Maintenance: StorePart {
    struct State {
        /// Wall clock of the newest round.
        var nowMs: Int64 = 0
        fileprivate var lastWriteBehindMs: Int64 = 0
        fileprivate var lastRetentionMs: Int64 = 0
        fileprivate var lastSpaceCheckMs: Int64 = 0
        /// What recovery found damaged in the journal, by the path that it is to be kept under.
        var damagedFrames: [(path: String, bytes: [UInt8])] = []
    }

    let parts: StoreParts
    let commits: GroupCommit
    let census: LogCensus

    let state = Lock(State())

    init(_ parts: StoreParts, commits: GroupCommit, census: LogCensus) {
        self.parts = parts
        self.commits = commits
        self.census = census
    }

    /// How often the free space is looked at while there is anything to do.
    static let spaceCheckMs: Int64 = 1000

    /// Does what is due at `nowMs` (wall clock). A failed sync takes the store offline, after which nothing is due; what one
    /// partition's files refuse is tried again in a later round.
    func round(nowMs: Int64) {
        if requests.take(.totals) { census.count() }
        if availability.isOffline { return }
        do throws(StorageError) {
            try state.withLock { state throws(StorageError) in
                state.nowMs = nowMs
                if requests.take(.journalFile) { commits.makeJournalFile() }
                if requests.take(.quarantines) { try storeQuarantines() }
                if requests.take(.producerLimit) { producerLimit.enforce(on: registry.all) }
                if requests.take(.checkpoint) {
                    try makeCheckpoint(&state)
                    state.lastWriteBehindMs = nowMs
                } else if requests.take(.writeBehind) || nowMs - state.lastWriteBehindMs >= options.writeBehindMs {
                    try StallTrace.timed(.writeBehind) { () throws(StorageError) in try writeBehind(nowMs: nowMs) }
                    state.lastWriteBehindMs = nowMs
                }
                if nowMs - state.lastSpaceCheckMs >= Self.spaceCheckMs {
                    state.lastSpaceCheckMs = nowMs
                    diskSpace.check()
                }
                if nowMs - state.lastRetentionMs >= options.retentionCheckMs {
                    state.lastRetentionMs = nowMs
                    try enforceRetention(&state)
                }
            }
        } catch {
            commits.backgroundFailed(error)
        }
    }

    private func enforceRetention(_ state: inout State) throws(StorageError) {
        let began = MonotonicClock.nanoseconds
        var isAny = false
        for log in registry.all { isAny = log.enforceRetention(nowMs: state.nowMs) || isAny }
        // With a checkpoint, so that a restart does not know again who was forgotten.
        let silentSince = state.nowMs - options.producerExpirationMs
        for log in registry.all { isAny = log.expireProducers(silentSince: silentSince) || isAny }
        StallTrace.note(.retention, from: began, to: MonotonicClock.nanoseconds, count: registry.all.count)
        if isAny { try makeCheckpoint(&state) }
    }

    /// Stores what is known of damage where that has changed.
    func storeQuarantines() throws(StorageError) {
        for log in registry.damaged {
            do throws(StorageError) { try log.storeQuarantine() } catch {
                requests.add(.quarantines)
                guard error.reach == .partition else { throw error }
                // In memory it stands, and a start finds the damage again.
                Log.warning("a quarantine could not be stored", "partition", log.name, "reason", error)
            }
        }
    }

    // MARK: The maintaining thread

    /// Makes a round whenever one is asked for or due, until `isStopping`.
    func run(until isStopping: () -> Bool) {
        while true {
            let isSoon = isRoundDueSoon
            requests.wait(timeoutMs: isSoon ? options.writeBehindMs : options.retentionCheckMs, isShort: isSoon)
            if isStopping() { return }
            round(nowMs: WallClock.milliseconds)
            pool.decay()
            replayPool.decay()
        }
    }

    /// Something is to be done, or tried again, at the next second. A checkpoint that was put off is: until a start's first
    /// one the journal takes no batches.
    var isRoundDueSoon: Bool {
        memory.isMaintenanceWanted || diskSpace.isFull || requests.contains(.checkpoint) || registry.hasFaulted
    }
}
