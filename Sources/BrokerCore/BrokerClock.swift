public import Coordinators
import Glibc

/// The clocks that the broker reads; state machines below are told the time.
public enum BrokerClock {
    /// Milliseconds since 1970.
    public static func wallMs() -> Int64 { milliseconds(CLOCK_REALTIME) }
    /// Milliseconds of a clock that never goes back.
    public static func monotonicMs() -> Int64 { milliseconds(CLOCK_MONOTONIC) }
    public static func now() -> CoordinatorTime {
        CoordinatorTime(monotonicMs: monotonicMs(), wallClockMs: wallMs())
    }

    private static func milliseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}
