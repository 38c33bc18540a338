public import ByteBuffers
internal import CSystem
internal import Glibc
internal import Telemetry

/// One thread's loop: epoll, the connections it owns, their timers and their buffers. Not Sendable: one thread at a time is
/// on it (`LoopSeat`); other threads hold its `handle`.
///
/// A turn, in this order:
/// 1. wait for readiness, the nearest timer, a job or a commit;
/// 2. run jobs; release the gates that a commit opened; `onCommit`;
/// 3. read and offer input, of ready sockets and of connections that were resumed; accept; fire timers;
/// 4. `onTickEnd`, then `turnWork`, where what the turn has collected is committed; if that takes long, the rest of the turn
///    and those that follow are another thread's;
/// 5. send, once for each connection that was written to; bury the closed ones.
public final class EventLoop {
    /// What other threads may hold.
    public let handle: LoopHandle
    /// Monotonic nanoseconds when this turn began.
    public internal(set) var now: Int64
    /// Storage for the edge's own state on this loop.
    public var localState: AnyObject?
    /// Called after a commit (or a failed one), when the gates it opened have been released: for parked requests.
    public var onCommit: ((EventLoop) -> Void)?
    /// Called once a turn, when all that was ready has been handled and before anything is sent. Must not wait. If it commits
    /// by itself, the replies leave in the same turn.
    public var onTickEnd: ((EventLoop) -> Void)?
    /// Done once a turn, behind `onTickEnd`. If it commits at once, the replies leave in the same turn.
    public var turnWork: TurnWork?
    /// Called when a graceful stop begins: complete or refuse what is parked. Connections that are neither muted nor at
    /// work are being closed already.
    public var onStop: ((EventLoop) -> Void)?
    private var endings: [() -> Void] = []

    /// Calls `body` last of all, on the thread that ends the loop: what an edge keeps for the loop is let go of there, and with it what
    /// that holds.
    public func atEnd(_ body: @escaping () -> Void) { endings.append(body) }

    /// Where this loop's buffers come from. Replies built from its chunks count in the group's byte budget.
    public var pool: ChunkPool { shared.pool }
    public var commitClock: CommitClock? { shared.commitClock }
    public var index: Int { handle.index }
    /// Milliseconds since 1970, as of the first time that this turn asked for it.
    public var wallClockMs: Int64 {
        if wallClock == 0 { wallClock = WallClock.milliseconds }
        return wallClock
    }

    /// Returns monotonic nanoseconds at this moment; takes about 20 ns, where `now` costs nothing.
    public static func clock() -> Int64 { MonotonicClock.nanoseconds }

    let shared: GroupShared
    let epoll: Int32
    private var wallClock: Int64 = 0

    // Connections, by slot.
    var slots: ContiguousArray<Connection?> = []
    var generations: ContiguousArray<UInt32> = []
    var freeSlots: ContiguousArray<UInt32> = []
    /// How many connections may linger for `refusedInputTimeout`, because a refused request is still being sent; beyond
    /// that they linger for `lingerTimeout`. Each may keep its descriptor for 30 s.
    static let maxLongLingers = 64
    var longLingers = 0
    /// Open connections of this loop.
    public internal(set) var connectionCount = 0
    var acceptors: [Acceptor] = []
    var nextAcceptorSlot = firstAcceptorSlot

    // Lists that this or the next turn works off. A connection is on each at most once.
    private var touched: ContiguousArray<Connection> = []
    private var flushing: ContiguousArray<Connection> = []
    private var ready: ContiguousArray<Connection> = []
    private var continuing: ContiguousArray<Connection> = []
    /// Connections that are ready, and whose last input took long.
    private var heavy = FIFO<Connection>()
    /// Connections that are ready, and whose handshake is not over, or has not begun; see EventLoop+Opening.swift.
    private var begunOpenings = FIFO<Connection>()
    private var newOpenings = FIFO<Connection>()
    var openings = Openings()
    var maxOpenings = EventLoop.usualMaxOpenings
    private var dying: ContiguousArray<Connection> = []
    var waitingAcceptors: [Acceptor] = []

    // Gates and the clock.
    private var gates = FIFO<GateEntry>()
    private var seenFailures = 0
    private var seenPublished: UInt64 = 0

    private struct GateEntry {
        let ticket: UInt64
        let slot: UInt32
        let generation: UInt32
    }

    // Timers.
    var timers = BinaryHeap<TimerEntry>()
    var loopTimers: [Int: LoopJob] = [:]
    var nextLoopTimer = 0
    /// About how many entries of the heap mean nothing any more.
    var staleTimers = 0

