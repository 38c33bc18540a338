/// Finds the slot of an offset: a hash table with open addressing, four bytes an entry. The offsets themselves stand in
/// the owner's array, by slot, and are handed in with each call. A removal moves what follows back, so nothing is left
/// behind.
struct OffsetIndex: Sendable {
    private var entries: ContiguousArray<UInt32> = []
    private(set) var count = 0

    private static let empty = UInt32.max
    private static let smallest = 16

    var memoryBytes: Int { entries.capacity * MemoryLayout<UInt32>.stride }

    func slot(of offset: Int64, _ offsets: ContiguousArray<Int64>) -> UInt32? {
        guard !entries.isEmpty else { return nil }
        var place = home(of: offset)
        while true {
            let slot = entries[place]
            if slot == Self.empty { return nil }
            if offsets[Int(slot)] == offset { return slot }
            place = (place + 1) & (entries.count - 1)
        }
    }

    /// Adds a slot whose offset is not in the table yet.
    mutating func insert(_ slot: UInt32, _ offsets: ContiguousArray<Int64>) {
        // Three quarters full at most: longer runs of taken places would cost more than they save.
        if 4 * (count + 1) > 3 * entries.count { grow(offsets) }
        place(slot, offsets)
        count += 1
    }

    mutating func remove(_ slot: UInt32, _ offsets: ContiguousArray<Int64>) {
        let mask = entries.count - 1
        var hole = home(of: offsets[Int(slot)])
        while entries[hole] != slot { hole = (hole + 1) & mask }
        var place = hole
        while true {
            place = (place + 1) & mask
            let next = entries[place]
            if next == Self.empty { break }
            // It may move into the hole unless its home lies behind the hole.
            let distance = (place - home(of: offsets[Int(next)])) & mask
            guard distance >= (place - hole) & mask else { continue }
            entries[hole] = next
            hole = place
        }
        entries[hole] = Self.empty
        count -= 1
    }

    private func home(of offset: Int64) -> Int {
        // Fibonacci hashing: neighbours lie far apart, and the high bits are mixed best.
        let mixed = UInt64(bitPattern: offset) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: mixed &>> 32) & (entries.count - 1)
    }

    private mutating func place(_ slot: UInt32, _ offsets: ContiguousArray<Int64>) {
        var place = home(of: offsets[Int(slot)])
        while entries[place] != Self.empty { place = (place + 1) & (entries.count - 1) }
        entries[place] = slot
    }

    private mutating func grow(_ offsets: ContiguousArray<Int64>) {
        let old = entries
        entries = ContiguousArray(repeating: Self.empty, count: max(Self.smallest, old.count * 2))
        for slot in old where slot != Self.empty { place(slot, offsets) }
    }
}
