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
    /// Of a meter that is used without being asked for here.
    private let lastUse: @Sendable (Meter) -> MonotonicTime?
    private var entries: [Key: Entry] = [:]
    private var nextWalk = MonotonicTime(milliseconds: .min)
    /// How often some were forgotten: whoever holds a meter has to ask for it again then.
    private(set) var forgets = 0

    init(maxCount: Int, lastUse: @escaping @Sendable (Meter) -> MonotonicTime? = { _ in nil }) {
        (self.maxCount, self.lastUse) = (maxCount, lastUse)
    }

    var count: Int { entries.count }

    func has(_ key: Key) -> Bool { entries[key] != nil }

    /// Whether `key` is there or may come. Forgets those that are idle, now and then, before it says no.
    mutating func hasRoom(for key: Key, now: MonotonicTime) -> Bool {
        if entries[key] != nil { return true }
        if now >= nextWalk {
            nextWalk = now + Self.walkInterval
            let count = entries.count
            entries = entries.filter { now - (lastUse($0.value.meter) ?? $0.value.lastUse) < Self.idleEnd }
            if entries.count < count { forgets += 1 }
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