    // Buffers; see EventLoop+Buffers.swift.
    var readChunk: Chunk
    var readOffset = 0
    var outputChunk: Chunk
    var outputOffset = 0
    var scratch = ByteWriter(capacity: 4096)
    let vector: UnsafeMutablePointer<iovec>
    private let events: UnsafeMutablePointer<millrace_event>
    private static let eventCapacity = 256

    /// See `ListenerOptions.delayBeforeClose`.
    var delayedCloses: Set<Int32> = []

    // The byte budget; see EventLoop+Budget.swift.
    /// Whether more than half of the budget was in use when a connection last asked for some of it.
    var isScarce = false
    var budgetQueue: ContiguousArray<ConnectionID> = []
    var budgetReviewAt: Int64 = 0
    var budgetTurn: ConnectionID?
    var budgetTurnSince: Int64 = 0
    /// Bytes that the connection holds whose turn it is.
    var budgetTurnBytes = 0

    /// The time at which work on the present connection's input began.
    private var sliceBegan: Int64 = 0
    /// When this turn began; `.max` once it is known how long it took.
    private var turnBegan = Int64.max
    private var eventsInTurn = 0

    /// Bytes of partial frames that were copied to chunks of their own; for tests.
    var movedInput = 0

    // Counted over a turn, published at its end.
    var receivedInTurn = 0
    var sentInTurn = 0

    /// A graceful stop has begun.
    public internal(set) var isStopping = false
    var stopDeadline = Int64.max

    init(handle: LoopHandle, shared: GroupShared) throws(TransportError) {
        self.handle = handle
        self.shared = shared
        now = MonotonicClock.nanoseconds
        epoll = millrace_epoll_create()
        vector = .allocate(capacity: Connection.vectorCapacity)
        events = .allocate(capacity: Self.eventCapacity)
        readChunk = shared.pool.chunk(atLeast: Self.readChunkSize)
        outputChunk = shared.pool.chunk(atLeast: Self.outputChunkSize)
        seenPublished = shared.commitClock?.published ?? 0
        if epoll < 0 { throw .cannotStart(operation: "epoll_create", errno: -epoll) }
        // Edge-triggered: every signal is one event, and the counter is never read.
        let added = millrace_epoll_add(
            epoll, handle.mailbox.eventfd, millrace_event_readable | millrace_event_edge_triggered,
            UInt64(Self.mailboxSlot))
        if added < 0 { throw .cannotStart(operation: "epoll_ctl", errno: -added) }
    }

    deinit {
        if epoll >= 0 { millrace_close(epoll) }
        vector.deallocate()
        events.deallocate()
    }

    /// Slots that are no connections, in epoll's tokens.
    static let mailboxSlot = UInt32.max
    static let firstAcceptorSlot = UInt32.max - 0xffff

    // MARK: Connections

    /// Returns the connection, or `nil` when it has ended (or belongs to another loop).
    public func connection(_ id: ConnectionID) -> Connection? {
        guard Int(id.loop) == index, let found = connection(slot: id.slot, generation: id.generation) else {
            return nil
        }
        return found.state == .closed ? nil : found
    }

    func connection(slot: UInt32, generation: UInt32) -> Connection? {
        let slot = Int(slot)
        guard slot < slots.count, generations[slot] == generation else { return nil }
        return slots[slot]
    }

    /// Calls `body` with each open connection.
    public func forEachConnection(_ body: (Connection) -> Void) {
        for slot in slots.indices { if let connection = slots[slot], connection.state != .closed { body(connection) } }
    }

    /// Flushes the connection at the end of this turn: it was written to, or may send again.
    func touch(_ connection: Connection) {
        if connection.isTouched { return }
        connection.isTouched = true
        touched.append(connection)
    }

    /// Lets the connection go on reading.
    func enqueueReady(_ connection: Connection) {
        if connection.isReadyQueued { return }
        connection.isReadyQueued = true
        if !connection.isHeavy {
            ready.append(connection)
        } else if connection.isOpening {
            if connection.hasBegunOpening { begunOpenings.append(connection) } else { newOpenings.append(connection) }
        } else {
            heavy.append(connection)
        }
    }

    /// Input whose work took so long, in nanoseconds, makes a connection heavy until it takes less.
    static let heavySlice: Int64 = 500_000
    /// Nanoseconds of a turn that heavy connections may use. The rest of them continue in later turns, behind whatever
    /// has become ready meanwhile, so that hundreds of clients with long pipelines do not make one turn of hundreds of
    /// slices.
    static let heavyShare: Int64 = 5_000_000

