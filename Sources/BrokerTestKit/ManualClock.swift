import ByteBuffers

/// Time that moves only when a test moves it. Any thread may read it.
public final class ManualClock: Sendable {
    private struct State {
        var nanoseconds: UInt64
        var wallClockMs: Int64
        /// What `advance` left over below a millisecond of wall-clock time.
        var remainder: UInt64 = 0
    }

    private let state: Lock<State>

    /// `wallClockMs` is milliseconds since 1970; the monotonic time starts at `nanoseconds`.
    public init(nanoseconds: UInt64 = 1_000_000_000, wallClockMs: Int64 = 1_700_000_000_000) {
        state = Lock(State(nanoseconds: nanoseconds, wallClockMs: wallClockMs))
    }

    /// Monotonic nanoseconds.
    public var nanoseconds: UInt64 { state.withLock { $0.nanoseconds } }
    /// Milliseconds since 1970.
    public var wallClockMs: Int64 { state.withLock { $0.wallClockMs } }

    /// Moves both times forward.
    public func advance(by duration: Duration) {
        let (seconds, attoseconds) = duration.components
        precondition(seconds >= 0 && attoseconds >= 0, "time does not run backwards: \(duration)")
        let step = UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
        state.withLock { state in
            state.nanoseconds += step
            let whole = state.remainder + step
            state.wallClockMs += Int64(whole / 1_000_000)
            state.remainder = whole % 1_000_000
        }
    }

    /// Sets the wall clock alone, backwards too, as an administrator or NTP may.
    public func setWallClock(ms: Int64) { state.withLock { $0.wallClockMs = ms } }
}
