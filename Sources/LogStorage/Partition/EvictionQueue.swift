import ByteBuffers

/// The order in which batches that readers may want leave memory: first in, first out, over all partitions.
///
/// The batches themselves stand in their partition's tail. An entry here says that the partition keeps all batches up to an
/// offset although their segment has them, for readers that follow closely. When the entries' bytes exceed the budget the
/// oldest entries go, and their partitions let go of the batches. Bytes that a deletion or the cleaner let go of earlier
/// still count until their entry's turn, so the sum may be too high, never too low.
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
}
