import ByteBuffers
import HTTP2Wire
import HTTPWire
import Security
import Telemetry
import Transport

/// From a request's fields to what its endpoint makes of it.
extension HTTP2Connection {
    func requestBegan(_ id: Int32, _ fields: consuming FieldBlock, isWhole: Bool) {
        let kept = KeptFields(fields, bodyLength: isWhole ? 0 : nil)
        let stream = HTTP2Stream(id, kept, peer: front.peerKey(connection))
        begin(stream)
        beginEndingIfDue()
        admit(stream)
    }

    /// Says everything that can be said by the head alone.
    private func admit(_ stream: HTTP2Stream) {
        if let failure = loop.head.take(stream.fields.block, bodyLength: stream.fields.bodyLength) {
            gateway.metrics.refusedInput.add()
            return refuseUnread(Problem(failure), stream)
        }
        loop.begin(now: now, wallClockMs: connection.loop.wallClockMs)
        loop.findRoute(forOperators: front.isForOperators)
        let wish = front.wish(connection)
        if stream.fieldsReserved == 0 {
            // That of its client, which only now is known, and stays: what is reserved is given back to the same.
            stream.peer = front.peerKey(connection)
            let bytes = stream.fields.block.byteCount
            if let problem = loop.reserve(bytes, by: stream.peer) { return refuse(problem, stream) }
            stream.fieldsReserved = bytes
        }
        switch wish {
        case .nothing: receive(stream, upTo: min(HTTPConnection.maxUnwantedBody, loop.routeRow.pointee.maxBodyBytes))
        case .collected(let most): receive(stream, upTo: most)
        case .streamed(let reader, let most): read(stream, by: reader, upTo: most)
        case .unknown(let check): wait(for: check, stream)
        case .refused(let problem): refuse(problem, stream)
        }
    }

    // MARK: Bodies

    private func receive(_ stream: HTTP2Stream, upTo most: Int) {
        if stream.isWhole, stream.early == nil { return begin(stream, HTTPConnection.noBody, isFresh: true) }
        var longest = most
        let becomesWindows = loop.takesWindows
        if case .length(let length) = loop.head.body {
            guard length <= most else {
                guard becomesWindows else { return refuse(loop.bodyTooLarge(most), stream) }
                switch loop.windows() {
                case .failure(let problem): return refuse(problem, stream)
                case .success(let body): return read(stream, body)
                }
            }
            longest = length
        }
        beginExchange(stream)
        stream.state = .receiving(ChunkedBody(maxBody: longest, becomesWindows: becomesWindows && longest == most))
        beginReceiving(stream)
    }

    private func read(_ stream: HTTP2Stream, by reader: any BodyReader, upTo most: Int) {
        if case .length(let length) = loop.head.body, length > most { return refuse(loop.bodyTooLarge(most), stream) }
        beginExchange(stream)
        if let windows = reader as? WindowedBody, let problem = reserve(windows.price, stream) {
            return refuse(problem, stream)
        }
        stream.state = .reading(reader, upTo: most)
        beginReceiving(stream)
    }

    func beginReceiving(_ stream: HTTP2Stream) {
        stream.deadline = front.deadline(from: now)
        if case .reading(let reader, _) = stream.state, reader is WindowedBody { stream.deadline = .max }
        lookLater(stream, after: gateway.options.bodyIdleTimeout)
        if loop.head.expectsContinue, stream.early == nil { session.sendContinue(stream.id) }
        guard let early = stream.early else {
            if stream.isWhole { bodyEnded(stream.id) }
            return
        }
        // What came while nobody knew who asks.
        let slice = early.slice(pool: loop.pool)
        let isWhole = stream.isWhole
        dropEarly(stream)
        _ = take(slice.bytes, stream)
        if isWhole { bodyEnded(stream.id) }
    }

    func bodyArrived(_ id: Int32, _ piece: UnsafeRawBufferPointer) -> Bool {
        guard let stream = streams[id] else { return true }
        switch stream.state {
        case .asking, .windows: return keepEarly(piece, stream)
        default: _ = take(piece, stream)
        }
        return true
    }

    /// Keeps what comes before it is known who asks, or while a window is handled; the peer's window is not opened for more. True: it is not kept.
    private func keepEarly(_ piece: UnsafeRawBufferPointer, _ stream: HTTP2Stream) -> Bool {
        let early = stream.early ?? ChunkedBody(maxBody: Int(session.limits.streamWindow))
        let growth = early.growth(for: piece.count)
        if growth > 0 {
            // What a body in windows has reserved is enough for it.
            var isCounted = true
            if case .windows = stream.state { isCounted = false }
            if isCounted, gateway.inflight.reserve(growth, for: stream.peer) != nil {
                refuseUnread(.tooManyBodies, stream)
                return true
            }
            if isCounted { stream.earlyReserved += growth }
        }
        early.append(piece, pool: loop.pool)
        stream.early = early
        return false
    }

