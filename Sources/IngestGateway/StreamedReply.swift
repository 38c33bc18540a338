/// A reply that is sent while it is made.
final class StreamedReply {
    let reply: RecordsReply
    let writer: any ResponseWriter
    /// Whether its next part is to be made: its connection, of HTTP/1.1, is in the loop's queue, or its stream in the queue of its
    /// connection of HTTP/2.
    var isQueued = false
    /// Whether a worker has the reply, since `leftAt` (monotonic nanoseconds).
    var isAway = false
    var leftAt: Int64 = 0
    /// Whether a worker had the reply at some time since the timer's last look.
    var wasAway = false
    /// Bytes of the body that were sent at the timer's last look.
    var sentAtLastLook = 0

    init(_ reply: RecordsReply, to writer: any ResponseWriter) {
        self.reply = reply
        self.writer = writer
    }
}
