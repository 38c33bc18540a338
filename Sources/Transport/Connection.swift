internal import ByteBuffers
internal import CSystem

/// One accepted socket: its buffered input, its bounded output, its gates and timers. Confined to its loop's thread;
/// other threads name it by `id`.
///
/// States, each entered once and in this order, some skipped:
/// ```
///   open ──closeAfterFlush, peer finished──► draining ──all sent──► lingering ──peer's end, 1 s──► closed
///     │                                         │                                                    ▲
///     └──── close(), socket error, a limit ─────┴────────────────────────────────────────────────────┘
/// ```
/// draining: no more input is offered, what was written still leaves. lingering: our side is shut down, late input is
/// read and dropped, so that the peer is not reset before it has read the last reply. closed: the descriptor and the
/// handler are let go at the end of the loop's turn. Calls on a closed connection do nothing.
public final class Connection {
    enum State { case open, draining, lingering, closed }

    public let id: ConnectionID
    /// Who has connected, or for whom a proxy has (`ListenerOptions.preamble`).
    public internal(set) var peerAddress: SocketAddress
    public let loop: EventLoop
    let fd: Int32
    let listener: ListenerState
    /// What stands between the socket and the handler, if anything; it knows whom it speaks to.
    public let transform: (any StreamTransform)?
    /// Whether the connection exceeds a limit of its listener and is kept only to tell the peer so.
    let isRefused: Bool
    public internal(set) var handler: (any ConnectionHandler)?

    var state = State.open
    var closeReason: CloseReason?

    // Input. See Connection+Input.swift.
    /// Unconsumed bytes `held.base[heldStart..<heldEnd]`.
    var held: Chunk?
    var heldStart = 0
    var heldEnd = 0
    /// The chunk is this connection's own, so that bytes may be read behind `heldEnd`.
    var heldIsOwn = false
    /// The handler has not been asked about what is held.
    var heldIsUnoffered = false
    /// The handler's wish, from the first unconsumed byte; 0: any byte.
    var needed = 0
    /// The handler's wish to be called before that; see `ConnectionInput.review`.
    var review = 0
    /// Size of the last large frame: how much memory this connection is trusted with at once. See `frameCapacity`.
    var frameHint = 0
    /// The socket may have bytes or its end: set by an edge, cleared by a short read.
    var isReadable = false
    /// The peer's end was announced; only a read tells whether bytes come before it.
    var peerFinished = false
    /// The peer's end was read.
    var inputEnded = false
    /// The time from which something has kept the connection although its peer has finished.
    var finishedSince: Int64 = 0
    var isMuted = false
    var isBackPressured = false
    /// Whether no more input is offered until the loop's next round; see `giveWay`.
    var isGivingWay = false
    /// Replies that are being worked on elsewhere; see `beginWork`.
    var workInProgress = 0
    /// Whether it waits for the group's byte budget.
    var isBudgetQueued = false
    var linger = Linger()
    var lastInputAt: Int64
    /// The time at which the present partial frame began; 0: no frame is partial.
    var partialSince: Int64 = 0
    /// Bytes of the partial frame that were there at `partialSince`.
    var partialBytes = 0
    var arrival = Arrival()

    // Output. See Connection+Output.swift.
    var output = OutputQueue()
    /// Whether the socket took all that it was given: cleared by a short write, set by an edge.
    var isWritable = true
    var lastWriteAt: Int64 = 0
    /// The time at which the socket stopped taking output, or last took some since; 0: it takes all.
    var stalledSince: Int64 = 0
    var commitWatch = CommitWatch()
    /// Whether the handler is told of commits; see `watch`.
    var watchesCommits = false

    // The loop's lists.
    var isTouched = false
    var isReadyQueued = false
    /// Whether its last input took long, or what comes is a handshake; see `EventLoop.heavySlice`.
    var isHeavy: Bool
    /// Whether the transform's handshake is not over; see EventLoop+Opening.swift.
    var isOpening: Bool
    /// Whether some of the handshake has come.
    var hasBegunOpening = false
    /// The events that epoll was last told to report.
    var interest: UInt32 = 0

    /// Whether what stands before the first byte has still to come; see StreamPreamble.swift.
    var awaitsPreamble: Bool
    /// Whether `peerAddress` has one more connection of its listener's limit.
    var isCounted: Bool

    var timers = TimerTable()

    init(
        id: ConnectionID, fd: Int32, peer: SocketAddress, loop: EventLoop, listener: ListenerState,
        transform: (any StreamTransform)?, isRefused: Bool = false
    ) {
        self.id = id
        self.fd = fd
        self.peerAddress = peer
        self.loop = loop
        self.listener = listener
        self.transform = transform
        self.isRefused = isRefused
        self.lastInputAt = loop.now
        awaitsPreamble = !isRefused && listener.options.preamble != nil
        isCounted = !isRefused && listener.countsAtOnce(peer)
        isOpening = transform != nil
        isHeavy = isOpening
    }

    public var limits: ConnectionLimits { listener.options.limits }

    /// The address that the peer connected to.
    public var localAddress: SocketAddress? {
        var native = millrace_address()
        return state != .closed && millrace_local_address(fd, &native) == 0 ? SocketAddress(native) : nil
    }

    /// The connection takes writes: neither closed nor about to be.
    public var isOpen: Bool { state == .open }

    /// The peer has said that it will send no more (or is gone); replies may still reach it, and requests that it sent
    /// before may still have to be read.
    public var peerHasFinished: Bool { peerFinished }

