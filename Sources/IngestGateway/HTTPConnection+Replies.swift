import ByteBuffers
import HTTPWire
import Telemetry
import Transport

/// Writing replies: each gated by its commit, in the order of the requests.
extension HTTPConnection {
    /// Answers a request that was read, and keeps the connection.
    func answerProblem(_ problem: Problem, on connection: Connection) {
        loop.answer(problem, instance: loop.head.path)
        writeReply(on: connection)
        loop.count(started: loop.now, ended: loop.now)
    }

    /// Answers something that ends the connection: what follows cannot be read as a request. Without `begun` the head was
    /// not readable, and the reply says nothing of it.
    func refuse(_ problem: Problem, on connection: Connection, begun: Bool = false) {
        if begun {
            loop.answer(problem, instance: loop.head.path)
        } else {
            loop.beginWithoutHead(now: connection.loop.now, wallClockMs: connection.loop.wallClockMs)
            loop.answer(problem)
        }
        finishReceiving(connection)
        loop.reply.closes = true
        writeReply(on: connection, headIsReadable: begun, peerIsSending: true)
        loop.count(started: loop.now, ended: loop.now)
        endExchange(connection)
    }

    /// Answers for replies whose commit has failed: the first becomes a 503 that ends the connection, so that nobody
    /// takes those behind it for answered.
    func commitFailed(_ held: HeldOutput, on connection: Connection) -> ReplacedOutput? {
        endWaiting(connection)
        state = .closing
        connection.closeAfterFlush()
        return ReplacedOutput(lastReply(Self.commitFailed, on: connection), isLast: true)
    }

    /// Answers for replies whose commit has not come in time: the first becomes a 504 that ends the connection.
    func commitOverdue(_ held: HeldOutput, on connection: Connection) -> [UInt8]? {
        gateway.metrics.overdueCommits.add()
        endWaiting(connection)
        state = .closing
        connection.closeAfterFlush()
        return lastReply(Self.commitOverdue, on: connection)
    }

    static var commitOverdue: Problem {
        Problem(
            .commitTimeout,
            "The events were not on disk in time; they may still be stored. Before you send them again, look whether "
                + "they are there.", retryAfter: 5)
    }

    static var commitFailed: Problem {
        Problem(
            .storageUnavailable,
            "The disk failed before all of the events were known to be stored; they may or may not be.", retryAfter: 5)
    }

    /// Makes the reply that is sent instead of others, of which nothing is known here but that they are not to be sent.
    private func lastReply(_ problem: Problem, on connection: Connection) -> [UInt8] {
        // One of those others may be the request at hand, and is still to be counted.
        let route = loop.route
        defer { loop.route = route }
        loop.beginWithoutHead(now: connection.loop.now, wallClockMs: connection.loop.wallClockMs)
        loop.answer(problem)
        loop.reply.closes = true
        loop.count(started: loop.now, ended: loop.now)
        let body = loop.out.array
        var writer = ByteWriter(capacity: body.count + 512)
        writeHead(of: loop.reply, closes: true, .length(body.count), into: &writer)
        writer.bytes(body)
        return writer.array
    }

    /// Writes the loop's reply, after all replies before it. `commits`: what must be on disk before it may leave, and
    /// `bytes`: the size of the events that wait in memory for that; 0: none.
    func writeReply(
        on connection: Connection, gatedBy commits: CommitSpan = CommitSpan(), holding bytes: Int = 0,
        headIsReadable: Bool = true,
        peerIsSending: Bool = false
    ) {
        defer { loop.trim() }
        let reply = loop.reply
        let closes =
            reply.closes || gateway.isDraining || connection.loop.now >= endsAt
            || headIsReadable && !loop.head.keepAlive
        if !commits.isEmpty, !connection.gate(commits, tag: 1, weight: bytes) {
            let refusal = lastReply(Self.commitFailed, on: connection)
            connection.write { $0.bytes(refusal) }
            state = .closing
            return connection.closeAfterFlush()
        }
        let body = loop.out.bytes
        let omitsBody = headIsReadable && loop.head.method == .head
        connection.write { out in
            writeHead(of: reply, closes: closes, .length(body.count), into: &out)
            if !omitsBody, body.count <= Self.shortBody { out.bytes(body) }
        }
        if !omitsBody, body.count > Self.shortBody { connection.write(copying: body) }
        if closes {
            state = .closing
            connection.closeAfterFlush(peerIsSending: peerIsSending)
        }
    }

    /// Such are written with their head; longer ones are copied once, to where they are sent from.
    private static let shortBody = 1024

    /// How the end of a reply's body is told.
    enum Framing {
        case length(Int)
        case chunks
        case end
    }

    func writeHead(of reply: Reply, closes: Bool, _ framing: Framing, into out: inout ByteWriter) {
        let seconds = Int(loop.wallClockMs / 1000)
        ResponseHead.begin(
            &out, status: reply.status, date: loop.date.bytes(atSecond: seconds), keepAlive: !closes,
            minorVersion: loop.head.minorVersion)
        loop.writeFields(of: reply, into: &out)
        switch framing {
        case _ where reply.status == 204: out.text("\r\n")
        case .length(let length): ResponseHead.end(&out, contentLength: length)
        case .chunks: ResponseHead.endWithoutLength(&out, chunked: true)
        case .end: ResponseHead.endWithoutLength(&out, chunked: false)
        }
    }
}
