/// Who waits for a partition to grow, by the position that its high watermark must reach: a binary min-heap.
///
/// A commit looks at the least threshold and continues only while that is reached, so waiters that it does not satisfy
/// cost nothing. A waiter is in the heap at most once. Its slot locates it, so that it is moved or removed in O(log n).
/// A slot that was given up may belong to another waiter by then, so the waiter is compared as well.
///
/// Limit: none of its own. Who registers bounds what it registers (`FetchShare` at the Kafka edge).
struct WaiterHeap {
    struct Slot {
        var waiter: ReadWaiter
        /// Where the slot stands in `heap`; -1: it is free.
        var place: Int32
    }

    private struct Entry {
        var threshold: Int64
        var slot: Int32
    }

    private var heap: ContiguousArray<Entry> = []
    private var slots: ContiguousArray<Slot> = []
    private var freeSlots: ContiguousArray<Int32> = []
    /// Entries looked at so far, for tests: what a commit costs.
    private(set) var looks = 0

    var isEmpty: Bool { heap.isEmpty }
    /// Somebody waits for growth, and not for what else may happen alone.
    var awaitsGrowth: Bool { !heap.isEmpty && heap[0].threshold < .max }
    var count: Int { heap.count }

    /// Registers the waiter, or moves it if `slot` says that it is registered; gives its slot.
    mutating func set(_ waiter: ReadWaiter, threshold: Int64, slot: Int32) -> Int32 {
        if let place = place(of: waiter, slot) {
            let before = heap[place].threshold
            heap[place].threshold = threshold
            if threshold < before { rise(place) } else { sink(place) }
            return slot
        }
        let free = freeSlots.popLast() ?? Int32(slots.count)
        let entry = Slot(waiter: waiter, place: Int32(heap.count))
        if Int(free) == slots.count { slots.append(entry) } else { slots[Int(free)] = entry }
        heap.append(Entry(threshold: threshold, slot: free))
        rise(heap.count - 1)
        return free
    }

    mutating func remove(_ waiter: ReadWaiter, slot: Int32) {
        if let place = place(of: waiter, slot) { remove(at: place) }
    }

    /// Takes out a waiter whose threshold `position` has reached; nil: there is none, or no more.
    mutating func next(reached position: Int64) -> ReadWaiter? {
        guard let first = heap.first else { return nil }
        looks += 1
        guard first.threshold <= position else { return nil }
        let waiter = slots[Int(first.slot)].waiter
        remove(at: 0)
        return waiter
    }

    /// Takes out all of them.
    mutating func removeAll() -> [ReadWaiter] {
        let all = heap.map { slots[Int($0.slot)].waiter }
        heap.removeAll()
        slots.removeAll()
        freeSlots.removeAll()
        return all
    }

    private func place(of waiter: ReadWaiter, _ slot: Int32) -> Int? {
        guard slot >= 0, Int(slot) < slots.count, slots[Int(slot)].place >= 0, slots[Int(slot)].waiter == waiter else {
            return nil
        }
        return Int(slots[Int(slot)].place)
    }

    private mutating func remove(at place: Int) {
        slots[Int(heap[place].slot)].place = -1
        freeSlots.append(heap[place].slot)
        let last = heap.removeLast()
        if place < heap.count {
            put(last, at: place)
            rise(place)
            sink(Int(slots[Int(last.slot)].place))
        } else if heap.isEmpty, slots.count > Self.keptSlots {
            // Gives the memory of a crowd back: nobody is registered whose slot would still count.
            (heap, slots, freeSlots) = ([], [], [])
        }
    }

    /// Slots whose memory stays when the last waiter has gone.
    private static let keptSlots = 64

    private mutating func put(_ entry: Entry, at place: Int) {
        heap[place] = entry
        slots[Int(entry.slot)].place = Int32(place)
    }

    private mutating func rise(_ start: Int) {
        var place = start
        let entry = heap[place]
        while place > 0 {
            let parent = (place - 1) / 2
            looks += 1
            if heap[parent].threshold <= entry.threshold { break }
            put(heap[parent], at: place)
            place = parent
        }
        put(entry, at: place)
    }

    private mutating func sink(_ start: Int) {
        var place = start
        let entry = heap[place]
        while true {
            var child = place * 2 + 1
            if child >= heap.count { break }
            if child + 1 < heap.count, heap[child + 1].threshold < heap[child].threshold { child += 1 }
            looks += 1
            if entry.threshold <= heap[child].threshold { break }
            put(heap[child], at: place)
            place = child
        }
        put(entry, at: place)
    }
}
