/// Hears of group commits, on the committing thread; returns quickly and does not call back into the store.
public protocol CommitObserver: AnyObject, Sendable {
    /// Every append with a ticket up to and including `ticket` is on disk and readable; `woken` waited for some of it,
    /// or for a partition that has changed otherwise: then the ticket may be an old one, and the thread any.
    func committed(through ticket: UInt64, woken: [ReadWaiter])
    /// Appends with these tickets will never be acknowledged: the data folder is offline (`last` is `.max`), or of this
    /// one commit some partition's files did not take their part. Comes before `committed` of a later ticket.
    func commitFailed(from first: UInt64, through last: UInt64)
}
