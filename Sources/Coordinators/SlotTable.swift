import KafkaModel

/// A dictionary that can be walked a few entries at a time while it changes.
///
/// An entry keeps its slot until it is removed, so a walk needs no more than a number, whatever comes and goes between two
/// of its steps: it meets each entry that was there from its beginning to its end exactly once. One that comes meanwhile may
/// be met or not. A removed entry leaves its slot empty until another entry takes it; like a dictionary, the table does not
/// become smaller.
struct SlotTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// An empty slot has neither.
    private struct Entry: Sendable {
        var key: Key?
        var value: Value?
    }

    private var slots: [Key: Int] = [:]
    private var entries: [Entry] = []
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
        let slot: Int
        if let empty = emptySlots.popLast() {
            slot = empty
            entries[slot] = Entry(key: key, value: value)
        } else {
            slot = entries.count
            entries.append(Entry(key: key, value: value))
        }
        slots[key] = slot
        return slot
    }

    private mutating func empty(_ slot: Int, _ key: Key) {
        entries[slot] = Entry()
        slots[key] = nil
        emptySlots.append(slot)
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
