/// How long receivers have worked on messages before they acknowledged them, in milliseconds: their number by length.
///
/// Lengths share a bucket when their first three binary digits are the same, so what is told of one is too long by a quarter at most.
public struct WorkTimes: Equatable, Sendable {
    public private(set) var count = 0
    public private(set) var totalMs: Int64 = 0
    /// As many as the longest one needs: a hundred of twelve hours.
    private var buckets: ContiguousArray<UInt32> = []

    public init() {}

    /// Counts a message that took so long; one from before a clock was set back took no time.
    public mutating func note(_ ms: Int64) {
        let ms = min(max(0, ms), LedgerSettings.maxVisibilityMs)
        let bucket = Self.bucket(of: ms)
        if bucket >= buckets.count {
            buckets.append(contentsOf: repeatElement(0, count: bucket + 1 - buckets.count))
        }
        buckets[bucket] = buckets[bucket] == .max ? .max : buckets[bucket] + 1
        count += 1
        totalMs += ms
    }

    public mutating func add(_ other: WorkTimes) {
        count += other.count
        totalMs += other.totalMs
        if other.buckets.count > buckets.count {
            buckets.append(contentsOf: repeatElement(0, count: other.buckets.count - buckets.count))
        }
        for (index, more) in other.buckets.enumerated() {
            let (sum, isMore) = buckets[index].addingReportingOverflow(more)
            buckets[index] = isMore ? .max : sum
        }
    }

    /// Nil: nothing was acknowledged.
    public var meanMs: Double? { count == 0 ? nil : Double(totalMs) / Double(count) }

    /// The time within which so many hundredths of the messages were done; nil: there were none.
    public func percentileMs(_ percent: Int) -> Int64? {
        let all = buckets.reduce(0) { $0 + Int($1) }
        guard all > 0 else { return nil }
        // That many at least, rounded up.
        var left = (all * percent + 99) / 100
        for (bucket, number) in buckets.enumerated() {
            left -= Int(number)
            if left <= 0 { return Self.longest(in: bucket) }
        }
        return Self.longest(in: buckets.count - 1)
    }

    var memoryBytes: Int { buckets.capacity * MemoryLayout<UInt32>.stride }

    static func bucket(of ms: Int64) -> Int {
        if ms < 4 { return Int(ms) }
        let width = Int64.bitWidth - 1 - ms.leadingZeroBitCount
        return (width - 1) * 4 + Int(ms >> Int64(width - 2) & 3)
    }

    static func longest(in bucket: Int) -> Int64 {
        bucket < 4 ? Int64(bucket) : Int64(bucket % 4 + 5) << Int64(bucket / 4 - 1) - 1
    }
}
