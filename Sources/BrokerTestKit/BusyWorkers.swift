import ByteBuffers
import Synchronization

/// Keeps all threads of a pool busy until it is released: what an event loop does itself goes on, what is a worker's stands
/// still, so a test can tell who does what without a clock.
public final class BusyWorkers: Sendable {
    private let isReleased = Atomic<Bool>(false)
    private let busy = Atomic<Int>(0)
    private let moved = Signal()

    /// Returns when all `threads` are busy.
    public init(_ threads: Int, submit: (@escaping @Sendable () -> Void) -> Bool) {
        for _ in 0..<threads {
            precondition(submit { self.hold() }, "a worker pool takes no work")
        }
        while busy.load(ordering: .sequentiallyConsistent) < threads { moved.wait(timeoutMs: 1) }
    }

    private func hold() {
        busy.add(1, ordering: .sequentiallyConsistent)
        while !isReleased.load(ordering: .sequentiallyConsistent) { moved.wait(timeoutMs: 5) }
    }

    public func release() {
        isReleased.store(true, ordering: .sequentiallyConsistent)
        moved.raise()
    }
}
