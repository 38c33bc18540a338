import ByteBuffers
import StorageIO
import Telemetry

/// Runs `body` and records how long it took, unless it fails.
func timed(_ histogram: Histogram, _ body: () throws(StorageError) -> Void) throws(StorageError) {
    let start = MonotonicClock.nanoseconds
    try body()
    histogram.observe(Int(MonotonicClock.nanoseconds - start))
}
