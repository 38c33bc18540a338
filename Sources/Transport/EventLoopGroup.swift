public import ByteBuffers
internal import CSystem
internal import Synchronization

/// What all loops of a group share.
final class GroupShared: Sendable {
    let handles: [LoopHandle]
    let pool: ChunkPool
    let commitClock: CommitClock?
    let byteBudget: Int
    /// Nanoseconds.
    let budgetTurnLimit: Int64
    /// What the partial frames hold whose turn it is; see EventLoop+Budget.swift.
    let turnBytes = Atomic<Int>(0)
    let counters: TransportCounters
    let relief: LoopRelief

    init(handles: [LoopHandle], options: EventLoopGroup.Options) {
        self.handles = handles
        counters = TransportCounters()
        relief = LoopRelief(seats: handles.map(\.seat), counters: counters)
        pool = options.pool
        commitClock = options.commitClock
        byteBudget = options.byteBudget
        budgetTurnLimit = options.budgetTurnLimit.nanoseconds
    }

    /// Returns the loop with the fewest connections; among equals the next one after `index`, so that they take turns.
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

/// A number of event loops, each on its own thread, one thread more that relieves one of them, and the listeners that feed
/// them.
public final class EventLoopGroup: Sendable {
    public struct Options: Sendable {
        /// Threads. One or two where clients run on the same two cores; more only with more cores.
        public var loops = 1
        /// Where gates look; without one `Connection.gate` is a bug.
        public var commitClock: CommitClock?
        /// Buffers of the loops and of the replies that the edges build. All that it has handed out counts against
        /// `byteBudget`, whoever has it; so who else takes from it is held against the budget, and should be those alone to
        /// whom input is handed on.
        public var pool = ChunkPool()
        /// Bytes that may be handed out of `pool`: input, requests that wait, unsent replies, and input that was handed on and is
        /// kept. A connection that holds more than is free of it is not read; see EventLoop+Budget.swift.
        public var byteBudget = 104 << 20
        /// Time for the one partial frame of a loop that may go on above the budget when the next one waits; then its
        /// connection is closed.
        public var budgetTurnLimit: Duration = .seconds(5)
        /// Runs on each loop's thread before anything else: sets `localState` and the hooks.
        public var setUp: @Sendable (EventLoop) -> Void = { _ in }

        public init() {}
    }

    private struct Running {
        var threads: [Thread] = []
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
            if let failure = start(handle, options.setUp) {
                stop(within: .zero)
                throw failure
            }
            options.commitClock?.attach(handle)
        }
        running.withLock { running in
            running.threads.append(Thread(name: "loop-relief") { [shared] in Self.relieve(shared) })
        }
    }

    /// Starts a loop's thread and waits until it is set up.
    private func start(_ handle: LoopHandle, _ setUp: @escaping @Sendable (EventLoop) -> Void) -> TransportError? {
        let shared = shared
        let failure = Lock<TransportError?>(nil)
        let started = Signal()
        let thread = Thread(name: "loop-\(handle.index)") {
            do throws(TransportError) {
                let loop = try EventLoop(handle: handle, shared: shared)
                handle.seat.sit(loop)
                setUp(loop)
                started.raise()
                millrace_thread_block_sigpipe()
                if loop.run() {
                    Self.end(handle.seat, shared)
                } else {
                    Self.relieve(shared)
                }
            } catch {
                shared.relief.loopEnded()
                failure.withLock { $0 = error }
                started.raise()
            }
        }
        started.wait()
        running.withLock { $0.threads.append(thread) }
        return failure.withLock { $0 }
    }

    /// Runs a thread that is on no loop: it waits for one to go on with, until all have ended.
    private static func relieve(_ shared: GroupShared) {
        millrace_thread_block_sigpipe()
        while let (seat, loop) = shared.relief.next() {
            millrace_thread_set_name("loop-\(seat.index)")
            if loop.takeOver() { return end(seat, shared) }
        }
    }

    private static func end(_ seat: LoopSeat, _ shared: GroupShared) {
        seat.vacate()
        shared.relief.loopEnded()
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
        for thread in threads { thread.join() }
    }
}
