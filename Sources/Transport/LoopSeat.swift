internal import ByteBuffers
internal import CSystem
internal import Glibc
internal import Synchronization
internal import Telemetry

/// Work that a loop does at the end of a turn and that may have to wait, as for a disk.
///
/// `run` is called at a point where the loop's state is whole. When it takes longer than a moment (`LoopRelief.scanMs`),
/// another thread goes on with the loop and `run` comes to its end beside it: it must not use the loop or anything that
/// belongs to it, and is not called again for this loop before it has returned or the loop was taken over.
public final class TurnWork: Sendable {
    /// There is something to do. Asked for at the end of each turn: must cost nothing and not wait.
    let isWanted: @Sendable () -> Bool
    let run: @Sendable () -> Void

    public init(isWanted: @escaping @Sendable () -> Bool, run: @escaping @Sendable () -> Void) {
        self.isWanted = isWanted
        self.run = run
    }
}

/// Who runs a loop: at any time one thread, though not always the same.
///
/// ```
///   even ── owner: enter ──► odd ── owner: leave, compareExchange ──► even     the same thread goes on
///                             └──── relief: take, compareExchange ──► even     the relief goes on;
///                                     the former owner's `leave` fails, and it touches the loop no more
/// ```
/// A number is never used twice, so whoever is second sees that it is. Taking synchronises with entering: the relief sees all
/// that the owner did to the loop.
final class LoopSeat: @unchecked Sendable {
    // SAFETY: `loop` is written by the thread that makes it, before its first `enter`, and by the one that ends it; it is
    // read by who has taken the seat.
    let index: Int
    private let round = Atomic<UInt64>(0)
    /// The thread that is on the loop now; 0 while it is within its work, when it counts as any other thread.
    private let owner = Atomic<UInt>(0)
    private var loop: EventLoop?

    init(index: Int) { self.index = index }

    var isOwnThread: Bool { owner.load(ordering: .relaxed) == UInt(pthread_self()) }

    func sit(_ loop: EventLoop) {
        self.loop = loop
        own()
    }

    /// Empties the seat, since the loop has ended.
    func vacate() {
        loop = nil
        owner.store(0, ordering: .relaxed)
    }

    /// Marks that the owner is about to wait. Returns what `leave` needs.
    func enter() -> UInt64 {
        owner.store(0, ordering: .relaxed)
        let odd = round.load(ordering: .relaxed) + 1
        round.store(odd, ordering: .sequentiallyConsistent)
        return odd
    }

    /// Goes back to the loop; false when it was taken over meanwhile.
    func leave(_ odd: UInt64) -> Bool {
        guard round.compareExchange(expected: odd, desired: odd + 1, ordering: .acquiringAndReleasing).exchanged else {
            return false
        }
        own()
        return true
    }

    /// Odd while the owner is within its work.
    var current: UInt64 { round.load(ordering: .sequentiallyConsistent) }

    /// Takes the loop from an owner that is still within the work it was in at `odd`.
    func take(_ odd: UInt64) -> EventLoop? {
        guard round.compareExchange(expected: odd, desired: odd + 1, ordering: .acquiringAndReleasing).exchanged else {
            return nil
        }
        own()
        return loop
    }

    private func own() { owner.store(UInt(pthread_self()), ordering: .relaxed) }
}

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
