/// The topic settings that concern a partition's log, each with Kafka's name for it.
public struct LogSettings: Sendable, Equatable {
    /// `segment.bytes`: a batch that would make the active segment larger begins a new one.
    public var segmentBytes: Int64 = 1 << 30
    /// `segment.ms`: an append begins a new segment when its timestamp is later than the active segment's first by more
    /// than this.
    public var segmentMs: Int64 = 7 * 24 * 3600 * 1000
    /// `retention.ms`: a closed segment whose newest record is older is deleted; -1 keeps all.
    public var retentionMs: Int64 = 7 * 24 * 3600 * 1000
    /// `retention.bytes`: closed segments are deleted while the log without them is at least this large; -1 keeps all.
    public var retentionBytes: Int64 = -1
    /// `index.interval.bytes`: distance between index entries, in bytes of log.
    public var indexIntervalBytes: Int64 = 4096
    /// `max.message.bytes`: the largest record batch, header included.
    public var maxBatchBytes: Int = 1_048_588
    /// `message.timestamp.type=LogAppendTime`: the broker's clock replaces the producer's timestamps.
    public var usesLogAppendTime = false
    /// `message.timestamp.before.max.ms` and `.after.max.ms`: how far a producer's timestamp may lie from the broker's clock.
    public var timestampBeforeMaxMs: Int64 = .max
    public var timestampAfterMaxMs: Int64 = 3_600_000
    /// `cleanup.policy` contains `delete`.
    public var deletesByRetention = true
    /// `cleanup.policy` contains `compact`.
    public var isCompacted = false
    /// `segment.jitter.ms`: a segment may be closed this much earlier than `segmentMs`.
    public var segmentJitterMs: Int64 = 0
    /// `delete.retention.ms`: how long compaction keeps a tombstone after it has removed what it deletes.
    public var deleteRetentionMs: Int64 = 24 * 3600 * 1000
    /// `min.cleanable.dirty.ratio`: the share of a log not compacted yet above which it is compacted.
    public var minCleanableDirtyRatio = 0.5
    /// `min.compaction.lag.ms`: a segment with a record younger than this is not compacted.
    public var minCompactionLagMs: Int64 = 0
    /// `max.compaction.lag.ms`: a segment whose first record is older than this is compacted, however low the ratio.
    public var maxCompactionLagMs: Int64 = .max

    public init() {}

    /// Age at which a segment is closed. A compacted one must be closed to be compacted, so `maxCompactionLagMs` bounds it.
    var effectiveSegmentMs: Int64 { isCompacted ? min(segmentMs, maxCompactionLagMs) : segmentMs }
}
