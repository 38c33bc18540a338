internal import ByteBuffers
internal import COpenSSL
internal import Glibc
public import Security
internal import Telemetry
public import Transport

/// The TLS of one connection, on its event loop.
///
/// ```
///   opening ──handshake──► open ──close_notify of the peer──► (open, our output goes on)
///      │                    │
///      └── not TLS, terms ──┴── a damaged record, an excess ──► failed
/// ```
/// One call of `receive` is as long as `maxCost` says, whatever comes: libssl itself goes on for as long as there are records, of which
/// some give no data.
///
/// libssl reads records from the socket into its own buffer and opens them into the transport's; it seals into a chunk that lives until
/// the socket has taken it. While much comes, the socket is read into a chunk as well; see TLSStream+Records.swift. Libssl's buffers stay
/// with some connections of the loop that were at work (`LoopBuffers`), and go back when nothing of a record is left in them: any
/// other idle connection holds libssl's state alone.
///
/// Invalid events: a failed stream that is asked again says so again; what comes behind the peer's close_notify is not looked at;
/// sealing before the handshake is over is our bug. Data that stands right before a damaged record is dropped with it: no reply to it
/// could be sealed any more.
public final class TLSStream: StreamTransform {
    enum Phase { case opening, open, failed }

    let context: TLSContext
    private let terminator: TLSTerminator
    /// Whose revocation lists the client's certificate was last held against.
    private var reviewed: TLSContext
    var metrics: TLSMetrics { terminator.metrics }
    let buffers: LoopBuffers
    let calls: SocketCalls
    private(set) var phase = Phase.opening
    /// Its place among those of the loop that keep libssl's buffers; nil: it has none.
    private(set) var place: Int?
    /// Made when the socket is first read: a connection from which nothing comes, not even its end, costs no session.
    private(set) var session: OpaquePointer?
    public private(set) var problem = ""
    /// Who the client is, by its certificate.
    public private(set) var principal = Principal.anonymous
    /// When the client's certificate ends.
    private var certificateEndsAt: Int64?

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
    /// What this call of `receive` has cost: bytes from the socket, and `recordCost` for each record.
    public internal(set) var cost = 0
    /// Bytes of data that are still to come for the handshake messages behind the handshake.
    var messageDebt = 0
    /// The handshake is just over, or one of its messages has come behind it: work with keys and certificates, which may leave errors
    /// that came to nothing.
    var hasMetMessage = false
    /// What the peer has made too much of. Nothing is read or sealed behind it.
    var excess: Excess?
    /// Records from the socket that libssl has not taken.
    var staged: Chunk?
    var stagedStart = 0
    var stagedEnd = 0
    /// Whether much comes.
    private var isBusy = false
    /// Whether this call may read the socket into the chunk.
    private(set) var mayStage = false
    /// Whether libssl asks for all that its buffer takes.
    private(set) var readsAhead = true
    /// Bytes that this call of `receive` has brought from the socket.
    var brought = 0

    // Records for the socket.
    var unsent: Chunk?
    var unsentStart = 0
    var unsentEnd = 0

    /// Why reading fails, when bytes before it had to be given out first.
    private var outcome: StreamResult?
    private var hasSaidGoodbye = false
    private var hasEnded = false
    /// Data that is still to be read before libssl keeps its copies.
    private var wipedBytes = TLSStream.wipedBytes
    /// By what comes first a client shows who it is: a frame of Kafka's protocol has as many bytes at most until then. Libssl's copy of it
    /// is wiped. To wipe all that follows would take a fifteenth of what it costs to open it.
    private static let wipedBytes = 64 << 10

    init(_ context: TLSContext, _ terminator: TLSTerminator, _ buffers: LoopBuffers, calls: SocketCalls = .system) {
        self.context = context
        self.terminator = terminator
        reviewed = context
        self.buffers = buffers
        self.calls = calls
    }

    deinit {
        end()
        SSL_free(session)
    }

    public var isOpening: Bool { phase == .opening }
    public var hasFailed: Bool { phase == .failed }
    public var memory: Int { (unsent?.capacity ?? 0) + (staged?.capacity ?? 0) }
    public var hasUnsent: Bool { unsentEnd > unsentStart }
    public var recordSize: Int { Self.largestRecord }
    public var mostUnopened: Int { Self.readBuffer }

