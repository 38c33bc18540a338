import KafkaModel
import KafkaWire
import LogStorage

/// What a session is told by the logs of its partitions.
///
/// ```
///            named by a request, told of, an error, more to read
///   ┌──────┐ ◄──────────────────────────────────────────────── ┌─────────┐
///   │ready │                                                   │ at rest │
///   └──────┘ ────────────────────────────────────────────────► └─────────┘
///             looked at: nothing to read, nothing to tell, and
///             registered with the log, which has not moved since
/// ```
/// Invariant: a log that an entry holds has the session's waiter, or has told it, and that stands in the loop's inbox, in what
/// the loop was told, or in `toldAway`. Whoever takes the waiter back makes the partition ready. So nothing is missed between
/// two fetches, no fetch registers what is registered, and no session keeps the log of a deleted partition, asked for or not.
///
/// A log has at most one waiter of a slot. One that is ready may have one, too: of a wait that is over, or of the time
/// before a request named it anew. What that tells changes nothing, but that it lets the log go.
extension FetchSession {
    /// Bit 63 tells sessions from fetches that wait without one.
    static func waiterID(_ id: Int32, _ generation: UInt32) -> UInt64 {
        1 << 63 | UInt64(generation) << 31 | UInt64(UInt32(bitPattern: id))
    }

    private func waiter(for slot: Int32) -> ReadWaiter { ReadWaiter(loop: waiter.loop, id: waiter.id, place: slot) }

    /// Lets a partition rest of which a look has found nothing to read and nothing that the client is not told. `item` says
    /// where the look was. It stays ready where something has happened since.
    func rest(_ item: borrowing FetchPlan.Item, logStart: Int64) {
        if isEnded { return }
        let (slot, position) = (item.sessionSlot, item.position)
        setLog(slot, item.log)
        guard let mark = look(slot, step: 1, enough: position + 1), mark.position == position,
            mark.logStartOffset.rawValue == logStart, mark.isLed(in: entries[Int(slot)].currentLeaderEpoch)
        else { return }
        entries[Int(slot)].position = position
        entries[Int(slot)].room = entries[Int(slot)].cap
        entries[Int(slot)].isReady = false
    }

    /// Ends a look at a partition, whose result the client is told: it rests when there is nothing more, and is looked at
    /// again at every fetch while it gives an error.
    func endLook(_ item: borrowing FetchPlan.Item, _ result: FetchPartitionResult) {
        if item.log == nil || result.errorCode != .none {
            unwatch(item.sessionSlot)
        } else if item.isAtEnd(result) {
            rest(item, logStart: result.logStartOffset)
        }
    }

    /// Ends a look at a partition whose fetch has not found enough and waits. What is new to the client stays ready, to be told
    /// at the end of the wait. `isFull`: then all are told.
    func beginWait(_ item: borrowing FetchPlan.Item, _ result: FetchPartitionResult, isFull: Bool) {
        let slot = item.sessionSlot
        setLog(slot, item.log)
        entries[Int(slot)].position = item.position
        entries[Int(slot)].room = item.room
        if item.isAtEnd(result), isFull || !isNews(slot, result) { rest(item, logStart: result.logStartOffset) }
    }

    /// Whether the partition may give more bytes to a fetch that waits.
    func hasRoom(_ slot: Int32) -> Bool { entries[Int(slot)].room > 0 }

    /// Counts what a ready partition has grown by, for a fetch that waits, and watches for the next step. False: the wait is
    /// over.
    func watch(_ slot: Int32, _ round: inout GrowthRound) -> Bool {
        guard Int(slot) < entries.count, !entries[Int(slot)].isVacant else { return true }
        let (position, room) = (entries[Int(slot)].position, entries[Int(slot)].room)
        let step = room > 0 ? Int64(round.step) : .max
        let enough = room >= round.remaining ? position + Int64(round.remaining) : .max
        guard let mark = look(slot, step: step, enough: enough) else { return false }
        let growth = min(Int(mark.position - position), room)
        entries[Int(slot)].position = mark.position
        entries[Int(slot)].room = room - growth
        round.gain(growth)
        return mark.isLed(in: entries[Int(slot)].currentLeaderEpoch)
            && mark.logStartOffset.rawValue <= entries[Int(slot)].fetchOffset
    }

    /// Lets go of logs that a wait has not come to watch, because it was over before.
    func releaseUnwatched() {
        for slot in ready where entries[Int(slot)].watchSlot < 0 { entries[Int(slot)].log = nil }
    }

    /// Takes back what the partition's log has of this session, and makes the partition ready.
    func release(_ slot: Int32) {
        guard Int(slot) < entries.count, !entries[Int(slot)].isVacant else { return }
        unwatch(slot)
        mark(slot)
    }

    /// Takes everything back. With a session that nobody uses any more.
    func unwatchAll() {
        for slot in entries.indices { unwatch(Int32(slot)) }
    }

    /// Forgets the partition's log, which forgets the session. A log that was deleted is held by nobody then.
    func unwatch(_ slot: Int32) {
        guard let log = entries[Int(slot)].log else { return }
        log.forget(waiter(for: slot), slot: entries[Int(slot)].watchSlot)
        entries[Int(slot)].log = nil
        entries[Int(slot)].watchSlot = -1
    }

    private func setLog(_ slot: Int32, _ log: PartitionLog?) {
        if entries[Int(slot)].log === log { return }
        unwatch(slot)
        entries[Int(slot)].log = log
    }

    private func look(_ slot: Int32, step: Int64, enough: Int64) -> PartitionLog.Watermark? {
        guard let log = entries[Int(slot)].log else { return nil }
        var watchSlot = entries[Int(slot)].watchSlot
        let mark = log.watch(
            waiter(for: slot), slot: &watchSlot, step: step, enough: enough,
            visibility: readsCommitted ? .stable : .committed)
        entries[Int(slot)].watchSlot = watchSlot
        // It registers nobody, and would never tell.
        if mark.isGone { unwatch(slot) }
        return mark
    }
}

extension FetchPlan.Item {
    /// Whether a look at the partition has found nothing to read, and that only growth can change this.
    func isAtEnd(_ result: FetchPartitionResult) -> Bool {
        log != nil && result.errorCode == .none && result.recordsCount == 0 && room == cap
            && (fetchOffset == result.highWatermark || fetchOffset == result.lastStableOffset)
    }
}

extension ReadWaiter {
    /// Whether it names a session, and not a fetch that waits without one.
    var isSession: Bool { id >> 63 == 1 }
    var sessionID: Int32 { Int32(truncatingIfNeeded: id & 0x7fff_ffff) }
}
