import ByteBuffers
import StorageIO
import Telemetry

/// Runs `body` and records how long it took, unless it fails.
func timed(
    _ histogram: Histogram, _ stage: Stall.Stage, bytes: Int = 0, count: Int = 0,
    _ body: () throws(StorageError) -> Void
) throws(StorageError) {
    let start = MonotonicClock.nanoseconds
    try body()
    let end = MonotonicClock.nanoseconds
    histogram.observe(Int(end - start))
    StallTrace.note(stage, from: start, to: end, bytes: bytes, count: count)
}
