/// A reply that is sent while it is made.
final class StreamedReply {
    let reply: RecordsReply
    /// Whether the reply's head is sent, and so its status settled.
    var hasHead = false
    /// The request was HEAD: nothing follows.
    var isHeadOnly = false
    var isChunked = false
    var closes = false
    /// Whether its connection is in the loop's queue.
    var isQueued = false
    /// Whether a worker has the reply, since `leftAt` (monotonic nanoseconds).
    var isAway = false
    var leftAt: Int64 = 0
    /// Whether a worker had the reply at some time since the timer's last look.
    var wasAway = false
    /// Bytes of the body that were written, and of those that were sent at the timer's last look.
    var written = 0
    var sentAtLastLook = 0

    init(_ reply: RecordsReply) { self.reply = reply }
}
