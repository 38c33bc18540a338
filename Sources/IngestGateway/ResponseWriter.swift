import ByteBuffers
import HTTPWire
import Transport

/// Where a reply goes that is made in parts: who makes it does not know how the protocol frames it. A reply that is made in one
/// go needs none: it stands in the loop's registers, and its connection writes it as a whole (`HTTPConnection.settle`).
///
///     begin ─► write … ─► end          the reply, its status settled by `begin`
///                  └────► reset        what was sent is not to be taken for whole
///
/// Invalid events: `write` before `begin` and anything after `end` or `reset` are our bugs.
protocol ResponseWriter: AnyObject {
    /// Whether the status is settled.
    var hasBegun: Bool { get }
    /// Whether the peer wants to see nothing but the head.
    var isHeadOnly: Bool { get }
    /// Whether the next part may be written; otherwise the peer has to read first, and `outputDrained` tells when it has.
    var isReady: Bool { get }
    /// Bytes of the body that the peer's side has taken, and that wait for it.
    var sentBytes: Int { get }
    var unsentBytes: Int { get }

    /// Sends the head that the loop's registers hold, of a body whose length is not known.
    func begin()
    func write(_ part: ByteSlice)
    /// Ends the reply. False: nothing can follow it, and the connection is ending.
    func end() -> Bool
    func reset()
    /// Sends what was written outside of a turn of its own.
    func flush()
    /// Has the next part of a reply made that has waited, when its turn comes and the peer has read enough.
    func wake(_ streamed: StreamedReply)

    /// Stops the peer's sending, and lets it go on: of this request's body, and of what may stand behind it.
    func pauseBody()
    func resumeBody()
}

extension ResponseWriter {
    func write(_ text: StaticString) {
        text.withUTF8Buffer { write(ChunkPool.shared.slice(copying: UnsafeRawBufferPointer($0))) }
    }
}

/// A reply in parts of HTTP/1.1: in chunks, or, to a peer that does not know them, up to the connection's end.
final class ChunkedResponse: ResponseWriter {
    // Both outlive it: it is in the connection's state, and that has the handler.
    private unowned let handler: HTTPConnection
    private unowned let connection: Connection
    private(set) var hasBegun = false
    private(set) var isHeadOnly = false
    private var isChunked = false
    private var closes = false
    private var written = 0

    init(_ handler: HTTPConnection, _ connection: Connection) {
        self.handler = handler
        self.connection = connection
    }

    var isReady: Bool { connection.pendingOutputBytes <= connection.limits.outputHighWater }
    var sentBytes: Int { written - connection.pendingOutputBytes }
    var unsentBytes: Int { connection.pendingOutputBytes }

    func begin() {
        let loop = handler.loop
        hasBegun = true
        isHeadOnly = loop.head.method == .head
        isChunked = loop.head.minorVersion > 0
        closes =
            handler.gateway.isDraining || connection.loop.now >= handler.endsAt || !loop.head.keepAlive || !isChunked
        connection.write { out in
            handler.writeHead(of: loop.reply, closes: closes, isChunked ? .chunks : .end, into: &out)
        }
    }

    func write(_ part: ByteSlice) {
        if isHeadOnly { return }
        if isChunked { connection.write { ResponseHead.beginChunk(&$0, count: part.count) } }
        connection.write(part)
        if isChunked { connection.write { $0.text("\r\n") } }
        written += part.count
    }

    func end() -> Bool {
        if isChunked, !isHeadOnly { connection.write { ResponseHead.endChunks(&$0) } }
        // A drain that has begun meanwhile could not be told by the head.
        closes = closes || handler.gateway.isDraining
        if closes { connection.closeAfterFlush() }
        return !closes
    }

    func reset() { connection.close() }
    // The end of the loop's turn does.
    func flush() {}
    func wake(_ streamed: StreamedReply) { handler.wake(streamed, connection) }

    func pauseBody() { connection.pauseReading() }

    func resumeBody() { connection.resumeReading() }
}
