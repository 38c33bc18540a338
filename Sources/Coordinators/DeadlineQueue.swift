/// What a deadline in the shard's queue belongs to.
enum TimerSubject: Hashable, Sendable {
    /// The end of a group's join phase (or of a step of its initial delay).
    case join
    /// The time by which every member has to send its SyncGroup.
    case sync
    /// A member's session.
    case session(memberID: String)
    /// A member id given out with MEMBER_ID_REQUIRED.
    case pendingMember(memberID: String)
}

/// All deadlines of a shard, earliest first: a binary heap that is cleaned lazily.
///
/// A deadline that moves *later* (each heartbeat does that) touches only its `Deadline`; the heap's entry fires at the
/// old time, finds the deadline moved, and is put back. So a heartbeat costs no heap operation, and the heap holds
/// about one entry a member.
struct DeadlineQueue: Sendable {
    struct Entry: Sendable {
        var at: Int64
        /// Breaks ties in the order of arming, so that runs are reproducible.
        var order: UInt64
        var groupID: String
        var subject: TimerSubject

        static func precedes(_ a: Entry, _ b: Entry) -> Bool { a.at != b.at ? a.at < b.at : a.order < b.order }
    }

    private var heap: [Entry] = []
    private var armings: UInt64 = 0

    /// No timer fires before this time; one may be due then.
    var next: Int64? { heap.first?.at }

    mutating func push(at: Int64, groupID: String, subject: TimerSubject) {
        armings += 1
        heap.append(Entry(at: at, order: armings, groupID: groupID, subject: subject))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard Entry.precedes(heap[child], heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes out the earliest entry that is due at `now` (inclusive).
    mutating func popDue(_ now: Int64) -> Entry? {
        guard let first = heap.first, first.at <= now else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && Entry.precedes(heap[child], heap[least]) { least = child }
            if least == parent { return first }
            heap.swapAt(parent, least)
            parent = least
        }
    }

    mutating func removeAll() { heap = [] }
}

/// One timer: when it is due, and when the heap will look at it.
struct Deadline: Equatable, Sendable {
    /// When it is due; `nil`: not running.
    private(set) var at: Int64?
    /// The time of the earliest heap entry for it; later entries are left-overs and ignored.
    private var armedAt: Int64?

    mutating func set(_ time: Int64, in queue: inout DeadlineQueue, groupID: String, subject: TimerSubject) {
        at = time
        guard armedAt.map({ time < $0 }) ?? true else { return }
        armedAt = time
        queue.push(at: time, groupID: groupID, subject: subject)
    }

    mutating func cancel() { at = nil }

    /// Says whether the timer is due, when `entry` came out of the heap at `now`; stops it if so, arms it again if it
    /// has moved.
    mutating func fires(_ entry: DeadlineQueue.Entry, now: Int64, in queue: inout DeadlineQueue) -> Bool {
        guard armedAt == entry.at else { return false }
        armedAt = nil
        guard let due = at else { return false }
        if due <= now {
            at = nil
            return true
        }
        armedAt = due
        queue.push(at: due, groupID: entry.groupID, subject: entry.subject)
        return false
    }
}
