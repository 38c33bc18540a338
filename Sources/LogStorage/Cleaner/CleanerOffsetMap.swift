import Glibc

/// Maps each key to the offset of its newest record. This is the cleaner's only large allocation; it is made for one
/// log and freed after the pass.
///
/// Uses open addressing over slots of 24 bytes. A slot holds 128 bits of two seeded hashes instead of the key's bytes.
/// Among a million keys, the probability that any two are mistaken for each other is about 10^-27, and nobody can
/// construct such keys because the seeds are random for each process. Source: Kafka's `SkimpyOffsetMap`, which uses
/// MD5.
struct OffsetMap: ~Copyable {
    private struct Slot {
        var high: UInt64
        var low: UInt64
        /// The offset plus one; 0 where the slot is free.
        var end: Int64
    }

    static let slotBytes = MemoryLayout<Slot>.stride
    /// How many of ten slots may be taken; beyond that, probe sequences become long.
    private static let loadTenths = 9

    private let slots: UnsafeMutablePointer<Slot>
    private let slotCount: Int
    /// Keys that fit.
    let capacity: Int
    private(set) var count = 0
    /// The map covers all records up to and including this offset, except those that do not matter (without a key, or
    /// aborted).
    var latestOffset: Int64

    /// Creates a map of at most `bytes` bytes, and no larger than `records` records can need. `latestOffset` is the
    /// offset up to which the map counts as complete before any record is put.
    init(bytes: Int, records: Int64, latestOffset: Int64) {
        let needed = records > Int64(bytes) ? bytes : Int(records) * 10 / Self.loadTenths + 2
        slotCount = max(2, min(bytes / Self.slotBytes, needed))
        capacity = max(1, slotCount * Self.loadTenths / 10)
        guard let memory = calloc(slotCount, Self.slotBytes) else {
            preconditionFailure("no memory for \(slotCount) slots of an offset map")
        }
        // Fresh from calloc: zeros are valid slots, all of them free.
        slots = memory.bindMemory(to: Slot.self, capacity: slotCount)
        self.latestOffset = latestOffset
    }

    deinit { free(slots) }

    var isFull: Bool { count >= capacity }

    /// Records that the newest record of `key` is at `offset`. Returns false, and changes nothing, when there is no
    /// room for another key.
    mutating func put(_ key: UnsafeRawBufferPointer, offset: Int64) -> Bool {
        let (high, low) = Self.hash(key)
        let at = place(high, low)
        if slots[at].end == 0 {
            if isFull { return false }
            count += 1
        }
        slots[at] = Slot(high: high, low: low, end: offset + 1)
        return true
    }

    /// Offset of the newest record of `key` among those put; nil when there is none.
    func offset(of key: UnsafeRawBufferPointer) -> Int64? {
        let (high, low) = Self.hash(key)
        let end = slots[place(high, low)].end
        return end == 0 ? nil : end - 1
    }

    /// Returns the slot that holds a key, or the free slot where it belongs. Terminates because at least one slot is
    /// always free.
    private func place(_ high: UInt64, _ low: UInt64) -> Int {
        var at = Int(high % UInt64(slotCount))
        while slots[at].end != 0, slots[at].high != high || slots[at].low != low {
            at += 1
            if at == slotCount { at = 0 }
        }
        return at
    }

    private static func hash(_ key: UnsafeRawBufferPointer) -> (UInt64, UInt64) {
        var first = Hasher()
        first.combine(UInt8(1))
        first.combine(bytes: key)
        var second = Hasher()
        second.combine(UInt8(2))
        second.combine(bytes: key)
        return (UInt64(bitPattern: Int64(first.finalize())), UInt64(bitPattern: Int64(second.finalize())))
    }
}
