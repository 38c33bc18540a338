import ByteBuffers

/// Pauses a queue whose messages go to the dead letters rather than end: where receivers fail at all that they get, the rest waits for better
/// receivers in the queue, and not among the dead letters.
///
/// ```
///   open ── of the last minute's, more than so many of a hundred were lost ──► paused for a minute ──► open, counting anew
/// ```
/// Paused, a queue gives out nothing: receives find it empty, and are served when the pause is over. What was received before is settled as
/// ever. It is in memory alone: a restart begins open. Times are of the clock that nobody sets, in milliseconds.
final class QueueBreaker: Sendable {
    static let windowMs: Int64 = 60_000
    static let pauseMs: Int64 = 60_000
    /// Messages that have to be lost within the window: fewer are no sign.
    static let leastLost = 10
    private static let partMs = windowMs / 6

    /// Messages of a part of the window.
    private struct Part {
        var startMs: Int64
        var acknowledged = 0
        var lost = 0
    }

    private struct State {
        var parts: [Part] = []
        var pausedUntilMs = Int64.min
    }

    private let state = Lock(State())

    /// Counts messages that were acknowledged, and messages that had their last delivery or were rejected. Returns how many there were in the last
    /// minute where that begins a pause.
    ///
    /// - Parameter percent: of all of them, more than so many are to be lost for that.
    func note(acknowledged: Int, lost: Int, percent: Int, _ nowMs: Int64) -> (lost: Int, all: Int)? {
        state.withLock { state in
            // What was received before a pause says nothing of what comes behind it.
            if nowMs < state.pausedUntilMs { return nil }
            state.parts.removeAll { $0.startMs <= nowMs - Self.windowMs }
            if state.parts.last.map({ nowMs - $0.startMs >= Self.partMs }) ?? true {
                state.parts.append(Part(startMs: nowMs))
            }
            state.parts[state.parts.count - 1].acknowledged += acknowledged
            state.parts[state.parts.count - 1].lost += lost
            let allLost = state.parts.reduce(0) { $0 + $1.lost }
            let all = state.parts.reduce(allLost) { $0 + $1.acknowledged }
            guard lost > 0, allLost >= Self.leastLost, allLost * 100 > all * percent else { return nil }
            state = State(pausedUntilMs: nowMs + Self.pauseMs)
            return (allLost, all)
        }
    }

    /// Milliseconds that the pause lasts from now on; 0: there is none.
    func pauseMs(_ nowMs: Int64) -> Int64 { state.withLock { $0.pausedUntilMs > nowMs ? $0.pausedUntilMs - nowMs : 0 } }

    /// Ends the pause, and counts anew.
    func reset() { state.withLock { $0 = State() } }
}
