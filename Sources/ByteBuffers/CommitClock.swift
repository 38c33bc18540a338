import Synchronization

/// Somebody who waits for commits: an event loop. Told once a commit, from the thread that publishes.
public protocol CommitListener: Sendable {
    /// Wakes the listener: something was published or has failed since the last call. Must not block.
    func wakeForCommit()
}

/// The commits that something rests on: from the one with the ticket `first` to the one with `last`. A reply about several
/// partitions may rest on several, because a commit takes what is there when it begins; and what the last of them has stored
/// says nothing of a partition that the first has left out.
public struct CommitSpan: Sendable, Equatable {
    /// 0: it rests on none.
    public var first: UInt64
    public var last: UInt64

    /// Rests on this one; 0: on none.
    @inlinable
    public init(_ ticket: UInt64 = 0) {
        first = ticket
        last = ticket
    }

    @inlinable public var isEmpty: Bool { last == 0 }

    /// Adds a commit; 0 adds none.
    @inlinable
    public mutating func add(_ ticket: UInt64) {
        if ticket == 0 { return }
        first = isEmpty ? ticket : min(first, ticket)
        last = max(last, ticket)
    }

    /// Adds the commits of another.
    public mutating func add(_ other: CommitSpan) {
        add(other.first)
        add(other.last)
    }
}

/// The point up to which everything is durable, as a ticket that only grows.
///
/// An append is given a ticket; its reply may leave once `published` has reached it. The writer publishes once a group
/// commit, whatever the number of replies that wait, and each listener is woken once.
///
/// A ticket that failed never becomes durable: what waits for it is told so, and is not released by a later publish.
/// Order: `fail` comes before any `publish` of a later ticket, so that whoever sees the later ticket sees the failure.
public final class CommitClock: Sendable {
    private let ticket: Atomic<UInt64>
    private let failures = Atomic<Int>(0)
    /// Oldest first, at most `maxFailedRanges`.
    let failedRanges = Lock<[ClosedRange<UInt64>]>([])
    private let listeners = Lock<[any CommitListener]>([])

    /// Failures that are kept apart. Who waits looks at all of them, and one is added with each commit that leaves a partition
    /// out. Beyond it the two oldest become one, with the tickets between them: those were answered long ago, and who should
    /// still ask for one of them is told that it failed, which loses nothing, rather than that it is durable.
    static let maxFailedRanges = 256

    /// Everything up to and including `published` counts as durable from the start.
    public init(published: UInt64 = 0) { ticket = Atomic(published) }

    /// The last durable ticket, inclusive.
    public var published: UInt64 { ticket.load(ordering: .sequentiallyConsistent) }

    /// How often `fail` was called; a listener compares it to find out whether it has to look.
    public var failureCount: Int { failures.load(ordering: .sequentiallyConsistent) }

    /// Adds a listener, for as long as the clock lives.
    public func attach(_ listener: any CommitListener) { listeners.withLock { $0.append(listener) } }

    /// Publishes that everything up to and including `reached` is durable, apart from what failed. A lower ticket than
    /// before changes nothing.
    public func publish(_ reached: UInt64) {
        let before = ticket.max(reached, ordering: .sequentiallyConsistent).oldValue
        if before < reached { wake() }
    }

    /// Says that the tickets from `first` to `last` (all later ones, unless given) will never be durable.
    public func fail(from first: UInt64, through last: UInt64 = .max) {
        failedRanges.withLock { ranges in
            ranges.append(first...last)
            if ranges.count > Self.maxFailedRanges {
                ranges[1] = min(ranges[0].lowerBound, ranges[1].lowerBound)...max(ranges[0].upperBound, ranges[1].upperBound)
                ranges.removeFirst()
            }
        }
        failures.add(1, ordering: .sequentiallyConsistent)
        wake()
    }

    /// Whether `ticket` is among the failed ones.
    public func hasFailed(_ ticket: UInt64) -> Bool {
        if failureCount == 0 { return false }
        return failedRanges.withLock { ranges in ranges.contains { $0.contains(ticket) } }
    }

    /// Whether something of these commits has failed, and nothing of them is outstanding. `published` was read before.
    public func hasFailed(_ commits: CommitSpan, published: UInt64) -> Bool {
        if failureCount == 0 { return false }
        return failedRanges.withLock { ranges in
            ranges.contains { $0.lowerBound <= commits.last && commits.first <= $0.upperBound }
                && (commits.last <= published || ranges.contains { $0.contains(commits.last) })
        }
    }

    private func wake() {
        // Few listeners, and each call is one exchange and at most one eventfd write: short enough for the lock.
        listeners.withLock { for listener in $0 { listener.wakeForCommit() } }
    }
}
