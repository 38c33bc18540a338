internal import ByteBuffers

/// A due time in a loop's heap. An entry only names its timer: when it reaches the top of the heap, the timer's owner
/// is asked whether the entry is still valid.
struct TimerEntry {
    /// Monotonic nanoseconds.
    var deadline: Int64
    /// The slot of the connection; `TimerEntry.loopSlot` for the loop's own timers.
    var slot: UInt32
    var generation: UInt32
    /// The timer's number within the connection or loop.
    var id: Int

    static let loopSlot = UInt32.max
}

extension TimerEntry: HeapElement {
    @inline(__always) func precedes(_ other: TimerEntry) -> Bool { deadline < other.deadline }
}

/// The timers of one connection: few, so a short array. (A loop's own timers are in `EventLoop.loopTimers`.)
///
/// Setting a timer that already has an entry in the heap to a later time, or cancelling it, changes only the record.
/// The entry is corrected when it comes to the top, before the loop sleeps: extending an idle timeout per request
/// costs a store, and nobody wakes for a timer that is not due.
struct TimerTable {
    struct Record {
        let id: Int
        /// When it is due; `Int64.max` when it is cancelled and only waits for its entry to surface.
        var deadline: Int64
        /// The deadline of its live entry in the heap.
        var queuedAt: Int64
    }

    private var records: ContiguousArray<Record> = []

    /// Entries in the heap that mean something to these timers.
    var count: Int { records.count }

    func isSet(_ id: Int) -> Bool { records.contains { $0.id == id && $0.deadline != .max } }

    /// Whether the entry is still the timer's own, be it at another time than it is due.
    func owns(_ entry: TimerEntry) -> Bool { records.contains { $0.id == entry.id && $0.queuedAt == entry.deadline } }

    /// Sets a timer. Returns the deadline of an entry to insert into the heap, or `nil` when the present one comes
    /// early enough.
    mutating func set(_ id: Int, deadline: Int64) -> Int64? {
        guard let index = records.firstIndex(where: { $0.id == id }) else {
            records.append(Record(id: id, deadline: deadline, queuedAt: deadline))
            return deadline
        }
        records[index].deadline = deadline
        if records[index].queuedAt <= deadline { return nil }
        records[index].queuedAt = deadline
        return deadline
    }

    mutating func cancel(_ id: Int) {
        if let index = records.firstIndex(where: { $0.id == id }) { records[index].deadline = .max }
    }

    /// What an entry at the top of the heap means.
    enum Meaning {
        /// Cancelled, or replaced by an earlier entry: drop it.
        case stale
        /// The timer is due later: put it there.
        case later(Int64)
        /// The timer is due at this entry's time.
        case current
    }

    mutating func meaning(of entry: TimerEntry) -> Meaning {
        guard let index = records.firstIndex(where: { $0.id == entry.id && $0.queuedAt == entry.deadline }) else {
            return .stale
        }
        let deadline = records[index].deadline
        if deadline == entry.deadline { return .current }
        if deadline == .max {
            records.remove(at: index)
            return .stale
        }
        records[index].queuedAt = deadline
        return .later(deadline)
    }

    /// Forgets a timer that has fired.
    mutating func remove(_ id: Int) { records.removeAll { $0.id == id } }
}

extension Duration {
    /// Whole nanoseconds, saturating: beyond 292 years is for ever.
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min / 2 : .max / 2 }
        return min(max(product &+ attoseconds / 1_000_000_000, .min / 2), .max / 2)
    }
}
