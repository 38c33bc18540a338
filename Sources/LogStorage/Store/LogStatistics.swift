public import ByteBuffers
public import Synchronization

/// What the store counts; read by metrics. All are totals since the start.
public final class LogStatistics: Sendable {
    public let commits = Atomic<Int>(0)
    public let committedAppends = Atomic<Int>(0)
    public let committedBytes = Atomic<Int>(0)
    /// Bytes that were written through to their segments.
    public let writtenThroughBytes = Atomic<Int>(0)
    /// Bytes written to the journal, padding included.
    public let journalBytes = Atomic<Int>(0)
    public let checkpoints = Atomic<Int>(0)
    /// Reads of records that were in memory, and of records that were read from their segment's file.
    public let memoryReads = Atomic<Int>(0)
    public let fileReads = Atomic<Int>(0)
    /// Nanoseconds that commits spent writing and syncing.
    public let commitNanoseconds = Atomic<Int>(0)
    /// Passes of compaction over one log, and what they read and wrote.
    public let cleanerRuns = Atomic<Int>(0)
    public let cleanerReadBytes = Atomic<Int>(0)
    public let cleanerWrittenBytes = Atomic<Int>(0)
    /// Partitions with a damaged segment, from which on they are not compacted.
    public let uncleanablePartitions = Atomic<Int>(0)
    /// Share of the dirtiest compacted log that has not been compacted, when it was last looked at.
    public let cleanerMaxDirtyPercent = Atomic<Int>(0)
    public let offlineReason = Lock<String?>(nil)
}
