/// What a transform's input or output came to.
public enum StreamResult: Equatable, Sendable {
    /// So many bytes (at least 1) of plain text were received or accepted.
    case bytes(Int)
    /// Nothing now; the socket's next readiness, in either direction, is worth another try.
    case wouldBlock
    /// The peer has finished sending, in an orderly way.
    case end
    /// The connection is broken.
    case failed(errno: Int32)
}

/// The seam for TLS: it does the connection's input and output on the non-blocking socket, and the transport keeps the
/// readiness, the buffers, the limits, the gates and the timers. Without one, the transport calls the socket itself.
///
/// Confined to the connection's loop. Both functions are called until they answer `.wouldBlock`; after any readiness of
/// the socket both directions are tried, because a handshake's read may wait for a write and the other way round.
public protocol StreamTransform: AnyObject {
    func receive(into buffer: UnsafeMutableRawBufferPointer, from socket: Int32) -> StreamResult
    /// Sends from the front of `buffer`; a call that is repeated after `.wouldBlock` begins with the same bytes.
    func send(_ buffer: UnsafeRawBufferPointer, to socket: Int32) -> StreamResult
    /// Ends the output; TLS sends its close_notify here.
    func finish(on socket: Int32)
}
