import ByteBuffers
import StorageIO
import Synchronization
public import Telemetry

/// All logs together, at one look.
struct LogTotals: Sendable {
    var partitions = 0
    var segments = 0
    var bytes: Int64 = 0
    var takenAtNanoseconds = Int.min
}

extension LogStore {
    /// Up to so many partitions are looked at when a page is made, in some 0.2 ms. More of them would hold up an event loop for
    /// milliseconds; the maintaining thread looks at them then, and the page shows what the one before it asked for.
    static let maxCountedAtOnce = 500
    /// For how long one look serves: several numbers of a page come from it.
    private static let totalsAgeNanoseconds = 1_000_000_000

    /// Runs `body` and counts how long it took, unless it fails.
    func timed(_ histogram: Histogram, _ body: () throws(StorageError) -> Void) throws(StorageError) {
        let start = monotonicNanoseconds()
        try body()
        histogram.observe(monotonicNanoseconds() - start)
    }

    /// Shows on the page what is asked for when a page is made, for the life of the process. Nothing here waits for a
    /// disk, or for a commit.
    public func showMetrics(in registry: MetricsRegistry) {
        let statistics = statistics
        registry.total("millrace_storage_commits_total", help: "Group commits.") {
            Double(statistics.commits.load(ordering: .relaxed))
        }
        registry.total("millrace_storage_committed_appends_total", help: "Record batches made durable.") {
            Double(statistics.committedAppends.load(ordering: .relaxed))
        }
        registry.total("millrace_storage_committed_bytes_total", help: "Bytes of record batches made durable.") {
            Double(statistics.committedBytes.load(ordering: .relaxed))
        }
        registry.total("millrace_storage_journal_bytes_total", help: "Bytes written to the journal.") {
            Double(statistics.journalBytes.load(ordering: .relaxed))
        }
        registry.total(
            "millrace_storage_straight_bytes_total",
            help: "Bytes of long runs, written to their segments without the journal."
        ) { Double(statistics.writtenThroughBytes.load(ordering: .relaxed)) }
        registry.total("millrace_storage_checkpoints_total", help: "Checkpoints made.") {
            Double(statistics.checkpoints.load(ordering: .relaxed))
        }
        showState(in: registry)
        showSpace(in: registry)
    }

    private func showState(in registry: MetricsRegistry) {
        countLogs()
        let read: @Sendable () -> LogTotals = { [self] in currentTotals() }
        registry.reading("millrace_storage_partitions", help: "Partitions.") { Double(read().partitions) }
        registry.reading("millrace_storage_segments", help: "Segments of all partitions.") { Double(read().segments) }
        registry.reading("millrace_storage_log_bytes", help: "Bytes of log of all partitions.") {
            Double(read().bytes)
        }
        registry.reading(
            "millrace_storage_tail_bytes", help: "Bytes of record batches in memory that are not in a segment yet."
        ) { [self] in Double(tailBytes.load(ordering: .relaxed)) }
        registry.reading(
            "millrace_memory_buffer_bytes", help: "Buffers in use: input, requests, replies, batches in memory."
        ) { [self] in Double(pool.outstandingBytes) }
        registry.reading(
            "millrace_storage_offline", help: "1 when the data folder failed and takes no writes until a restart."
        ) { [self] in isOffline ? 1 : 0 }
        registry.reading(
            "millrace_storage_faulted_partitions",
            help: "Partitions whose own files or folder fail: their appends are refused, all others are served."
        ) { [self] in Double(self.registry.withLock { $0.faulted.count }) }
        registry.reading("millrace_storage_open_segments", help: "Segments whose files are open.") { [self] in
            Double(handles.count)
        }
        registry.reading(
            "millrace_storage_producer_states", help: "States of idempotent producers, of all partitions."
        ) { [self] in Double(producerStates.load(ordering: .relaxed)) }
        let journal = "millrace_storage_journal_files"
        let help = "Files of the journal: used: hold what a checkpoint does not cover yet; free: to be written next."
        let files = Lock((used: 0, free: 0))
        let count: @Sendable () -> (used: Int, free: Int) = { [self] in
            // A commit holds the lock for as long as the disk takes; the page shows the numbers before it then.
            let now = committer.withLockIfAvailable { committer in
                committer.journal.map { (used: $0.fileCount - $0.freeFiles, free: $0.freeFiles) }
            }
            return files.withLock { files in
                if case .some(.some(let now)) = now { files = now }
                return files
            }
        }
        registry.reading(journal, help: help, labels: ["state": "used"]) { Double(count().used) }
        registry.reading(journal, help: help, labels: ["state": "free"]) { Double(count().free) }
    }

    private func showSpace(in registry: MetricsRegistry) {
        registry.reading(
            "millrace_disk_free_bytes", help: "Free bytes of the data folder's disk, when they were last looked at."
        ) { [self] in Double(lastFree.load(ordering: .relaxed)) }
        let reserve = Double(options.reserveBytes)
        registry.reading(
            "millrace_disk_reserve_bytes", help: "Below this many free bytes appends are refused."
        ) { reserve }
        registry.reading("millrace_disk_full", help: "1 while appends are refused because the disk is nearly full.") {
            [self] in isFull.load(ordering: .relaxed) ? 1 : 0
        }
    }

    private func currentTotals() -> LogTotals {
        let known = totals.withLock { $0 }
        if known.takenAtNanoseconds > monotonicNanoseconds() - Self.totalsAgeNanoseconds { return known }
        if registry.withLock({ $0.logs.count }) <= Self.maxCountedAtOnce { return countLogs() }
        if !needsTotals.exchange(true, ordering: .acquiringAndReleasing) { maintenanceSignal.raise() }
        return known
    }

    func countLogsIfAsked() {
        if needsTotals.exchange(false, ordering: .acquiringAndReleasing) { countLogs() }
    }

    @discardableResult
    private func countLogs() -> LogTotals {
        var found = LogTotals(takenAtNanoseconds: monotonicNanoseconds())
        for log in logs {
            found.partitions += 1
            log.state.withLock { state in
                found.segments += state.segments.count
                for segment in state.segments { found.bytes += segment.size }
            }
        }
        totals.withLock { $0 = found }
        return found
    }
}
