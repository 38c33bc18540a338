public import Synchronization

/// How often values of each size were seen, from any thread: two relaxed additions a value, no lock, fixed memory.
///
/// Buckets are log-linear: every power of two is cut into four, so a quantile read back is at most 25 % above the true
/// one. Values below `2^smallestPower` share the first bucket, values from `2^largestPower` on the last.
///
///     bucket 0            1 .. 4                 5 .. 8                       last
///     [0, 2^10)    [2^10, 2^11) in four   [2^11, 2^12) in four   ...   [2^35, infinity)
public final class Histogram: @unchecked Sendable {
    // SAFETY: `buckets` is set once and points at atomics only.
    @usableFromInline let buckets: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let sum = Atomic<UInt64>(0)
    /// What one unit of an observed value is in the unit of the page: 1e-9 for nanoseconds shown as seconds.
    public let scale: Double

    /// 2^10 = 1,024: a microsecond, when values are nanoseconds.
    @inlinable static var smallestPower: Int { 10 }
    /// 2^35: 34 seconds, when values are nanoseconds.
    @inlinable static var largestPower: Int { 35 }
    @inlinable static var bucketCount: Int { (largestPower - smallestPower) * 4 + 2 }

    public init(scale: Double = 1e-9) {
        self.scale = scale
        buckets = .allocate(capacity: Self.bucketCount)
        for index in 0..<Self.bucketCount { (buckets + index).initialize(to: Atomic(0)) }
    }

    deinit {
        buckets.deinitialize(count: Self.bucketCount)
        buckets.deallocate()
    }

    /// Counts one value: nanoseconds for a duration; a negative one counts as zero.
    @inlinable
    public func observe(_ value: Int) {
        let value = UInt64(max(value, 0))
        buckets[Self.bucket(of: value)].wrappingAdd(1, ordering: .relaxed)
        sum.wrappingAdd(value, ordering: .relaxed)
    }

    @inlinable
    static func bucket(of value: UInt64) -> Int {
        let power = 63 &- value.leadingZeroBitCount
        guard power >= smallestPower else { return 0 }
        // The two bits below the leading one choose the quarter.
        let quarter = Int(truncatingIfNeeded: value &>> UInt64(power &- 2)) & 3
        return min((power &- smallestPower) &* 4 &+ quarter &+ 1, bucketCount &- 1)
    }

    /// Returns the first value above bucket `index`; infinite for the last.
    static func upperBound(of index: Int) -> Double {
        if index == 0 { return Double(1 << smallestPower) }
        if index == bucketCount - 1 { return .infinity }
        let power = smallestPower + (index - 1) / 4
        return Double(1 << power) * (1 + Double((index - 1) % 4 + 1) / 4)
    }

    public var count: UInt64 { counts.reduce(0, +) }

    /// Sum of all values, in observed units.
    public var total: UInt64 { sum.load(ordering: .relaxed) }

    /// Returns the upper bound of the bucket that holds the given fraction (0...1) of the values, in observed units; 0
    /// when there are none. The last bucket answers with its lower bound.
    public func quantile(_ fraction: Double) -> Double { Self.quantile(fraction, of: counts) }

    /// Of each bucket.
    var counts: [UInt64] { (0..<Self.bucketCount).map { buckets[$0].load(ordering: .relaxed) } }

    static func quantile(_ fraction: Double, of counts: [UInt64]) -> Double {
        let all = counts.reduce(0, +)
        guard all > 0 else { return 0 }
        let wanted = max(1, UInt64((Double(all) * fraction).rounded(.up)))
        var seen: UInt64 = 0
        for (index, count) in counts.enumerated() {
            seen += count
            if seen >= wanted { return Self.upperBound(of: min(index, Self.bucketCount - 2)) }
        }
        return Self.upperBound(of: Self.bucketCount - 2)
    }

    /// Cumulative counts at every second power of two from 2^12 on, then in all: what the Prometheus page shows.
    func cumulative() -> (steps: [(upperBound: Double, count: UInt64)], count: UInt64) {
        var steps: [(upperBound: Double, count: UInt64)] = []
        var seen: UInt64 = 0
        for index in 0..<Self.bucketCount {
            seen += buckets[index].load(ordering: .relaxed)
            // Bucket 4k ends at 2^(smallestPower + k).
            if index > 0, index % 8 == 0, index < Self.bucketCount - 1 {
                steps.append((Self.upperBound(of: index) * scale, seen))
            }
        }
        return (steps, seen)
    }
}
