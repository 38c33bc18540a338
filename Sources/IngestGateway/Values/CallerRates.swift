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
    private let buckets = Lock<[Caller: TokenBucket]>([:])

    /// Callers remembered, some 100 bytes each. At the bound those whose buckets are full are forgotten, which changes nothing for
    /// them; if none is, all are: so many callers at once are not stopped by counting them.
    static let maxCallers = 65_536

    /// nil: no limit.
    init?(rate: Int, burst: Int) {
        guard rate > 0 else { return nil }
        self.rate = rate
        self.burst = burst > 0 ? burst : rate
    }

    /// Takes one request. `wait`: how long until one may pass; nil: it does. `remaining`: those that would pass now.
    func take(_ caller: Caller, now: MonotonicTime) -> (wait: Duration?, remaining: Int) {
        buckets.withLock { buckets in
            if buckets[caller] == nil, buckets.count >= Self.maxCallers { forget(&buckets, now) }
            guard
                var bucket = buckets[caller]
                    ?? TokenBucket(perSecond: Double(rate), burst: Double(burst), now: now)
            else { preconditionFailure("a rate of \(rate) is none") }
            let wait = bucket.take(1, now: now)
            buckets[caller] = bucket
            return (wait, max(0, Int(bucket.available(now: now))))
        }
    }

    private func forget(_ buckets: inout [Caller: TokenBucket], _ now: MonotonicTime) {
        buckets = buckets.filter { $0.value.available(now: now) < Double(burst) }
        if buckets.count >= Self.maxCallers { buckets.removeAll() }
    }
}
