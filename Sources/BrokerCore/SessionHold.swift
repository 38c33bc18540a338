/// Whether members may be judged by their silence: not while the broker itself is what keeps them silent.
///
/// A client sends its next heartbeat when it has the answer to the last one, and that stands behind replies that wait for
/// the disk (a committed offset). On a disk that takes ten seconds for a sync, members with sessions of six would be
/// removed for what the disk did. So a shard's deadlines are put off while its newest append, as of the first look, is not
/// on disk, and for `graceMs` behind a commit that took `LogStore.longCommitMs` or more, so that what was held up can come.
struct SessionHold {
    /// The default heartbeat interval of clients; a heartbeat that was held up comes well within it.
    static let graceMs: Int64 = 3000
    /// The longest time for which deadlines are put off. On a disk that is always slow, dead members are noticed later,
    /// but they are noticed.
    static let maxMs: Int64 = 60_000
    /// How often a shard that is put off is looked at again.
    static let pollMs: Int64 = 20

    private var held: (ticket: UInt64, sinceMs: Int64)?

    /// Whether what is due at `nowMs` has to wait. `ticket` is the shard's newest append; `longCommitMs` when the last long
    /// commit ended, on the clock of `nowMs`.
    mutating func holds(ticket: UInt64, durable: UInt64, longCommitMs: Int64?, nowMs: Int64) -> Bool {
        let isRecent = longCommitMs.map { nowMs - $0 < Self.graceMs } ?? false
        let (waitsFor, sinceMs) = held ?? (ticket, nowMs)
        guard waitsFor > durable || isRecent, nowMs - sinceMs < Self.maxMs else {
            held = nil
            return false
        }
        held = (waitsFor, sinceMs)
        return true
    }
}