    /// Bytes of a record wait in libssl's buffer, or its header was read and its body is waited for.
    public var isMidRecord: Bool {
        guard let session, phase == .open else { return false }
        return SSL_has_pending(session) == 1 || SSL_rstate_string(session)[1] == CChar(UInt8(ascii: "B"))
    }

    // MARK: Input

    public func receive(
        into buffer: UnsafeMutableRawBufferPointer, from socket: Int32, expectsEnd: Bool
    ) -> StreamResult {
        cost = 0
        if let outcome { return outcome }
        (self.socket, self.expectsEnd) = (socket, expectsEnd)
        isSocketDrained = false
        OpenSSLErrors.clear()
        if phase == .opening, let result = shakeHands() {
            if result != .drained(0), result != .more(0) { outcome = result }
            return result
        }
        brought = 0
        // The end of a frame, and little memory, are no reason to read more than there is room for.
        mayStage = isBusy && buffer.count >= Self.leastStagedRoom
        readAhead(!mayStage && staged == nil)
        keepBuffers()
        let result = open(into: buffer)
        if phase == .open, brought > 0 { reviewBusiness() }
        return result
    }

    /// Opens what there is.
    private func open(into buffer: UnsafeMutableRawBufferPointer) -> StreamResult {
        var total = 0
        while total < buffer.count {
            if cost >= Self.maxCost { return .more(total) }
            // The queue is empty here, for a record of data that was opened leaves nothing in it; to look takes 200 instructions.
            if hasMetMessage { OpenSSLErrors.clear() }
            hasMetMessage = false
            var count = 0
            guard excess == nil, SSL_read_ex(session, buffer.baseAddress! + total, buffer.count - total, &count) == 1
            else { return ended(after: total) }
            total += count
            messageDebt = max(0, messageDebt - count)
            if wipedBytes > 0 { countWiped(count) }
            // The usual end of a small request. Asking libssl once more would take a buffer, find nothing, and give it back.
            if isDrained, SSL_has_pending(session) == 0 { return .drained(total) }
        }
        return .bytes(total)
    }

    /// Nothing is left in the socket, and nothing of what it gave.
    private var isDrained: Bool { isSocketDrained && staged == nil }

    /// Whether the next call stages: while one brings more than libssl's buffer holds, or half of it once it does.
    private func reviewBusiness() {
        isBusy = brought >= (isBusy ? Self.readBuffer / 2 : Self.readBuffer - (1 << 10))
    }

    /// With read-ahead libssl would fill its buffer from the chunk, and move what is left there to the front for each record. Without,
    /// it asks for a header and for a body.
    private func readAhead(_ does: Bool) {
        guard does != readsAhead else { return }
        readsAhead = does
        SSL_set_read_ahead(session, does ? 1 : 0)
    }

    // MARK: Libssl's buffers

    /// Lets libssl keep its buffers behind this record, until `losePlace`.
    private func keepBuffers() {
        guard place == nil, phase == .open, !hasEnded else { return }
        place = buffers.take(for: self)
        millrace_tls_keep_buffers(session, 1)
    }

    public func end() {
        hasEnded = true
        if let place { buffers.leave(place) }
        place = nil
    }

    /// Another connection needs the place: libssl gives its buffers back, now or behind the record of which a part has come, for it points
    /// into one of them until then.
    func losePlace() {
        place = nil
        millrace_tls_keep_buffers(session, 0)
        if !isMidRecord { SSL_free_buffers(session) }
    }

    private func countWiped(_ count: Int) {
        wipedBytes -= count
        if wipedBytes <= 0 { millrace_tls_wipe_what_was_read(session, 0) }
    }

    /// What a read that gave nothing means, `total` bytes after the call began.
    private func ended(after total: Int) -> StreamResult {
        // Before libssl is asked: an excess is told to it as an end of the peer's.
        let error = excess == nil ? SSL_get_error(session, 0) : SSL_ERROR_SSL
        if error == SSL_ERROR_WANT_READ { return unfinished(total) }
        let result: StreamResult = error == SSL_ERROR_ZERO_RETURN ? .end : failure()
        outcome = result
        // Nothing behind the end of the stream is read.
        dropStaged()
        return total > 0 && result != .refused ? .bytes(total) : result
    }

