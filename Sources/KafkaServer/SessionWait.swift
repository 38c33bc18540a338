/// Waiting of a fetch with a session: as without one, but only what is ready is looked at.
///
/// What rests was registered by an earlier fetch and tells of its first byte. It joins the round then, with what it has
/// grown by, so a round is begun for twice as many partitions as have anything to tell (`GrowthRound`), and the next one
/// when there are more: each partition that joins costs its own look and, on average, less than two others.
extension FetchPlan {
    /// Begins the wait, with what was found. False: there is enough meanwhile, or something has changed.
    func beginWait(in session: FetchSession, _ outcome: Outcome) -> Bool {
        for index in items.indices {
            session.beginWait(items[index], outcome.found[index].result, isFull: isFull)
        }
        session.rotate([])
        // They are made anew when it is answered; the memory of many is not kept for that.
        items.removeAll(keepingCapacity: items.count <= Self.freePartitions)
        round = GrowthRound(missing: minBytes - outcome.available)
        if beginRound(in: session) { return true }
        session.releaseUnwatched()
        return false
    }

    /// Takes in that a partition has grown or changed. False: the wait is over.
    func keepsWaiting(after slot: Int32, in session: FetchSession) -> Bool {
        session.mark(slot)
        guard session.watch(slot, &round), !round.isEnough else { return false }
        guard round.isOver || session.markedCount > joinRoom else { return true }
        // A round of so many is not a loop's work.
        return session.readyCount <= maxInlinePartitions && beginRound(in: session)
    }

    private func beginRound(in session: FetchSession) -> Bool {
        let ready = session.takeReady()
        repeat {
            let growing = ready.reduce(0) { $0 + (session.hasRoom($1) ? 1 : 0) }
            let partitions = min(session.count, max(Self.leastInRound, 2 * growing))
            joinRoom = partitions - growing
            round.begin(over: partitions)
            for slot in ready where !session.watch(slot, &round) { return false }
        } while round.isOver && !round.isEnough
        return !round.isEnough
    }

    /// A round has room for so many partitions at least.
    private static let leastInRound = 4
}
