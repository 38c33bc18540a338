import Glibc

/// A clock that never goes back, from an arbitrary start.
public enum MonotonicClock {
    public static var nanoseconds: Int64 { read(CLOCK_MONOTONIC) }
    public static var milliseconds: Int64 { nanoseconds / 1_000_000 }

    public static func sleep(milliseconds: Int64) { sleep(nanoseconds: milliseconds * 1_000_000) }

    /// Sleeps; a signal ends it early.
    public static func sleep(nanoseconds: Int64) {
        var time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
        nanosleep(&time, nil)
    }
}

/// The time of day, as records carry it.
public enum WallClock {
    /// Milliseconds since 1970.
    public static var milliseconds: Int64 { read(CLOCK_REALTIME) / 1_000_000 }
}

/// Nanoseconds of one of the system's clocks. Nothing else in the package reads them.
private func read(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
