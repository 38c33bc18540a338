import ByteBuffers
import Telemetry

/// One thread that runs blocking pieces of work in the order they come. Limit: `maxQueued`; beyond it `submit` refuses.
public final class WorkQueue: Sendable {
    static let maxQueued = 10_000

    private struct State {
        var jobs: [(queued: Int64, run: @Sendable () -> Void)] = []
        var stopping = false
        var thread: Thread?
    }

    private let name: String
    private let state = Lock(State())
    private let signal = Signal()

    public init(name: String) { self.name = name }

    /// Gives false, and forgets the job, when the queue is full or stopping. The first job starts the thread.
    @discardableResult
    public func submit(_ job: @escaping @Sendable () -> Void) -> Bool {
        let taken = state.withLock { state in
            guard !state.stopping, state.jobs.count < Self.maxQueued else { return false }
            state.jobs.append((queued: MonotonicClock.nanoseconds, run: job))
            if state.thread == nil { state.thread = Thread(name: name) { [self] in run() } }
            return true
        }
        if taken { signal.raise() }
        return taken
    }

    private func run() {
        while true {
            let (jobs, stopping) = state.withLock { state in
                defer { state.jobs = [] }
                return (state.jobs, state.stopping)
            }
            for job in jobs {
                StallTrace.note(.adminWait, from: job.queued, to: MonotonicClock.nanoseconds, count: jobs.count)
                StallTrace.timed(.admin) { job.run() }
            }
            if jobs.isEmpty {
                if stopping { return }
                signal.wait()
            }
        }
    }

    /// Runs what is queued, then ends the thread.
    public func stop() {
        let thread = state.withLock { state in
            state.stopping = true
            defer { state.thread = nil }
            return state.thread
        }
        signal.raise()
        thread?.join()
    }
}
