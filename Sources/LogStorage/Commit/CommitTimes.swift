import ByteBuffers
import Synchronization
import Telemetry

/// How long commits take, and what follows from it. All fields are atomic: `record` is called under the lock of
/// `GroupCommit.committer`, one after the other; readers take what is there.
final class CommitTimes: Sendable {
    private let statistics: LogStatistics
    private let histogram: Histogram
    /// A moving average over commits of at most `inlineBytes`.
    private let smallAverage = Atomic<Int>(0)
    private let lastLong = Atomic<Int64>(.min)

    /// Largest commit, in bytes, that an event loop makes itself.
    static let inlineBytes = 128 << 10
    /// Small commits that take longer than this on average are left to the committing thread: what waits for a disk anyway
    /// does not feel its wakes, and the loop is not held up. One that takes long against the average costs the loop's other
    /// connections what `LoopRelief` needs to see it.
    static let quickNanoseconds = 400_000
    /// A commit that takes this long or longer is one that clients feel.
    static let longMs: Int64 = 1000

    init(statistics: LogStatistics, histogram: Histogram) {
        self.statistics = statistics
        self.histogram = histogram
    }

    /// Small commits are quick enough, as a rule, to be made by an event loop.
    var areQuick: Bool { smallAverage.load(ordering: .relaxed) < Self.quickNanoseconds }

    /// When the last long commit ended, in milliseconds of the monotonic clock; nil when there was none.
    var lastLongMs: Int64? {
        let time = lastLong.load(ordering: .relaxed)
        return time == .min ? nil : time
    }

    func record(_ nanoseconds: Int, bytes: Int) {
        statistics.commitNanoseconds.add(nanoseconds, ordering: .relaxed)
        if nanoseconds >= Int(Self.longMs) * 1_000_000 {
            lastLong.store(MonotonicClock.milliseconds, ordering: .relaxed)
        }
        histogram.observe(nanoseconds)
        guard bytes <= Self.inlineBytes else { return }
        let average = smallAverage.load(ordering: .relaxed)
        smallAverage.store(average + (nanoseconds - average) / 8, ordering: .relaxed)
    }
}
