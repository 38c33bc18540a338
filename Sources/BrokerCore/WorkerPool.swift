import ByteBuffers
import Synchronization
import Telemetry

/// A few threads that run pieces of work which would hold an event loop for longer than about a millisecond: reads that
/// wait for a disk, decompression, requests and replies of many entries. Pieces begin in the order they come and end in
/// any; a piece must not wait for another one.
///
/// A caller parks what waits for it (a connection, or a stream of one), submits, and takes the result back by `LoopHandle.submit`.
///
/// Limit: `maxQueued`; beyond it `submit` refuses and the caller decides: it answers that it is busy, or closes.
public final class WorkerPool: Sendable {
    /// Pieces that wait for a thread. Each is a request's that is parked (a connection of HTTP/2 has a few at a time), or was: who has
    /// gone leaves his piece. Behind more than these a request would wait for the same few threads for longer than its timeout.
    public static let maxQueued = 10_000

    private struct State {
        var waiting = FIFO<(queued: Int64, run: @Sendable () -> Void)>()
        /// Workers that sleep, the one that fell asleep last at the end.
        var idle: [Int] = []
        var threads: [Thread] = []
        var isStopping = false

        mutating func take() -> (queued: Int64, run: @Sendable () -> Void)? {
            guard let job = waiting.first else { return nil }
            waiting.removeFirst()
            return job
        }
    }

    private let name: String
    private let state = Lock(State())
    /// As in `state`, for those who look often.
    private let stopping = Atomic(false)
    /// One for each worker.
    private let signals: [Signal]

    /// Makes a pool of at most `threads` workers; each is started when a piece comes and none is idle.
    public init(name: String, threads: Int) {
        precondition(threads > 0, "a pool of \(threads) threads")
        self.name = name
        signals = (0..<threads).map { _ in Signal() }
    }

    /// Threads at most.
    public var threadCount: Int { signals.count }

    /// Gives false, and forgets the job, when the queue is full or the pool is stopping.
    @discardableResult
    public func submit(_ job: @escaping @Sendable () -> Void) -> Bool {
        let (taken, sleeper) = state.withLock { state -> (Bool, Int?) in
            guard !state.isStopping, state.waiting.count < Self.maxQueued else { return (false, nil) }
            state.waiting.append((queued: MonotonicClock.nanoseconds, run: job))
            if let sleeper = state.idle.popLast() { return (true, sleeper) }
            if state.threads.count < signals.count {
                let worker = state.threads.count
                state.threads.append(Thread(name: "\(name)-\(worker)") { [self] in run(worker) })
            }
            return (true, nil)
        }
        if let sleeper { signals[sleeper].raise() }
        return taken
    }

    /// `stop` waits for what is queued. A piece that may take seconds looks at this now and then, and ends.
    public var isStopping: Bool { stopping.load(ordering: .relaxed) }

    private func run(_ worker: Int) {
        while true {
            let (job, isStopping) = state.withLock { state in
                let job = state.take()
                // Woken by whoever takes this entry out; under the same lock as the look at the queue, so that no piece
                // is left for a worker that sleeps.
                if job == nil, !state.isStopping { state.idle.append(worker) }
                return (job, state.isStopping)
            }
            if let job {
                StallTrace.note(.workerWait, from: job.queued, to: MonotonicClock.nanoseconds)
                StallTrace.timed(.worker) { job.run() }
            } else if isStopping {
                return
            } else {
                signals[worker].wait()
            }
        }
    }

    /// Runs what is queued, then ends the threads.
    public func stop() {
        stopping.store(true, ordering: .relaxed)
        let threads = state.withLock { state in
            state.isStopping = true
            state.idle = []
            defer { state.threads = [] }
            return state.threads
        }
        for signal in signals { signal.raise() }
        for thread in threads { thread.join() }
    }
}
