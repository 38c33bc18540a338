/// Why a connection has ended; passed to its handler once, and counted.
public enum CloseReason: Equatable, Sendable {
    /// The handler called `close()` or `closeAfterFlush()`.
    case closedByHandler
    /// The peer finished sending, and everything it was owed has left or made no progress for `finishedTimeout`; or it
    /// hung up.
    case closedByPeer
    /// The socket failed (ECONNRESET, EPIPE, ETIMEDOUT …), with its errno.
    case failed(errno: Int32)
    /// No byte came or left for `ConnectionLimits.idleTimeout` while nothing was owed.
    case idle
    /// A frame that had begun came more slowly than `partialInputTimeout` and `minimumInputRate` allow.
    case inputStalled
    /// The peer did not read its replies for `writeStallTimeout`.
    case writeStalled
    /// The handler asked for a frame above `maxFrameBytes`, or left more than that unconsumed.
    case inputLimit
    /// More than `maxPendingOutput` was written that the peer had not read.
    case outputLimit
    /// The group's byte budget was used up, and this connection's unfinished frame kept its part of it for too long.
    case memoryPressure
    /// The transform refused what came: no TLS, terms that were not met, a damaged record. Or what has to stand before it was
    /// not there.
    case streamRefused
    /// The transform's handshake was not over within `ConnectionLimits.handshakeTimeout`, or was the oldest of too many; or what
    /// has to stand before it did not come in time.
    case handshakeTimeout
    /// What the peer has shown of itself in the transform's handshake has ended (`StreamTransform.peerEndsAt`).
    case peerExpired
    /// A commit that gated a reply has failed or is overdue, and nothing else could be sent instead of that reply.
    case commitFailed
    /// The group was stopped.
    case shutdown
}
