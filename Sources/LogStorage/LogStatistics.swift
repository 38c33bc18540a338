public import ByteBuffers
public import Synchronization

/// What the store counts; read by metrics. All are totals since the start.
public final class LogStatistics: Sendable {
    public let commits = Atomic<Int>(0)
    public let committedAppends = Atomic<Int>(0)
    public let committedBytes = Atomic<Int>(0)
    /// Bytes that went straight to their segments.
    public let straightBytes = Atomic<Int>(0)
    /// Bytes written to the journal, padding included.
    public let journalBytes = Atomic<Int>(0)
    public let checkpoints = Atomic<Int>(0)
    /// Nanoseconds that commits spent writing and syncing.
    public let commitNanoseconds = Atomic<Int>(0)
    public let offlineReason = Lock<String?>(nil)
}
