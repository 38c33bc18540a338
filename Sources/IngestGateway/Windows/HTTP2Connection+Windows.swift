import BrokerCore
import ByteBuffers
import HTTP2Wire
import HTTPWire
import Telemetry
import Transport

/// Bodies in windows by HTTP/2: while a window is handled its stream's own window of flow control is not opened, and other streams go on.
/// What comes all the same, up to that, is kept (`HTTP2Stream.early`) until the window is on disk.
extension HTTP2Connection {
    /// Begins to read a body in windows.
    func read(_ stream: HTTP2Stream, _ body: WindowedBody) {
        beginExchange(stream)
        if let problem = reserve(body.price, stream) { return refuse(problem, stream) }
        stream.state = .reading(body, upTo: .max)
        beginReceiving(stream)
    }

    /// Lets a body that has become too long to be collected go on in windows. False: refused.
    func becomeWindows(_ collected: ChunkedBody, _ piece: UnsafeRawBufferPointer, _ stream: HTTP2Stream) -> Bool {
        revive(stream)
        let body: WindowedBody
        switch loop.windows(seed: collected.slice(pool: loop.pool)) {
        case .failure(let problem):
            refuse(problem, stream)
            return false
        case .success(let made): body = made
        }
        if let problem = reserve(body.price, stream) {
            refuse(problem, stream)
            return false
        }
        gateway.metrics.receivedBytes.add(stream.received + piece.count)
        stream.received += piece.count
        body.take(piece)
        handleWindows(body, stream)
        return true
    }

    /// Handles a body that is whole, and has too much in it to be handled in one piece.
    func handleWhole(_ body: WindowedBody, _ stream: HTTP2Stream) {
        let exchange = beginExchange(stream)
        if let problem = reserve(body.wholePrice(reserved: exchange.reserved), stream) {
            return refuse(problem, stream)
        }
        stream.exchange?.body = nil
        body.end()
        handleWindows(body, stream)
    }

    /// Handles what is here of the body.
    func handleWindows(_ body: WindowedBody, _ stream: HTTP2Stream) {
        stream.state = .windows(body)
        submit(body, stream)
    }

    private func submit(_ body: WindowedBody, _ stream: HTTP2Stream) {
        let exchange = beginExchange(stream)
        lookLater(stream, after: gateway.options.requestTimeout)
        let isTaken = gateway.submit(
            body, of: exchange, for: stream.peer, loop.pool,
            whenBack(exchange, stream) { handler, body, stream in
                body.isAway = false
                handler.working -= 1
                handler.takeStep(body, stream)
            })
        if isTaken {
            working += 1
        } else {
            body.stop(WindowedBody.tooMuchWaits)
            finish(body, stream)
        }
    }

    /// A call that may be made on any thread, and goes on with the body on its loop unless the stream was given up meanwhile.
    private func whenBack(
        _ exchange: Exchange, _ stream: HTTP2Stream,
        _ goOn: @escaping @Sendable (HTTP2Connection, WindowedBody, HTTP2Stream) -> Void
    ) -> @Sendable () -> Void {
        let (id, number, name, handle) = (connection.id, stream.id, exchange.id, connection.loop.handle)
        return {
            handle.submit { eventLoop in
                guard let connection = eventLoop.connection(id), let handler = connection.handler as? HTTP2Connection,
                    let stream = handler.streams[number], stream.exchange?.id == name,
                    case .windows(let body) = stream.state
                else { return }
                goOn(handler, body, stream)
                handler.pump()
            }
        }
    }

    private func takeStep(_ body: WindowedBody, _ stream: HTTP2Stream) {
        switch body.next(isEnding: gateway.isDraining) {
        case .await(let commits):
            body.commits = commits
            lookLater(stream, after: gateway.options.requestTimeout)
            connection.watch(commits)
            lookAtCommits(of: body, stream)
        case .perform(let work): perform(work, body, stream)
        case .again where body.pause == nil: submit(body, stream)
        case .read where body.pause == nil: readOn(body, stream)
        case .again, .read: rest(body, stream)
        case .reply: finish(body, stream)
        }
    }

    func lookAtCommits(of body: WindowedBody, _ stream: HTTP2Stream) {
        guard let commits = body.commits else { return }
        switch connection.outcome(of: commits) {
        case .pending: return
        case .published:
            body.commits = nil
            takeStep(body, stream)
        case .failed:
            body.takeBack(HTTPConnection.commitFailed)
            finish(body, stream)
        }
    }

    private func perform(_ work: any ExchangeWork, _ body: WindowedBody, _ stream: HTTP2Stream) {
        let exchange = beginExchange(stream)
        let isTaken = work.begin(
            exchange, for: stream.peer,
            whenBack(exchange, stream) { handler, body, stream in
                body.didPerform(work)
                handler.retake(body, stream)
            })
        if !isTaken {
            work.refuse()
            body.didPerform(work)
            retake(body, stream)
        }
    }

    /// Goes through the window that has waited for something.
    private func retake(_ body: WindowedBody, _ stream: HTTP2Stream) {
        if body.isOver { finish(body, stream) } else { submit(body, stream) }
    }

    /// Lets the sender wait for as long as his quota says.
    private func rest(_ body: WindowedBody, _ stream: HTTP2Stream) {
        let pause = min(body.pause ?? .zero, gateway.options.requestTimeout)
        body.pause = nil
        stream.lookAt = .max
        let goOn = whenBack(beginExchange(stream), stream) { $0.takeStep($1, $2) }
        connection.loop.schedule(after: pause) { _ in goOn() }
    }

    /// Takes what has come meanwhile, and lets more come.
    private func readOn(_ body: WindowedBody, _ stream: HTTP2Stream) {
        guard let exchange = stream.exchange else { preconditionFailure("a body of no request") }
        if !body.hasSeed, exchange.reserved > body.price {
            gateway.inflight.release(exchange.reserved - body.price, of: stream.peer)
            exchange.reserved = body.price
        }
        stream.state = .reading(body, upTo: .max)
        stream.deadline = .max
        lookLater(stream, after: gateway.options.bodyIdleTimeout)
        if let early = stream.early {
            let slice = early.slice(pool: loop.pool)
            dropEarly(stream)
            stream.received += slice.count
            gateway.metrics.receivedBytes.add(slice.count)
            withExtendedLifetime(slice) { body.take(slice.bytes) }
        }
        if stream.isWhole { body.end() }
        if body.hasWork { handleWindows(body, stream) }
    }

    /// Answers a request whose windows are over; what else comes of its body is dropped.
    func finish(_ body: WindowedBody, _ stream: HTTP2Stream) {
        release(stream)
        revive(stream)
        loop.answerWindows(body)
        send(stream)
        loop.count(started: loop.now, ended: loop.now)
        endExchange(stream)
        dropEarly(stream)
    }

    /// Gives up a body whose window is not handled, or not on disk, in time.
    func windowIsLate(_ body: WindowedBody, _ stream: HTTP2Stream) {
        if body.isAway || body.commits == nil {
            if body.isAway { working -= 1 }
            stream.state = .handled
            // What the worker has of it is not to be looked at.
            return refuseUnread(WindowedBody.workIsLate, stream)
        }
        gateway.metrics.overdueCommits.add()
        body.takeBack(HTTPConnection.commitOverdue)
        finish(body, stream)
    }

    /// Ends bodies that are being read with what was stored of them.
    func stopBodies() {
        for stream in Array(streams.values) {
            guard case .reading(let reader, _) = stream.state, let body = reader as? WindowedBody else { continue }
            body.stop(WindowedBody.serverStops)
            finish(body, stream)
        }
    }
}
