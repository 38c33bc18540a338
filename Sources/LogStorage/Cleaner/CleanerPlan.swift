/// Whether a log is due for compaction, and which part of it: computed from its segments alone.
///
/// ```
///  │ segment │ segment │ segment │ segment │ segment │ active ···
///  │ clean   ··········│ dirty ·············│ not yet ··········
///                      ▲ firstDirtyOffset   ▲ endOffset
/// ```
/// Not yet: what the checkpoint on disk does not wholly vouch for, the active segment, and records younger than
/// `min.compaction.lag.ms`. Source: Kafka's `LogCleanerManager`, KIP-58, KIP-354.
struct CleanerPlan: Equatable {
    struct SegmentFacts: Equatable {
        var baseOffset: Int64
        /// Exclusive: the next segment's base offset.
        var endOffset: Int64
        var size: Int64
        /// `Int64.max` when it is not known.
        var firstTimestampMs: Int64
        /// `Int64.min` for a segment without records.
        var maxTimestampMs: Int64
    }

    /// The closed segments from the log's start to `endOffset`.
    var segments: [SegmentFacts] = []
    var firstDirtyOffset: Int64
    /// Exclusive.
    var endOffset: Int64
    var cleanBytes: Int64 = 0
    var dirtyBytes: Int64 = 0
    /// `max.compaction.lag.ms` has passed for a dirty segment, or a tombstone's time has come.
    var isForced = false

    var dirtyRatio: Double {
        let total = cleanBytes + dirtyBytes
        return total == 0 ? 0 : Double(dirtyBytes) / Double(total)
    }

    func isDue(_ settings: LogSettings) -> Bool {
        isForced || dirtyBytes > 0 && dirtyRatio > settings.minCleanableDirtyRatio
    }

    /// `closed`: all segments but the active one; `limit`: exclusive offset that cleaning must not reach.
    init(
        closed: [SegmentFacts], progress: CleanerProgress, limit: Int64, settings: LogSettings, nowMs: Int64
    ) {
        let start = closed.first?.baseOffset ?? 0
        let end = closed.last?.endOffset ?? start
        // Progress beyond the log's end describes a log that was longer once; it says nothing about this one.
        firstDirtyOffset = progress.firstDirtyOffset > end ? start : max(start, progress.firstDirtyOffset)
        endOffset = start
        for segment in closed {
            guard segment.endOffset <= limit else { break }
            let isDirty = segment.endOffset > firstDirtyOffset
            if isDirty, settings.minCompactionLagMs > 0,
                segment.maxTimestampMs > nowMs - min(settings.minCompactionLagMs, nowMs)
            {
                break
            }
            segments.append(segment)
            endOffset = segment.endOffset
            guard isDirty else {
                cleanBytes += segment.size
                continue
            }
            dirtyBytes += segment.size
            if segment.size > 0, segment.firstTimestampMs != .max, settings.maxCompactionLagMs < nowMs,
                segment.firstTimestampMs < nowMs - settings.maxCompactionLagMs
            {
                isForced = true
            }
        }
        firstDirtyOffset = min(firstDirtyOffset, endOffset)
        if progress.earliestHorizonMs <= nowMs, !segments.isEmpty { isForced = true }
    }

    /// Whether a segment may go into the same file as those before it, of which `size` bytes are left and `first` is
    /// the first: no larger than a segment may be, and with offsets that one index can express.
    static func fits(_ segment: SegmentFacts, behind first: SegmentFacts, size: Int64, segmentBytes: Int64) -> Bool {
        size + segment.size <= segmentBytes && segment.endOffset - first.baseOffset <= Int64(Int32.max)
    }
}
