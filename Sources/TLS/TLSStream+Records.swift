internal import ByteBuffers
internal import COpenSSL

/// libssl's side of the socket. It asks for as many bytes as its buffer takes (read-ahead), so one call brings many records; what it
/// writes is collected, so one call sends many.
///
/// ```
///   little comes   socket ──recv, up to 17 KiB──► libssl's buffer ──open──► the transport's
///   much comes     socket ──recv, up to 64 KiB──► staged chunk ──a record──► libssl's buffer ──open──► the transport's
/// ```
/// Staging costs a copy and spares libssl's own: with many records in its buffer it moves all of them to the front for each that it
/// opens, half of its instructions with records of 1 KiB. And it takes a call in four of the socket. The chunk is the pool's, for as long
/// as something is in it: when nothing more comes, what is left of a record is in libssl's buffer.
extension TLSStream {
    /// The method of our BIO, made once for the process.
    ///
    /// Its `ctrl` says yes to a flush, for all that is written is kept, and no to everything that it does not know: a yes to the control
    /// of kTLS would make libssl leave the encryption to a kernel that knows nothing of it.
    // SAFETY: a BIO_METHOD is not changed once it is made, and this one is never freed.
    nonisolated(unsafe) static let recordMethod: OpaquePointer = {
        guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "millrace records") else {
            preconditionFailure("libcrypto has no memory")
        }
        BIO_meth_set_read(method) { bio, bytes, count in
            guard let bytes, count > 0 else { return 0 }
            millrace_bio_clear_retry(bio)
            return TLSStream.of(bio)._withUnsafeGuaranteedRef { stream in
                let got = stream.readRecords(UnsafeMutableRawPointer(bytes), Int(count))
                if got < 0, stream.mayComeLater { millrace_bio_retry_read(bio) }
                return Int32(got)
            }
        }
        BIO_meth_set_write(method) { bio, bytes, count in
            guard let bytes, count > 0 else { return 0 }
            millrace_bio_clear_retry(bio)
            return TLSStream.of(bio)._withUnsafeGuaranteedRef { stream in
                stream.keep(UnsafeRawBufferPointer(start: bytes, count: Int(count))) ? count : -1
            }
        }
        BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
        return method
    }()

    private static func of(_ bio: OpaquePointer?) -> Unmanaged<TLSStream> { .fromOpaque(BIO_get_data(bio)!) }

    /// Counts records and handshake messages as libssl meets them.
    static let messageCallback:
        @convention(c) (Int32, Int32, Int32, UnsafeRawPointer?, Int, OpaquePointer?, UnsafeMutableRawPointer?) -> Void =
            {
                isWritten, _, contentType, bytes, count, session, _ in
                switch contentType {
                case SSL3_RT_HEADER where isWritten == 0:
                    TLSStream.of(SSL_get_rbio(session))._withUnsafeGuaranteedRef { $0.cost += TLSStream.recordCost }
                case SSL3_RT_HANDSHAKE where isWritten == 0:
                    TLSStream.of(SSL_get_rbio(session))._withUnsafeGuaranteedRef { $0.noticeMessage(session) }
                case SSL3_RT_ALERT where isWritten == 1:
                    guard count == 2, let bytes else { return }
                    let alert = UnsafeRawBufferPointer(start: bytes, count: 2)
                    if alert[0] == UInt8(SSL3_AL_WARNING), alert[1] == UInt8(SSL_AD_NO_RENEGOTIATION) {
                        TLSStream.of(SSL_get_rbio(session))._withUnsafeGuaranteedRef {
                            $0.stop(.renegotiation, session)
                        }
                    }
                default: return
                }
            }

    /// Any handshake message behind the handshake: new keys, or what libssl is about to refuse.
    private func noticeMessage(_ session: OpaquePointer?) {
        guard phase == .open else { return }
        hasMetMessage = true
        messageDebt += Self.bytesPerKeyUpdate
        if messageDebt > Self.maxKeyUpdates * Self.bytesPerKeyUpdate { stop(.handshakeMessages, session) }
    }

    /// Makes libssl come back before the next record, also one that it has read already: it goes on by itself while there are any that
    /// give no data, and looks at this mark before each.
    private func stop(_ reason: Excess, _ session: OpaquePointer?) {
        excess = reason
        SSL_set_shutdown(session, SSL_get_shutdown(session) | SSL_RECEIVED_SHUTDOWN)
    }

    /// Whether bytes may come behind a read of none.
    private var mayComeLater: Bool {
        excess == nil && !isPlainText && (isSocketDrained || cost >= Self.maxCost || endsWithStaged)
    }

    /// This call only finishes what an earlier one has staged: libssl would ask the socket for each header and for each body.
    private var endsWithStaged: Bool { !readsAhead && !mayStage }

    /// Bytes from the socket; below 0: none now if the socket is drained, else none ever.
    private func readRecords(_ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
        if excess != nil || isPlainText || cost >= Self.maxCost { return -1 }
        if staged != nil { return takeStaged(bytes, count) }
        if isSocketDrained || endsWithStaged { return -1 }
        if mayStage {
            let got = stage()
            return got > 0 ? takeStaged(bytes, count) : got
        }
        let most = isOpening ? min(count, handshakeAllowance) : count
        if most == 0 { return -1 }
        let got = read(bytes, most)
        if got > 0 {
            cost += got
            if isOpening {
                if handshakeAllowance == Self.maxHandshakeBytes, noticePlainText(bytes.load(as: UInt8.self)) {
                    return -1
                }
                handshakeAllowance -= got
            }
        }
        return got
    }

    /// One call: the bytes that came, 0 at the end, below 0 for none.
    private func read(_ bytes: UnsafeMutableRawPointer, _ most: Int) -> Int {
        let got = calls.receive(socket, bytes, most)
        if got > 0 {
            brought += got
            if got < most, !expectsEnd { isSocketDrained = true }
            return got
        }
        if got == 0 {
            socketEnded = true
            return 0
        }
        if got == -Int(SocketCalls.wouldBlock) {
            isSocketDrained = true
        } else {
            socketErrno = Int32(-got)
        }
        return -1
    }

    // MARK: Staged records

    private func stage() -> Int {
        let chunk = buffers.chunk(atLeast: Self.stagedChunk)
        let got = read(chunk.base, Self.stagedChunk)
        if got > 0 { (staged, stagedStart, stagedEnd) = (chunk, 0, got) }
        return got
    }

    /// What libssl asks for of it: a header, a body, or their beginning. It costs what it holds when it is taken.
    private func takeStaged(_ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
        let taken = min(count, stagedEnd - stagedStart)
        bytes.copyMemory(from: staged!.base + stagedStart, byteCount: taken)
        stagedStart += taken
        cost += taken
        if stagedStart == stagedEnd { dropStaged() }
        return taken
    }

    func dropStaged() { (staged, stagedStart, stagedEnd) = (nil, 0, 0) }

    /// Whether the connection's first byte is no handshake's. Words are answered in words, where there are some.
    private func noticePlainText(_ first: UInt8) -> Bool {
        isPlainText = first != UInt8(SSL3_RT_HANDSHAKE)
        let isWord = 0x41...0x5a ~= first
        if isPlainText, isWord { context.settings.plainTextAnswer.withUnsafeBytes { _ = keep($0) } }
        return isPlainText
    }

    // MARK: Unsent records

    /// Adds records to what is unsent. False: there is too much of it.
    private func keep(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let source = bytes.baseAddress else { return true }
        let total = unsentEnd - unsentStart + bytes.count
        // A handshake has a bound in what comes, and each of its flights is of our own making.
        if phase == .open, total > Self.maxUnsent {
            excess = .unsent
            return false
        }
        if unsent == nil || unsent!.capacity - unsentEnd < bytes.count { makeUnsent(total) }
        (unsent!.base + unsentEnd).copyMemory(from: source, byteCount: bytes.count)
        unsentEnd += bytes.count
        return true
    }

    /// Makes room for at least `capacity` bytes, with what is unsent at its front.
    func makeUnsent(_ capacity: Int) {
        let chunk = buffers.chunk(atLeast: capacity)
        let count = unsentEnd - unsentStart
        if let unsent { chunk.base.copyMemory(from: unsent.base + unsentStart, byteCount: count) }
        (unsent, unsentStart, unsentEnd) = (chunk, 0, count)
    }

    func dropUnsent() {
        if let unsent { buffers.giveBack(unsent) }
        (unsent, unsentStart, unsentEnd) = (nil, 0, 0)
    }
}
