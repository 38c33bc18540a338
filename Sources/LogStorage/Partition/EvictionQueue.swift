import ByteBuffers

/// The order in which batches that readers may want leave memory: first in, first out, over all partitions.
///
/// The batches themselves are in their partition's tail. An entry says that the partition still keeps all batches up to
/// an offset for readers that follow closely, although their segment has them. When the entries' bytes exceed the
/// budget, the oldest entries are removed and their partitions release the batches. Batches that the cleaner or DeleteRecords
/// have released earlier count until their entry is removed, so the sum may be too high, but never too low. Entries of
/// deleted partitions go with these, whose logs they would keep.
struct EvictionQueue {
    struct Entry {
        let log: PartitionLog
        /// Of the newest batch it stands for; all older ones of the partition go with it.
        let lastOffset: Int64
        let bytes: Int
    }

    private var entries = FIFO<Entry>()
    private(set) var bytes = 0

    mutating func add(_ entry: Entry) {
        entries.append(entry)
        bytes += entry.bytes
    }

    /// Takes out the oldest entry while there are more than `budget` bytes.
    mutating func next(over budget: Int) -> Entry? {
        guard bytes > budget, let first = entries.first else { return nil }
        entries.removeFirst(1)
        bytes -= first.bytes
        return first
    }

    /// Takes out the entries of partitions that are gone, and returns their bytes.
    mutating func remove(of gone: Set<ObjectIdentifier>) -> Int {
        let before = bytes
        let all = entries
        entries = FIFO()
        for index in 0..<all.count {
            let entry = all[index]
            if gone.contains(ObjectIdentifier(entry.log)) { bytes -= entry.bytes } else { entries.append(entry) }
        }
        return before - bytes
    }
}
