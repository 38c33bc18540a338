internal import ByteBuffers
internal import COpenSSL
public import Security
internal import Telemetry
public import Transport

/// The TLS of one connection, on its event loop.
///
/// ```
///   opening ──handshake──► open ──close_notify of the peer──► (open, our output goes on)
///      │                    │
///      └── not TLS, terms ──┴── a damaged record, too many new keys ──► failed
/// ```
/// libssl reads records from the socket into its own buffer, which it gives back when nothing of a record is left, and opens them
/// into the transport's; it seals into a chunk of the pool that lives until the socket has taken it. So an idle connection holds
/// libssl's state alone, and nothing is buffered twice.
///
/// Invalid events: a failed stream that is asked again says so again; what comes behind the peer's close_notify is not looked at;
/// sealing before the handshake is over is our bug.
public final class TLSStream: StreamTransform {
    enum Phase { case opening, open, failed }

    let context: TLSContext
    let metrics: TLSMetrics
    let pool: ChunkPool
    let calls: SocketCalls
    private(set) var phase = Phase.opening
    /// Made when the first byte is asked for: a connection that never sends one costs no session.
    private var session: OpaquePointer?
    public private(set) var problem = ""
    /// Who the client is, by its certificate.
    public private(set) var principal = Principal.anonymous

    // What the record layer's calls have met; see TLSStream+Records.swift.
    var socket: Int32 = -1
    var expectsEnd = false
    /// The socket has no more, by a short read.
    var isSocketDrained = false
    var socketEnded = false
    var socketErrno: Int32 = 0
    var isPlainText = false
    /// Bytes that may still come before the handshake is over.
    var handshakeAllowance = TLSStream.maxHandshakeBytes
    /// Requests for new keys since data last came.
    var keyUpdates = 0

    // Records for the socket.
    var unsent: Chunk?
    var unsentStart = 0
    var unsentEnd = 0

    /// Why reading fails, when bytes before it had to be given out first.
    private var outcome: StreamResult?
    private var hasSaidGoodbye = false

    /// A client's hello has 300 to 2,000 bytes, its certificates at most `TLSContext.maxPeerChainBytes`. More before the
    /// handshake is over: refused.
    static let maxHandshakeBytes = 64 << 10
    /// New keys without any data between them: each costs work and an answer. More: refused.
    static let maxKeyUpdates = 16
    /// Plain text of a record: four of them fit into a chunk of 64 KiB with what TLS adds.
    static let largestRecord = 16_128
    /// What a record is longer than its plain text, at most.
    static let recordOverhead = 64
    static let unsentChunk = 64 << 10

    init(_ context: TLSContext, _ metrics: TLSMetrics, pool: ChunkPool, calls: SocketCalls = .system) {
        self.context = context
        self.metrics = metrics
        self.pool = pool
        self.calls = calls
    }

    deinit { SSL_free(session) }

    public var isOpening: Bool { phase == .opening }
    public var hasUnsent: Bool { unsentEnd > unsentStart }
    public var recordSize: Int { Self.largestRecord }

    /// Bytes of a record wait in libssl's buffer, or its header was read and its body is waited for.
    public var isMidRecord: Bool {
        guard let session, phase == .open else { return false }
        return SSL_has_pending(session) == 1 || SSL_rstate_string(session)[1] == CChar(UInt8(ascii: "B"))
    }

    // MARK: Input

    public func receive(
        into buffer: UnsafeMutableRawBufferPointer, from socket: Int32, expectsEnd: Bool
    ) -> StreamResult {
        if let outcome { return outcome }
        (self.socket, self.expectsEnd) = (socket, expectsEnd)
        isSocketDrained = false
        ERR_clear_error()
        if phase == .opening, let result = shakeHands() {
            if result != .drained(0) { outcome = result }
            return result
        }
        var total = 0
        while total < buffer.count {
            var count = 0
            guard SSL_read_ex(session, buffer.baseAddress! + total, buffer.count - total, &count) == 1 else {
                return ended(after: total)
            }
            total += count
            keyUpdates = 0
        }
        return .bytes(total)
    }

    /// What a read that gave nothing means, `total` bytes after the call began.
    private func ended(after total: Int) -> StreamResult {
        let result: StreamResult
        switch SSL_get_error(session, 0) {
        case SSL_ERROR_WANT_READ: return .drained(total)
        case SSL_ERROR_ZERO_RETURN: result = .end
        default: result = failure()
        }
        outcome = result
        return total > 0 ? .bytes(total) : result
    }

