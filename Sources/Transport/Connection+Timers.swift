internal import ByteBuffers
internal import CSystem

extension Connection {
    /// Calls the handler's `timerFired` once, `after` this turn's beginning (`EventLoop.now`) or later. A timer of
    /// the same id is replaced. Extending or cancelling costs a store. `id` is the handler's choice, at least 0; a
    /// handful a connection.
    public func setTimer(_ id: Int, after: Duration) {
        precondition(id >= 0, "timer ids below 0 are the transport's own")
        setTimer(id, deadline: loop.now + after.nanoseconds)
    }

    /// Cancels a timer. Harmless when it is not set.
    public func cancelTimer(_ id: Int) { timers.cancel(id) }

    /// The transport's own timers.
    enum OwnTimer {
        static let idle = -1
        static let partialInput = -2
        static let writeStall = -3
        static let linger = -4
        static let commit = -5
        static let finished = -6
        static let handshake = -7
        static let preamble = -8
        static let peerEnd = -9
        static let arrival = -10
    }

    func setTimer(_ id: Int, deadline: Int64) {
        let before = timers.count
        guard state != .closed, let entry = timers.set(id, deadline: deadline) else { return }
        // An earlier time of a timer that has an entry: that one is replaced.
        if timers.count == before { loop.addStaleTimers(1) }
        loop.timers.insert(
            TimerEntry(deadline: entry, slot: self.id.slot, generation: self.id.generation, id: id))
    }

    func timerFired(_ id: Int) {
        guard state != .closed else { return }
        switch id {
        case OwnTimer.idle: checkIdle()
        case OwnTimer.partialInput: checkPartialInput()
        case OwnTimer.writeStall: checkWriteStall()
        case OwnTimer.linger: checkLinger()
        case OwnTimer.commit: checkCommit()
        case OwnTimer.finished: checkFinished()
        case OwnTimer.handshake: checkHandshake()
        case OwnTimer.preamble: checkPreamble()
        case OwnTimer.peerEnd: checkPeerEnd()
        case OwnTimer.arrival: checkArrival()
        default: if state == .open { handler?.timerFired(id, on: self) }
        }
    }

    private func checkHandshake() {
        guard isOpening else { return }
        // It is we who do not read: the peer's time begins again.
        if isReadyQueued || isBudgetQueued { return loop.startHandshakeClock(self) }
        close(.handshakeTimeout)
    }

    /// Ends the connection when what its peer has shown of itself has ended; else asks for the time at which it may have.
    func checkPeerEnd() {
        guard state == .open, let transform, !transform.hasFailed, let end = transform.peerEndsAt else { return }
        let left = end - loop.wallClockMs / 1000
        if left <= 0 { return closeAfterFlush(.peerExpired) }
        setTimer(OwnTimer.peerEnd, deadline: loop.now + min(left, transform.peerReviewSeconds) * 1_000_000_000)
    }

    func startIdleClock() {
        guard let timeout = limits.idleTimeout else { return }
        setTimer(OwnTimer.idle, deadline: loop.now + timeout.nanoseconds)
    }

    private func checkIdle() {
        guard state == .open, let timeout = limits.idleTimeout?.nanoseconds else { return }
        // Whose bytes wait below a mark is the partial frame's clock's business.
        let isOwed =
            isMuted || workInProgress > 0 || output.pending > 0 || owesBytes || isBudgetQueued || arrival.isMarked
        let deadline = (isOwed ? loop.now : max(lastInputAt, lastWriteAt)) + timeout
        if deadline > loop.now {
            setTimer(OwnTimer.idle, deadline: deadline)
        } else {
            close(.idle)
        }
    }

    /// Limits how long something keeps the connection of a peer that has finished sending: a reply that is owed, or
    /// input that is not read yet. It may not for longer than `finishedTimeout` without a byte moving.
    func watchFinished() {
        if timers.isSet(OwnTimer.finished) { return }
        finishedSince = loop.now
        setTimer(OwnTimer.finished, deadline: loop.now + limits.finishedTimeout.nanoseconds)
    }

    private func checkFinished() {
        guard state == .open || state == .draining else { return }
        // A peer that reads slowly what may leave is the business of `writeStallTimeout`.
        let moved = owesBytes ? loop.now : max(finishedSince, lastInputAt, lastWriteAt)
        let deadline = moved + limits.finishedTimeout.nanoseconds
        if deadline > loop.now {
            setTimer(OwnTimer.finished, deadline: deadline)
        } else {
            close(.closedByPeer)
        }
    }

    /// Starts to time a frame that has begun.
    func startPartialClock() {
        guard let timeout = limits.partialInputTimeout else { return }
        partialSince = loop.now
        partialBytes = heldCount
        setTimer(OwnTimer.partialInput, deadline: partialSince + timeout.nanoseconds)
    }

    func stopPartialClock() {
        guard partialSince != 0 else { return }
        partialSince = 0
        timers.cancel(OwnTimer.partialInput)
    }

    private func checkPartialInput() {
        guard state == .open, partialSince != 0, let timeout = limits.partialInputTimeout?.nanoseconds else { return }
        // It is we who do not read: the peer's time begins again.
        if !mayRead || isBudgetQueued { return startPartialClock() }
        let unread = arrival.isMarked ? max(0, Int(millrace_unread_bytes(fd))) : 0
        let earned =
            Int64(heldCount + unread - partialBytes) * 1_000_000_000 / Int64(max(limits.minimumInputRate, 1))
        let deadline = partialSince + timeout + earned
        if deadline > loop.now {
            setTimer(OwnTimer.partialInput, deadline: deadline)
        } else {
            close(.inputStalled)
        }
    }

    private func checkWriteStall() {
        guard stalledSince != 0 else { return }
        let deadline = stalledSince + limits.writeStallTimeout.nanoseconds
        if deadline > loop.now {
            setTimer(OwnTimer.writeStall, deadline: deadline)
        } else {
            close(.writeStalled)
        }
    }
}
