/// How often waits of each length were seen: every doubling is cut into 32 steps, so a quantile is at most 3 % above the
/// true one. One thread writes; copies are merged.
public struct LatencyHistogram: Sendable {
    private var buckets = [UInt64](repeating: 0, count: 60 * 32)
    public private(set) var count: UInt64 = 0
    /// The longest wait, in nanoseconds.
    public private(set) var longest: Int64 = 0

    public init() {}

    /// Counts a wait `times` times; a negative one counts as zero.
    public mutating func observe(nanoseconds: Int64, times: UInt64 = 1) {
        let value = max(0, nanoseconds)
        buckets[Self.bucket(of: UInt64(value))] += times
        count += times
        longest = max(longest, value)
    }

    public mutating func merge(_ other: LatencyHistogram) {
        for index in buckets.indices { buckets[index] += other.buckets[index] }
        count += other.count
        longest = max(longest, other.longest)
    }

    /// Returns the wait, in nanoseconds, that the fraction (0...1) of all waits did not exceed; 0 when there are none.
    public func quantile(_ fraction: Double) -> Int64 {
        guard count > 0 else { return 0 }
        let wanted = max(1, UInt64((Double(count) * fraction).rounded(.up)))
        var seen: UInt64 = 0
        for (index, number) in buckets.enumerated() {
            seen += number
            if seen >= wanted { return min(Self.upperEdge(of: index), longest) }
        }
        return longest
    }

    /// Below 64 one bucket a value; then the five bits behind the leading one choose the step.
    private static func bucket(of value: UInt64) -> Int {
        guard value >= 64 else { return Int(value) }
        let power = 63 - value.leadingZeroBitCount
        return (power - 5) * 32 + Int(value >> UInt64(power - 5))
    }

    /// Returns the largest value of a bucket.
    private static func upperEdge(of bucket: Int) -> Int64 {
        guard bucket >= 64 else { return Int64(bucket) }
        let power = bucket / 32 + 4
        return Int64(((UInt64(bucket % 32) + 33) << UInt64(power - 5)) - 1)
    }
}
