public import Telemetry

/// What the transport has done since it started, readable from any thread.
public final class TransportCounters: Sendable {
    public let accepted = Counter()
    public let closed = Counter()
    /// Closed at once because `maxConnections` was reached.
    public let refusedByTotal = Counter()
    /// Closed at once because `maxConnectionsPerIP` was reached.
    public let refusedByPeer = Counter()
    /// Closed after a wait because their peer had opened too many lately (`ListenerOptions.delayBeforeClose`).
    public let refusedByRate = Counter()
    /// Closed at once because a proxy's header has to come first, and they are no proxy's (`StreamPreamble`).
    public let refusedStrangers = Counter()
    /// `accept` failed for want of descriptors or memory, and was put off.
    public let acceptPostponed = Counter()
    public let closedByHandler = Counter()
    public let closedByPeer = Counter()
    public let closedByFailure = Counter()
    public let closedByStop = Counter()
    public let closedIdle = Counter()
    public let closedInputStalled = Counter()
    public let closedWriteStalled = Counter()
    /// Closed at `maxFrameBytes`, `maxPendingOutput` or for memory pressure.
    public let closedByLimit = Counter()
    public let closedCommitFailed = Counter()
    public let closedStreamRefused = Counter()
    public let closedInHandshake = Counter()
    public let closedExpired = Counter()
    public let bytesReceived = Counter()
    public let bytesSent = Counter()
    /// Part of them: by the kernel from its page cache.
    public let bytesSentFromFiles = Counter()
    /// Turns of all loops. Does not move while nothing happens.
    public let turns = Counter()
    /// How often connections of a loop began to wait because the group's byte budget was used up.
    public let budgetPauses = Counter()
    /// How often another thread went on with a loop whose own waited within its `TurnWork`.
    public let reliefs = Counter()

    init() {}

    func countClose(_ reason: CloseReason) {
        closed.add()
        switch reason {
        case .idle: closedIdle.add()
        case .inputStalled: closedInputStalled.add()
        case .writeStalled: closedWriteStalled.add()
        case .inputLimit, .outputLimit, .memoryPressure: closedByLimit.add()
        case .commitFailed: closedCommitFailed.add()
        case .streamRefused: closedStreamRefused.add()
        case .handshakeTimeout: closedInHandshake.add()
        case .peerExpired: closedExpired.add()
        case .closedByHandler: closedByHandler.add()
        case .closedByPeer: closedByPeer.add()
        case .failed: closedByFailure.add()
        case .shutdown: closedByStop.add()
        }
    }
}
