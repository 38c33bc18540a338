import BrokerCore
import ByteBuffers
import HTTP2Wire
import HTTPWire
import Telemetry
import Transport

/// Replies that are made in slices: as `HTTPConnection` makes them, for several streams at a time. The connection has one place in
/// the loop's queue, and its streams take turns in it.
extension HTTP2Connection {
    /// Makes the reply at once if it is short, the turn has time for it, and all of it is at hand.
    func begin(_ reply: RecordsReply, _ stream: HTTP2Stream) {
        beginExchange(stream)
        guard loop.slicing.mayBegin(in: now), !isCongested, !reply.isStream else {
            return self.stream(reply, stream, .turn)
        }
        switch loop.makeSlice(of: reply, by: stream.peer, { beginExchange(stream) }) {
        case .pause: return self.stream(reply, stream, .turn)
        case .leave: return self.stream(reply, stream, .worker)
        case .wait: return self.stream(reply, stream, .growth)
        case .done: send(stream)
        case .failed(let problem):
            loop.answer(problem, instance: loop.head.path)
            send(stream)
        }
        loop.count(started: loop.now, ended: loop.now)
        endExchange(stream)
    }

    private func stream(_ reply: RecordsReply, _ stream: HTTP2Stream, _ pause: ReplyPause) {
        let streamed = StreamedReply(reply, to: HTTP2Response(self, stream))
        stream.state = .streaming(streamed)
        if reply.isStream {
            stream.lookAt = .max
            loop.waits.begin(streamed, asker: stream.exchange?.asker, endsAt: front.endsAt)
        } else {
            lookLater(stream, after: gateway.options.requestTimeout)
        }
        loop.writeSlice(of: streamed)
        goOn(streamed, stream, pause)
    }

    /// Makes the next part of the reply whose turn it is; called when the connection's turn in the loop's queue has come.
    func continueStream() {
        isSliceQueued = false
        let began = EventLoop.clock()
        var taken = 0
        while taken < slicing.count, taken == 0 || EventLoop.clock() - began < Self.shortParts {
            let id = slicing[taken]
            taken += 1
            if let stream = streams[id], case .streaming(let reply) = stream.state, reply.isQueued {
                reply.isQueued = false
                makePart(of: reply, stream)
            }
        }
        slicing.removeFirst(taken)
        queueConnection()
        pump()
    }

    /// Nanoseconds in which several streams make a short part each, which are sent together: readers at the end of a topic are told of
    /// one event at a time.
    private static let shortParts: Int64 = 100_000

    private func queueConnection() {
        if slicing.isEmpty || isSliceQueued { return }
        isSliceQueued = true
        loop.queueSlice(of: connection)
    }

    private func makePart(of streamed: StreamedReply, _ stream: HTTP2Stream) {
        if streamed.writer.hasBegun {
            loop.continueReply(now: now, wallClockMs: connection.loop.wallClockMs)
        } else {
            revive(stream)
        }
        switch loop.makeSlice(of: streamed.reply, by: stream.peer, { beginExchange(stream) }) {
        case .pause:
            loop.writeSlice(of: streamed)
            return goOn(streamed, stream)
        case .leave:
            loop.writeSlice(of: streamed)
            return goOn(streamed, stream, .worker)
        case .wait:
            loop.writeSlice(of: streamed)
            return goOn(streamed, stream, .growth)
        case .failed(let problem):
            precondition(!streamed.writer.hasBegun, "a reply failed after it had begun")
            loop.answer(problem, instance: loop.head.path)
            send(stream)
        case .done where streamed.writer.hasBegun: loop.writeSlice(of: streamed)
        case .done: send(stream)
        }
        if !streamed.writer.hasBegun { loop.count(started: loop.now, ended: loop.now) }
        endStream(streamed, stream)
    }

    /// Waits for the next turn, for a worker, or for the peer to read what it has got.
    func goOn(_ streamed: StreamedReply, _ stream: HTTP2Stream, _ pause: ReplyPause = .turn) {
        if streamed.writer.isHeadOnly { return endStream(streamed, stream) }
        if pause == .growth, loop.waits.wait(streamed) {
            (streamed.isWaiting, streamed.wasAway) = (true, true)
            return
        }
        // Once it has read, the next turn pauses for the same reason.
        guard streamed.writer.isReady else { return }
        if pause == .worker { leave(streamed, stream) } else { queue(streamed, stream) }
    }

    /// Goes on with a reply that has waited for growth.
    func wake(_ streamed: StreamedReply, _ stream: HTTP2Stream) {
        guard streamed.isWaiting else { return }
        streamed.isWaiting = false
        goOn(streamed, stream)
    }

    private func queue(_ streamed: StreamedReply, _ stream: HTTP2Stream) {
        streamed.isQueued = true
        slicing.append(stream.id)
        queueConnection()
    }

    private func endStream(_ streamed: StreamedReply, _ stream: HTTP2Stream) {
        loop.waits.forget(streamed)
        endExchange(stream)
        guard streamed.writer.hasBegun else { return }
        _ = streamed.writer.end()
        stream.state = .replying
        lookLater(stream, after: gateway.options.requestTimeout)
    }

    // MARK: Away

    /// Hands the reply to a worker, and goes on when it comes back.
    private func leave(_ streamed: StreamedReply, _ stream: HTTP2Stream) {
        guard let exchange = stream.exchange else { preconditionFailure("a reply in slices without an exchange") }
        let (id, number, name, handle) = (connection.id, stream.id, exchange.id, connection.loop.handle)
        let carried = CarriedReply(reply: streamed.reply)
        let isTaken = gateway.broker.workers.submit {
            carried.reply.perform()
            handle.submit { eventLoop in
                guard let connection = eventLoop.connection(id) else { return }
                (connection.handler as? HTTP2Connection)?.cameBack(number, name)
            }
        }
        if isTaken {
            gateway.metrics.workerTrips.add()
            working += 1
            (streamed.isAway, streamed.wasAway, streamed.leftAt) = (true, true, now)
        } else {
            streamed.reply.stop(.overloaded(.noWorker))
            queue(streamed, stream)
        }
    }

    /// Takes a reply back from its worker; not one that was given up meanwhile.
    private func cameBack(_ id: Int32, _ name: ExchangeID) {
        guard let stream = streams[id], stream.exchange?.id == name, case .streaming(let streamed) = stream.state,
            streamed.isAway
        else { return }
        if let problem = loop.account(for: streamed.reply, by: stream.peer, beginExchange(stream)) {
            streamed.reply.stop(.overloaded(problem))
        }
        streamed.isAway = false
        working -= 1
        queue(streamed, stream)
    }

    /// Resets a stream whose peer does not read what we keep for it, or for which the disk does not give the records in time.
    func checkReader(of streamed: StreamedReply, _ stream: HTTP2Stream, moved: Int) {
        let timeout = gateway.options.requestTimeout
        if streamed.isAway, now - streamed.leftAt >= timeout.inNanoseconds {
            if streamed.writer.hasBegun { return streamed.writer.reset() }
            streamed.isAway = false
            working -= 1
            return refuseUnread(
                Problem(.readTimeout, "The disk did not give the records in time.", retryAfter: 5), stream)
        }
        guard
            streamed.wasAway
                || moved >= max(gateway.options.leastProgress(in: timeout), (stream.exchange?.reserved ?? 0) / 10)
        else {
            return streamed.writer.reset()
        }
        streamed.wasAway = streamed.isAway || streamed.isWaiting
        lookLater(stream, after: timeout)
    }
}
