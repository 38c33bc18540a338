/// Hears of group commits, on the thread that has made one: an event loop, or the committing thread. Returns quickly and does
/// not call back into the store.
public protocol CommitObserver: AnyObject, Sendable {
    /// Every append with a ticket up to and including `ticket` is on disk and readable; `woken` waited for some of it,
    /// or for a partition that has changed otherwise: then the ticket may be an old one, and the thread any.
    func committed(through ticket: UInt64, woken: [ReadWaiter])
    /// Not everything with these tickets is on disk: the data folder is offline (`last` is `.max`), and nothing of them ever will
    /// be, or of this one commit some partition's files did not take their part. What is on disk all the same can be read by
    /// then (`PartitionLog.isFlushed`), and `woken` waited for some of that. Comes before `committed` of this ticket or a later.
    func commitFailed(from first: UInt64, through last: UInt64, woken: [ReadWaiter])
}
