public import Synchronization

/// What the transport has done since it started, readable from any thread.
public final class TransportCounters: Sendable {
    public let accepted = Atomic<Int>(0)
    public let closed = Atomic<Int>(0)
    /// Closed at once because `maxConnections` was reached.
    public let refusedByTotal = Atomic<Int>(0)
    /// Closed at once because `maxConnectionsPerIP` was reached.
    public let refusedByPeer = Atomic<Int>(0)
    /// `accept` failed for want of descriptors or memory, and was put off.
    public let acceptPostponed = Atomic<Int>(0)
    public let closedIdle = Atomic<Int>(0)
    public let closedInputStalled = Atomic<Int>(0)
    public let closedWriteStalled = Atomic<Int>(0)
    /// Closed at `maxFrameBytes`, `maxPendingOutput` or for memory pressure.
    public let closedByLimit = Atomic<Int>(0)
    public let closedCommitFailed = Atomic<Int>(0)
    public let bytesReceived = Atomic<Int>(0)
    public let bytesSent = Atomic<Int>(0)
    /// Turns of all loops. Does not move while nothing happens.
    public let turns = Atomic<Int>(0)
    /// How often a loop stopped reading because the group's byte budget was used up.
    public let budgetPauses = Atomic<Int>(0)

    init() {}

    func countClose(_ reason: CloseReason) {
        closed.add(1, ordering: .relaxed)
        switch reason {
        case .idle: closedIdle.add(1, ordering: .relaxed)
        case .inputStalled: closedInputStalled.add(1, ordering: .relaxed)
        case .writeStalled: closedWriteStalled.add(1, ordering: .relaxed)
        case .inputLimit, .outputLimit, .memoryPressure: closedByLimit.add(1, ordering: .relaxed)
        case .commitFailed: closedCommitFailed.add(1, ordering: .relaxed)
        case .closedByHandler, .closedByPeer, .failed, .shutdown: break
        }
    }
}