    /// Whether the handler should go on consuming. False while the connection is muted, gives way, has too much unsent
    /// output (`outputHighWater`, or less when memory is scarce) or too much waiting for commits (`maxUncommitted`),
    /// and once it is closing. A handler that loops over coalesced frames checks it; what is left is offered again.
    public var wantsInput: Bool { state == .open && !isMuted && !isBackPressured && !isGivingWay }

    // MARK: Muting

    /// Offers no more input until `resumeReading()`: a request is parked, and those behind it must wait. The socket is
    /// taken out of epoll's read set as soon as bytes arrive meanwhile, so a muted connection costs no turns; one whose
    /// peer stays silent costs not even that system call.
    ///
    /// The peer's end is noticed all the same: the handler is told by `peerFinished`, be it before or after this call.
    public func pauseReading() {
        isMuted = true
        if peerFinished { loop.enqueueReady(self) }
    }

    /// Ends `pauseReading()`. Buffered input is offered again, from the loop's next round; not within this call.
    public func resumeReading() {
        guard isMuted else { return }
        isMuted = false
        loop.enqueueReady(self)
    }

    /// Leaves the buffered input to the loop's next round, so that other connections have their turn. For a handler
    /// whose requests from one read have taken long; it returns afterwards, as it does when it parks a request.
    /// Harmless when a request is parked or the connection is closing.
    public func giveWay() {
        guard wantsInput else { return }
        isGivingWay = true
        loop.enqueueReady(self)
    }

    // MARK: Work elsewhere

    /// Keeps the connection for a reply that will be written later although the connection is not muted: the end of the
    /// peer's input, and a graceful stop, wait for `endWork()` before the connection is closed, and it does not count
    /// as idle.
    public func beginWork() { workInProgress += 1 }

    /// Ends one `beginWork()`, after its reply was written.
    public func endWork() {
        precondition(workInProgress > 0, "endWork without beginWork")
        workInProgress -= 1
        if workInProgress == 0, inputEnded || loop.isStopping { loop.enqueueReady(self) }
    }

    // MARK: Closing

    /// Closes at once. Unsent replies are dropped.
    public func close() { close(.closedByHandler) }

    /// Takes no more input, sends what was written (gated replies when their commits are published), then closes.
    ///
    /// `peerIsSending`: what is not read of a request may go on for long, and a reset would overtake the reply; the rest
    /// is read and dropped for `ConnectionLimits.refusedInputTimeout`.
    public func closeAfterFlush(peerIsSending: Bool = false) {
        if peerIsSending, state == .open { linger.isForRefusedInput = true }
        closeAfterFlush(.closedByHandler)
    }

    func closeAfterFlush(_ reason: CloseReason) {
        guard state == .open else { return }
        state = .draining
        closeReason = reason
        dropInput()
        loop.touch(self)
    }

    /// Closes the connection for a reason. Idempotent; the first reason counts.
    func close(_ reason: CloseReason) {
        guard state != .closed else { return }
        if let transform { sayGoodbye(transform, reason) }
        if state == .open { closeReason = reason }
        state = .closed
        dropInput()
        output.removeAll()
        loop.bury(self)
    }

    /// Closes by a reset: the peer must not take what it has for all there is.
    func abort(_ reason: CloseReason) {
        guard state != .closed else { return }
        _ = millrace_reset_on_close(fd)
        closeReason = reason
        state = .closed
        dropInput()
        output.removeAll()
        loop.bury(self)
    }

    // MARK: Readiness

    /// Tells epoll which events to report: input only while it is wanted or has not come; output always while input is
    /// armed (an edge that is free), else only when it is waited for.
    func updateInterest(armed: Bool) {
        var wanted = millrace_event_edge_triggered | millrace_event_peer_closed
        if armed { wanted |= millrace_event_readable }
        if armed || !isWritable { wanted |= millrace_event_writable }
        if wanted == interest { return }
        interest = wanted
        _ = millrace_epoll_modify(loop.epoll, fd, wanted, token)
    }

    var isArmed: Bool { interest & millrace_event_readable != 0 }
    var token: UInt64 { UInt64(id.generation) << 32 | UInt64(id.slot) }

    func handle(events: UInt32) {
        if events & millrace_event_error != 0 {
            let error = millrace_socket_error(fd)
            return close(.failed(errno: error))
        }
        if events & (millrace_event_peer_closed | millrace_event_hangup) != 0 {
            peerFinished = true
            isReadable = true
            // Both directions are gone: a parked request has nobody to answer.
            if events & millrace_event_hangup != 0, !mayRead { return close(.closedByPeer) }
        }
        if events & millrace_event_readable != 0 { isReadable = true }
        if events & millrace_event_writable != 0, !isWritable {
            isWritable = true
            loop.touch(self)
        }
        guard isReadable else { return }
        if mayRead, isHeavy {
            loop.enqueueReady(self)
        } else if mayRead {
            readInput()
            loop.endSlice(self)
            // The peer reads it while the loop goes on with the other connections.
            if output.sendable >= Self.earlyFlush { flush() }
        } else if isArmed, !isGivingWay {
            updateInterest(armed: false)
        }
        noticeFinished()
    }

    /// Tells the handler of a muted connection that the peer has finished, and limits how long the connection is kept.
    func noticeFinished() {
        guard peerFinished, state == .open else { return }
        if isMuted { handler?.peerFinished(on: self) }
        if state == .open { watchFinished() }
    }
}