    /// Lets go of what came early; the peer may send as much.
    func dropEarly(_ stream: HTTP2Stream) {
        if let early = stream.early { session.bodyTaken(stream.id, early.count) }
        gateway.inflight.release(stream.earlyReserved, of: stream.peer)
        (stream.early, stream.earlyReserved) = (nil, 0)
    }

    /// Takes a piece of a body. False: the request was refused, before or for this piece.
    private func take(_ piece: UnsafeRawBufferPointer, _ stream: HTTP2Stream) -> Bool {
        switch stream.state {
        case .receiving(let body):
            guard body.count + piece.count <= body.longest else {
                if body.becomesWindows { return becomeWindows(body, piece, stream) }
                revive(stream)
                refuse(loop.bodyTooLarge(body.longest), stream)
                return false
            }
            let growth = body.growth(for: piece.count)
            if growth > 0, let problem = reserve(growth, stream) {
                revive(stream)
                refuse(problem, stream)
                return false
            }
            stream.exchange?.signature?.seeNext(piece)
            body.append(piece, pool: loop.pool)
            stream.received += piece.count
            return true
        case .reading(let reader, let most):
            stream.received += piece.count
            gateway.metrics.receivedBytes.add(piece.count)
            let problem = stream.received > most ? loop.bodyTooLarge(most) : reader.take(piece, on: loop)
            guard let problem else {
                if let body = reader as? WindowedBody, body.isFull { handleWindows(body, stream) }
                return true
            }
            revive(stream)
            refuse(problem, stream)
            return false
        case .dropping:
            stream.received += piece.count
            return false
        default: return false
        }
    }

    func bodyEnded(_ id: Int32) {
        guard let stream = streams[id] else { return }
        stream.isWhole = true
        switch stream.state {
        case .receiving(let body):
            release(stream)
            stream.exchange?.body = body.slice(pool: loop.pool)
            revive(stream)
            if loop.head.body == .chunked { loop.countChunks(body.count) }
            begin(stream, stream.exchange?.body?.bytes ?? HTTPConnection.noBody, isFresh: true)
        case .reading(let body as WindowedBody, _):
            body.end()
            handleWindows(body, stream)
        case .reading(let reader, _):
            release(stream)
            revive(stream)
            if loop.head.body == .chunked { loop.countChunks(stream.received) }
            let started = MonotonicClock.nanoseconds
            loop.peer = stream.peer
            settle(reader.end(on: loop), stream, started: started)
        default: break
        }
    }

    // MARK: Handling

    /// Handles a whole request, or lets it wait until the peer has read what it was answered before, or until the next turn. `isFresh`: it is the request at hand.
    private func begin(_ stream: HTTP2Stream, _ body: UnsafeRawBufferPointer, isFresh: Bool) {
        // A short body came with this piece of input, and all short ones of it are no longer than it; of long ones the last byte may have
        // come of many at once.
        if isFresh, isBusy || !parked.isEmpty || body.count > Self.slice && isTurnUsed {
            let exchange = beginExchange(stream)
            if let problem = reserve(max(0, body.count - exchange.reserved), stream) { return refuse(problem, stream) }
            stream.state = .parked
            stream.lookAt = .max
            return parked.append(stream.id)
        }
        stream.state = .handled
        let started = MonotonicClock.nanoseconds
        loop.peer = stream.peer
        let whole = stream.exchange?.body
        let completion = loop.handle(body)
        if case .suspended(.work(let work)) = completion, let whole {
            let kept = loop.kept(whole.bytes, for: work)
            if kept.baseAddress != whole.bytes.baseAddress {
                stream.exchange?.body = loop.pool.slice(copying: kept)
            }
        }
        settle(completion, stream, started: started)
        withExtendedLifetime(whole) {}
    }

    /// Begins what has waited for the peer to read, as much as fits into a turn; gives whether there was something.
    func handleParked() -> Bool {
        let began = EventLoop.clock()
        var count = 0
        while !isBusy, let id = parked.first {
            if count > 0, EventLoop.clock() - began >= gateway.options.maxTurnNanoseconds {
                look(at: now)
                return false
            }
            parked.removeFirst()
            guard let stream = streams[id], case .parked = stream.state else { continue }
            count += 1
            release(stream)
            revive(stream)
            begin(stream, stream.exchange?.body?.bytes ?? HTTPConnection.noBody, isFresh: false)
        }
        return count > 0
    }

