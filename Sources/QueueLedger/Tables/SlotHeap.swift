/// A binary heap of slots, the one with the least key first, out of which any slot can be taken.
///
/// The keys stand in an array of the owner's, by slot, and are handed in with each call; who changes a key of a slot
/// that is in the heap says so with `moved`. Insertion, removal and a moved key cost O(log n); a new greatest key O(1).
/// Eight bytes a slot.
struct SlotHeap: Sendable {
    /// The slots, as a heap.
    private var slots: ContiguousArray<UInt32> = []
    /// By slot: its place in `slots`, or `absent`.
    private var places: ContiguousArray<UInt32> = []

    private static let absent = UInt32.max

    var first: UInt32? { slots.first }
    var count: Int { slots.count }
    var memoryBytes: Int { (slots.capacity + places.capacity) * MemoryLayout<UInt32>.stride }

    /// Makes room for slots below `capacity`, of which none is in the heap yet.
    mutating func grow(to capacity: Int) {
        slots.reserveCapacity(capacity)
        places.reserveCapacity(capacity)
        places.append(contentsOf: repeatElement(Self.absent, count: capacity - places.count))
    }

    func contains(_ slot: UInt32) -> Bool { places[Int(slot)] != Self.absent }

    mutating func insert(_ slot: UInt32, _ keys: ContiguousArray<Int64>) {
        precondition(!contains(slot), "slot \(slot) is in the heap already")
        slots.append(slot)
        rise(slot, from: slots.count - 1, keys)
    }

    mutating func remove(_ slot: UInt32, _ keys: ContiguousArray<Int64>) {
        let place = Int(places[Int(slot)])
        places[Int(slot)] = Self.absent
        let last = slots.removeLast()
        if last != slot { settle(last, at: place, keys) }
    }

    /// Puts a slot whose key has changed where it belongs.
    mutating func moved(_ slot: UInt32, _ keys: ContiguousArray<Int64>) {
        settle(slot, at: Int(places[Int(slot)]), keys)
    }

    private mutating func settle(_ slot: UInt32, at place: Int, _ keys: ContiguousArray<Int64>) {
        let isAboveParent = place > 0 && keys[Int(slot)] < keys[Int(slots[(place - 1) / 2])]
        if isAboveParent { rise(slot, from: place, keys) } else { sink(slot, from: place, keys) }
    }

    private mutating func rise(_ slot: UInt32, from start: Int, _ keys: ContiguousArray<Int64>) {
        var place = start
        let key = keys[Int(slot)]
        while place > 0 {
            let parent = slots[(place - 1) / 2]
            guard key < keys[Int(parent)] else { break }
            put(parent, at: place)
            place = (place - 1) / 2
        }
        put(slot, at: place)
    }

    private mutating func sink(_ slot: UInt32, from start: Int, _ keys: ContiguousArray<Int64>) {
        var place = start
        let key = keys[Int(slot)]
        while true {
            var child = place * 2 + 1
            if child >= slots.count { break }
            if child + 1 < slots.count, keys[Int(slots[child + 1])] < keys[Int(slots[child])] { child += 1 }
            guard keys[Int(slots[child])] < key else { break }
            put(slots[child], at: place)
            place = child
        }
        put(slot, at: place)
    }

    private mutating func put(_ slot: UInt32, at place: Int) {
        slots[place] = slot
        places[Int(slot)] = UInt32(place)
    }
}
