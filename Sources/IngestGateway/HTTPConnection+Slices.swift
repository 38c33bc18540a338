import ByteBuffers
import HTTPWire
import LogStorage
import Telemetry
import Transport

/// Replies that are made in slices: the connection is muted, and `loop.slicing` gives it its turns.
///
/// ```
///  stream ─► queued ─► turn: a slice ─► queued … ─► done ─► head (or closing)
///              ▲               └─ the peer does not read ─► outputDrained ─┐
///              └──────────────────────────────────────────────────────────┘
/// ```
extension HTTPConnection {
    /// Makes the reply at once if it is short and the turn has time for it. True: it is to be made in slices, the first of
    /// which may stand in `loop.out`.
    func begin(_ reply: RecordsReply, _ connection: Connection) -> Bool {
        guard loop.slicing.mayBegin(in: connection.loop.now) else { return true }
        switch makeSlice(of: reply, connection) {
        case .pause: return true
        case .done: writeReply(on: connection)
        case .failed(let problem):
            loop.answer(problem, instance: loop.head.path)
            writeReply(on: connection)
        }
        release(connection)
        loop.count(.records, started: loop.now, ended: loop.now)
        return false
    }

    /// Goes on with a reply in later turns. `head` is that of the request at hand.
    func stream(_ reply: RecordsReply, head: ByteSlice, _ connection: Connection) {
        let stream = StreamedReply(reply, head: head)
        state = .streaming(stream)
        connection.pauseReading()
        connection.setTimer(Self.requestTimer, after: gateway.options.requestTimeout)
        writeSlice(stream, connection)
        goOn(stream, connection)
    }

    /// The connection's turn in the loop's queue has come.
    func continueStream(on connection: Connection) {
        guard case .streaming(let stream) = state else { return }
        stream.isQueued = false
        if stream.hasHead {
            loop.continueReply(now: connection.loop.now, wallClockMs: connection.loop.wallClockMs)
        } else {
            revive(stream.head.bytes, connection)
        }
        switch makeSlice(of: stream.reply, connection) {
        case .pause:
            writeSlice(stream, connection)
            return goOn(stream, connection)
        case .failed(let problem):
            precondition(!stream.hasHead, "a reply failed after it had begun")
            loop.answer(problem, instance: loop.head.path)
            writeReply(on: connection)
        case .done where stream.hasHead: writeSlice(stream, connection)
        case .done: writeReply(on: connection)
        }
        if !stream.hasHead { loop.count(.records, started: loop.now, ended: loop.now) }
        endStream(stream, connection)
    }

    func outputDrained(on connection: Connection) {
        if case .streaming(let stream) = state, !stream.isQueued { goOn(stream, connection) }
    }

    /// Waits for the next turn, or for the peer to read what it has got.
    private func goOn(_ stream: StreamedReply, _ connection: Connection) {
        if stream.isHeadOnly { return endStream(stream, connection) }
        guard connection.pendingOutputBytes <= connection.limits.outputHighWater else { return }
        stream.isQueued = true
        loop.queueSlice(of: connection)
    }

    private func endStream(_ stream: StreamedReply, _ connection: Connection) {
        release(connection)
        connection.cancelTimer(Self.requestTimer)
        guard case .streaming = state else { return }
        if stream.isChunked, !stream.isHeadOnly { connection.write { ResponseHead.endChunks(&$0) } }
        if stream.closes {
            state = .closing
            return connection.closeAfterFlush()
        }
        state = .head
        connection.resumeReading()
    }

    private enum Slice {
        case pause
        case done
        case failed(Problem)
    }

    /// Works on the reply for one slice. Reading is done here and now; a reply that had to wait for it elsewhere would go on
    /// by `located`, `took` and `queueSlice`.
    private func makeSlice(of reply: RecordsReply, _ connection: Connection) -> Slice {
        let began = MonotonicClock.nanoseconds()
        defer { loop.slicing.noteUsed(MonotonicClock.nanoseconds() - began) }
        while true {
            var problem: Problem?
            switch reply.advance(&loop.out) {
            case .done: return .done
            case .failed(let problem): return .failed(problem)
            case .locate(let timestampMs):
                problem = reply.located(reply.partition.firstOffset(notBefore: timestampMs))
            case .read(let offset, let maxBytes):
                problem = reply.took(reply.partition.read(from: offset, maxBytes: maxBytes, pool: loop.pool))
            case .pause:
                gateway.metrics.slices.add()
                problem = account(for: reply, connection)
                if problem == nil { return .pause }
            }
            if let problem { return .failed(problem) }
        }
    }

    /// What a reply holds until its next turn counts as its peer's. One that holds more than a peer may have takes all of
    /// that: the largest batch can be read, by one request of a peer at a time.
    private func account(for reply: RecordsReply, _ connection: Connection) -> Problem? {
        let held = min(reply.heldBytes, gateway.options.maxInflightBytesPerPeer)
        if held <= reserved {
            gateway.inflight.release(reserved - held, of: connection.peerAddress.peerKey)
            reserved = held
            return nil
        }
        guard let problem = reserve(held - reserved, connection) else { return nil }
        return reply.giveUp() ? nil : problem
    }

    /// Sends what `loop.out` holds of a reply, behind its head when that is not sent yet.
    private func writeSlice(_ stream: StreamedReply, _ connection: Connection) {
        let bytes = loop.out.bytes
        if bytes.count == 0 { return }
        defer { loop.trim() }
        if !stream.hasHead { writeHead(of: stream, connection) }
        if stream.isHeadOnly { return }
        if stream.isChunked { connection.write { ResponseHead.beginChunk(&$0, count: bytes.count) } }
        connection.write(loop.pool.slice(copying: bytes))
        if stream.isChunked { connection.write { $0.text("\r\n") } }
        stream.written += bytes.count
    }

    private func writeHead(of stream: StreamedReply, _ connection: Connection) {
        stream.hasHead = true
        stream.isHeadOnly = loop.head.method == .head
        stream.isChunked = loop.head.minorVersion > 0
        stream.closes = gateway.isDraining || !loop.head.keepAlive || !stream.isChunked
        connection.write { out in
            writeHead(of: loop.reply, closes: stream.closes, stream.isChunked ? .chunks : .end, into: &out)
        }
        loop.count(.records, started: loop.now, ended: loop.now)
    }

    /// A peer must read what we keep for it within ten rounds of the timer, and no slower than it would have to send.
    func checkReader(of stream: StreamedReply, _ connection: Connection) {
        let sent = stream.written - connection.pendingOutputBytes
        let timeout = gateway.options.requestTimeout
        let rate = Int(timeout.inNanoseconds / 1_000_000) * gateway.options.minimumBodyRate / 1000
        guard sent - stream.sentAtLastLook >= max(rate, reserved / 10) else { return connection.close() }
        stream.sentAtLastLook = sent
        connection.setTimer(Self.requestTimer, after: timeout)
    }
}
