import ByteBuffers
import StorageIO
import Synchronization
public import Telemetry

extension LogStore {
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
        let reads = "millrace_storage_reads_total"
        let help = "Reads that found records: in memory, or in a segment's file."
        registry.total(reads, help: help, labels: ["from": "memory"]) {
            Double(statistics.memoryReads.load(ordering: .relaxed))
        }
        registry.total(reads, help: help, labels: ["from": "file"]) {
            Double(statistics.fileReads.load(ordering: .relaxed))
        }
        showState(in: registry)
        showSpace(in: registry)
    }

    private func showState(in registry: MetricsRegistry) {
        let census = census
        census.count()
        let read: @Sendable () -> LogTotals = { census.current }
        registry.reading("millrace_storage_partitions", help: "Partitions.") { Double(read().partitions) }
        registry.reading("millrace_storage_segments", help: "Segments of all partitions.") { Double(read().segments) }
        registry.reading("millrace_storage_log_bytes", help: "Bytes of log of all partitions.") {
            Double(read().bytes)
        }
        registry.reading(
            "millrace_storage_tail_bytes", help: "Bytes of record batches in memory that are not in a segment yet."
        ) { [self] in Double(memory.unsettledBytes) }
        registry.reading(
            "millrace_storage_window_bytes", help: "Memory of record batches that stay for readers who follow."
        ) { [self] in Double(memory.keptBytes) }
        registry.reading(
            "millrace_storage_window_share_bytes", help: "Memory that they may come to take, as the machine has it."
        ) { [self] in Double(memory.window.share) }
        registry.reading(
            "millrace_memory_buffer_bytes", help: "Buffers in use: input, requests, replies, batches in memory."
        ) { [self] in Double(pool.outstandingBytes + replayPool.outstandingBytes) }
        registry.reading(
            "millrace_storage_offline", help: "1 when the data folder failed and takes no writes until a restart."
        ) { [self] in isOffline ? 1 : 0 }
        registry.reading(
            "millrace_storage_faulted_partitions",
            help: "Partitions whose own files or folder fail: their appends are refused, all others are served."
        ) { [self] in Double(self.registry.faultedCount) }
        registry.reading("millrace_storage_open_segments", help: "Segments whose files are open.") { [self] in
            Double(handles.count)
        }
        registry.reading(
            "millrace_storage_producer_states", help: "States of idempotent producers, of all partitions."
        ) { [self] in Double(producerLimit.count) }
        let journal = "millrace_storage_journal_files"
        let help = "Files of the journal: used: hold what a checkpoint does not cover yet; free: to be written next."
        let files = Lock((used: 0, free: 0))
        let count: @Sendable () -> (used: Int, free: Int) = { [self] in
            // A commit holds the lock for as long as the disk takes; the page shows the numbers before it then.
            let now = commits.committer.withLockIfAvailable { committer in
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
        ) { [self] in Double(diskSpace.freeBytes) }
        registry.reading(
            "millrace_disk_used_ratio",
            help: "Share of the data folder's disk that is not free for the broker, when it was last looked at: 0 to 1."
        ) { [self] in diskSpace.usedRatio }
        let reserve = Double(options.reserveBytes)
        registry.reading(
            "millrace_disk_reserve_bytes", help: "Below this many free bytes appends are refused."
        ) { reserve }
        registry.reading("millrace_disk_full", help: "1 while appends are refused because the disk is nearly full.") {
            [self] in diskSpace.isFull ? 1 : 0
        }
    }
}
