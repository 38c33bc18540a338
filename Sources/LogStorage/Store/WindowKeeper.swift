import ByteBuffers

/// The thread that passes the hot window's seconds: <doc:HotWindow>.
///
/// It has one of its own because the memory is to be given back while a checkpoint waits for a slow disk, or a journal file is
/// being made: the machine's other programs do not wait for these.
final class WindowKeeper: StorePart {
    let parts: StoreParts

    init(_ parts: StoreParts) { self.parts = parts }

    /// Looks after the window, if a second is over, and whenever somebody asks.
    func look(nowMs: Int64) {
        memory.evictBelowStarts()
        memory.advance(nowMs: nowMs)
        // What has left may stand in the pool now, which the maintaining thread empties.
        if !requests.isWaitTimed, memory.isMaintenanceWanted { requests.wake() }
    }

    func run(until isStopping: () -> Bool) {
        while true {
            memory.waitForTick()
            if isStopping() { return }
            look(nowMs: WallClock.milliseconds)
        }
    }
}
