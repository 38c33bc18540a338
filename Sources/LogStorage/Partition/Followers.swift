/// Whether somebody follows a partition's end, which decides whether its newest batches are worth memory: <doc:HotWindow>.
///
/// Protected by the partition's state lock.
struct Followers {
    /// Bytes settled since a consumer last read or waited here; `Int.max` before the first one did.
    private(set) var unreadBytes = Int.max
    /// The window's tick when bytes were last settled with a consumer there.
    private var lastTick = Int.min / 2

    /// A consumer reads, or waits, here.
    @inline(__always)
    mutating func noteReader() { unreadBytes = 0 }

    /// Counts bytes that are in their segment from now on; gives whether their batches should stay in memory.
    ///
    /// If more was written since the last reader came than memory holds, these batches would leave it before the next one
    /// comes. Where nobody has come yet, whoever does begins at the log's start, or at its end: what is in between is of use
    /// only as long as the start is there, too (`isWhole`).
    mutating func settle(_ bytes: Int, isWaitedFor: Bool, isWhole: Bool, _ window: WindowBudget) -> Bool {
        if isWaitedFor || unreadBytes == 0 { lastTick = window.tick }
        let isFollowed =
            isWaitedFor || unreadBytes <= window.base
            || (unreadBytes <= window.limit && window.tick - lastTick <= window.lifetime)
        if unreadBytes != .max { unreadBytes += bytes }
        return isFollowed || (isWhole && window.keepsNewLogs)
    }
}
