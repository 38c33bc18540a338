import ByteBuffers
import HTTP2Wire
import HTTPWire
import Security
import Transport

/// The head of a request of HTTP/2 as it came, for who reads it once more. Not changed once it is made.
final class KeptFields: @unchecked Sendable {
    // SAFETY: nothing of it is changed after `init`, and reading it changes nothing.
    let block: FieldBlock
    /// Of a body that was whole with the head: 0; nil: it follows.
    let bodyLength: Int?

    init(_ block: consuming FieldBlock, bodyLength: Int?) {
        self.block = block
        self.bodyLength = bodyLength
    }
}

/// One stream of HTTP/2: a request and its reply. Confined to its connection's loop.
///
/// ```
///   asking ─────► receiving, reading ──whole──► (parked) ──► handled ──suspended──► waiting, streaming, windows ⇄ reading
///   (a credential)     body in one, in pieces                   │                        │
///      └─────────────────────┴── refused ──────────────────► gated ◄─────────────────────┘
///                                                               └── commits on disk ──► replying ──all sent, or reset──► gone
///                                                                                         └── (dropping) ─────────────────┘
/// ```
/// A stream may go in any state, by a reset of the peer or of ours: what was begun for it is finished, and nobody asks for it.
final class HTTP2Stream {
    enum State {
        /// A worker looks at its credential; what comes of the body meanwhile is kept, as much as its window has.
        case asking
        case receiving(ChunkedBody)
        case reading(any BodyReader, upTo: Int)
        /// It is whole, and begins when the peer has read more of what it was answered, or workers have done more of what it asked.
        case parked
        /// It is the loop's request at this moment.
        case handled
        case waiting(any ExchangeWork)
        /// A part of the body is handled; what comes meanwhile is kept, as much as its window has.
        case windows(WindowedBody)
        case streaming(StreamedReply)
        /// The reply is made, and these commits are awaited.
        case gated(CommitSpan)
        case replying
        /// The reply is out, and the rest of the request is read and dropped.
        case dropping
    }

    let id: Int32
    let fields: KeptFields
    /// Whose limits it counts for.
    var peer: PeerKey
    var state = State.asking
    var exchange: Exchange?
    /// The look at its credential that it waits for.
    var check: PendingCheck?
    /// The request's body has ended.
    var isWhole: Bool
    /// Of the body that came while its credential was looked at, or a window of it handled; nil: none did.
    var early: ChunkedBody?
    /// Bytes of the budget for that.
    var earlyReserved = 0
    /// Bytes of the budget for its fields, as long as there is the stream.
    var fieldsReserved = 0
    /// Bytes of the body.
    var received = 0

    // Time, in monotonic nanoseconds.
    /// When it is to be looked at next; `.max`: never.
    var lookAt = Int64.max
    /// When what it waits for is given up.
    var deadline = Int64.max
    var progressAtLastLook = 0

    // The reply.
    /// Of a reply that waits for its commits.
    var head: HeldHead?
    /// What is still to be sent of its body.
    private var pieces = FIFO<ByteSlice>()
    private(set) var pending = 0
    private(set) var sent = 0
    /// Nothing comes behind `pieces`.
    var isReplyWhole = false
    /// Bytes of its events that wait for their commit.
    var weight = 0

    struct HeldHead {
        let status: Int
        let lines: [UInt8]
    }

    init(_ id: Int32, _ fields: KeptFields, peer: PeerKey) {
        self.id = id
        self.fields = fields
        self.peer = peer
        isWhole = fields.bodyLength != nil
    }

    func append(_ piece: ByteSlice) {
        if piece.count == 0 { return }
        pieces.append(piece)
        pending += piece.count
    }

    /// Forgets what was not sent; gives how much that was.
    func dropPieces() -> Int {
        pieces.removeAll()
        defer { pending = 0 }
        return pending
    }

    /// Moves as much of the reply's body as there is room for.
    func fill(_ space: UnsafeMutableRawBufferPointer) -> Int {
        var filled = 0
        while filled < space.count, let first = pieces.first {
            let count = min(space.count - filled, first.count)
            (space.baseAddress! + filled).copyMemory(from: first.pointer, byteCount: count)
            filled += count
            if count == first.count {
                pieces.removeFirst()
            } else {
                pieces.replaceFirst(first.slice(count, count: first.count - count))
            }
        }
        pending -= filled
        sent += filled
        return filled
    }
}

/// A reply in parts of HTTP/2.
final class HTTP2Response: ResponseWriter {
    // Both outlive it: it is in the stream's state, and that is in the connection's table.
    private unowned let handler: HTTP2Connection
    private unowned let stream: HTTP2Stream
    private(set) var hasBegun = false
    private(set) var isHeadOnly = false

    init(_ handler: HTTP2Connection, _ stream: HTTP2Stream) {
        self.handler = handler
        self.stream = stream
    }

    /// One part at a time, so that a hundred streams whose windows are closed keep no more than a part each, and none at all where
    /// the connection has much to send.
    var isReady: Bool { stream.pending == 0 && !handler.isBusy }
    var sentBytes: Int { stream.sent }
    var unsentBytes: Int { stream.pending }

    func begin() {
        hasBegun = true
        isHeadOnly = handler.loop.head.method == .head
        handler.respond(stream, hasBody: !isHeadOnly)
    }

    func write(_ part: ByteSlice) {
        if isHeadOnly { return }
        handler.append(part, to: stream)
    }

    func end() -> Bool {
        stream.isReplyWhole = true
        if !isHeadOnly { handler.session.resumeBody(stream.id) }
        return true
    }

    func reset() { handler.session.reset(stream.id, .cancelled) }
    func flush() { handler.pump() }
    func wake(_ streamed: StreamedReply) { handler.wake(streamed, stream) }

    // Each stream has its own window, and nothing stands behind the body.
    func pauseBody() {}
    func resumeBody() {}
}
