import ByteBuffers

/// Which partition's batches in memory go first: the newest batches of all partitions together stay within a budget.
///
/// Batches that are in their segments stay in their partition's tail for the readers that follow it closely. Each
/// `settle` is one entry here, oldest first; when the sum is over the budget, the oldest are let go. What a deletion or the
/// cleaner let go of before counts until its entry's turn, so that the sum is never too low.
struct BatchCache {
    struct Entry {
        let log: PartitionLog
        /// Of the newest batch it stands for; all older ones of the partition go with it.
        let lastOffset: Int64
        let bytes: Int
    }

    private var entries = Fifo<Entry>()
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
