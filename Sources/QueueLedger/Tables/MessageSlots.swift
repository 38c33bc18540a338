/// What is known of one message that has state. A message has one of these at a time, and moves as the article's
/// drawing shows.
enum MessageState: UInt8, Sendable, CaseIterable {
    /// The slot holds no message.
    case free
    /// May be received.
    case available
    /// Leased to a receiver until its deadline.
    case inFlight
    /// Not to be received before its deadline: sent with a delay, or given back with one.
    case delayed
    /// Had its last delivery, or was rejected: waits for its move to the dead letters.
    case ending
}

/// The messages that have state, in arrays by slot: a slot is a message's place as long as it is not ended.
///
/// Bytes a slot: 75 in the arrays, 5.3 to 10.7 in the index. The arrays grow by an eighth, so a message costs below 100
/// bytes with all reserves once there are thousands; a test counts the buffers of a million.
struct MessageSlots: Sendable {
    typealias Slot = UInt32
    static let none = Slot.max

    private(set) var offsets: ContiguousArray<Int64> = []
    /// Milliseconds since 1970: the end of a lease, or of a delay.
    private(set) var deadlines: ContiguousArray<Int64> = []
    /// Milliseconds since 1970 of the first delivery; 0: none yet.
    private(set) var firstReceived: ContiguousArray<Int64> = []
    /// The last lease's number (`LeaseNumber`); 0: none yet.
    private(set) var leases: ContiguousArray<UInt64> = []
    /// Milliseconds from the beginning of the last lease to its deadline.
    private(set) var spans: ContiguousArray<UInt32> = []
    /// Who has the last lease: a member of a share group; 0: nobody in particular.
    private(set) var owners: ContiguousArray<UInt32> = []
    /// The message's group in `MessageGroups`, or `none`.
    var groups: ContiguousArray<UInt32> = []
    /// Links of the list that the slot is in: of its group, or of the available ones without a group.
    var next: ContiguousArray<Slot> = []
    var previous: ContiguousArray<Slot> = []
    /// Deliveries so far, those that were taken back not counted; it stays at its greatest.
    private(set) var counts: ContiguousArray<UInt16> = []
    private(set) var states: ContiguousArray<MessageState> = []

    /// Slots with a deadline ahead, earliest first.
    private(set) var timers = SlotHeap()
    /// All messages, lowest offset first.
    private(set) var order = SlotHeap()
    private var index = OffsetIndex()
    private var freeSlots: ContiguousArray<Slot> = []
    private(set) var count = 0

    /// Slots that are made first, and stay.
    private static let smallest = 64
    /// Slots above which a table that is nearly empty is made smaller.
    private static let keptSlots = 4096

    var capacity: Int { offsets.count }

    func slot(of offset: Int64) -> Slot? { index.slot(of: offset, offsets) }

    /// The message with the lowest offset.
    var first: Slot? { order.first }

    /// Makes a message, which is in state `free` still, in no list and without a group.
    mutating func insert(_ offset: Int64) -> Slot {
        if freeSlots.isEmpty { grow() }
        let slot = freeSlots.removeLast()
        offsets[Int(slot)] = offset
        index.insert(slot, offsets)
        order.insert(slot, offsets)
        count += 1
        return slot
    }

    /// Forgets a message that is in no list any more.
    mutating func remove(_ slot: Slot) {
        let at = Int(slot)
        if timers.contains(slot) { timers.remove(slot, deadlines) }
        order.remove(slot, offsets)
        index.remove(slot, offsets)
        deadlines[at] = 0
        firstReceived[at] = 0
        leases[at] = 0
        spans[at] = 0
        owners[at] = 0
        groups[at] = Self.none
        next[at] = Self.none
        previous[at] = Self.none
        counts[at] = 0
        states[at] = .free
        freeSlots.append(slot)
        count -= 1
    }

    // MARK: Changes of one message

    /// Sets the state; a message that is in flight or delayed has the deadline, others have none.
    mutating func set(_ slot: Slot, _ state: MessageState, deadline: Int64) {
        let hasTimer = timers.contains(slot)
        states[Int(slot)] = state
        deadlines[Int(slot)] = deadline
        switch (hasTimer, state == .inFlight || state == .delayed) {
        case (true, true): timers.moved(slot, deadlines)
        case (false, true): timers.insert(slot, deadlines)
        case (true, false): timers.remove(slot, deadlines)
        case (false, false): break
        }
    }

