import Synchronization

/// Tells whether bytes come faster than a pace: a leaky bucket, kept as the time at which all of it would have come.
struct Pace: ~Copyable {
    let bytesPerSecond: Int
    /// Nanoseconds that what comes may be ahead.
    let maxAheadNs: Int
    /// When what was taken so far would have come at the pace, in nanoseconds of the monotonic clock.
    private let dueNs = Atomic<Int>(0)

    init(bytesPerSecond: Int, maxAheadNs: Int) {
        self.bytesPerSecond = bytesPerSecond
        self.maxAheadNs = maxAheadNs
    }

    /// Takes bytes that come at `now`. False, and they are not counted: they are too far ahead of the pace.
    func take(_ bytes: Int, at now: Int) -> Bool {
        let length = Int(Double(bytes) * 1e9 / Double(bytesPerSecond))
        var before = dueNs.load(ordering: .relaxed)
        while true {
            let due = max(before, now) + length
            guard due - now <= maxAheadNs else { return false }
            let outcome = dueNs.compareExchange(expected: before, desired: due, ordering: .relaxed)
            if outcome.exchanged { return true }
            before = outcome.original
        }
    }
}
