import BrokerCore
import ByteBuffers
import HTTPWire
import Telemetry
import Transport

/// Bodies in windows by HTTP/1.1: read until a window is full, then muted until it is on disk.
///
/// ```
///   reading ──full, end──► windows (muted): a worker ─► commits ─► a rest ──more is wanted──► reading
///      └─ too slow, the server stops ─┐                        └─ it stops ┴── the end, a stop ──► reply ─► head, closing
///                                     └──────────────────────────────────────────────────────────┘
/// ```
extension HTTPConnection: WindowsHost {
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
        body.countSeed()
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

    func exchange(of connection: Connection) -> Exchange { beginExchange(connection) }

    func peer(of connection: Connection) -> PeerKey { peerKey(connection) }

    func connection(of connection: Connection) -> Connection { connection }

    func arm(_ connection: Connection, after: Duration?) {
        if let after {
            connection.setTimer(Self.requestTimer, after: after)
        } else {
            connection.cancelTimer(Self.requestTimer)
        }
    }

    // The connection counts as at work from one reading to the next.
    func wentAway(_ connection: Connection) {}
    func cameBack(_ connection: Connection) {}

    func whenBack(
        _ connection: Connection, _ goOn: @escaping @Sendable (HTTPConnection, WindowedBody, Connection) -> Void
    ) -> @Sendable () -> Void {
        let exchange = beginExchange(connection)
        let (id, name, handle) = (connection.id, exchange.id, connection.loop.handle)
        return { [place = exchange.place] in
            withExtendedLifetime(place) {}
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

    func commitsMoved(on connection: Connection) {
        if case .windows(let body, _) = state { lookAtCommits(of: body, connection) }
    }

    func readOn(_ body: WindowedBody, _ connection: Connection) {
        guard case .windows(_, let streamed?) = state, let exchange else {
            preconditionFailure("more is wanted of a body that is whole")
        }
        giveBackSeed(of: body, connection)
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

    func stopBegan(on connection: Connection) {
        switch state {
        case .reading(let streamed):
            if let body = streamed.windows { stop(body, body.serverStops, connection) }
        case .windows(let body, _) where body.isResting: stop(body, body.serverStops, connection)
        default: break
        }
    }
}
