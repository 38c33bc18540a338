public import ByteBuffers
internal import CSystem
internal import Synchronization

/// All that other threads see of an event loop: a mailbox for rare jobs, and a wake for commits.
public struct LoopHandle: CommitListener, Sendable {
    /// Index of the loop in its group.
    public let index: Int
    let mailbox: LoopMailbox
    let seat: LoopSeat

    init(index: Int, mailbox: LoopMailbox) {
        self.index = index
        self.mailbox = mailbox
        seat = LoopSeat(index: index)
    }

    /// The calling thread is on this loop, and may touch what belongs to it. False within the loop's `turnWork`.
    public var isOwnThread: Bool { seat.isOwnThread }

    /// Runs `job` on the loop's thread, in its next turn; jobs of one thread run in the order of their submission.
    /// About 5 µs when the loop sleeps, so for rare things, never per request.
    ///
    /// Answers false, and drops the job, when the loop has ended.
    @discardableResult
    public func submit(_ job: @escaping @Sendable (EventLoop) -> Void) -> Bool { mailbox.submit(job) }

    /// Lets the loop look at the commit clock. At most one eventfd write, and none while the loop runs anyway.
    public func wakeForCommit() { mailbox.notify() }
}

/// The shared side of a loop: its three-state flag, its eventfd, and the jobs.
///
/// ```
///             notify: exchange(notified)                 nobody writes the eventfd
///   running ────────────────────────────► notified ◄──┐  (the loop looks before it sleeps)
///      │ ▲            turn: exchange(running)  │      │
///      │ └─────────────────────────────────────┘      │
///      └──► asleep ── notify: exchange(notified), eventfd write
///   before sleeping: compareExchange(running → asleep); if it fails, the loop does not sleep
/// ```
/// A notifier changes the shared state (a job, the clock) first and exchanges the flag then; the loop exchanges the
/// flag first and reads the shared state then. All are sequentially consistent, so the loop that consumes a notice
/// sees what it was about, and one that does not consume it will not sleep: no wake is lost.
final class LoopMailbox: Sendable {
    static let running: UInt8 = 0
    static let notified: UInt8 = 1
    static let asleep: UInt8 = 2

    let eventfd: Int32
    /// Connections that the loop has or is about to get.
    let connections = Atomic<Int>(0)
    /// The loop has more handshakes than it should, and all wait for it; cleared by the acceptor that waits because of it.
    let isBusyOpening = Atomic<Bool>(false)
    private let state = Atomic<UInt8>(running)
    private let jobs = Lock<Jobs>(Jobs())

    private struct Jobs {
        var queue: [@Sendable (EventLoop) -> Void] = []
        var isClosed = false
    }

    init() throws(TransportError) {
        eventfd = millrace_eventfd_create()
        if eventfd < 0 { throw .cannotStart(operation: "eventfd", errno: -eventfd) }
    }

    /// Closes the descriptor only with the last handle: a notifier may still write to it after the loop has ended.
    deinit { millrace_close(eventfd) }

    func submit(_ job: @escaping @Sendable (EventLoop) -> Void) -> Bool {
        let accepted = jobs.withLock { jobs in
            if jobs.isClosed { return false }
            jobs.queue.append(job)
            return true
        }
        if accepted { notify() }
        return accepted
    }

    func notify() {
        let before = state.exchange(Self.notified, ordering: .sequentiallyConsistent)
        if before == Self.asleep { _ = millrace_eventfd_signal(eventfd) }
    }

    /// Marks the loop as asleep; false when there is a notice, which must be looked at first.
    func prepareToSleep() -> Bool {
        state.compareExchange(
            expected: Self.running, desired: Self.asleep, ordering: .sequentiallyConsistent
        ).exchanged
    }

    /// Marks the loop as running; true when there was a notice, and the shared state is to be read now.
    func consumeNotice() -> Bool {
        state.exchange(Self.running, ordering: .sequentiallyConsistent) == Self.notified
    }

    func takeJobs() -> [@Sendable (EventLoop) -> Void] {
        jobs.withLock { jobs in
            if jobs.queue.isEmpty { return [] }
            defer { jobs.queue = [] }
            return jobs.queue
        }
    }

    /// Accepts no more jobs, and returns those that were not run.
    func close() -> [@Sendable (EventLoop) -> Void] {
        jobs.withLock { jobs in
            jobs.isClosed = true
            defer { jobs.queue = [] }
            return jobs.queue
        }
    }
}
