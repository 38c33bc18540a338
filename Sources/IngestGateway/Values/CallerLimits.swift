import ByteBuffers
import KafkaModel
import Security
import Synchronization

/// What each caller may ask for, over all routes: how many requests a second, and how many that are begun and not answered. A share for
/// each key, principal or, of whoever shows nothing, address. As few as are in use.
final class CallerLimits: Sendable {
    enum Caller: Hashable {
        /// An API key's identifier: two keys of one owner are two.
        case key(ExactString)
        case principal(Principal)
        case address(NetworkAddress)
    }

    /// Name them where the rates of routes stand, whose ids have no colon.
    static let policy = "caller"
    static let openPolicy = "caller-open"

    /// Requests a second, 0: any number.
    let rate: Int
    let burst: Int
    /// Requests that are begun and not answered, inclusive; 0: any number.
    let maxOpen: Int
    /// Whether each reply tells of the rate: not of the limit that is there by itself, which few ever meet and each reply would pay for.
    let isTold: Bool
    private let shares = Lock(BoundedTable<Caller, CallerShare>(maxCount: maxCallers))

    /// Callers remembered, some 200 bytes each. At the bound a newcomer takes the place of one whose bucket is full and who has nothing
    /// open, for whom that changes nothing, or, where none is found soon, of another: so many callers at once are not stopped by counting
    /// them.
    static let maxCallers = 65_536
    /// Nanoseconds for which a connection goes by the share that it has found: a look here takes a lock of all loops.
    static let keptFor: Int64 = 1_000_000_000

    /// nil: no limit.
    init?(rate: Int, burst: Int, maxOpen: Int) {
        guard rate > 0 || maxOpen > 0 else { return nil }
        self.rate = rate
        self.burst = burst > 0 ? burst : rate
        self.maxOpen = maxOpen
        isTold = rate > 0 && (rate != GatewayOptions.usualCallerRate || burst > 0)
    }

    /// What a caller has, at `now` in monotonic nanoseconds.
    func share(of caller: Caller, now: Int64) -> CallerShare {
        shares.withLock { shares in
            if let known = shares[caller] { return known }
            let made = CallerShare(limiter: RateLimiter(rate: rate, burst: burst))
            shares.set(made, for: caller) { $0.isIdle(now: now) }
            return made
        }
    }
}

/// What one caller uses, over all loops.
final class CallerShare: Sendable {
    /// nil: any number of requests a second.
    private let limiter: RateLimiter?
    private let count = Atomic<Int>(0)

    init(limiter: RateLimiter?) { self.limiter = limiter }

    /// Requests that are begun and not answered.
    var open: Int { count.load(ordering: .relaxed) }

    fileprivate func add(_ change: Int) { count.wrappingAdd(change, ordering: .relaxed) }

    /// Takes one request of those of a second; see `RateLimiter.take`.
    func take(now: Int64) -> Int64? { limiter?.take(now: now) ?? nil }

    /// Requests that would pass now; nil: any number.
    func remaining(now: Int64) -> Int? { limiter?.remaining(now: now) }

    /// Whether to forget it changes nothing.
    func isIdle(now: Int64) -> Bool { open == 0 && limiter.map { $0.remaining(now: now) == $0.burst } ?? true }
}

/// A place among a caller's open requests, for as long as anybody has it: the request itself, and who works for it.
final class CallerPlace: Sendable {
    private let share: CallerShare

    init(_ share: CallerShare) {
        self.share = share
        share.add(1)
    }

    deinit { share.add(-1) }

    /// Requests that would pass now; nil: any number.
    func remaining(now: Int64) -> Int? { share.remaining(now: now) }
}
