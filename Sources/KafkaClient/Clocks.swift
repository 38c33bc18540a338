internal import Glibc

enum MonotonicClock {
    /// Nanoseconds from an arbitrary start.
    static var now: Int64 { read(CLOCK_MONOTONIC) }

    fileprivate static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    static func sleep(milliseconds: Int64) {
        var time = timespec(tv_sec: Int(milliseconds / 1000), tv_nsec: Int(milliseconds % 1000) * 1_000_000)
        nanosleep(&time, nil)
    }
}

/// The time of day, as records carry it.
public enum WallClock {
    /// Milliseconds since 1970.
    public static var milliseconds: Int64 { MonotonicClock.read(CLOCK_REALTIME) / 1_000_000 }
}
