/// The message groups with messages that have a slot, and the order in which they are served.
///
/// A group has a list of slots: with `fifo` all its messages in the order of their offsets, with `fair` the available
/// ones in the order in which they became so. A group that something may be received of stands in a heap: the one with
/// the fewest messages in flight first, among those the one that waits longest for its turn. Costs O(log groups) a
/// message.
struct MessageGroups: Sendable {
    typealias Group = UInt32
    static let none = Group.max

    private var table: [NameDigest: Group] = [:]
    private var names: ContiguousArray<NameDigest> = []
    private(set) var lists: ContiguousArray<SlotList> = []
    private(set) var inFlight: ContiguousArray<UInt32> = []
    /// Messages that have a slot: a group without any is forgotten.
    private var members: ContiguousArray<UInt32> = []
    /// When it was served last, or came: as the number of that turn.
    private(set) var served: ContiguousArray<UInt64> = []
    private var freeGroups: ContiguousArray<Group> = []

    /// Groups that something may be received of.
    private var heap: ContiguousArray<Group> = []
    private var places: ContiguousArray<UInt32> = []
    private var servings: UInt64 = 0

    var count: Int { table.count }
    var memoryBytes: Int {
        table.capacity * (MemoryLayout<NameDigest>.stride + 4) + names.capacity * MemoryLayout<NameDigest>.stride
            + 8 * served.capacity
            + 4
            * (2 * lists.capacity + inFlight.capacity + members.capacity + freeGroups.capacity
                + heap.capacity + places.capacity)
    }

    /// The group that is served next.
    var first: Group? { heap.first }

    /// Takes the message's group, and makes it when it is new.
    mutating func join(_ name: NameDigest) -> Group {
        if let group = table[name] {
            members[Int(group)] += 1
            return group
        }
        let group = freeGroups.popLast() ?? add()
        names[Int(group)] = name
        table[name] = group
        members[Int(group)] = 1
        // A new one comes behind those that wait already.
        servings += 1
        served[Int(group)] = servings
        return group
    }

    /// A message of the group is gone, which is in no list any more.
    mutating func leave(_ group: Group) {
        members[Int(group)] -= 1
        guard members[Int(group)] == 0 else { return }
        table[names[Int(group)]] = nil
        setServable(group, false)
        inFlight[Int(group)] = 0
        freeGroups.append(group)
    }

    private mutating func add() -> Group {
        names.append(NameDigest(high: 0, low: 0))
        lists.append(SlotList())
        inFlight.append(0)
        members.append(0)
        served.append(0)
        places.append(Self.none)
        return Group(names.count - 1)
    }

    // MARK: Memory

    /// Whether most of the tables is of groups that are gone.
    var isWorthShrinking: Bool { count * 8 < names.count }

    /// Returns the groups in tables of their own size, and by old group the new one.
    func compacted() -> (groups: MessageGroups, newGroups: ContiguousArray<Group>) {
        var copy = MessageGroups()
        copy.servings = servings
        var newGroups = ContiguousArray(repeating: Self.none, count: names.count)
        for (name, group) in table {
            let (old, new) = (Int(group), Int(copy.add()))
            newGroups[old] = Group(new)
            copy.table[name] = Group(new)
            copy.names[new] = name
            copy.lists[new] = lists[old]
            copy.inFlight[new] = inFlight[old]
            copy.members[new] = members[old]
            copy.served[new] = served[old]
        }
        for group in heap { copy.setServable(newGroups[Int(group)], true) }
        return (copy, newGroups)
    }

    // MARK: Lists

    mutating func append(_ slot: UInt32, to group: Group, _ slots: inout MessageSlots) {
        lists[Int(group)].append(slot, &slots)
    }

    mutating func unlink(_ slot: UInt32, from group: Group, _ slots: inout MessageSlots) {
        lists[Int(group)].unlink(slot, &slots)
    }

    /// Names the slots as a table calls them that they were copied to.
    mutating func rename(_ newSlots: ContiguousArray<UInt32>) {
        for at in lists.indices { lists[at].rename(newSlots) }
    }

    // MARK: Turns

    mutating func countInFlight(_ group: Group, _ change: Int) {
        inFlight[Int(group)] = UInt32(Int(inFlight[Int(group)]) + change)
        let place = places[Int(group)]
        if place != Self.none { settle(Int(place)) }
    }

    /// The group was given its turn: those that wait longer come first from now on.
    mutating func serve(_ group: Group) {
        servings += 1
        setServed(group, servings)
    }

    /// Takes back that it was served, while a receive is only being decided.
    mutating func setServed(_ group: Group, _ serving: UInt64) {
        served[Int(group)] = serving
        let place = places[Int(group)]
        if place != Self.none { settle(Int(place)) }
    }

    /// Puts the group among those that something may be received of, or takes it out.
    mutating func setServable(_ group: Group, _ isServable: Bool) {
        let place = places[Int(group)]
        if (place != Self.none) == isServable { return }
        if isServable {
            heap.append(group)
            places[Int(group)] = UInt32(heap.count - 1)
            settle(heap.count - 1)
        } else {
            places[Int(group)] = Self.none
            let last = heap.removeLast()
            guard last != group else { return }
            heap[Int(place)] = last
            places[Int(last)] = place
            settle(Int(place))
        }
    }

    private func precedes(_ one: Group, _ other: Group) -> Bool {
        let (a, b) = (inFlight[Int(one)], inFlight[Int(other)])
        return a != b ? a < b : served[Int(one)] < served[Int(other)]
    }

    private mutating func settle(_ start: Int) {
        var place = start
        while place > 0, precedes(heap[place], heap[(place - 1) / 2]) {
            exchange(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
        while true {
            var least = place
            for child in [place * 2 + 1, place * 2 + 2] where child < heap.count {
                if precedes(heap[child], heap[least]) { least = child }
            }
            if least == place { return }
            exchange(place, least)
            place = least
        }
    }

    private mutating func exchange(_ one: Int, _ other: Int) {
        heap.swapAt(one, other)
        places[Int(heap[one])] = UInt32(one)
        places[Int(heap[other])] = UInt32(other)
    }
}
