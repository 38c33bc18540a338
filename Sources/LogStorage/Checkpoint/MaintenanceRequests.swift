import ByteBuffers
import Synchronization

/// What the other threads ask of the maintaining thread: a set of requests, and the signal that wakes it.
///
/// All of it is atomic, so that a request can be made on any thread and under any lock.
final class MaintenanceRequests: Sendable {
    struct Work: OptionSet {
        let rawValue: UInt8

        /// A checkpoint, because the journal fills up, or because an earlier one had to be put off.
        static let checkpoint = Work(rawValue: 1)
        /// Batches in memory have to go to their segments, because there are too many.
        static let writeBehind = Work(rawValue: 2)
        /// What is known of damage has changed and is to be stored.
        static let quarantines = Work(rawValue: 4)
        /// There are too many producer states.
        static let producerLimit = Work(rawValue: 8)
        /// The metrics page wants to know the size of all logs.
        static let totals = Work(rawValue: 16)
        /// The journal will want one more file before long.
        static let journalFile = Work(rawValue: 32)
    }

    private let pending = Atomic<UInt8>(0)
    private let signal = Signal()
    /// The maintaining thread will look again by itself before long.
    private let isTimed = Atomic<Bool>(false)

    /// Adds a request without waking anybody: the next round, whenever it comes, sees it. Gives whether it is a new one.
    @discardableResult
    func add(_ work: Work) -> Bool {
        pending.bitwiseOr(work.rawValue, ordering: .acquiringAndReleasing).oldValue & work.rawValue == 0
    }

    /// Adds a request and wakes the maintaining thread.
    func raise(_ work: Work) {
        add(work)
        signal.raise()
    }

    /// Wakes the maintaining thread for a round of what is due.
    func wake() { signal.raise() }

    func contains(_ work: Work) -> Bool { pending.load(ordering: .acquiring) & work.rawValue != 0 }

    /// Takes a request out; gives whether it was there.
    func take(_ work: Work) -> Bool {
        pending.bitwiseAnd(~work.rawValue, ordering: .acquiringAndReleasing).oldValue & work.rawValue != 0
    }

    var isWaitTimed: Bool { isTimed.load(ordering: .relaxed) }

    /// Waits for a request, on the maintaining thread. `isShort`: the wait is short enough that nobody needs to wake it for
    /// work that can wait that long.
    func wait(timeoutMs: Int64, isShort: Bool) {
        isTimed.store(isShort, ordering: .sequentiallyConsistent)
        signal.wait(timeoutMs: timeoutMs)
    }
}
