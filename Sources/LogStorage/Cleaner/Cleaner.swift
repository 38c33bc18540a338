import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization
import Telemetry

/// Decides which logs are due for compaction, runs a pass over each of them, and records the outcome. See
/// <doc:Compaction>.
///
/// One round at a time: `cleaning` is held for as long as it takes. Within it `pass` is held while one log is being worked
/// on, so that a deletion of that log can wait for the end of the pass. No lock that an event loop takes is held across
/// either.
final class Cleaner: StorePart {
    let parts: StoreParts
    private let commits: GroupCommit
    private let maintenance: Maintenance
    private let counters: CleanerMetrics

    private let cleaning = Lock<Void>(())
    private let pass = Lock<Void>(())
    /// The log that is being compacted; nil between passes.
    private let current = Lock<PartitionLog?>(nil)
    private let signal = Signal()

    init(_ parts: StoreParts, commits: GroupCommit, maintenance: Maintenance, counters: CleanerMetrics) {
        self.parts = parts
        self.counters = counters
        self.commits = commits
        self.maintenance = maintenance
    }

    private var isOffline: Bool { availability.isOffline }

    /// Wakes the cleaning thread, because a topic became compacted or the store is stopping.
    func wake() { signal.raise() }

    /// Waits for a running pass over `log` to end. Call it after marking the log deleted: the running pass stops at its
    /// next batch, and a pass that starts later stops before it reads anything.
    func waitForPass(over log: PartitionLog) {
        if current.withLock({ $0 === log }) { pass.withLock { _ in } }
    }

    /// Compacts every log that is due at `nowMs` (wall clock), the dirtiest first, and returns how many passes were
    /// completed. Blocks until the round is over, so it runs on a thread of its own; returns early when the store
    /// stops.
    func clean(nowMs: Int64) -> Int {
        if isOffline { return 0 }
        return cleaning.withLock { _ in
            do throws(StorageError) {
                try finishInstalls()
                var (due, wantsCheckpoint) = dueLogs(nowMs: nowMs)
                if wantsCheckpoint {
                    try maintenance.checkpoint()
                    due = dueLogs(nowMs: nowMs).due
                }
                guard !due.isEmpty else { return 0 }
                var cleaned = 0
                var isAnyReplaced = false
                for (log, plan) in due.sorted(by: { $0.plan.dirtyRatio > $1.plan.dirtyRatio }) {
                    if threads.isStopping || isOffline { break }
                    let (isDone, isReplaced) = try clean(log, plan, nowMs: nowMs)
                    if isDone { cleaned += 1 }
                    isAnyReplaced = isAnyReplaced || isReplaced
                }
                // Stored only now: the segments that the progress describes must be on disk first.
                if cleaned > 0 { try storeProgress() }
                // Stores the new segments' indexes, so that a start need not make them again.
                if isAnyReplaced, !isOffline { try maintenance.checkpoint() }
                return cleaned
            } catch {
                // A round ends where the disk is full: nothing was lost by it, the old segments are in place.
                commits.backgroundFailed(error)
                return 0
            }
        }
    }

    /// Finishes the segment exchanges that an earlier round could not. Covers all logs, not only those that are due
    /// again, because retention cannot remove a segment while its exchange is unfinished.
    private func finishInstalls() throws(StorageError) {
        for log in registry.all where log.state.withLock({ $0.installing != nil }) {
            do throws(StorageError) {
                try log.finishInstall()
            } catch {
                guard error.reach == .partition else { throw error }
                Log.warning("a compacted segment does not have its name yet", "partition", log.name, "reason", error)
            }
        }
    }

    /// Returns the logs to compact. `wantsCheckpoint` is true when another log would be due if the checkpoint covered
    /// more of its segments.
    private func dueLogs(nowMs: Int64) -> (due: [(log: PartitionLog, plan: CleanerPlan)], wantsCheckpoint: Bool) {
        var due: [(log: PartitionLog, plan: CleanerPlan)] = []
        var wantsCheckpoint = false
        var maxRatio = 0.0
        for log in registry.all
        where log.isCompacted.load(ordering: .relaxed) && log.state.withLock({ $0.fault == nil }) {
            let (plan, whole, settings) = log.state.withLock { state -> (CleanerPlan, CleanerPlan, LogSettings) in
                let closed = log.closedSegments(state)
                let end = state.uncleanableOffset
                func plan(_ limit: Int64) -> CleanerPlan {
                    CleanerPlan(
                        closed: closed, progress: state.cleaner, limit: limit, settings: state.settings, nowMs: nowMs)
                }
                return (plan(min(end, state.checkpointedSegmentBase)), plan(end), state.settings)
            }
            maxRatio = max(maxRatio, whole.dirtyRatio)
            if plan.isDue(settings) {
                due.append((log, plan))
            } else if whole.isDue(settings) {
                wantsCheckpoint = true
            }
        }
        statistics.cleanerMaxDirtyPercent.store(Int(maxRatio * 100), ordering: .relaxed)
        counters.maxDirtyPercent.set(Int(maxRatio * 100))
        return (due, wantsCheckpoint)
    }

