import Glibc

/// Where the newest record of each key is: the cleaner's one large piece of memory, taken for one log and freed after
/// it.
///
/// Open addressing over slots of 24 bytes. A key is known by 128 bits of two seeded hashes, never by its bytes: two
/// keys of one log are taken for each other with a probability of about 10^-27 a million keys, and the seeds are the
/// process's own, so that nobody can choose such keys. Source: Kafka's `SkimpyOffsetMap`, with MD5 in that place.
struct OffsetMap: ~Copyable {
    private struct Slot {
        var high: UInt64
        var low: UInt64
        /// The offset plus one; 0 where the slot is free.
        var end: Int64
    }

    static let slotBytes = MemoryLayout<Slot>.stride
    /// Slots that may be taken, of ten: above it the ways to a key get long.
    private static let loadTenths = 9

    private let slots: UnsafeMutablePointer<Slot>
    private let slotCount: Int
    /// Keys that fit.
    let capacity: Int
    private(set) var count = 0
    /// Records up to and including this offset have been put, except those of no account (no key, aborted).
    var latestOffset: Int64

    /// A map of at most `bytes`, and no larger than `records` records can need. `latestOffset` is what counts as known
    /// before the first record is put.
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

    /// Notes that the newest record of `key` is at `offset`. False, and nothing noted, when there is no room for its
    /// key.
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

    /// The slot of a key, or the free one where it belongs. Ends, as a slot is always free.
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
