import BrokerCore
import ByteBuffers
import HTTPWire
import Telemetry
import Transport

/// Bodies in windows by HTTP/1.1: read until a window is full, then muted until it is on disk.
///
/// ```
///   reading ──full, end──► windows (muted): a worker ─► commits ─► a rest ──more is wanted──► reading
///      └─ too slow, the server stops ─┐                                └── the end, a stop ──► reply ─► head, closing
///                                     └──────────────────────────────────────────────────────────┘
/// ```
extension HTTPConnection {
    /// Lets a body by chunks that has become too long to be collected go on in windows. `piece`: what has come behind the collected part.
    /// False: wait for more bytes, or refused.
    func becomeWindows(_ collected: ChunkedBody, _ piece: UnsafeRawBufferPointer, _ connection: Connection) -> Bool {
        revive(connection)
        let body: WindowedBody
        switch loop.windows(seed: collected.slice(pool: loop.pool)) {
        case .failure(let problem):
            refuse(problem, on: connection, begun: true)
            return false
        case .success(let made): body = made
        }
        if let problem = reserve(body.price, connection) {
            refuse(problem, on: connection, begun: true)
            return false
        }
        exchange?.deadline = .max
        let streamed = StreamedBody(body, .chunks(collected.decoder))
        streamed.received = collected.count + piece.count
        gateway.metrics.receivedBytes.add(streamed.received)
        body.take(piece)
        handleWindows(body, streamed, connection)
        return false
    }

    /// Handles a body that is whole, and has too much in it to be handled in one piece.
    func handleWhole(_ body: WindowedBody, _ connection: Connection) {
        if let problem = reserve(body.wholePrice(reserved: exchange?.reserved ?? 0), connection) {
            answerProblem(problem, on: connection)
            return endExchange(connection)
        }
        // It is the body's seed now.
        exchange?.body = nil
        body.end()
        handleWindows(body, nil, connection)
    }

    /// Handles what is here of the body. `streamed`: how the rest comes; nil: there is none.
    func handleWindows(_ body: WindowedBody, _ streamed: StreamedBody?, _ connection: Connection) {
        state = .windows(body, streamed)
        connection.pauseReading()
        connection.beginWork()
        submit(body, connection)
    }

    private func submit(_ body: WindowedBody, _ connection: Connection) {
        let exchange = beginExchange(connection)
        connection.setTimer(Self.requestTimer, after: gateway.options.requestTimeout)
        let isTaken = gateway.submit(
            body, of: exchange, for: peerKey(connection), loop.pool,
            whenBack(exchange, connection) { waiting, body, connection in
                body.isAway = false
                waiting.takeStep(body, connection)
            })
        if !isTaken {
            body.stop(WindowedBody.tooMuchWaits)
            finish(body, connection)
        }
    }

    /// A call that may be made on any thread, and goes on with the body on its loop unless the request was given up meanwhile.
    private func whenBack(
        _ exchange: Exchange, _ connection: Connection,
        _ goOn: @escaping @Sendable (HTTPConnection, WindowedBody, Connection) -> Void
    ) -> @Sendable () -> Void {
        let (id, name, handle) = (connection.id, exchange.id, connection.loop.handle)
        return {
            handle.submit { eventLoop in
                guard let connection = eventLoop.connection(id), let waiting = connection.handler as? HTTPConnection,
                    let body = waiting.windows(of: name)
                else { return }
                goOn(waiting, body, connection)
            }
        }
    }

    /// The body of the request of that name; nil: it was given up.
    private func windows(of name: ExchangeID) -> WindowedBody? {
        guard let exchange = loop.exchanges[name], exchange === self.exchange, case .windows(let body, _) = state else {
            return nil
        }
        return body
    }

    private func takeStep(_ body: WindowedBody, _ connection: Connection) {
        switch body.next(isEnding: gateway.isDraining) {
        case .await(let commits):
            body.commits = commits
            connection.setTimer(Self.requestTimer, after: gateway.options.requestTimeout)
            connection.watch(commits)
            lookAtCommits(body, connection)
        case .perform(let work): perform(work, body, connection)
        case .again where body.pause == nil: submit(body, connection)
        case .read where body.pause == nil: readOn(body, connection)
        case .again, .read: rest(body, connection)
        case .reply: finish(body, connection)
        }
    }

