internal import ByteBuffers
internal import Synchronization
internal import Telemetry

/// The group's byte budget: who may read when memory is scarce.
///
/// What the pool has handed out is the measure: partial frames, slices that wait for a commit or for their file, unsent
/// replies. Who has it is not asked: a record batch stays in the chunk that it was received in until its log lets go of it, so
/// what the store keeps is input like any other, and a store that falls behind has to hold its clients back. What the store
/// takes for itself from the same pool (windows over files, the journal's frame) is a few MiB beside it; what a start found in
/// the journal is not of this pool. A
/// connection may hold as much as is free, as a port of a switch with dynamic thresholds does (Choudhury and Hahne,
/// 1998): one that is alone may use half of the budget, and n that all want more leave a part in n + 1 free for those
/// who come later. So a few that fill the budget do not stop the others:
///
/// ```
///   0                          budget        budget + reserve
///   │ holds no more than is free │ holds little │ nobody reads
///   └────────────────────────────┴──────────────┴───────────► handed out, without the frame whose turn it is
/// ```
/// Large frames need more than that. On each loop one connection with a partial frame may go on until its frame is
/// whole, and what it holds is not counted against the others. The next has its turn when no more is handed out than
/// partial frames alone can hold, so that whole frames which wait for their commit do not add up. When the next one waits, and
/// the frame is not whole within `budgetTurnLimit`, the connection is closed, which frees what it held.
extension EventLoop {
    /// Memory is given back on any thread and tells nobody, so a loop on which connections wait looks this often, in
    /// nanoseconds.
    static var budgetReviewInterval: Int64 { 5_000_000 }
    /// A connection that holds no more than this may use the reserve when the budget is used up: enough for an ordinary
    /// request.
    static var littleHeld: Int { 64 << 10 }
    /// The reserve is this fraction (1/n) of the budget.
    static var reservePart: Int { 8 }
    /// One connection's unsent replies may take this fraction (1/n) of the free memory, and at least `littleUnsent`. A
    /// client that reads has almost none. Many that do not read would otherwise each fill `outputHighWater`.
    static var outputPart: Int { 64 }
    static var littleUnsent: Int { 16 << 10 }
    /// Bytes beyond the budget, for those who hold little.
    var reserve: Int { shared.byteBudget / Self.reservePart }
    /// Above this number those who wait are looked through once in `budgetReviewInterval`, not in each turn.
    static var reviewedEachTurn: Int { 64 }

    /// Returns the bytes that the connection may read now. 0: none; it waits then, and is taken out of epoll's read
    /// set.
    func receivable(_ connection: Connection) -> Int {
        let outstanding = pool.outstandingBytes
        // What it holds is part of it, so that no less is free: for a frame's growth as well, which is four times what came.
        if outstanding <= shared.byteBudget / 4 || outstanding + connection.growth <= shared.byteBudget / 2 {
            isScarce = false
            return .max
        }
        let room = room(for: connection, outstanding, hysteresis: 0)
        isScarce = true
        if room == 0 { waitForBudget(connection) }
        return room
    }

    private func room(for connection: Connection, _ outstanding: Int, hysteresis: Int) -> Int {
        if budgetTurn == connection.id { return .max }
        let free = free(outstanding) - hysteresis
        let held = connection.heldForBudget + connection.growth
        if held <= free { return free > 2 * Self.readChunkSize ? .max : Connection.probe }
        return held <= Self.littleHeld && free + reserve > 0 ? Connection.probe : 0
    }

    /// Returns the bytes that nobody has; below 0 when the reserve is in use. The frames whose turn it is do not count,
    /// nor does the work of requests, which has a bound of its own: it may last, and who waits for it is not read
    /// anyway.
    private func free(_ outstanding: Int) -> Int {
        shared.byteBudget - outstanding + shared.turnBytes.load(ordering: .relaxed) + pool.reservedBytes
    }

    /// Returns the memory that a partial frame of `count` bytes gets in place of `wanted`: no more than is free
    /// afterwards.
    func grant(_ wanted: Int, atLeast count: Int, to connection: Connection) -> Int {
        if !isScarce || budgetTurn == connection.id { return max(wanted, count) }
        let outstanding = pool.outstandingBytes
        let most = free(outstanding) / 2
        return max(count, ChunkPool.capacity(atLeast: min(wanted, most)) <= most ? min(wanted, most) : 0)
    }

    private func waitForBudget(_ connection: Connection) {
        if !connection.isBudgetQueued {
            connection.isBudgetQueued = true
            if budgetQueue.isEmpty { shared.counters.budgetPauses.add() }
            budgetQueue.append(connection.id)
        }
        if connection.isArmed { connection.updateInterest(armed: false) }
    }

    /// Unsent bytes in memory above which a connection is not asked for more requests.
    var outputShare: Int {
        max(free(pool.outstandingBytes), 0) / Self.outputPart
    }

    // MARK: The turn

    private func giveTurn(to connection: Connection) {
        (budgetTurn, budgetTurnSince) = (connection.id, now)
        updateTurnBytes(connection)
        enqueueReady(connection)
    }

    /// Counts the memory of the partial frame whose turn it is, after it has changed.
    func updateTurnBytes(_ connection: Connection) {
        guard budgetTurn == connection.id else { return }
        let bytes = connection.held?.capacity ?? 0
        shared.turnBytes.add(bytes - budgetTurnBytes, ordering: .relaxed)
        budgetTurnBytes = bytes
    }

    /// Ends the turn of a connection whose frame is whole, whose handler takes no more, or which is gone.
    func budgetTurnEnded(of connection: Connection) {
        guard budgetTurn == connection.id else { return }
        budgetTurn = nil
        shared.turnBytes.subtract(budgetTurnBytes, ordering: .relaxed)
        budgetTurnBytes = 0
    }

    // MARK: Those who wait

    /// Resumes the waiting connections that may read again, or gives one partial frame its turn. Called once a turn.
    func reviewBudget() {
        if budgetQueue.isEmpty || budgetQueue.count > Self.reviewedEachTurn && now < budgetReviewAt { return }
        budgetReviewAt = now + Self.budgetReviewInterval
        let outstanding = pool.outstandingBytes
        var next: Connection?
        budgetQueue.removeAll { id in
            guard let connection = connection(id) else { return true }
            if room(for: connection, outstanding, hysteresis: shared.byteBudget / 32) == 0 {
                if next == nil, connection.heldCount > 0 { next = connection }
                return false
            }
            connection.isBudgetQueued = false
            enqueueReady(connection)
            return true
        }
        guard let next else { return }
        if let id = budgetTurn {
            if now - budgetTurnSince > shared.budgetTurnLimit { connection(id)?.close(.memoryPressure) }
        } else if mayGiveTurn(outstanding) {
            next.isBudgetQueued = false
            budgetQueue.removeAll { $0 == next.id }
            giveTurn(to: next)
        }
    }

    /// Returns whether a partial frame may have a turn above the budget. Partial frames alone never stand in the way:
    /// they stop at the budget, and at its reserve with one read more.
    private func mayGiveTurn(_ outstanding: Int) -> Bool {
        free(outstanding) + 2 * reserve + Self.readChunkSize >= 0
    }
}