    /// Runs one pass over one log. Throws only errors that concern the whole data folder; all others are handled here.
    private func clean(
        _ log: PartitionLog, _ plan: CleanerPlan, nowMs: Int64
    ) throws(StorageError) -> (isDone: Bool, isReplaced: Bool) {
        let readBefore = statistics.cleanerReadBytes.load(ordering: .relaxed)
        let writtenBefore = statistics.cleanerWrittenBytes.load(ordering: .relaxed)
        defer {
            counters.readBytes.add(statistics.cleanerReadBytes.load(ordering: .relaxed) - readBefore)
            counters.writtenBytes.add(statistics.cleanerWrittenBytes.load(ordering: .relaxed) - writtenBefore)
        }
        let pass = CleanerPass(log, plan, nowMs: nowMs)
        do {
            // What an earlier pass could not finish; until then its file does not have its name.
            try log.finishInstall()
            // A deletion of the partition waits for the pass, which then ends soon; one that began before is seen here.
            let progress = try self.pass.withLock { _ in
                current.withLock { $0 = log }
                defer { current.withLock { $0 = nil } }
                return try StallTrace.timed(.compaction, log.name) { try pass.run() }
            }
            log.state.withLock { $0.cleaner = progress }
            if let damage = pass.damage { setUncleanable(log, from: damage.baseOffset, damage.what) }
            statistics.cleanerRuns.add(1, ordering: .relaxed)
            counters.runs.add()
            return (true, pass.isAnyReplaced)
        } catch let stop as CleanerStop {
            switch stop {
            case .damaged(let baseOffset, let what): setUncleanable(log, from: baseOffset, what)
            case .noRoom: Log.warning("no room to compact a log", "partition", log.folderName)
            case .asked, .changed: break
            }
            return (false, pass.isAnyReplaced)
        } catch let error as StorageError {
            if log.state.withLock({ $0.isDeleted }) { return (false, pass.isAnyReplaced) }
            guard error.reach == .partition else { throw error }
            if error.operation == .read, !error.isNotNow {
                setUncleanable(log, from: plan.segments.first?.baseOffset ?? 0, error.description)
            } else {
                // Nothing is lost by it: the next round tries again, and a start finishes what was begun.
                Log.warning("a log could not be compacted", "partition", log.name, "reason", error)
            }
            return (false, pass.isAnyReplaced)
        } catch {
            preconditionFailure("a pass over \(log.folderName) ended with \(error)")
        }
    }

    /// Excludes the segment at `baseOffset`, and everything after it, from compaction until the next start.
    private func setUncleanable(_ log: PartitionLog, from baseOffset: Int64, _ what: String) {
        let (isDeleted, isFirst) = log.state.withLock { state -> (Bool, Bool) in
            if state.isDeleted { return (true, false) }
            defer { state.uncleanableOffset = min(state.uncleanableOffset, baseOffset) }
            return (false, state.uncleanableOffset == .max)
        }
        if isDeleted { return }
        Log.error(
            "segments cannot be compacted and stay as they are", "partition", log.folderName, "from",
            Segment.name(baseOffset, ".log"), "reason", what)
        if isFirst { countUncleanable(1) }
    }

    func countUncleanable(_ change: Int) {
        statistics.uncleanablePartitions.add(change, ordering: .relaxed)
        counters.uncleanablePartitions.add(change)
    }

    // MARK: Progress

    private func storeProgress() throws(StorageError) {
        var entries: [(TopicPartition, CleanerProgress)] = []
        for log in registry.all where log.isCompacted.load(ordering: .relaxed) {
            let progress = log.state.withLock { $0.cleaner }
            if progress == CleanerProgress() { continue }
            entries.append((log.topicPartition, progress))
        }
        do throws(StorageError) {
            try fileSystem.writeAtomically(
                Path.join(folder, CleanerProgress.fileName), CleanerProgress.encode(entries))
        } catch {
            // Harmless: the next start finds the older progress, or none, and compacts that part of the logs again.
            guard error.reach == .partition else { throw error }
            Log.warning("how far logs are compacted could not be stored", "reason", error)
        }
    }

    func loadProgress() {
        let known = CleanerProgress.load(fileSystem, folder: folder)
        if known.isEmpty { return }
        for log in registry.all {
            if let progress = known[log.topicPartition] { log.state.withLock { $0.cleaner = progress } }
        }
    }

    // MARK: The cleaning thread

    /// Runs the cleaning thread until the store stops: sleeps while no topic is compacted and no exchange is
    /// unfinished, and otherwise starts a round every `cleanerIntervalMs`.
    func run() {
        while true {
            let isAny = registry.all.contains {
                $0.isCompacted.load(ordering: .relaxed) || $0.state.withLock { $0.installing != nil }
            }
            signal.wait(timeoutMs: isAny ? options.cleanerIntervalMs : nil)
            if threads.isStopping { return }
            _ = clean(nowMs: WallClock.milliseconds)
        }
    }
}