    /// Does what a completion says.
    func settle(_ completion: Completion, _ stream: HTTP2Stream, started: Int64) {
        switch completion {
        case .suspended(.work(let work)): return wait(for: work, stream)
        case .suspended(.records(let reply)): return begin(reply, stream)
        case .suspended(.windows(let body)): return handleWhole(body, stream)
        case .answered: send(stream)
        case .gated(let commits, let bytes): send(stream, behind: commits, holding: bytes)
        }
        loop.count(started: started, ended: MonotonicClock.nanoseconds)
        endExchange(stream)
    }

    // MARK: The exchange

    @discardableResult
    func beginExchange(_ stream: HTTP2Stream) -> Exchange {
        if let exchange = stream.exchange { return exchange }
        let begun = loop.beginExchange(for: connection.id)
        begun.fields = stream.fields
        stream.exchange = begun
        return begun
    }

    func endExchange(_ stream: HTTP2Stream) {
        guard let ended = stream.exchange else { return }
        release(stream)
        stream.exchange = nil
        loop.exchanges.end(ended)
    }

    /// Takes `bytes` of the budget, or says what to answer.
    func reserve(_ bytes: Int, _ stream: HTTP2Stream) -> Problem? {
        guard let exchange = stream.exchange else { preconditionFailure("memory for a request without an exchange") }
        return loop.reserve(bytes, by: stream.peer) { exchange }
    }

    func release(_ stream: HTTP2Stream) {
        guard let exchange = stream.exchange, exchange.reserved > 0 else { return }
        gateway.inflight.release(exchange.reserved, of: stream.peer)
        exchange.reserved = 0
    }

    /// Makes a request that has waited the loop's request again. The same fields gave this head before.
    func revive(_ stream: HTTP2Stream) {
        guard let exchange = stream.exchange,
            loop.head.take(stream.fields.block, bodyLength: stream.fields.bodyLength) == nil
        else { preconditionFailure("a request goes on whose head was not kept") }
        loop.begin(exchange, now: now, wallClockMs: connection.loop.wallClockMs)
    }

    // MARK: Waiting

    /// Waits for a worker that looks at the credential; then the head is read once more.
    private func wait(for check: CredentialCheck, _ stream: HTTP2Stream) {
        stream.state = .asking
        let (id, number, handle) = (connection.id, stream.id, connection.loop.handle)
        let (credential, address) = (check.credential, check.address)
        stream.check = check.begin { verdict in
            handle.submit { eventLoop in
                guard let connection = eventLoop.connection(id), let waiting = connection.handler as? HTTP2Connection
                else { return }
                let found = FoundCredential(credential: credential, address: address, verdict: verdict)
                waiting.take(found, for: number)
            }
        }
        if stream.check == nil {
            refuse(Problem(.overloaded, "Too many credentials are being checked.", retryAfter: 1), stream)
        }
    }

    private func take(_ found: FoundCredential, for id: Int32) {
        guard let stream = streams[id], case .asking = stream.state else { return }
        stream.check = nil
        front.take(found)
        admit(stream)
        pump()
    }

    private func wait(for work: any ExchangeWork, _ stream: HTTP2Stream) {
        let exchange = beginExchange(stream)
        if let body = exchange.body, body.count > exchange.reserved,
            let problem = reserve(body.count - exchange.reserved, stream)
        {
            return refuse(problem, stream)
        }
        stream.state = .waiting(work)
        working += 1
        stream.deadline = front.deadline(from: now)
        lookLater(stream, after: gateway.options.requestTimeout)
        let (id, number, name, handle) = (connection.id, stream.id, exchange.id, connection.loop.handle)
        let isTaken = work.begin(exchange, for: stream.peer) { [place = exchange.place] in
            withExtendedLifetime(place) {}
            handle.submit { eventLoop in
                guard let connection = eventLoop.connection(id) else { return }
                (connection.handler as? HTTP2Connection)?.resume(number, name)
            }
        }
        if !isTaken {
            work.refuse()
            resume(number, name)
        }
    }

    /// Goes on with a request whose work is done; not when it was given up meanwhile.
    private func resume(_ id: Int32, _ name: ExchangeID) {
        guard let stream = streams[id], let exchange = stream.exchange, exchange.id == name,
            case .waiting(let work) = stream.state
        else { return }
        stream.state = .handled
        working -= 1
        revive(stream)
        loop.peer = stream.peer
        work.handOver(to: exchange)
        let body = exchange.body
        let started = MonotonicClock.nanoseconds
        let completion = work.resume(body?.bytes ?? HTTPConnection.noBody, on: loop)
        settle(completion, stream, started: started)
        withExtendedLifetime(body) {}
        pump()
    }
}
