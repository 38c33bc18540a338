internal import CSystem
internal import Glibc

/// The two system calls that records travel by. Tests put memory in their place.
struct SocketCalls: Sendable {
    /// Bytes that came, 0 at the end, or the negated errno.
    var receive: @Sendable (Int32, UnsafeMutableRawPointer, Int) -> Int
    /// Bytes that were taken, or the negated errno.
    var send: @Sendable (Int32, UnsafeRawPointer, Int) -> Int
    /// Whether nothing comes any more, and nothing is there to be read.
    var hasEnded: @Sendable (Int32) -> Bool = { _ in false }

    /// The errno of a socket that has nothing, or takes nothing, now.
    static let wouldBlock = EAGAIN

    static let system = SocketCalls(
        receive: { millrace_receive($0, $1, $2) }, send: { millrace_send($0, $1, $2) },
        hasEnded: { socket in
            var byte: UInt8 = 0
            return recv(socket, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) == 0
        })
}
