import BrokerCore
import ByteBuffers
import HTTP2Wire
import HTTPWire
import Telemetry
import Transport

/// Bodies in windows by HTTP/2: while a window is handled its stream's own window of flow control is not opened, and other streams go on.
/// What comes all the same, up to that, is kept (`HTTP2Stream.early`) until the window is on disk.
extension HTTP2Connection: WindowsHost {
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
        body.countSeed()
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

    func exchange(of stream: HTTP2Stream) -> Exchange { beginExchange(stream) }

    func peer(of stream: HTTP2Stream) -> PeerKey { stream.peer }

    func connection(of stream: HTTP2Stream) -> Connection { connection }

    func arm(_ stream: HTTP2Stream, after: Duration?) {
        if let after { lookLater(stream, after: after) } else { stream.lookAt = .max }
    }

    func wentAway(_ stream: HTTP2Stream) { working += 1 }

    func cameBack(_ stream: HTTP2Stream) { working -= 1 }

    func whenBack(
        _ stream: HTTP2Stream, _ goOn: @escaping @Sendable (HTTP2Connection, WindowedBody, HTTP2Stream) -> Void
    ) -> @Sendable () -> Void {
        let exchange = beginExchange(stream)
        let (id, number, name, handle) = (connection.id, stream.id, exchange.id, connection.loop.handle)
        return { [place = exchange.place] in
            withExtendedLifetime(place) {}
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

    func readOn(_ body: WindowedBody, _ stream: HTTP2Stream) {
        giveBackSeed(of: body, stream)
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

    /// Ends bodies that are being read, or wait for their sender's quota, with what was stored of them.
    func stopBodies() {
        for stream in Array(streams.values) {
            switch stream.state {
            case .reading(let body as WindowedBody, _): stop(body, body.serverStops, stream)
            case .windows(let body) where body.isResting: stop(body, body.serverStops, stream)
            default: break
            }
        }
    }
}
