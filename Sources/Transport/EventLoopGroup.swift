public import ByteBuffers
internal import CSystem
internal import Glibc
internal import Synchronization

/// What all loops of a group share.
final class GroupShared: Sendable {
    let handles: [LoopHandle]
    let pool: ChunkPool
    let commitClock: CommitClock?
    let byteBudget: Int
    let counters = TransportCounters()

    init(handles: [LoopHandle], options: EventLoopGroup.Options) {
        self.handles = handles
        pool = options.pool
        commitClock = options.commitClock
        byteBudget = options.byteBudget
    }

    /// The loop with the fewest connections; among equals the next one after `index`, so that they take turns.
    func leastLoaded(startingAt index: Int) -> LoopHandle {
        var best = handles[index]
        var fewest = best.mailbox.connections.load(ordering: .relaxed)
        for handle in handles {
            let count = handle.mailbox.connections.load(ordering: .relaxed)
            if count < fewest { (best, fewest) = (handle, count) }
        }
        return best
    }
}

/// A number of event loops, each on its own thread, and the listeners that feed them.
public final class EventLoopGroup: Sendable {
    public struct Options: Sendable {
        /// Threads. limits.md: with the clients on the same two cores, one or two; more only with more cores.
        public var loops = 1
        /// Where gates look; without one `Connection.gate` is a bug.
        public var commitClock: CommitClock?
        /// Buffers of the loops and of the replies that the edges build. A pool of its own: what it has handed out is
        /// measured against `byteBudget`.
        public var pool = ChunkPool()
        /// Bytes of input, of requests that wait, and of unsent replies, above which the loops stop reading; they go on
        /// at three quarters of it.
        public var byteBudget = 256 << 20
        /// Runs on each loop's thread before anything else: sets `localState` and the hooks.
        public var setUp: @Sendable (EventLoop) -> Void = { _ in }

        public init() {}
    }

    private struct Running {
        var threads: [pthread_t] = []
        var listeners = 0
    }

    /// The loops, by index.
    public let loops: [LoopHandle]
    private let shared: GroupShared
    private let running: Lock<Running>

    public var counters: TransportCounters { shared.counters }
    public var pool: ChunkPool { shared.pool }

    /// Starts the threads; all loops run, and `setUp` has returned on each, when this returns.
    public init(_ options: Options = Options()) throws(TransportError) {
        precondition(options.loops > 0 && options.loops <= 1024, "\(options.loops) event loops")
        var handles: [LoopHandle] = []
        for index in 0..<options.loops { handles.append(LoopHandle(index: index, mailbox: try LoopMailbox())) }
        loops = handles
        shared = GroupShared(handles: handles, options: options)
        running = Lock(Running())
        for handle in handles {
            do throws(TransportError) {
                let thread = try LoopThread.start(handle: handle, shared: shared, setUp: options.setUp)
                running.withLock { $0.threads.append(thread) }
            } catch {
                stop(within: .zero)
                throw error
            }
            options.commitClock?.attach(handle)
        }
    }

    /// Listens on all addresses of `options.host`.
    public func listen(_ options: ListenerOptions) throws(TransportError) -> Listener {
        let bound = try BoundSockets.bind(options)
        let state = ListenerState(options)
        let number = running.withLock { running in
            defer { running.listeners += 1 }
            return running.listeners
        }
        let loop = loops[number % loops.count]
        for socket in bound.sockets {
            if !loop.submit({ $0.addAcceptor(fd: socket.fd, state: state) }) {
                bound.close()
                throw .stopped
            }
        }
        return Listener(addresses: bound.sockets.map(\.address), state: state, loop: loop)
    }

    /// Stops accepting, lets replies that are owed leave, closes what is left when the time is over, and joins the
    /// threads. Idempotent. Not from a loop's own thread.
    public func stop(within: Duration = .seconds(10)) {
        for loop in loops { loop.submit { $0.beginStop(within: within) } }
        let threads = running.withLock { running in
            defer { running.threads = [] }
            return running.threads
        }
        for thread in threads {
            precondition(pthread_equal(thread, pthread_self()) == 0, "a loop cannot stop its own group")
            pthread_join(thread, nil)
        }
    }
}

/// Starts a loop's thread and waits until it runs.
private enum LoopThread {
    /// What the new thread needs, and what it answers.
    final class Start: Sendable {
        let handle: LoopHandle
        let shared: GroupShared
        let setUp: @Sendable (EventLoop) -> Void
        let failure = Lock<TransportError?>(nil)
        let started = StartSignal()

        init(handle: LoopHandle, shared: GroupShared, setUp: @escaping @Sendable (EventLoop) -> Void) {
            self.handle = handle
            self.shared = shared
            self.setUp = setUp
        }
    }

    static func start(
        handle: LoopHandle, shared: GroupShared, setUp: @escaping @Sendable (EventLoop) -> Void
    ) throws(TransportError) -> pthread_t {
        let start = Start(handle: handle, shared: shared, setUp: setUp)
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(start)
        let error = pthread_create(
            &thread, nil,
            { argument in
                let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                LoopThread.main(start)
                return nil
            }, argument.toOpaque())
        if error != 0 {
            argument.release()
            throw .cannotStart(operation: "pthread_create", errno: error)
        }
        start.started.wait()
        if let failure = start.failure.withLock({ $0 }) {
            pthread_join(thread, nil)
            throw failure
        }
        return thread
    }

    private static func main(_ start: Start) {
        millrace_name_thread("loop-\(start.handle.index)")
        do throws(TransportError) {
            let loop = try EventLoop(handle: start.handle, shared: start.shared)
            start.setUp(loop)
            start.started.signal()
            loop.run()
        } catch {
            start.failure.withLock { $0 = error }
            start.started.signal()
        }
    }
}

/// A one-time signal between two threads.
private final class StartSignal: @unchecked Sendable {
    // SAFETY: a POSIX semaphore is made for use by several threads; it lives as long as this object.
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func signal() { sem_post(semaphore) }
    func wait() { while sem_wait(semaphore) != 0 {} }
}
