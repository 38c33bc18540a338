import ByteBuffers
import Synchronization

/// A few threads that write to several files at once for the committing thread: one write at a time leaves the disk idle
/// between two of them.
///
/// Only one thread at a time may call `run`: the one that makes a commit. Between two runs the pool's threads sleep and cost
/// nothing. `work` is behind a lock because a thread may look for it after the run that woke it is over.
final class WriterPool: Sendable {
    static let threadCount = 3

    /// One `run`: its pieces are taken in order, by whoever is free.
    private final class Work: Sendable {
        let count: Int
        let body: @Sendable (Int) -> Void
        let next = Atomic<Int>(0)
        let remaining: Atomic<Int>
        let done = Signal()

        init(count: Int, body: @escaping @Sendable (Int) -> Void) {
            self.count = count
            self.body = body
            remaining = Atomic(count)
        }

        func help() {
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                if index >= count { return }
                body(index)
                if remaining.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { done.raise() }
            }
        }
    }

    private let work = Lock<Work?>(nil)
    private let isStopping = Atomic<Bool>(false)
    private let signals: [Signal]
    private let threads: Lock<[Thread]>

    init() {
        let signals = (0..<Self.threadCount).map { _ in Signal() }
        self.signals = signals
        threads = Lock([])
        let started = signals.indices.map { index in
            Thread(name: "writer-\(index)") { [self] in help(wokenBy: signals[index]) }
        }
        threads.withLock { $0 = started }
    }

    private func help(wokenBy signal: Signal) {
        while true {
            signal.wait()
            if isStopping.load(ordering: .acquiring) { return }
            work.withLock { $0 }?.help()
        }
    }

    /// Calls `body` with 0 ..< `count`, on several threads, this one included; returns when all calls have.
    func run(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
        let current = Work(count: count, body: body)
        work.withLock { $0 = current }
        for signal in signals.prefix(count - 1) { signal.raise() }
        current.help()
        while current.remaining.load(ordering: .acquiring) > 0 { current.done.wait() }
        work.withLock { $0 = nil }
    }

    /// Ends the threads. No `run` follows.
    func stop() {
        isStopping.store(true, ordering: .releasing)
        for signal in signals { signal.raise() }
        let ended = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        for thread in ended { thread.join() }
    }
}
