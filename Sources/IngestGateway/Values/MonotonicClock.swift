import Glibc

/// For measuring how long something took.
enum MonotonicClock {
    /// Nanoseconds of a clock that never goes back; the loops' `now` is of the same one.
    static func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
