import ByteBuffers

/// The threads of a store: one commits, one maintains, one compacts. A store that is tested has none: the test makes their
/// calls itself.
///
/// `state` protects itself by its lock, which is not held while a thread is waited for.
final class StoreThreads: Sendable {
    private struct State {
        var isStarted = false
        var isStopping = false
        var threads: [Thread] = []
    }

    private let state = Lock(State())

    /// Asked by each thread when it has nothing to do, and by long work in between.
    var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Starts a thread for each of these. Once.
    func start(_ bodies: [(name: String, body: @Sendable () -> Void)]) {
        state.withLock { state in
            precondition(!state.isStarted, "started twice")
            state.isStarted = true
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
    }
}
