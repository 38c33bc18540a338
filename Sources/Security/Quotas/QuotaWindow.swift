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
    public mutating func rate(now: MonotonicTime) -> Double {
        forget(before: now.milliseconds)
        return samples.reduce(0) { $0 + $1.sum } / (Double(span(now.milliseconds)) / 1_000)
    }

    /// How long a client over `limit` a second has to wait, so that its rate is the limit again; nil under it.
    public mutating func throttle(limit: Double, now: MonotonicTime, most: Duration = maxThrottle) -> Duration? {
        let rate = rate(now: now)
        guard !(rate <= limit) else { return nil }
        // Below zero or no number at all: nothing that could be waited for.
        guard limit > 0 else { return most }
        let wait = ((rate - limit) / limit * Double(span(now.milliseconds))).rounded()
        return .milliseconds(Int64(min(wait, Double(most.milliseconds))))
    }

    private mutating func forget(before now: Int64) {
        let age = Int64(count) * lengthMs
        for index in samples.indices where now - samples[index].last >= age {
            samples[index] = Sample(start: now, last: now)
        }
    }

    private func span(_ now: Int64) -> Int64 {
        let oldest = samples.map(\.start).min() ?? now
        var elapsed = now - oldest
        let full = elapsed / lengthMs
        if full < Int64(count - 1) { elapsed += (Int64(count - 1) - full) * lengthMs }
        return max(elapsed, lengthMs)
    }
}
