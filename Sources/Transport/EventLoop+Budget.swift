import Synchronization
internal import ByteBuffers

/// The group's byte budget. What the pool has handed out is the measure: partial frames, slices that wait for a commit,
/// unsent replies. Above the budget a loop stops reading; it goes on below three quarters of it.
///
/// One exception keeps it from standing still when partial frames themselves use the budget up: on each loop one
/// connection with a partial frame may go on until its frame is whole, and then the next. One that does not finish within
/// `budgetTurnLimit` is closed, which frees what it held.
extension EventLoop {
    /// Memory is given back on any thread and tells nobody, so a paused loop looks this often, in nanoseconds.
    static var budgetReviewInterval: Int64 { 5_000_000 }
    /// Nanoseconds for the one partial frame that may go on.
    static var budgetTurnLimit: Int64 { 5_000_000_000 }

    /// Whether the connection may read now; if not, it is queued and taken out of epoll's read set.
    func mayReceive(_ connection: Connection) -> Bool {
        if !budgetPaused {
            if pool.outstandingBytes <= shared.byteBudget { return true }
            budgetPaused = true
            shared.counters.budgetPauses.add(1, ordering: .relaxed)
        }
        if budgetTurn == connection.id { return true }
        if budgetTurn == nil, connection.heldCount > 0 {
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

    /// The connection's frame is whole, or its handler takes no more: the next one's turn.
    func budgetTurnEnded(of connection: Connection) {
        guard budgetTurn == connection.id else { return }
        budgetTurn = nil
        guard budgetPaused else { return }
        for index in budgetQueue.indices {
            if let next = self.connection(budgetQueue[index]), next.heldCount > 0 {
                budgetQueue.remove(at: index)
                next.isBudgetQueued = false
                (budgetTurn, budgetTurnSince) = (next.id, now)
                return enqueueReady(next)
            }
        }
    }

    func reviewBudget() {
        guard budgetPaused else { return }
        if pool.outstandingBytes > shared.byteBudget / 4 * 3 {
            if let id = budgetTurn, now - budgetTurnSince > Self.budgetTurnLimit {
                connection(id)?.close(.memoryPressure)
            }
            return
        }
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
