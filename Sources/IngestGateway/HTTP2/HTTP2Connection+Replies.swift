import ByteBuffers
import HTTP2Wire
import HTTPWire
import Telemetry
import Transport

/// Replies: each waits for its own commits, and leaves when its stream's window has room.
extension HTTP2Connection {
    /// Answers a request at hand that is not handled. What follows of it is read and dropped.
    func refuse(_ problem: Problem, _ stream: HTTP2Stream) {
        loop.answer(problem, instance: loop.head.path)
        answerRefused(stream)
    }

    /// Answers one that is not at hand: its head could not be read, or others were handled meanwhile.
    func refuseUnread(_ problem: Problem, _ stream: HTTP2Stream) {
        loop.beginWithoutHead(now: now, wallClockMs: connection.loop.wallClockMs)
        loop.answer(problem)
        answerRefused(stream, headIsReadable: false)
    }

    private func answerRefused(_ stream: HTTP2Stream, headIsReadable: Bool = true) {
        send(stream, headIsReadable: headIsReadable)
        loop.count(started: loop.now, ended: loop.now)
        endExchange(stream)
        dropEarly(stream)
    }

    /// Makes the reply that the loop's registers hold the stream's, to leave when `commits` are on disk; `bytes`: the size of the
    /// events that wait in memory for that.
    func send(
        _ stream: HTTP2Stream, behind commits: CommitSpan = CommitSpan(), holding bytes: Int = 0,
        headIsReadable: Bool = true
    ) {
        let outcome = commits.isEmpty ? Connection.CommitOutcome.published : connection.outcome(of: commits)
        switch outcome {
        case .published: break
        case .failed:
            // The registers hold what is not true.
            loop.answer(HTTPConnection.commitFailed)
        case .pending:
            finish(stream, headIsReadable)
            stream.weight = bytes
            weight += bytes
            stream.state = .gated(commits)
            stream.deadline = front.deadline(from: now)
            lookLater(stream, after: gateway.options.requestTimeout)
            return connection.watch(commits)
        }
        finish(stream, headIsReadable)
        submit(stream)
    }

    /// Takes the reply out of the loop's registers.
    private func finish(_ stream: HTTP2Stream, _ headIsReadable: Bool) {
        defer { loop.trim() }
        let body = loop.out.bytes
        let omitsBody = loop.reply.status == 204 || headIsReadable && loop.head.method == .head
        stream.head = HTTP2Stream.HeldHead(
            status: loop.reply.status, lines: headLines(bodyLength: loop.reply.status == 204 ? nil : body.count))
        if !omitsBody { append(body, to: stream) }
        stream.isReplyWhole = true
    }

    /// The fields of the reply in the loop's registers.
    private func headLines(bodyLength: Int?) -> [UInt8] {
        var lines = ByteWriter(capacity: 512)
        lines.text("Date: ")
        lines.bytes(loop.date.bytes(atSecond: Int(loop.wallClockMs / 1000)))
        lines.text("\r\n")
        loop.writeFields(of: loop.reply, into: &lines)
        if let bodyLength { ResponseHead.field(&lines, "Content-Length", bodyLength) }
        return lines.array
    }

    func append(_ part: UnsafeRawBufferPointer, to stream: HTTP2Stream) {
        if part.isEmpty { return }
        append(loop.replyPacker.slice(copying: part), to: stream)
    }

    func append(_ part: ByteSlice, to stream: HTTP2Stream) {
        stream.append(part)
        heldBytes += part.count
        session.resumeBody(stream.id)
    }

    /// Begins a reply that is made in parts, with the head of the loop's registers.
    func respond(_ stream: HTTP2Stream, hasBody: Bool) {
        stream.head = HTTP2Stream.HeldHead(status: loop.reply.status, lines: headLines(bodyLength: nil))
        if !hasBody { stream.isReplyWhole = true }
        submitHead(stream, hasBody: hasBody)
    }

    /// Gives a whole reply to the session.
    private func submit(_ stream: HTTP2Stream) {
        stream.state = .replying
        stream.deadline = .max
        submitHead(stream, hasBody: stream.pending > 0)
        lookLater(stream, after: gateway.options.requestTimeout)
    }

