import ByteBuffers
import KafkaClient

/// A broker that goes away while records are read: how long it is waited for, and what is said meanwhile.
struct Patience {
    /// From one attempt to the next; doubles up to the longest.
    private static let firstPauseMs: Int64 = 100
    private static let longestPauseMs: Int64 = 5_000

    private let console: Console
    /// `nil`: for ever.
    private let limitMs: Int64?
    private var lostAt: Int64?
    private var pauseMs = Self.firstPauseMs

    init(limitMs: Int64?, _ console: Console) {
        self.limitMs = limitMs
        self.console = console
    }

    /// All is well again, or still.
    mutating func regained() {
        guard lostAt != nil else { return }
        lostAt = nil
        pauseMs = Self.firstPauseMs
        console.complain("millrace: the broker is back")
    }

    /// Says once that it is lost, and pauses; throws `error` when waiting does not help, or has taken too long.
    mutating func lost(_ error: ClientError) throws(ClientError) {
        switch error {
        case .unreachable, .timedOut: break
        default: if !error.isTransient { throw error }
        }
        let now = MonotonicClock.milliseconds
        if let limitMs, now - (lostAt ?? now) >= limitMs { throw error }
        if lostAt == nil { console.complain("millrace: \(error); trying again") }
        lostAt = lostAt ?? now
        var left = pauseMs
        pauseMs = min(pauseMs * 2, Self.longestPauseMs)
        while left > 0, !console.interruption.wasRequested {
            // In slices, should a signal come just before one began.
            MonotonicClock.sleep(milliseconds: min(left, 250))
            left -= 250
        }
    }
}
