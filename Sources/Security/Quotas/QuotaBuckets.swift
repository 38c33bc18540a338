import KafkaModel

/// What was counted under each limit lately, in as many windows as are in use and no more: whoever may choose a client id
/// may make one up for each connection.
public struct QuotaBuckets: Sendable {
    /// About 550 bytes and the names each, 11 MB without them. At the bound the idle ones are forgotten; whoever is new then
    /// is counted in his user's own bucket if there is one, else in one with all others who came too late.
    public static let maxBuckets = 20_000
    /// Whose client id is longer is counted as one who came too late: the ids are the peers' to choose.
    public static let maxClientBytes = 256
    /// Kafka forgets its sensors after an hour.
    public static let idleEnd = Duration.seconds(3_600)
    /// How often all are looked at, for a full table would else be walked for each new one.
    static let walkInterval = Duration.seconds(60)

    private struct Entry {
        var window = QuotaWindow()
        var lastUse: MonotonicTime
    }

    private var entries: [QuotaTable.Bucket: Entry] = [:]
    private var nextWalk = MonotonicTime(milliseconds: .min)
    private static let everybody = QuotaTable.Bucket(user: nil, client: nil)

    public init() {}

    public var count: Int { entries.count }

    /// Counts, and says how long the client has to wait; nil under the limit. Both come from ``QuotaTable``.
    public mutating func record(
        _ value: Double, in bucket: QuotaTable.Bucket, limit: Double, now: MonotonicTime,
        most: Duration = QuotaWindow.maxThrottle
    ) -> Duration? {
        let place = place(for: bucket, now: now)
        entries[place, default: Entry(lastUse: now)].lastUse = now
        entries[place]!.window.record(value, now: now)
        return entries[place]!.window.throttle(limit: limit, now: now, most: most)
    }

    private mutating func place(for bucket: QuotaTable.Bucket, now: MonotonicTime) -> QuotaTable.Bucket {
        let ofUser = QuotaTable.Bucket(user: bucket.user, client: nil)
        let shared = entries[ofUser] != nil ? ofUser : Self.everybody
        if bucket.client.map({ $0.text.utf8.count > Self.maxClientBytes }) == true { return shared }
        if entries[bucket] != nil || entries.count < Self.maxBuckets { return bucket }
        if now >= nextWalk {
            nextWalk = now + Self.walkInterval
            entries = entries.filter { now - $0.value.lastUse < Self.idleEnd }
            if entries.count < Self.maxBuckets { return bucket }
        }
        return shared
    }
}
