internal import CSystem
internal import Glibc
internal import Telemetry

/// A header that stands once at the beginning of a connection's bytes, and tells whose they are: what proxies put there.
///
/// ```
///   accepted ──who may send it──► awaited: looked at, and left in the socket ──whole──► taken out; the peer is whom it names
///      │ others                     │ not whole in time, or wrong                          │ who has too many connections
///      └───────────────────────────►└──────────────────────► closed ◄─────────────────────┘
/// ```
public struct StreamPreamble: Sendable {
    public enum Outcome: Sendable {
        case incomplete
        /// It takes so many bytes. `source`: whose the connection is; nil: the socket's peer's.
        case whole(length: Int, source: SocketAddress?)
        /// Why, for the log; nothing is answered.
        case refused(String)
    }

    let isExpected: @Sendable (SocketAddress) -> Bool
    let maxBytes: Int
    let timeout: Duration
    let read: @Sendable (UnsafeRawBufferPointer, SocketAddress) -> Outcome

    /// - Parameters:
    ///   - isExpected: whether a peer may send it; of others no byte is waited for, and they take none of the connections that there
    ///     may be. Called on the accepting loop.
    ///   - maxBytes: no header is longer.
    ///   - timeout: how long it may take.
    ///   - read: looks at the first bytes that the socket's peer has sent, at most `maxBytes`. Called on the connection's loop.
    public init(
        isExpected: @escaping @Sendable (SocketAddress) -> Bool = { _ in true },
        maxBytes: Int, timeout: Duration, read: @escaping @Sendable (UnsafeRawBufferPointer, SocketAddress) -> Outcome
    ) {
        self.isExpected = isExpected
        self.maxBytes = maxBytes
        self.timeout = timeout
        self.read = read
    }
}

extension Connection {
    func startPreambleClock(_ preamble: StreamPreamble) {
        setTimer(OwnTimer.preamble, deadline: loop.now + preamble.timeout.nanoseconds)
    }

    func checkPreamble() {
        if awaitsPreamble { close(.handshakeTimeout) }
    }

    /// Takes the header out of the socket when it is whole. False: there is nothing to read yet, or the connection is closing.
    func readPreamble(_ preamble: StreamPreamble) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: preamble.maxBytes, alignment: 1) { space in
            let count = millrace_peek(fd, space.baseAddress, space.count)
            guard count > 0 else {
                if count == -Int(EAGAIN) {
                    isReadable = false
                } else {
                    close(count == 0 ? .closedByPeer : .failed(errno: Int32(-count)))
                }
                return false
            }
            switch preamble.read(UnsafeRawBufferPointer(rebasing: space[..<count]), peerAddress) {
            case .incomplete:
                // What follows is a new edge, though these bytes stay; behind the peer's end nothing follows.
                if peerFinished { close(.closedByPeer) }
                isReadable = false
                return false
            case .refused(let reason):
                Log.info(
                    "connection refused by what stands before it", "peer", peerAddress.description, "reason", reason)
                close(.streamRefused)
                return false
            case .whole(let length, let source):
                guard millrace_receive(fd, space.baseAddress, length) == length else {
                    close(.failed(errno: EIO))
                    return false
                }
                return preambleEnded(source)
            }
        }
    }

    private func preambleEnded(_ source: SocketAddress?) -> Bool {
        awaitsPreamble = false
        timers.cancel(OwnTimer.preamble)
        if let source { peerAddress = source }
        if listener.admitLater(peerAddress, loop.shared.counters) {
            isCounted = true
            return true
        }
        if transform == nil, let words = listener.options.refusal?() {
            words.withUnsafeBytes { write(copying: $0) }
            closeAfterFlush()
        } else {
            close()
        }
        return false
    }
}
