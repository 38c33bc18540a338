import ByteBuffers

/// The threads of a store: one commits, one maintains, one compacts, one looks after the hot window. A store that is tested has none: the test makes their
/// calls itself.
///
/// Partitions refer to their store without keeping it, and the threads work on partitions. So a store whose threads run is kept
/// here, whoever else lets go of it: one that was started lives until it is stopped.
///
/// `state` protects itself by its lock, which is not held while a thread is waited for.
final class StoreThreads: Sendable {
    private struct State {
        var isStarted = false
        var isStopping = false
        var threads: [Thread] = []
        /// What the threads work on. Nil before and after.
        var store: LogStore?
    }

    private let state = Lock(State())

    /// Asked by each thread when it has nothing to do, and by long work in between.
    var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Starts a thread for each of these, which work on `store`. Once.
    func start(for store: LogStore, _ bodies: [(name: String, body: @Sendable () -> Void)]) {
        state.withLock { state in
            precondition(!state.isStarted, "started twice")
            state.isStarted = true
            state.store = store
            state.threads = bodies.map { Thread(name: $0.name, $0.body) }
        }
    }

    /// Asks all threads to end, wakes them, and waits until they have.
    func stop(_ wake: () -> Void) {
        let ended = state.withLock { state in
            state.isStopping = true
            defer { state.threads = [] }
            return state.threads
        }
        wake()
        for thread in ended { thread.join() }
        // The caller has the last reference now, not this lock.
        let store = state.withLock { $0.store.take() }
        withExtendedLifetime(store) {}
    }
}
