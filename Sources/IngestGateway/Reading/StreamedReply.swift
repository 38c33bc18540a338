import Transport

/// A reply that is sent while it is made.
final class StreamedReply {
    let reply: RecordsReply
    let writer: any ResponseWriter
    /// Who has asked, of a stream: asked for now and then whether he still may.
    var asker: Asker?
    /// Whether its next part is to be made: its connection, of HTTP/1.1, is in the loop's queue, or its stream in the queue of its
    /// connection of HTTP/2.
    var isQueued = false
    /// Whether a worker has the reply, since `leftAt` (monotonic nanoseconds).
    var isAway = false
    var leftAt: Int64 = 0
    /// Whether it waits for growth, and for which (`ReplyWaits`).
    var isWaiting = false
    var watch: TopicWatch?
    var waitTimer: LoopTimer?
    /// When a page waits no longer, in monotonic nanoseconds; 0: it has not waited yet.
    var waitsUntil: Int64 = 0
    // Of a stream.
    /// When it ends, and when its peer has last read something of what waits for it, in monotonic nanoseconds.
    var endsAt = Int64.max
    var movedAt: Int64 = 0
    /// The second of its heartbeat; nil: it has none.
    var beat: Int?
    /// Whether there was perhaps nothing to be read at some time since the timer's last look: a worker had it, or it has waited.
    var wasAway = false
    /// Bytes of the body that were sent at the timer's last look.
    var sentAtLastLook = 0

    init(_ reply: RecordsReply, to writer: any ResponseWriter) {
        self.reply = reply
        self.writer = writer
    }
}

/// Why a reply is not made on at once.
enum ReplyPause {
    /// The rest has its turn later.
    case turn
    /// A worker has to do something.
    case worker
    /// There is nothing more until a partition grows.
    case growth
}