    /// Notes a delivery, or what a record says of one.
    mutating func note(_ slot: Slot, _ lease: LeaseTerms, count: UInt16) {
        let at = Int(slot)
        leases[at] = lease.number
        owners[at] = lease.owner
        counts[at] = count
        spans[at] = UInt32(clamping: lease.deadlineMs - lease.startMs)
        if firstReceived[at] == 0 { firstReceived[at] = lease.startMs }
    }

    /// Moves the end of the lease, and leaves its beginning where it was.
    mutating func extend(_ slot: Slot, to deadline: Int64) {
        let start = leaseStart(of: slot)
        spans[Int(slot)] = UInt32(clamping: deadline - start)
        set(slot, .inFlight, deadline: deadline)
    }

    /// Takes back one delivery that never reached its receiver.
    mutating func uncount(_ slot: Slot) {
        if counts[Int(slot)] > 0 { counts[Int(slot)] -= 1 }
    }

    mutating func restore(_ slot: Slot, firstReceivedMs: Int64, spanMs: UInt32) {
        firstReceived[Int(slot)] = firstReceivedMs
        spans[Int(slot)] = spanMs
    }

    /// Milliseconds since 1970; only of a message that is in flight.
    func leaseStart(of slot: Slot) -> Int64 { deadlines[Int(slot)] - Int64(spans[Int(slot)]) }

    // MARK: Memory

    /// Bytes of all buffers, with what they have in reserve.
    var memoryBytes: Int {
        let wide = offsets.capacity + deadlines.capacity + firstReceived.capacity + leases.capacity
        let narrow = spans.capacity + owners.capacity + groups.capacity + next.capacity + previous.capacity
        return 8 * wide + 4 * (narrow + freeSlots.capacity) + 2 * counts.capacity + states.capacity
            + timers.memoryBytes + order.memoryBytes + index.memoryBytes
    }

    private mutating func grow() {
        let old = capacity
        let new = max(Self.smallest, old + old / 8)
        precondition(new < Int(Self.none), "more messages with state than slots have numbers")
        offsets.grow(to: new, 0)
        deadlines.grow(to: new, 0)
        firstReceived.grow(to: new, 0)
        leases.grow(to: new, 0)
        spans.grow(to: new, 0)
        owners.grow(to: new, 0)
        groups.grow(to: new, Self.none)
        next.grow(to: new, Self.none)
        previous.grow(to: new, Self.none)
        counts.grow(to: new, 0)
        states.grow(to: new, .free)
        timers.grow(to: new)
        order.grow(to: new)
        // The lowest is taken first.
        freeSlots.append(contentsOf: (old..<new).reversed().map { Slot($0) })
    }

    /// Whether most of the memory is of messages that are gone: then the rest is copied into a smaller table. It was
    /// eight times as full, so that costs each removal one step on average.
    var isMostlyEmpty: Bool { capacity > Self.keptSlots && count < capacity / 8 }

    /// Whether a copy takes less memory, of whatever size the table is: for who has the time to make one.
    var isWorthShrinking: Bool { count * 8 < capacity && (count == 0 || capacity > Self.smallest) }

    /// Returns the table in as little memory as it needs, and by old slot the new one; the lists' links follow.
    func compacted() -> (slots: MessageSlots, newSlots: ContiguousArray<Slot>) {
        var copy = MessageSlots()
        var newSlots = ContiguousArray(repeating: Self.none, count: capacity)
        for old in 0..<capacity where states[old] != .free {
            let new = copy.insert(offsets[old])
            newSlots[old] = new
            copy.firstReceived[Int(new)] = firstReceived[old]
            copy.leases[Int(new)] = leases[old]
            copy.spans[Int(new)] = spans[old]
            copy.owners[Int(new)] = owners[old]
            copy.groups[Int(new)] = groups[old]
            copy.counts[Int(new)] = counts[old]
            copy.set(new, states[old], deadline: deadlines[old])
        }
        for old in 0..<capacity where states[old] != .free {
            let new = Int(newSlots[old])
            if next[old] != Self.none { copy.next[new] = newSlots[Int(next[old])] }
            if previous[old] != Self.none { copy.previous[new] = newSlots[Int(previous[old])] }
        }
        return (copy, newSlots)
    }

    /// The slots that hold a message, in no order.
    var occupied: [Slot] { (0..<capacity).filter { states[$0] != .free }.map { Slot($0) } }
}

extension ContiguousArray {
    /// Fills up to `count` elements, without the reserve that `append` takes.
    fileprivate mutating func grow(to count: Int, _ element: Element) {
        reserveCapacity(count)
        append(contentsOf: repeatElement(element, count: count - self.count))
    }
}
