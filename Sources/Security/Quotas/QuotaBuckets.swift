import ByteBuffers
import KafkaModel
import Synchronization

/// The windows in which a kind of quota is measured.
public struct QuotaWindows: Hashable, Sendable {
    /// `quota.window.num`, or `controller.quota.window.num`.
    public var count: Int
    /// `quota.window.size.seconds`, or `controller.quota.window.size.seconds`.
    public var length: Duration

    public init(count: Int = QuotaWindow.defaultCount, length: Duration = QuotaWindow.defaultLength) {
        precondition(count >= 1 && length >= .milliseconds(1), "\(count) windows of \(length) measure nothing")
        self.count = count
        self.length = length
    }

    /// What may be counted at once, by one who was idle, without his having to wait: Kafka cuts a fetch to it.
    public func most(at limit: Double) -> Double {
        limit * Double(max(count - 1, 1)) * Double(length.milliseconds) / 1_000
    }

    /// What a bucket of tokens holds (KIP-599).
    public func burst(at limit: Double) -> Double { limit * Double(count) * Double(length.milliseconds) / 1_000 }
}

/// What was counted under each limit lately, by all threads.
///
/// Whoever counts often keeps his ``QuotaPlace``: to find it takes some look-ups by names, to count there a lock of its own.
public final class QuotaBuckets: Sendable {
    /// About 650 bytes and the names each, 13 MB without them. At the bound the idle ones are forgotten; whoever is new then
    /// is counted in his user's own bucket if there is one, else in one with all others who came too late.
    public static let maxBuckets = 20_000
    /// Whose client id is longer is counted as one who came too late: the ids are the peers' to choose.
    public static let maxClientBytes = 256
    /// After which a bucket that nobody counts in is forgotten.
    public static let idleEnd = BoundedMeters<QuotaTable.Bucket, QuotaMeter>.idleEnd

    private let windows: QuotaWindows
    private let meters = Lock(BoundedMeters<QuotaTable.Bucket, QuotaMeter>(maxCount: maxBuckets) { $0.lastUse })
    /// `BoundedMeters.forgets`, without the lock.
    private let forgets = Atomic<Int>(0)

    public init(windows: QuotaWindows = QuotaWindows()) { self.windows = windows }

    public var count: Int { meters.withLock { $0.count } }

    /// Whether a place is still that of whom it was found for. Not before it was found, nor when idle ones were forgotten since.
    public func knows(_ place: QuotaPlace) -> Bool {
        place.meter != nil && place.forgets == forgets.load(ordering: .acquiring)
    }

    /// Where a bucket is counted: for itself, or with others where there are too many.
    public func place(for bucket: QuotaTable.Bucket, now: MonotonicTime) -> QuotaPlace {
        let place = meters.withLock { meters in
            let key = meters.place(for: bucket, now: now)
            let meter = meters.change(key, now: now, make: QuotaMeter(windows, now: now)) { $0 }
            return QuotaPlace(meter: meter, forgets: meters.forgets)
        }
        forgets.store(place.forgets, ordering: .releasing)
        return place
    }

    /// Counts, and says how long the client has to wait; nil under the limit. `place` was found here.
    public func record(
        _ value: Double, at place: QuotaPlace, limit: Double, now: MonotonicTime,
        most: Duration = QuotaWindow.maxThrottle
    ) -> Duration? {
        meter(of: place).use(now) { window in
            window.record(value, now: now)
            return window.throttle(limit: limit, now: now, most: most)
        }
    }

    /// Counts what is let in, which is all while the rate is not over the limit; else nothing, and says how long to wait. For who
    /// can refuse before anything is read.
    public func admit(_ value: Double, at place: QuotaPlace, limit: Double, now: MonotonicTime) -> Duration? {
        meter(of: place).use(now) { window in
            if let wait = window.throttle(limit: limit, now: now) { return wait }
            window.record(value, now: now)
            return nil
        }
    }

    /// Takes back what was recorded at the same time.
    public func takeBack(_ value: Double, at place: QuotaPlace, now: MonotonicTime) {
        meter(of: place).use(now) { $0.record(-value, now: now) }
    }

    private func meter(of place: QuotaPlace) -> QuotaMeter {
        guard let meter = place.meter else { preconditionFailure("a place that was not found") }
        return meter
    }
}

/// Where one client is counted, until ``QuotaBuckets/knows(_:)`` says no.
public struct QuotaPlace: Sendable {
    fileprivate var meter: QuotaMeter?
    fileprivate var forgets = 0

    /// Nowhere yet.
    public init() {}

    fileprivate init(meter: QuotaMeter, forgets: Int) { (self.meter, self.forgets) = (meter, forgets) }
}

/// One bucket.
final class QuotaMeter: Sendable {
    private let window: Lock<QuotaWindow>
    private let lastUseMs: Atomic<Int64>

    init(_ windows: QuotaWindows, now: MonotonicTime) {
        window = Lock(QuotaWindow(windows))
        lastUseMs = Atomic(now.milliseconds)
    }

    var lastUse: MonotonicTime { MonotonicTime(milliseconds: lastUseMs.load(ordering: .relaxed)) }

    func use<Result>(_ now: MonotonicTime, _ body: (inout QuotaWindow) -> Result) -> Result {
        lastUseMs.store(now.milliseconds, ordering: .relaxed)
        return window.withLock(body)
    }
}

/// The tokens that clients have for changes of the controller. Source: KIP-599.
public struct MutationBuckets: Sendable {
    private let windows: QuotaWindows
    private var meters = BoundedMeters<QuotaTable.Bucket, TokenBucket>(maxCount: QuotaBuckets.maxBuckets)

    public init(windows: QuotaWindows = QuotaWindows()) { self.windows = windows }

    public var count: Int { meters.count }

    /// Takes tokens, and says how long the client has to wait. A strict bucket that is in debt gives none; else they are taken
    /// whether they are there or not, and only one that is not strict makes the taker wait for it.
    public mutating func take(
        _ count: Double, in bucket: QuotaTable.Bucket, limit: Double, isStrict: Bool, now: MonotonicTime
    ) -> (isTaken: Bool, wait: Duration?) {
        let (place, burst) = (meters.place(for: bucket, now: now), windows.burst(at: limit))
        guard let fresh = TokenBucket(perSecond: limit, burst: burst, now: now) else { return (true, nil) }
        return meters.change(place, now: now, make: fresh) { tokens in
            // The limit may have changed since.
            tokens.set(perSecond: limit, burst: burst, now: now)
            if isStrict, let debt = tokens.debt(now: now) { return (false, debt) }
            tokens.debit(count, now: now)
            return (true, isStrict ? nil : tokens.debt(now: now))
        }
    }
}

extension BoundedMeters where Key == QuotaTable.Bucket {
    /// Where a bucket is counted: for itself, or with others where there are too many.
    fileprivate mutating func place(for bucket: QuotaTable.Bucket, now: MonotonicTime) -> QuotaTable.Bucket {
        let isLong = bucket.client.map { $0.text.utf8.count > QuotaBuckets.maxClientBytes } == true
        if !isLong, hasRoom(for: bucket, now: now) { return bucket }
        let ofUser = QuotaTable.Bucket(user: bucket.user, client: nil)
        return has(ofUser) ? ofUser : QuotaTable.Bucket(user: nil, client: nil)
    }
}
