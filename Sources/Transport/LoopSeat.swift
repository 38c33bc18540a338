internal import ByteBuffers
internal import CSystem
internal import Glibc
internal import Synchronization
internal import Telemetry

/// Who runs a loop: at any time one thread, though not always the same.
///
/// ```
///   even ── owner: enter ──► odd ── owner: leave, compareExchange ──► even     the same thread goes on
///                             └──── relief: take, compareExchange ──► even     the relief goes on;
///                                     the former owner's `leave` fails, and it touches the loop no more
/// ```
/// A number is never used twice, so when owner and relief compete, the second sees that it lost. Taking the seat
/// synchronises with entering: the relief sees everything that the owner did to the loop.
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
