import ByteBuffers
public import Coordinators

/// The clocks that the broker reads; state machines below are told the time.
public enum BrokerClock {
    /// Milliseconds since 1970.
    public static func wallMs() -> Int64 { WallClock.milliseconds }
    /// Milliseconds of a clock that never goes back.
    public static func monotonicMs() -> Int64 { MonotonicClock.nanoseconds / 1_000_000 }
    public static func now() -> CoordinatorTime {
        CoordinatorTime(monotonicMs: monotonicMs(), wallClockMs: wallMs())
    }
}
