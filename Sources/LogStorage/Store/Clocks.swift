import Glibc
import StorageIO
import Telemetry

/// Nanoseconds of the monotonic clock: for durations.
func monotonicNanoseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Milliseconds of the wall clock, as records' timestamps count them.
func wallClockMs() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}

/// Runs `body` and records how long it took, unless it fails.
func timed(_ histogram: Histogram, _ body: () throws(StorageError) -> Void) throws(StorageError) {
    let start = monotonicNanoseconds()
    try body()
    histogram.observe(monotonicNanoseconds() - start)
}