    /// Measures how long the connection's input has been worked on since `sliceBegan`.
    func endSlice(_ connection: Connection) {
        let end = MonotonicClock.nanoseconds
        StallTrace.note(.loopInput, from: sliceBegan, to: end, connection.peerAddress.description)
        connection.isHeavy = connection.isOpening || end - sliceBegan >= Self.heavySlice
        sliceBegan = end
    }

    func bury(_ connection: Connection) { dying.append(connection) }

    // MARK: Commits

    func enqueueGate(_ ticket: UInt64, of connection: Connection) {
        gates.append(GateEntry(ticket: ticket, slot: connection.id.slot, generation: connection.id.generation))
        // Tickets rarely fall from one request of a loop to the next; when one does, it goes where it belongs, so
        // that no connection waits for the ticket of another.
        var index = gates.count - 1
        while index > 0, gates[index - 1].ticket > ticket {
            gates.moveUp(index)
            index -= 1
        }
    }

    private func handleNotice() {
        for job in handle.mailbox.takeJobs() { job(self) }
        guard let clock = shared.commitClock else { return }
        // `published` first: see `CommitClock`, order.
        let published = clock.published
        let failures = clock.failureCount
        if published == seenPublished, failures == seenFailures { return }
        if failures != seenFailures { abortFailed(clock) }
        seenFailures = failures
        seenPublished = published
        while let gate = gates.first {
            let waiting = connection(slot: gate.slot, generation: gate.generation)
            // One whose connection is gone, or whose reply was replaced, may wait for a ticket that never comes.
            if let waiting, waiting.state != .closed, gate.ticket > published, !clock.hasFailed(gate.ticket) { break }
            gates.removeFirst()
            waiting?.releaseGates(published)
        }
        onCommit?(self)
    }

    private func abortFailed(_ clock: CommitClock) {
        for index in 0..<gates.count where clock.hasFailed(gates[index].ticket) {
            connection(slot: gates[index].slot, generation: gates[index].generation)?.failGates(clock)
        }
    }

    // MARK: The loop

    /// Runs until a stop has come to its end. False: another thread goes on with this loop, which is not to be touched any
    /// more.
    func run() -> Bool {
        while !(isStopping && (connectionCount == 0 || now >= stopDeadline)) {
            if !turn() { return false }
        }
        end()
        return true
    }

    /// Continues, on the calling thread, a loop whose former thread is waiting within `turnWork`. Returns like `run`.
    func takeOver() -> Bool {
        now = MonotonicClock.nanoseconds
        noteTurn(endedAt: now)
        turnBegan = now
        finishTurn()
        return run()
    }

    private func turn() -> Bool {
        let timeout = sleepTime()
        let count = millrace_epoll_wait(epoll, events, Int32(Self.eventCapacity), timeout)
        precondition(count >= 0, "epoll_wait failed with errno \(-count)")
        now = MonotonicClock.nanoseconds
        // The turn before, if no sleep came between.
        noteTurn(endedAt: now)
        (turnBegan, eventsInTurn) = (now, Int(count))
        wallClock = 0
        sliceBegan = now
        if handle.mailbox.consumeNotice() {
            handleNotice()
            sliceBegan = MonotonicClock.nanoseconds
            StallTrace.note(.loopNotice, from: now, to: sliceBegan)
        }
        for index in 0..<Int(count) { dispatch(events[index]) }
        acceptWaiting()
        continueReady()
        fireTimers()
        reviewBudget()
        if let onTickEnd {
            onTickEnd(self)
            if handle.mailbox.consumeNotice() { handleNotice() }
        }
        if let turnWork, turnWork.isWanted() {
            let seat = handle.seat
            let round = seat.enter()
            shared.relief.wakeIfAsleep()
            turnWork.run()
            guard seat.leave(round) else { return false }
            // What was committed there releases its replies before they are flushed below.
            if handle.mailbox.consumeNotice() { handleNotice() }
        }
        finishTurn()
        return true
    }

    /// Notes a turn that took long, once.
    private func noteTurn(endedAt time: Int64) {
        StallTrace.note(.loopTurn, from: turnBegan, to: time, count: eventsInTurn)
        turnBegan = .max
    }

    private func finishTurn() {
        flushTouched()
        buryDying()
        countTurns(1)
    }

