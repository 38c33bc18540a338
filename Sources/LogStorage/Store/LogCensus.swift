import ByteBuffers

/// All logs together, at one look.
struct LogTotals: Sendable {
    var partitions = 0
    var segments = 0
    var bytes: Int64 = 0
    var takenAtNanoseconds = Int.min
}

/// Counts segments and bytes of all logs for the metrics page, at most once a second. `totals` is behind its own lock, which
/// is not held while partitions are asked.
final class LogCensus: Sendable {
    private let registry: PartitionRegistry
    private let requests: MaintenanceRequests
    private let totals = Lock(LogTotals())

    /// Up to so many partitions are looked at when a page is made, in some 0.2 ms. More of them would hold up an event loop for
    /// milliseconds; the maintaining thread looks at them then, and the page shows what the one before it asked for.
    static let maxCountedAtOnce = 500
    /// For how long one look serves: several numbers of a page come from it.
    private static let ageNanoseconds = 1_000_000_000

    init(registry: PartitionRegistry, requests: MaintenanceRequests) {
        self.registry = registry
        self.requests = requests
    }

    /// The totals of a moment ago, or of the page before.
    var current: LogTotals {
        let known = totals.withLock { $0 }
        if known.takenAtNanoseconds > Int(MonotonicClock.nanoseconds) - Self.ageNanoseconds { return known }
        if registry.count <= Self.maxCountedAtOnce { return count() }
        if requests.add(.totals) { requests.wake() }
        return known
    }

    @discardableResult
    func count() -> LogTotals {
        var found = LogTotals(takenAtNanoseconds: Int(MonotonicClock.nanoseconds))
        for log in registry.all {
            found.partitions += 1
            log.state.withLock { state in
                found.segments += state.segments.count
                for segment in state.segments { found.bytes += segment.size }
            }
        }
        totals.withLock { $0 = found }
        return found
    }

    /// Lets the next page look anew, however soon it comes. For tests.
    func expire() { totals.withLock { $0.takenAtNanoseconds = .min } }
}
