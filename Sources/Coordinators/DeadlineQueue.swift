import ByteBuffers

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
    /// The time by which a member of a consumer group has to have given up what it was told to.
    case rebalance(memberID: String)
    /// A consumer group's next target assignment.
    case assignment

    var textBytes: Int {
        switch self {
        case .join, .sync, .assignment: 0
        case .session(let memberID), .pendingMember(let memberID), .rebalance(let memberID): memberID.utf8.count
        }
    }
}

/// All deadlines of a shard, earliest first: a heap that is cleaned lazily.
///
/// A deadline that moves *later* (each heartbeat does that) touches only its `GroupTimer`; the heap's entry fires at the
/// old time, finds the deadline moved, and is put back. So a heartbeat costs no heap operation, and the heap holds
/// about one entry a member.
///
/// A deadline that is dropped with its member or group, or that moves *earlier*, leaves its entry behind, with the ids in
/// it, for as long as the client chose. So once enough was pushed (`wantsRebuild`), the heap is made anew of the
/// deadlines that there are.
struct DeadlineQueue: Sendable {
    struct Entry: HeapElement, Sendable {
        var at: Int64
        /// Breaks ties in the order of arming, so that runs are reproducible.
        var order: UInt64
        var groupID: String
        var subject: TimerSubject

        func precedes(_ other: Entry) -> Bool { at != other.at ? at < other.at : order < other.order }
    }

    private var heap = BinaryHeap<Entry>()
    private var armings: UInt64 = 0
    /// Bytes of the entries pushed since the heap was last made anew; one that was put back does not count.
    private var pushedBytes = 0
    private var rebuildAt = Self.pushedAlways

    /// What may be pushed before the heap is made anew: so much, and a share of what was in it then. So the entries left
    /// behind take no more than that, and making it anew costs each push as much as a few pushes.
    static let pushedAlways = 256 << 10
    static let pushedPerEntry = 64

    /// No timer fires before this time; one may be due then.
    var next: Int64? { heap.first?.at }

    /// Entries, of deadlines that there are and of others.
    var count: Int { heap.count }

    var wantsRebuild: Bool { pushedBytes >= rebuildAt }

    /// Takes `entries` instead of all that it has.
    mutating func rebuild(from entries: [Entry]) {
        heap = BinaryHeap(entries)
        pushedBytes = 0
        rebuildAt = Self.pushedAlways + Self.pushedPerEntry * heap.count
    }

    /// Gives the entry's number.
    @discardableResult
    mutating func push(at: Int64, groupID: String, subject: TimerSubject) -> UInt64 {
        pushedBytes += 64 + groupID.utf8.count + subject.textBytes
        return putBack(at: at, groupID: groupID, subject: subject)
    }

    fileprivate mutating func putBack(at: Int64, groupID: String, subject: TimerSubject) -> UInt64 {
        armings += 1
        heap.insert(Entry(at: at, order: armings, groupID: groupID, subject: subject))
        return armings
    }

    /// Takes out the earliest entry that is due at `now` (inclusive).
    mutating func popDue(_ now: Int64) -> Entry? {
        guard let first = heap.first, first.at <= now else { return nil }
        heap.removeFirst()
        return first
    }

    mutating func removeAll() { rebuild(from: []) }
}

/// One timer: when it is due, and when the heap will look at it.
struct GroupTimer: Equatable, Sendable {
    /// When it is due; `nil`: not running.
    private(set) var at: Int64?
    /// The earliest heap entry for it; later entries are left-overs and ignored.
    private var armed: Arming?

    private struct Arming: Equatable {
        var at: Int64
        var order: UInt64
    }

    mutating func set(_ time: Int64, in queue: inout DeadlineQueue, groupID: String, subject: TimerSubject) {
        at = time
        guard armed.map({ time < $0.at }) ?? true else { return }
        armed = Arming(at: time, order: queue.push(at: time, groupID: groupID, subject: subject))
    }

    /// Returns the heap's entry for it, if there is one.
    func entry(groupID: String, subject: TimerSubject) -> DeadlineQueue.Entry? {
        armed.map { DeadlineQueue.Entry(at: $0.at, order: $0.order, groupID: groupID, subject: subject) }
    }

    mutating func cancel() { at = nil }

    /// Says whether the timer is due, when `entry` came out of the heap at `now`; stops it if so, arms it again if it
    /// has moved.
    mutating func fires(_ entry: DeadlineQueue.Entry, now: Int64, in queue: inout DeadlineQueue) -> Bool {
        guard armed?.order == entry.order else { return false }
        armed = nil
        guard let due = at else { return false }
        if due <= now {
            at = nil
            return true
        }
        armed = Arming(at: due, order: queue.putBack(at: due, groupID: entry.groupID, subject: entry.subject))
        return false
    }
}
