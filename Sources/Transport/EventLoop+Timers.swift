internal import ByteBuffers
internal import CSystem

/// A timer of the loop itself, for cancelling.
public struct LoopTimer: Hashable, Sendable {
    let id: Int
}

/// What a loop's own timer does.
struct LoopJob {
    let body: (EventLoop) -> Void
}

extension EventLoop {
    /// Runs `body` once, `after` this turn's beginning or later. For what happens a few times a second; connections
    /// have their own.
    @discardableResult
    public func schedule(after: Duration, _ body: @escaping (EventLoop) -> Void) -> LoopTimer {
        let id = nextLoopTimer
        nextLoopTimer += 1
        loopTimers[id] = LoopJob(body: body)
        timers.insert(
            TimerEntry(deadline: now + after.nanoseconds, slot: TimerEntry.loopSlot, generation: 0, id: id))
        return LoopTimer(id: id)
    }

    public func cancel(_ timer: LoopTimer) {
        if loopTimers.removeValue(forKey: timer.id) != nil { addStaleTimers(1) }
    }

    /// Counts entries of the heap that mean nothing any more: their timer was cancelled or brought forward, or its
    /// connection has gone. They are dropped when they come to the top, which may be minutes later; so once they are
    /// more than the others, all of them go at once.
    func addStaleTimers(_ count: Int) {
        staleTimers += count
        guard staleTimers > Self.keptStaleTimers, staleTimers > timers.count / 2 else { return }
        timers.filter { entry in
            if entry.slot == TimerEntry.loopSlot { return loopTimers[entry.id] != nil }
            return connection(slot: entry.slot, generation: entry.generation)?.timers.owns(entry) ?? false
        }
        staleTimers = 0
    }

    /// Up to this many stale entries are not worth a pass over the heap.
    static var keptStaleTimers: Int { 256 }

    private func dropStale() {
        timers.removeFirst()
        staleTimers = max(0, staleTimers - 1)
    }

    /// Returns the nearest time at which something is really due; entries that mean nothing any more are dropped on the
    /// way.
    func nextDeadline() -> Int64? {
        while let top = timers.first {
            if top.slot == TimerEntry.loopSlot {
                if loopTimers[top.id] != nil { return top.deadline }
                dropStale()
            } else if let connection = connection(slot: top.slot, generation: top.generation) {
                if correct(top, of: connection) { return top.deadline }
            } else {
                dropStale()
            }
        }
        return nil
    }

    /// Whether the top entry is true; if not, it is dropped or moved to its time.
    private func correct(_ top: TimerEntry, of connection: Connection) -> Bool {
        switch connection.timers.meaning(of: top) {
        case .current: return true
        case .stale: dropStale()
        case .later(let deadline):
            var moved = top
            moved.deadline = deadline
            timers.replaceFirst(moved)
        }
        return false
    }

    func fireTimers() {
        // A timer that is set again for now while it fires waits for the next turn.
        var remaining = timers.count
        while remaining > 0, let deadline = nextDeadline(), deadline <= now, let top = timers.first {
            remaining -= 1
            timers.removeFirst()
            if top.slot == TimerEntry.loopSlot {
                loopTimers.removeValue(forKey: top.id)?.body(self)
            } else if let connection = connection(slot: top.slot, generation: top.generation) {
                connection.timers.remove(top.id)
                connection.timerFired(top.id)
            }
        }
    }
}
