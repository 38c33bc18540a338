import ByteBuffers

/// The order in which batches that readers may want leave memory: first in, first out, over all partitions.
///
/// The batches themselves are in their partition's tail. An entry says that the partition still keeps all batches up to
/// an offset for readers that follow closely, although their segment has them. Batches that a deletion, the cleaner or
/// their partition itself has released earlier leave a dead entry, which does nothing when its turn comes. Entries
/// of deleted partitions go with these, whose logs they would keep.
struct EvictionQueue {
    struct Entry {
        let log: PartitionLog
        /// Of the newest batch it stands for; all older ones of the partition go with it.
        let lastOffset: Int64
        /// The window's tick when they were settled.
        let tick: Int
    }

    private var entries = FIFO<Entry>()
    /// Entries from which on dead ones are looked for.
    private var crowd = minCrowd

    /// Entries, of 32 bytes, that are never worth the look.
    static let minCrowd = 4096

    /// So many entries that dead ones should be taken out.
    var isCrowded: Bool { entries.count >= crowd }

    mutating func add(_ entry: Entry) { entries.append(entry) }

    /// Takes out the oldest entry.
    mutating func next() -> Entry? {
        guard let first = entries.first else { return nil }
        entries.removeFirst()
        return first
    }

    /// Takes out the entries of partitions that are gone.
    mutating func remove(of gone: Set<ObjectIdentifier>) {
        let all = takeAll()
        for index in 0..<all.count where !gone.contains(ObjectIdentifier(all[index].log)) { entries.append(all[index]) }
    }

    /// Takes out the oldest entry if it is from before `tick`.
    mutating func next(before tick: Int) -> Entry? {
        guard let first = entries.first, first.tick < tick else { return nil }
        return next()
    }

    mutating func takeAll() -> FIFO<Entry> {
        defer { entries = FIFO() }
        return entries
    }

    /// Puts back what `takeAll` took and is not dead, before what came meanwhile.
    mutating func putBack(_ live: FIFO<Entry>) {
        var all = live
        for index in 0..<entries.count { all.append(entries[index]) }
        entries = all
        crowd = max(Self.minCrowd, 2 * all.count)
    }
}