    func commitsMoved(on connection: Connection) {
        if case .windows(let body, _) = state { lookAtCommits(body, connection) }
    }

    private func lookAtCommits(_ body: WindowedBody, _ connection: Connection) {
        guard let commits = body.commits else { return }
        switch connection.outcome(of: commits) {
        case .pending: return
        case .published:
            body.commits = nil
            takeStep(body, connection)
        case .failed:
            body.takeBack(Self.commitFailed)
            finish(body, connection)
        }
    }

    private func perform(_ work: any ExchangeWork, _ body: WindowedBody, _ connection: Connection) {
        let exchange = beginExchange(connection)
        let isTaken = work.begin(
            exchange, for: peerKey(connection),
            whenBack(exchange, connection) { waiting, body, connection in
                body.didPerform(work)
                waiting.retake(body, connection)
            })
        if !isTaken {
            work.refuse()
            body.didPerform(work)
            retake(body, connection)
        }
    }

    /// Goes through the window that has waited for something.
    private func retake(_ body: WindowedBody, _ connection: Connection) {
        if body.isOver { finish(body, connection) } else { submit(body, connection) }
    }

    /// Lets the sender wait for as long as his quota says.
    private func rest(_ body: WindowedBody, _ connection: Connection) {
        let pause = min(body.pause ?? .zero, gateway.options.requestTimeout)
        body.pause = nil
        connection.cancelTimer(Self.requestTimer)
        let goOn = whenBack(beginExchange(connection), connection) { $0.takeStep($1, $2) }
        connection.loop.schedule(after: pause) { _ in goOn() }
    }

    private func readOn(_ body: WindowedBody, _ connection: Connection) {
        guard case .windows(_, let streamed?) = state, let exchange else {
            preconditionFailure("more is wanted of a body that is whole")
        }
        if !body.hasSeed { keep(body.price, exchange, connection) }
        if case .chunks(var decoder) = streamed.framing {
            decoder.forgetChunks()
            streamed.framing = .chunks(decoder)
        }
        state = .reading(streamed)
        exchange.receivedAtLastLook = streamed.received
        connection.setTimer(Self.requestTimer, after: gateway.options.bodyIdleTimeout)
        connection.endWork()
        connection.resumeReading()
    }

    /// Gives back what was reserved above that.
    private func keep(_ bytes: Int, _ exchange: Exchange, _ connection: Connection) {
        guard exchange.reserved > bytes else { return }
        gateway.inflight.release(exchange.reserved - bytes, of: peerKey(connection))
        exchange.reserved = bytes
    }

    /// Answers a request whose windows are over; the connection ends if the body does not.
    func finish(_ body: WindowedBody, _ connection: Connection) {
        var wasMuted = false
        if case .windows = state { wasMuted = true }
        let isCut = !body.isWhole
        connection.cancelTimer(Self.requestTimer)
        finishReceiving(connection)
        revive(connection)
        state = .head
        loop.answerWindows(body)
        if isCut { loop.reply.closes = true }
        writeReply(on: connection, peerIsSending: isCut)
        loop.count(started: loop.now, ended: loop.now)
        endExchange(connection)
        guard wasMuted else { return }
        connection.endWork()
        if case .head = state { connection.resumeReading() }
    }

    /// Gives up a body whose window is not handled, or not on disk, in time.
    func windowIsLate(_ body: WindowedBody, _ connection: Connection) {
        if body.isAway || body.commits == nil {
            // What the worker has of it is not to be looked at.
            refuse(WindowedBody.workIsLate, on: connection)
            return connection.endWork()
        }
        gateway.metrics.overdueCommits.add()
        body.takeBack(Self.commitOverdue)
        finish(body, connection)
    }

    /// Ends a body that is being read with what was stored of it.
    func stop(_ body: WindowedBody, _ problem: Problem, _ connection: Connection) {
        body.stop(problem)
        finish(body, connection)
    }

    func stopBegan(on connection: Connection) {
        guard case .reading(let streamed) = state, let body = streamed.windows else { return }
        stop(body, WindowedBody.serverStops, connection)
    }
}
