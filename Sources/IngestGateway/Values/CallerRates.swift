import ByteBuffers
import KafkaModel
import Security

/// How many requests a second each caller may make, over all routes: a bucket for each key, principal or, of whoever shows nothing,
/// address. As few as are in use.
final class CallerRates: Sendable {
    enum Caller: Hashable {
        /// An API key's identifier: two keys of one owner are two.
        case key(ExactString)
        case principal(Principal)
        case address(NetworkAddress)
    }

    /// Names it where the rates of routes stand, whose ids have no colon.
    static let policy = "caller"

    let rate: Int
    let burst: Int
    /// Whether each reply tells of it: not of the limit that is there by itself, which few ever meet and each reply would pay for.
    let isTold: Bool
    private let limiters = Lock(BoundedTable<Caller, RateLimiter>(maxCount: maxCallers))

    /// Callers remembered, some 150 bytes each. At the bound a newcomer takes the place of one whose bucket is full, for whom that changes
    /// nothing, or, where none is found soon, of another: so many callers at once are not stopped by counting them.
    static let maxCallers = 65_536
    /// Nanoseconds for which a connection goes by the bucket that it has found: a look here takes a lock of all loops.
    static let keptFor: Int64 = 1_000_000_000

    /// nil: no limit.
    init?(rate: Int, burst: Int) {
        guard rate > 0 else { return nil }
        self.rate = rate
        self.burst = burst > 0 ? burst : rate
        isTold = rate != GatewayOptions.usualCallerRate || burst > 0
    }

    /// The bucket of a caller, at `now` in monotonic nanoseconds.
    func limiter(of caller: Caller, now: Int64) -> RateLimiter {
        limiters.withLock { limiters in
            if let known = limiters[caller] { return known }
            guard let made = RateLimiter(rate: rate, burst: burst) else { preconditionFailure("a rate of \(rate) is none") }
            limiters.set(made, for: caller) { $0.remaining(now: now) == $0.burst }
            return made
        }
    }
}
