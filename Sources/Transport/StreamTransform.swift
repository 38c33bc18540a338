internal import ByteBuffers
internal import CSystem
internal import Glibc

/// What a transform's input came to.
public enum StreamResult: Equatable, Sendable {
    /// So many bytes (at least 1) of plain text were received, and more may be there.
    case bytes(Int)
    /// So many bytes (0: none) were received, and nothing more before the socket is readable again.
    case drained(Int)
    /// So many bytes (0: none) were received, and the call has cost enough: more may be there, for another call.
    case more(Int)
    /// The peer has finished sending.
    case end
    /// The socket is broken.
    case failed(errno: Int32)
    /// What came is not the transform's protocol, or its terms were not met. What it has to say about that is unsent
    /// output; it takes and gives nothing else any more. `StreamTransform.problem` says why.
    case refused
}

/// What became of a transform's unsent output.
public enum FlushResult: Equatable, Sendable {
    /// The socket took bytes. Is there unsent output left, then its buffer is full.
    case sent
    case wouldBlock
    case failed(errno: Int32)
}

/// The seam for TLS: it makes records of the connection's bytes and bytes of the socket's records, and the transport keeps the
/// readiness, the limits, the gates and the timers. Without one, the transport calls the socket itself.
///
/// ```
///   output queue ─── seal ──► unsent records ── flush ──► socket ── receive ──► handler
///    (memory, files: read, then sealed)                     and unsent: handshake, alerts
/// ```
/// Confined to the connection's loop. Reading never waits for the socket to take output, for records are kept until it does; what a
/// `receive` has left unsent is flushed at the end of the turn. A transform that the kernel does (kTLS) would take parts of files as
/// they are: that is one more requirement here, and the place for it is `Connection.fill`.
public protocol StreamTransform: AnyObject {
    /// The handshake is not over. Nothing is sealed until then, and what arrives is worked on in `EventLoop.handshakeShare`.
    var isOpening: Bool { get }
    /// Records have not been given to the socket.
    var hasUnsent: Bool { get }
    /// The beginning of a record has come, and memory waits for its end.
    var isMidRecord: Bool { get }
    /// Bytes of plain text that `seal` takes now; 0: none before a flush.
    var room: Int { get }
    /// Bytes of plain text in the largest record; smaller pieces of output are put together up to it.
    var recordSize: Int { get }
    /// It has failed: it takes no output any more, and gives none but what is unsent.
    var hasFailed: Bool { get }
    /// What the last `receive` has cost, in bytes of ciphertext: it may be far more than what it gave.
    var cost: Int { get }
    /// Bytes that may have come from the socket and were not given, because the end of their record has not come.
    var mostUnopened: Int { get }
    /// Bytes of the loop's pool that hold unsent records.
    var memory: Int { get }
    /// Why it has refused, for the log; never a secret.
    var problem: String { get }
    /// Seconds since 1970 at which what the peer has shown of itself ends, and the connection with it; nil: it does not. Asked for once the
    /// handshake is over.
    var peerEndsAt: Int64? { get }
    /// Seconds after which it is asked for that again, at the latest: it may end sooner than was thought.
    var peerReviewSeconds: Int64 { get }

    /// `expectsEnd`: the peer's end was announced, no edge follows, and only a read of nothing is the end.
    func receive(
        into buffer: UnsafeMutableRawBufferPointer, from socket: Int32, expectsEnd: Bool
    ) -> StreamResult
    /// Takes all of `bytes`, at most `room`. False: it has failed.
    func seal(_ bytes: UnsafeRawBufferPointer) -> Bool
    /// Gives unsent records to the socket, by one call.
    func flush(to socket: Int32) -> FlushResult
    /// Adds what tells the peer that no more follows (TLS: close_notify), once.
    func finish()
    /// The connection is closed, and asks for nothing any more. Called once, on its loop: what the transform shares with others there is
    /// given back here, for the last reference may go elsewhere.
    func end()
}

extension StreamTransform {
    public var peerEndsAt: Int64? { nil }
    /// A day: the wall clock may be set meanwhile.
    public var peerReviewSeconds: Int64 { 86_400 }
    public var mostUnopened: Int { 0 }
    public func end() {}
}

extension FileSlice {
    /// Reads the slice's first bytes, as many as `space` has. False, and its owner is told, when that cannot be done.
    func read(into space: UnsafeMutableRawBufferPointer) -> Bool {
        precondition(space.count <= count, "\(space.count) bytes of a slice of \(count)")
        var done = 0
        while done < space.count {
            let got = cstorage_pread(
                file.descriptor, space.baseAddress! + done, UInt64(space.count - done), position + Int64(done))
            if got == -Int64(EINTR) { continue }
            if got <= 0 {
                reportReadFailure()
                return false
            }
            done += Int(got)
        }
        return true
    }
}