    /// libssl wants more, and the BIO gave none: the socket has none, or the call has cost enough.
    private func unfinished(_ total: Int) -> StreamResult { isDrained ? .drained(total) : .more(total) }

    /// Goes on with the handshake; nil: it is over.
    private func shakeHands() -> StreamResult? {
        if session == nil {
            // A load balancer that looks whether somebody listens costs a system call, and not a session.
            if calls.hasEnded(socket) {
                phase = .failed
                return .end
            }
            begin()
        }
        let result = SSL_accept(session)
        if result == 1 { return finishHandshake() }
        if SSL_get_error(session, result) == SSL_ERROR_WANT_READ { return unfinished(0) }
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
        millrace_tls_wipe_what_was_read(made, 1)
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
        // The look at a chain may leave errors of what was tried on the way and came to nothing.
        hasMetMessage = true
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
        certificateEndsAt = Certificate.seconds(X509_get0_notAfter(certificate))
        return true
    }

    /// When what the client has shown of itself ends: at once, if a list that was read since its handshake has taken it back.
    public var peerEndsAt: Int64? {
        guard certificateEndsAt != nil else { return nil }
        let current = terminator.context
        if let session, current !== reviewed {
            reviewed = current
            if RevocationList.revoke(session, by: current.revocationLists) { certificateEndsAt = 0 }
        }
        return certificateEndsAt
    }

    /// Certificates may be revoked at any time, where lists say which are.
    public var peerReviewSeconds: Int64 {
        context.revocationLists.isEmpty ? 86_400 : Self.revocationReviewSeconds
    }

    /// Whether a request for `host` belongs here: it is the name that the client has asked for in its handshake, or another of the
    /// certificate that it got. A client that has asked for no name may ask for any: it came by an address.
    public func serves(_ host: String) -> Bool {
        guard let session, let asked = SSL_get_servername(session, TLSEXT_NAMETYPE_host_name) else { return true }
        if host.lowercased() == String(cString: asked).lowercased() { return true }
        defer { ERR_clear_error() }
        guard let certificate = SSL_get_certificate(session) else { return true }
        let isNamed = X509_check_host(
            certificate, host, host.utf8.count, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS), nil)
        // An address stands in brackets where it is one of IPv6.
        let address = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        return isNamed == 1 || X509_check_ip_asc(certificate, address, 0) == 1
    }

    /// Ends it, and says why.
    private func failure() -> StreamResult {
        let reason = OpenSSLErrors.take()
        let wasOpening = phase == .opening
        dropStaged()
        // A peer that goes without close_notify has cut nothing off: Kafka and HTTP know their lengths. Replies may still leave.
        if socketEnded {
            if wasOpening { phase = .failed }
            return .end
        }
        phase = .failed
        if socketErrno != 0 {
            problem = String(cString: strerror(socketErrno))
            return .failed(errno: socketErrno)
        }
        if isPlainText {
            problem = "a client speaks plain text to a listener of TLS"
        } else if handshakeAllowance <= 0, wasOpening {
            problem = "more than \(Self.maxHandshakeBytes) bytes of handshake"
        } else if let excess {
            problem = excess.problem
        } else {
            problem = "TLS: \(reason)"
        }
        return .refused
    }

    // MARK: Output

    public var room: Int {
        guard phase == .open, !hasSaidGoodbye else { return 0 }
        guard let unsent else { return Self.unsentChunk / (16 << 10) * Self.largestRecord }
        let left = min(unsent.capacity - unsentEnd, Self.maxUnsent - (unsentEnd - unsentStart))
        return max(0, left) / (16 << 10) * Self.largestRecord
    }

    public func seal(_ bytes: UnsafeRawBufferPointer) -> Bool {
        precondition(phase == .open, "output before the handshake is over")
        if unsent == nil {
            let records = (bytes.count + Self.largestRecord - 1) / Self.largestRecord
            makeUnsent(bytes.count + records * Self.recordOverhead)
        }
        keepBuffers()
        // Its return says whether it failed. Only why would be read from the thread's errors, which nobody leaves there.
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
        dropStaged()
        guard phase != .failed, session != nil, SSL_is_init_finished(session) == 1, !hasSaidGoodbye else { return }
        hasSaidGoodbye = true
        ERR_clear_error()
        SSL_shutdown(session)
        ERR_clear_error()
    }
}