    /// Goes on with the handshake; nil: it is over.
    private func shakeHands() -> StreamResult? {
        if session == nil { begin() }
        let result = SSL_accept(session)
        if result == 1 { return finishHandshake() }
        if SSL_get_error(session, result) == SSL_ERROR_WANT_READ { return .drained(0) }
        let failure = failure()
        if failure == .refused {
            if isPlainText { metrics.plainText() } else { metrics.refused.add() }
        }
        return failure
    }

    private func begin() {
        guard let made = context.makeSession(), let bio = BIO_new(TLSStream.recordMethod) else {
            preconditionFailure("libssl has no memory")
        }
        BIO_set_data(bio, Unmanaged.passUnretained(self).toOpaque())
        BIO_set_init(bio, 1)
        SSL_set_bio(made, bio, bio)
        session = made
    }

    private func finishHandshake() -> StreamResult? {
        guard identify() else {
            finish()
            phase = .failed
            problem = "no rule of ssl.principal.mapping.rules names the owner of the certificate"
            metrics.refused.add()
            return .refused
        }
        phase = .open
        if SSL_session_reused(session) == 1 { metrics.resumed.add() } else { metrics.full.add() }
        return nil
    }

    /// Finds who the client is; false: it has a certificate that stands for nobody.
    private func identify() -> Bool {
        guard context.settings.clientAuthentication != .none, let certificate = SSL_get0_peer_certificate(session)
        else {
            return true
        }
        let count = i2d_X509(certificate, nil)
        guard count > 0 else { return false }
        let der = [UInt8](unsafeUninitializedCapacity: Int(count)) { buffer, filled in
            var cursor = buffer.baseAddress
            filled = Int(i2d_X509(certificate, &cursor))
        }
        guard let name = DistinguishedName.text(ofSubjectOf: der), let user = context.mapping.name(for: name) else {
            return false
        }
        principal = .user(user)
        return true
    }

    /// Ends it, and says why.
    private func failure() -> StreamResult {
        let reason = OpenSSLErrors.take()
        let wasOpening = phase == .opening
        // A peer that goes without close_notify has cut nothing off: Kafka and HTTP know their lengths. Replies may still leave.
        if socketEnded {
            if wasOpening { phase = .failed }
            return .end
        }
        phase = .failed
        if socketErrno != 0 { return .failed(errno: socketErrno) }
        if isPlainText {
            problem = "plain text where TLS is spoken"
        } else if handshakeAllowance <= 0, wasOpening {
            problem = "more than \(Self.maxHandshakeBytes) bytes of handshake"
        } else if keyUpdates > Self.maxKeyUpdates {
            problem = "more than \(Self.maxKeyUpdates) new keys without data"
        } else {
            problem = "TLS: \(reason)"
        }
        return .refused
    }

    // MARK: Output

    public var room: Int {
        guard phase == .open, !hasSaidGoodbye else { return 0 }
        guard let unsent else { return Self.unsentChunk / (16 << 10) * Self.largestRecord }
        let left = unsent.capacity - unsentEnd
        return left / (16 << 10) * Self.largestRecord
    }

    public func seal(_ bytes: UnsafeRawBufferPointer) -> Bool {
        precondition(phase == .open, "output before the handshake is over")
        if unsent == nil {
            let records = (bytes.count + Self.largestRecord - 1) / Self.largestRecord
            makeUnsent(bytes.count + records * Self.recordOverhead)
        }
        ERR_clear_error()
        var done = 0
        while done < bytes.count {
            let count = min(Self.largestRecord, bytes.count - done)
            var written = 0
            guard SSL_write_ex(session, bytes.baseAddress! + done, count, &written) == 1, written == count else {
                outcome = failure()
                phase = .failed
                return false
            }
            done += count
        }
        return true
    }

    public func flush(to socket: Int32) -> FlushResult {
        guard let unsent, hasUnsent else { return .sent }
        let count = calls.send(socket, unsent.base + unsentStart, unsentEnd - unsentStart)
        if count == -Int(SocketCalls.wouldBlock) { return .wouldBlock }
        if count < 0 { return .failed(errno: Int32(-count)) }
        unsentStart += count
        if !hasUnsent { dropUnsent() }
        return .sent
    }

    public func finish() {
        guard phase != .failed, session != nil, SSL_is_init_finished(session) == 1, !hasSaidGoodbye else { return }
        hasSaidGoodbye = true
        ERR_clear_error()
        SSL_shutdown(session)
        ERR_clear_error()
    }
}
