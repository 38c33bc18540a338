/// Names a connection for as long as the process lives, from any thread: its loop, its place there, and which of the
/// connections that have had this place it is.
///
/// `EventLoop.connection(_:)` of that loop answers the connection, or `nil` when it is gone.
public struct ConnectionID: Hashable, Sendable, CustomStringConvertible {
    /// Index of the loop in its group.
    public let loop: UInt16
    let slot: UInt32
    let generation: UInt32

    public var description: String { "\(loop)/\(slot)/\(generation)" }
}
