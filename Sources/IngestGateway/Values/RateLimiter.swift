import Synchronization

/// A token bucket in one atomic number (GCRA): `rate` requests a second, and `burst` at once. Shared by all loops.
///
/// The number is the theoretical arrival time: the moment at which the bucket will be full again. A request moves it one
/// interval on, and is refused when that would put it more than the burst ahead of now.
final class RateLimiter: Sendable {
    let rate: Int
    let burst: Int
    private let interval: Int64
    private let tolerance: Int64
    private let arrival = Atomic<Int64>(0)

    /// `nil` without a rate. `burst` 0: one second's worth.
    init?(rate: Int, burst: Int) {
        guard rate > 0 else { return nil }
        self.rate = rate
        self.burst = burst > 0 ? burst : rate
        interval = max(1, 1_000_000_000 / Int64(rate))
        tolerance = interval * Int64(self.burst)
    }

    /// Takes one request at `now` (monotonic nanoseconds). `nil`: it may pass; otherwise nanoseconds until one may.
    func take(now: Int64) -> Int64? {
        var current = arrival.load(ordering: .relaxed)
        while true {
            let next = max(current, now) + interval
            if next - now > tolerance { return next - now - tolerance }
            let (exchanged, original) = arrival.weakCompareExchange(
                expected: current, desired: next, ordering: .relaxed)
            if exchanged { return nil }
            current = original
        }
    }

    /// Requests that would pass now.
    func remaining(now: Int64) -> Int {
        let ahead = max(0, arrival.load(ordering: .relaxed) - now)
        return max(0, Int((tolerance - ahead) / interval))
    }
}
