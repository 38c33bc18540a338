/// What is measured of each of many, as many as are in use and no more: their names are the peers' to choose.
struct BoundedMeters<Key: Hashable & Sendable, Meter: Sendable>: Sendable {
    /// Kafka forgets its sensors after an hour.
    static var idleEnd: Duration { .seconds(3_600) }
    /// How often all are looked at, for a full table would else be walked for each new one.
    static var walkInterval: Duration { .seconds(60) }

    private struct Entry {
        var meter: Meter
        var lastUse: MonotonicTime
    }

    private let maxCount: Int
    private var entries: [Key: Entry] = [:]
    private var nextWalk = MonotonicTime(milliseconds: .min)

    init(maxCount: Int) { self.maxCount = maxCount }

    var count: Int { entries.count }

    func has(_ key: Key) -> Bool { entries[key] != nil }

    /// Whether `key` is there or may come. Forgets those that are idle, now and then, before it says no.
    mutating func hasRoom(for key: Key, now: MonotonicTime) -> Bool {
        if entries[key] != nil { return true }
        if now >= nextWalk {
            nextWalk = now + Self.walkInterval
            entries = entries.filter { now - $0.value.lastUse < Self.idleEnd }
        }
        return entries.count < maxCount
    }

    /// Changes the meter of `key`, which is made when there is none: for one that `hasRoom`, or for all that have none.
    mutating func change<Result>(
        _ key: Key, now: MonotonicTime, make: @autoclosure () -> Meter, _ body: (inout Meter) -> Result
    ) -> Result {
        entries[key, default: Entry(meter: make(), lastUse: now)].lastUse = now
        return body(&entries[key]!.meter)
    }
}
