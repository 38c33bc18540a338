internal import ByteBuffers
internal import Telemetry

/// The group's byte budget. What the pool has handed out is the measure: partial frames, slices that wait for a commit,
/// unsent replies. Above the budget a loop stops reading; it goes on below three quarters of it.
///
/// One exception keeps it from standing still when partial frames themselves use the budget up: on each loop one
/// connection with a partial frame may go on until its frame is whole. The next has its turn when no more is
/// outstanding than when reading stopped, so that whole frames which wait for their commit do not add up. One that
/// does not finish within `budgetTurnLimit` is closed, which frees what it held.
extension EventLoop {
    /// Memory is given back on any thread and tells nobody, so a paused loop looks this often, in nanoseconds.
    static var budgetReviewInterval: Int64 { 5_000_000 }

    /// Whether the connection may read now; if not, it is queued and taken out of epoll's read set.
    func mayReceive(_ connection: Connection) -> Bool {
        let outstanding = pool.outstandingBytes
        if !budgetPaused {
            if outstanding <= shared.byteBudget { return true }
            budgetPaused = true
            budgetLevel = outstanding
            shared.counters.budgetPauses.add()
        }
        if budgetTurn == connection.id { return true }
        if budgetTurn == nil, connection.heldCount > 0, outstanding <= budgetLevel {
            (budgetTurn, budgetTurnSince) = (connection.id, now)
            return true
        }
        if !connection.isBudgetQueued {
            connection.isBudgetQueued = true
            budgetQueue.append(connection.id)
        }
        if connection.isArmed { connection.updateInterest(armed: false) }
        return false
    }

    /// The connection's frame is whole, or its handler takes no more.
    func budgetTurnEnded(of connection: Connection) {
        if budgetTurn == connection.id { budgetTurn = nil }
    }

    /// Once a turn while paused: resumes all, or gives one partial frame its turn.
    func reviewBudget() {
        guard budgetPaused else { return }
        let outstanding = pool.outstandingBytes
        if outstanding <= shared.byteBudget / 4 * 3 { return resumeFromBudget() }
        if let id = budgetTurn {
            if now - budgetTurnSince > shared.budgetTurnLimit { connection(id)?.close(.memoryPressure) }
            return
        }
        guard outstanding <= budgetLevel else { return }
        let next = budgetQueue.firstIndex { connection($0).map { $0.heldCount > 0 } ?? false }
        guard let next, let connection = connection(budgetQueue.remove(at: next)) else { return }
        connection.isBudgetQueued = false
        (budgetTurn, budgetTurnSince) = (connection.id, now)
        enqueueReady(connection)
    }

    private func resumeFromBudget() {
        budgetPaused = false
        budgetTurn = nil
        let queued = budgetQueue
        budgetQueue.removeAll()
        for id in queued {
            guard let connection = connection(id) else { continue }
            connection.isBudgetQueued = false
            enqueueReady(connection)
        }
    }
}
