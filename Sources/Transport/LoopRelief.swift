internal import ByteBuffers
internal import CSystem
internal import Glibc
internal import Synchronization
internal import Telemetry

/// Takes over a loop whose thread waits within its `TurnWork`. One thread of the group is here at any time that none of
/// its loops waits so; the one whose loop was taken comes here when its work is done.
///
/// So a write that is quick is made by the loop itself, without a wake of any thread, and one that is not holds nobody up
/// for longer than two scans. One relief serves all loops, since their work is one group commit after the other; while it
/// runs a loop itself, a second loop that waits is not relieved.
final class LoopRelief: Sendable {
    /// Time between two looks while loops are at work; one that is within the same work at both is taken over.
    static let scanMs: Int64 = 4
    /// Looks without any work in between, after which the relief sleeps until there is some.
    static let quietScans = 50

    private let seats: [LoopSeat]
    private let signal = Signal()
    private let isAsleep = Atomic<Bool>(false)
    private let isStopped = Atomic<Bool>(false)
    private let remaining: Atomic<Int>
    /// How often a loop was taken over.
    let counters: TransportCounters

    init(seats: [LoopSeat], counters: TransportCounters) {
        self.seats = seats
        self.counters = counters
        remaining = Atomic(seats.count)
    }

    /// Wakes the relief if it sleeps, as a loop has entered its work. Either the loop sees that the relief sleeps, or
    /// the relief sees its work before it does.
    func wakeIfAsleep() {
        if isAsleep.load(ordering: .sequentiallyConsistent) { signal.raise() }
    }

    /// Counts a loop that has ended, or was never made. The relief ends behind the last one.
    func loopEnded() {
        guard remaining.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 else { return }
        isStopped.store(true, ordering: .sequentiallyConsistent)
        signal.raise()
    }

    /// Waits until there is a loop to go on with; nil when all have ended.
    func next() -> (seat: LoopSeat, loop: EventLoop)? {
        millrace_thread_set_name("loop-relief")
        var seen = seats.map(\.current)
        var quiet = 0
        while !isStopped.load(ordering: .sequentiallyConsistent) {
            if quiet >= Self.quietScans {
                isAsleep.store(true, ordering: .sequentiallyConsistent)
                if seats.map(\.current) == seen { signal.wait() }
                isAsleep.store(false, ordering: .sequentiallyConsistent)
                quiet = 0
            }
            signal.wait(timeoutMs: Self.scanMs)
            quiet += 1
            for (index, seat) in seats.enumerated() {
                let now = seat.current
                if now != seen[index] || now % 2 == 1 { quiet = 0 }
                if now % 2 == 1, now == seen[index], let loop = seat.take(now) {
                    counters.reliefs.add()
                    return (seat, loop)
                }
                seen[index] = now
            }
        }
        return nil
    }
}
