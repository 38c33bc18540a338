/// So many a second, and so many at once. Kept as the moment at which the bucket would be full: one number, no timer.
public struct TokenBucket: Hashable, Sendable {
    /// A wait is told as at most this, so that a client comes back while the setting still means something.
    public static let maxWait = Duration.seconds(3_600)

    public private(set) var perSecond: Double
    public private(set) var burst: Double
    /// Milliseconds, with fractions.
    private var fullAt: Double

    /// Full at the start. Nil unless both numbers are finite and above zero: such a bucket lets nothing pass, or all.
    public init?(perSecond: Double, burst: Double, now: MonotonicTime) {
        guard perSecond.isFinite, burst.isFinite, perSecond > 0, burst > 0 else { return nil }
        self.perSecond = perSecond
        self.burst = burst
        fullAt = Double(now.milliseconds)
    }

    /// Changes the rate and the size; what is there, or lacks, stays. Both are numbers that `init` takes.
    public mutating func set(perSecond: Double, burst: Double, now: MonotonicTime) {
        if perSecond == self.perSecond, burst == self.burst { return }
        let kept = min(available(now: now), burst)
        (self.perSecond, self.burst) = (perSecond, burst)
        fullAt = Double(now.milliseconds) + (burst - kept) / perSecond * 1_000
    }

    public func available(now: MonotonicTime) -> Double {
        min(burst, burst - (fullAt - Double(now.milliseconds)) / 1_000 * perSecond)
    }

    /// Takes `count` if they are there; else takes nothing, and says how long to wait until they are. More than the
    /// bucket holds waits until it is full.
    public mutating func take(_ count: Double, now: MonotonicTime) -> Duration? {
        let missing = min(count, burst) - available(now: now)
        guard missing <= 0 else { return Self.wait(missing, perSecond) }
        debit(count, now: now)
        return nil
    }

    /// Takes them whether they are there or not; what lacks is paid back by time. Kafka's controller mutations: the
    /// request that empties the bucket passes, the next one does not (KIP-599).
    public mutating func debit(_ count: Double, now: MonotonicTime) {
        fullAt = max(fullAt, Double(now.milliseconds)) + count / perSecond * 1_000
    }

    /// Gives back what was taken, at most until the bucket is full.
    public mutating func credit(_ count: Double, now: MonotonicTime) {
        fullAt = max(fullAt - count / perSecond * 1_000, Double(now.milliseconds))
    }

    /// How long until the bucket is no longer in debt.
    public func debt(now: MonotonicTime) -> Duration? {
        let available = available(now: now)
        return available < 0 ? Self.wait(-available, perSecond) : nil
    }

    private static func wait(_ missing: Double, _ perSecond: Double) -> Duration {
        .milliseconds(min(Int64((missing / perSecond * 1_000).rounded(.up).clamped), maxWait.milliseconds))
    }
}

extension Double {
    /// Within what an `Int64` holds of milliseconds.
    fileprivate var clamped: Double { min(max(self, 0), 1e15) }
}
