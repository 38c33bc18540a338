/// The protocol of one connection: consumes its input and writes its replies. Made by the listener's `makeHandler`,
/// used by one loop's thread only, and told `closed` exactly once, as the last call.
///
/// The contract of `received`:
/// - `input` begins at the first byte that was not consumed. It may hold part of a frame, one, or many: consume what is
///   whole, in a loop, and stop when `connection.wantsInput` turns false (a request was parked, or replies pile up).
///   What is left is offered again, later, with what has come meanwhile.
/// - Set `input.needed` to the length of the next whole frame as soon as it is known. The call is not repeated until
///   that many bytes are there, and the memory for them grows as they arrive, never because they were announced.
/// - Bytes that are not the protocol: `connection.close()`.
public protocol ConnectionHandler: AnyObject {
    func received(_ input: inout ConnectionInput, on connection: Connection)
    /// Called when `wantsInput` was false because of unsent output or uncommitted requests, and both have fallen far
    /// enough.
    func outputDrained(on connection: Connection)
    /// Called when the peer has finished sending and the connection is muted: a request is parked of which the peer may
    /// never see the reply, for it has either shut down its sending side or gone; only a write would tell. End a wait
    /// that could be long, by a reply or by closing. Requests behind the parked one are still read after
    /// `resumeReading`, up to the peer's end. Called when both have become true, perhaps more than once, by the loop
    /// and not from within `pauseReading`.
    func peerFinished(on connection: Connection)
    /// Called when a timer set by `connection.setTimer(_:after:)` is due.
    func timerFired(_ id: Int, on connection: Connection)
    /// Returns what is sent instead of all that `held` shows, as a commit has failed on which these replies rested, or nil to
    /// have the connection reset. `closeAfterFlush` may be called meanwhile.
    func commitFailed(_ held: HeldOutput, on connection: Connection) -> ReplacedOutput?
    /// Does the same for a reply that has waited for its commit for `ConnectionLimits.commitTimeout`, and all behind it; the
    /// commit may still come.
    func commitOverdue(_ held: HeldOutput, on connection: Connection) -> [UInt8]?
    /// Called when commits that `Connection.watch` was given may have been published, or have failed.
    func commitsMoved(on connection: Connection)
    /// Called when a graceful stop begins. What is quiet behind it (neither muted nor at work) is closed once its output has left.
    func stopBegan(on connection: Connection)
    /// Called when the connection has ended; its identifier answers `nil` from now on.
    func closed(on connection: Connection, reason: CloseReason)
}

extension ConnectionHandler {
    public func outputDrained(on connection: Connection) {}
    public func peerFinished(on connection: Connection) {}
    public func timerFired(_ id: Int, on connection: Connection) {}
    public func commitFailed(_ held: HeldOutput, on connection: Connection) -> ReplacedOutput? { nil }
    public func commitOverdue(_ held: HeldOutput, on connection: Connection) -> [UInt8]? { nil }
    public func commitsMoved(on connection: Connection) {}
    public func stopBegan(on connection: Connection) {}
    public func closed(on connection: Connection, reason: CloseReason) {}
}
