/// Kafka's measure of a rate: what was counted in the last windows of a second, over the time that they cover.
///
/// Windows begin when something is counted, not on the clock. Until the first ones are over the rate counts as if they
/// were: a burst at the start is not a rate. Source: `Rate`, `SampledStat` and `QuotaUtils` of Kafka 4.3.
public struct QuotaWindow: Sendable {
    /// `quota.window.num` and `quota.window.size.seconds`.
    public static let defaultCount = 11
    public static let defaultLength = Duration.seconds(1)
    /// Throttle times of requests are told in 32 bits of milliseconds; Kafka bounds those of request time by one
    /// window.
    public static let maxThrottle = Duration.milliseconds(Int64(Int32.max))

    private struct Sample {
        var start: Int64
        var last: Int64
        var sum = 0.0
    }

    private let count: Int
    private let lengthMs: Int64
    private var samples: [Sample] = []
    private var current = 0

    public init(_ windows: QuotaWindows = QuotaWindows()) {
        count = windows.count
        lengthMs = windows.length.milliseconds
    }

    public mutating func record(_ value: Double, now: MonotonicTime) {
        let now = now.milliseconds
        if samples.isEmpty { samples.append(Sample(start: now, last: now)) }
        if now - samples[current].start >= lengthMs {
            current = (current + 1) % count
            let fresh = Sample(start: now, last: now)
            if current == samples.count { samples.append(fresh) } else { samples[current] = fresh }
        }
        samples[current].sum += value
        samples[current].last = now
    }

    /// A second, over the windows that are remembered.
    public mutating func rate(now: MonotonicTime) -> Double { look(now.milliseconds).rate }

    /// How long a client over `limit` a second has to wait, so that its rate is the limit again; nil under it.
    public mutating func throttle(limit: Double, now: MonotonicTime, most: Duration = maxThrottle) -> Duration? {
        let (rate, spanMs) = look(now.milliseconds)
        guard !(rate <= limit) else { return nil }
        // Below zero or no number at all: nothing that could be waited for.
        guard limit > 0 else { return most }
        let wait = ((rate - limit) / limit * Double(spanMs)).rounded()
        return .milliseconds(Int64(min(wait, Double(most.milliseconds))))
    }

    /// Forgets the windows that are over, and adds up the others.
    private mutating func look(_ now: Int64) -> (rate: Double, spanMs: Int64) {
        let age = Int64(count) * lengthMs
        var oldest = samples.isEmpty ? now : Int64.max
        var sum = 0.0
        for index in samples.indices {
            if now - samples[index].last >= age { samples[index] = Sample(start: now, last: now) }
            oldest = min(oldest, samples[index].start)
            sum += samples[index].sum
        }
        let elapsed = now - oldest
        let missing = max(0, Int64(count - 1) - elapsed / lengthMs)
        let spanMs = max(elapsed + missing * lengthMs, lengthMs)
        return (sum / (Double(spanMs) / 1_000), spanMs)
    }
}