    private func submitHead(_ stream: HTTP2Stream, hasBody: Bool) {
        guard let head = stream.head else { preconditionFailure("a reply without a head") }
        stream.head = nil
        head.lines.withUnsafeBytes { session.respond(stream.id, status: head.status, head: $0, hasBody: hasBody) }
    }

    func bodyWanted(_ id: Int32, _ space: UnsafeMutableRawBufferPointer) -> HTTP2BodyPart {
        guard let stream = streams[id] else { return .last(0) }
        let count = stream.fill(space)
        heldBytes -= count
        if stream.isReplyWhole, stream.pending == 0 { return .last(count) }
        return count == 0 ? .later : .bytes(count)
    }

    /// Lets a client that reads nothing before it has sent everything come to its reply; one that reads stops by itself.
    func replyLeft(_ id: Int32) {
        guard let stream = streams[id] else { return }
        stream.state = .dropping
        stream.deadline = front.deadline(from: now)
        lookLater(stream, after: gateway.options.bodyIdleTimeout)
    }

    // MARK: Commits

    func commitsMoved(on connection: Connection) {
        for stream in Array(streams.values) {
            if case .windows(let body) = stream.state { lookAtCommits(of: body, stream) }
            guard case .gated(let commits) = stream.state else { continue }
            switch connection.outcome(of: commits) {
            case .pending: continue
            case .published: release(gated: stream)
            case .failed: release(gated: stream, but: HTTPConnection.commitFailed)
            }
        }
        pump()
    }

    /// Lets a reply leave; in place of the one that was made this problem, when there is one.
    private func release(gated stream: HTTP2Stream, but problem: Problem? = nil) {
        weight -= stream.weight
        stream.weight = 0
        if let problem {
            heldBytes -= stream.dropPieces()
            loop.beginWithoutHead(now: now, wallClockMs: connection.loop.wallClockMs)
            loop.answer(problem)
            finish(stream, false)
            loop.count(started: now, ended: now)
        }
        submit(stream)
    }

    // MARK: Time

    /// Has the stream looked at after that time, for what has come or gone by then.
    func lookLater(_ stream: HTTP2Stream, after: Duration) {
        let (time, isNever) = now.addingReportingOverflow(after.inNanoseconds)
        stream.progressAtLastLook = progress(of: stream)
        stream.lookAt = isNever ? .max : time
        if !isNever { look(at: time) }
    }

    private func progress(of stream: HTTP2Stream) -> Int {
        switch stream.state {
        case .receiving, .reading, .dropping: stream.received
        case .replying, .streaming: stream.sent
        case .asking, .parked, .handled, .waiting, .windows, .gated: 0
        }
    }

    /// Looks whether the stream goes on.
    func check(_ stream: HTTP2Stream) {
        stream.lookAt = .max
        let moved = progress(of: stream) - stream.progressAtLastLook
        switch stream.state {
        case .receiving, .reading:
            let idle = gateway.options.bodyIdleTimeout
            guard now < stream.deadline, moved >= gateway.options.leastProgress(in: idle) else {
                let problem = Problem(.bodyTimeout, "The request's body did not arrive in time.")
                guard case .reading(let body as WindowedBody, _) = stream.state else {
                    return refuseUnread(problem, stream)
                }
                body.stop(problem)
                return finish(body, stream)
            }
            lookLater(stream, after: idle)
        case .waiting(let work):
            work.cancel()
            working -= 1
            stream.state = .handled
            refuseUnread(work.lateProblem, stream)
        case .windows(let body): windowIsLate(body, stream)
        case .gated:
            gateway.metrics.overdueCommits.add()
            release(gated: stream, but: HTTPConnection.commitOverdue)
        case .replying:
            let timeout = gateway.options.requestTimeout
            // What is left of a short reply is less than what would have to move.
            guard moved >= min(gateway.options.leastProgress(in: timeout), max(1, stream.pending)) else {
                return session.reset(stream.id, .cancelled)
            }
            lookLater(stream, after: timeout)
        case .dropping:
            let idle = gateway.options.bodyIdleTimeout
            guard now < stream.deadline, moved >= gateway.options.leastProgress(in: idle) else {
                return session.reset(stream.id, .noError)
            }
            lookLater(stream, after: idle)
        case .streaming(let reply): checkReader(of: reply, stream, moved: moved)
        case .asking, .parked, .handled: break
        }
    }
}
