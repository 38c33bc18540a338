/// How messages have come and gone of late: what a queue's capacity is told from.
public struct LedgerFlow: Equatable, Sendable {
    /// Messages that the ledger was told of, and that were acknowledged, in the last `spanMs` milliseconds.
    public var arrived = 0
    public var acknowledged = 0
    /// 0: it was not observed for long enough.
    public var spanMs: Int64 = 0
    /// Of the last one to two minutes.
    public var work = WorkTimes()

    public init() {}
}

/// Observes one ledger. It looks when the ledger has a turn, and has no timer: an idle ledger costs nothing.
struct FlowMeter: Sendable {
    private struct Sample {
        var atMs: Int64
        var arrived: Int64
        var acknowledged: Int
    }

    /// Milliseconds between two samples at least.
    private static let sampleMs: Int64 = 5000
    /// Milliseconds that are told of.
    static let windowMs: Int64 = 60_000
    /// Milliseconds that have to be observed before anything is told.
    static let shortestMs: Int64 = 5000
    private static let maxSamples = Int(windowMs / sampleMs) + 1

    /// Oldest first.
    private var samples: ContiguousArray<Sample> = []
    /// Since the ledger was made.
    private(set) var allAcknowledged = 0
    private var work = WorkTimes()
    private var workBefore = WorkTimes()
    private var workSinceMs = Int64.min

    /// Notes where the ledger stands, before anything comes: `end` is the offset behind the last message that it was told of.
    mutating func look(_ nowMs: Int64, end: Int64) {
        if let last = samples.last {
            // A clock that was set back makes all of them worthless.
            if nowMs < last.atMs { samples.removeAll() } else if nowMs - last.atMs < Self.sampleMs { return }
        }
        if samples.count == Self.maxSamples { samples.removeFirst() }
        samples.append(Sample(atMs: nowMs, arrived: end, acknowledged: allAcknowledged))
    }

    mutating func acknowledged(_ count: Int) { allAcknowledged += count }

    mutating func worked(_ ms: Int64, _ nowMs: Int64) {
        if nowMs >= workSinceMs &+ Self.windowMs || nowMs < workSinceMs {
            let isNext = workSinceMs != .min && nowMs >= workSinceMs && nowMs < workSinceMs + 2 * Self.windowMs
            (workBefore, work, workSinceMs) = (isNext ? work : WorkTimes(), WorkTimes(), nowMs)
        }
        work.note(ms)
    }

    /// What was observed in the last minute; where nothing was, since the last look before it.
    func flow(_ nowMs: Int64, end: Int64) -> LedgerFlow {
        var flow = LedgerFlow()
        if workSinceMs != .min, nowMs >= workSinceMs {
            if nowMs < workSinceMs + Self.windowMs { flow.work = workBefore }
            if nowMs < workSinceMs + 2 * Self.windowMs { flow.work.add(work) }
        }
        let base = samples.first { nowMs - $0.atMs <= Self.windowMs } ?? samples.last
        guard let base, nowMs - base.atMs >= Self.shortestMs else { return flow }
        flow.spanMs = nowMs - base.atMs
        flow.arrived = Int(end - base.arrived)
        flow.acknowledged = allAcknowledged - base.acknowledged
        return flow
    }

    /// Gives the memory back for what is not told of any more.
    mutating func shrink(_ nowMs: Int64) {
        if let last = samples.last, nowMs - last.atMs > Self.windowMs { samples = [] }
        guard workSinceMs != .min, nowMs >= workSinceMs + 2 * Self.windowMs else { return }
        (work, workBefore, workSinceMs) = (WorkTimes(), WorkTimes(), .min)
    }

    var memoryBytes: Int {
        samples.capacity * MemoryLayout<Sample>.stride + work.memoryBytes + workBefore.memoryBytes
    }
}