    /// Milliseconds to wait: 0 when there is work, -1 when there is nothing to come.
    private func sleepTime() -> Int32 {
        if !ready.isEmpty || !heavy.isEmpty || hasOpenings || !touched.isEmpty || !dying.isEmpty
            || !waitingAcceptors.isEmpty
        {
            return 0
        }
        var deadline = isStopping ? stopDeadline : Int64.max
        if let timer = nextDeadline() { deadline = min(deadline, timer) }
        if !budgetQueue.isEmpty { deadline = min(deadline, now + Self.budgetReviewInterval) }
        var timeout: Int32 = -1
        let time = MonotonicClock.nanoseconds
        noteTurn(endedAt: time)
        if deadline != .max {
            let wait = deadline - time
            if wait <= 0 { return 0 }
            timeout = Int32(min((wait + 999_999) / 1_000_000, Int64(Int32.max)))
        }
        return handle.mailbox.prepareToSleep() ? timeout : 0
    }

    private func dispatch(_ event: millrace_event) {
        let slot = UInt32(truncatingIfNeeded: event.token)
        if let connection = connection(slot: slot, generation: UInt32(truncatingIfNeeded: event.token >> 32)) {
            if connection.state != .closed { connection.handle(events: event.events) }
        } else if slot >= Self.firstAcceptorSlot, slot != Self.mailboxSlot {
            acceptorReady(slot)
        }
    }

    private func continueReady() {
        if ready.isEmpty, heavy.isEmpty, !hasOpenings { return }
        sliceBegan = MonotonicClock.nanoseconds
        // Those that are queued meanwhile have their turn after the sockets of the next one.
        swap(&ready, &continuing)
        for index in continuing.indices { resume(continuing[index]) }
        continuing.removeAll(keepingCapacity: true)
        if !heavy.isEmpty { resume(\.heavy, until: sliceBegan + Self.heavyShare) }
        if hasOpenings {
            let began = sliceBegan
            resume(\.begunOpenings, until: began + Self.begunShare)
            resume(\.newOpenings, until: began + Self.handshakeShare)
        }
    }

    private var hasOpenings: Bool { !begunOpenings.isEmpty || !newOpenings.isEmpty }

    /// Continues with those of a queue, in order, until the share of a turn is used.
    private func resume(_ queue: ReferenceWritableKeyPath<EventLoop, FIFO<Connection>>, until end: Int64) {
        var left = self[keyPath: queue].count
        while left > 0, sliceBegan < end, let connection = self[keyPath: queue].first {
            self[keyPath: queue].removeFirst()
            resume(connection)
            left -= 1
        }
    }

    private func resume(_ connection: Connection) {
        connection.isReadyQueued = false
        if isStopping { connection.stopIfQuiet() }
        if connection.state != .closed { connection.continueInput() }
        endSlice(connection)
    }

    private func flushTouched() {
        if touched.isEmpty { return }
        swap(&touched, &flushing)
        for index in flushing.indices {
            let connection = flushing[index]
            connection.isTouched = false
            connection.flush()
        }
        flushing.removeAll(keepingCapacity: true)
    }

    private func buryDying() {
        // A handler's `closed` may close further connections: they are appended and follow.
        var index = 0
        while index < dying.count {
            remove(dying[index])
            index += 1
        }
        if index > 0 { dying.removeAll(keepingCapacity: index <= 256) }
    }

    private func countTurns(_ turns: Int) {
        shared.counters.turns.add(turns)
        if receivedInTurn > 0 { shared.counters.bytesReceived.add(receivedInTurn) }
        if sentInTurn > 0 { shared.counters.bytesSent.add(sentInTurn) }
        (receivedInTurn, sentInTurn) = (0, 0)
    }

    // MARK: Stopping

    /// Stops accepting, closes what is quiet, and gives the rest until `deadline`.
    func beginStop(within: Duration) {
        let deadline = MonotonicClock.nanoseconds + within.nanoseconds
        stopDeadline = min(stopDeadline, deadline)
        guard !isStopping else { return }
        isStopping = true
        closeAcceptors()
        onStop?(self)
        forEachConnection {
            if $0.state == .open { $0.handler?.stopBegan(on: $0) }
            $0.stopIfQuiet()
        }
    }

    private func end() {
        isStopping = true
        stopDeadline = now
        // Late jobs still run: one may carry a socket, which is closed then.
        for job in handle.mailbox.close() { job(self) }
        closeAcceptors()
        closeDelayed()
        forEachConnection { $0.close(.shutdown) }
        buryDying()
        countTurns(0)
        (onCommit, onTickEnd, onStop, localState) = (nil, nil, nil, nil)
        turnWork = nil
        loopTimers = [:]
        touched = []
        ready = []
        heavy.removeAll()
        begunOpenings.removeAll()
        newOpenings.removeAll()
        for ending in endings { ending() }
        endings = []
    }
}
