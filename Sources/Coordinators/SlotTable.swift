import KafkaModel

/// A dictionary that can be walked a few entries at a time while it changes.
///
/// An entry keeps its slot until it is removed, so a walk needs no more than a number, whatever comes and goes between two
/// of its steps: it meets each entry that was there from its beginning to its end exactly once. One that comes meanwhile may
/// be met or not. A removed entry leaves its slot empty until another entry takes it.
///
/// Memory: empty slots at the end are given back, so a table that becomes empty keeps nothing. Those in between stay where they
/// are, for the walks' sake; what they keep is known (`idleBytes`), to be charged to who has filled them.
struct SlotTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// An empty slot has neither.
    private struct Entry: Sendable {
        var key: Key?
        var value: Value?
    }

    private var slots: [Key: Int] = [:]
    private var entries: [Entry] = []
    /// Slots that were left. One that was given back since, and perhaps taken again, stands here still.
    private var emptySlots: [Int] = []

    var count: Int { slots.count }
    var isEmpty: Bool { slots.isEmpty }

    subscript(key: Key) -> Value? {
        @inline(__always) get {
            guard let slot = slots[key] else { return nil }
            return entries[slot].value
        }
        // One place that yields, or it is not inlined: then a coroutine has its frame on the heap.
        @inline(__always) _modify {
            let slot = slots[key] ?? insert(nil, for: key)
            defer { if entries[slot].value == nil { empty(slot, key) } }
            yield &entries[slot].value
        }
    }

    subscript(key: Key, default value: @autoclosure () -> Value) -> Value {
        @inline(__always) get { self[key] ?? value() }
        @inline(__always) _modify {
            let slot = slots[key] ?? insert(value(), for: key)
            yield &entries[slot].value!
        }
    }

    /// Returns whether there is a value for the key, without a copy of it.
    func has(_ key: Key) -> Bool { slots[key] != nil }

    mutating func updateValue(_ value: Value, forKey key: Key) -> Value? {
        guard let slot = slots[key] else {
            insert(value, for: key)
            return nil
        }
        let old = entries[slot].value
        entries[slot].value = value
        return old
    }

    mutating func removeValue(forKey key: Key) -> Value? {
        guard let slot = slots[key] else { return nil }
        let old = entries[slot].value
        empty(slot, key)
        return old
    }

    @discardableResult
    private mutating func insert(_ value: Value?, for key: Key) -> Int {
        let slot = takeEmptySlot() ?? entries.count
        if slot == entries.count {
            entries.append(Entry(key: key, value: value))
        } else {
            entries[slot] = Entry(key: key, value: value)
        }
        slots[key] = slot
        return slot
    }

    private mutating func takeEmptySlot() -> Int? {
        while let slot = emptySlots.popLast() {
            if slot < entries.count, entries[slot].key == nil { return slot }
        }
        return nil
    }

    private mutating func empty(_ slot: Int, _ key: Key) {
        entries[slot] = Entry()
        slots[key] = nil
        if slot == entries.count - 1 { trim() } else { emptySlots.append(slot) }
    }

    // MARK: Memory

    /// Slots that a table keeps whatever is in it: some 50 KB where an entry is a group.
    private static var keptSlots: Int { 64 }

    /// Bytes of slots without an entry, beyond what a table that grows has in reserve.
    var idleBytes: Int {
        let used = Swift.max(Self.keptSlots, 2 * slots.count)
        return Swift.max(0, entries.capacity - used) * MemoryLayout<Entry>.stride
    }

    /// Gives the empty slots at the end back.
    private mutating func trim() {
        while let last = entries.indices.last, entries[last].key == nil { entries.removeLast() }
        // An array does not shrink. It has been twice as full, so a removal costs one move on average.
        guard entries.capacity > Self.keptSlots, entries.count <= entries.capacity / 4 else { return }
        emptySlots = emptySlots.filter { $0 < entries.count && entries[$0].key == nil }
        slots = Dictionary(uniqueKeysWithValues: slots.lazy.map { ($0.key, $0.value) })
        var fewer: [Entry] = []
        fewer.reserveCapacity(entries.count)
        fewer += entries
        entries = fewer
    }

    // MARK: Walking

    /// Slots, with the empty ones.
    var slotCount: Int { entries.count }

    /// Returns the entry in a slot; nil where it is empty.
    func entry(at slot: Int) -> (key: Key, value: Value)? {
        guard let key = entries[slot].key, let value = entries[slot].value else { return nil }
        return (key, value)
    }
}

extension SlotTable: Sequence {
    /// The entries, in the order of their slots.
    struct Iterator: IteratorProtocol {
        fileprivate let table: SlotTable
        fileprivate var slot = 0

        mutating func next() -> (key: Key, value: Value)? {
            while slot < table.slotCount {
                defer { slot += 1 }
                if let entry = table.entry(at: slot) { return entry }
            }
            return nil
        }
    }

    func makeIterator() -> Iterator { Iterator(table: self) }

    var keys: [Key] { map(\.key) }
    var values: some Sequence<Value> { lazy.map(\.value) }
}

extension SlotTable where Key == ExactString {
    /// Accesses the value for a name that is not wrapped yet.
    subscript(name: String) -> Value? {
        @inline(__always) get { self[ExactString(name)] }
        @inline(__always) _modify { yield &self[ExactString(name)] }
    }

    subscript(name: String, default value: @autoclosure () -> Value) -> Value {
        @inline(__always) get { self[ExactString(name), default: value()] }
        @inline(__always) _modify { yield &self[ExactString(name), default: value()] }
    }

    func has(_ name: String) -> Bool { has(ExactString(name)) }
}
