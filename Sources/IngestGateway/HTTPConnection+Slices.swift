import BrokerCore
import ByteBuffers
import HTTPWire
import LogStorage
import Telemetry
import Transport

/// Replies that are made in slices: the connection is muted, and `loop.slicing` gives it its turns.
///
/// ```
///               ┌─────── away: a worker performs what the loop must not ◄────┐
///               ▼                                                            │
///  stream ─► queued ─► turn: a slice ─► queued … ─► done ─► head (or closing)
///              ▲               ├────────────────────────────────────────────┘
///              │               ├─ the peer does not read ─► outputDrained ─┐
///              │               └─ no records ─► waiting ─► a partition grows ┤
///              └──────────────────────────────────────────────────────────┘
/// ```
extension HTTPConnection {
    /// Makes the reply at once if it is short, the turn has time for it, and all of it is at hand. Otherwise it is to be made
    /// in slices, the first of which may stand in `loop.out`.
    func begin(_ reply: RecordsReply, _ connection: Connection) -> Rest? {
        guard loop.slicing.mayBegin(in: connection.loop.now), !reply.isStream else { return .records(reply, .turn) }
        switch loop.makeSlice(of: reply, by: peerKey(connection), { beginExchange(connection) }) {
        case .pause: return .records(reply, .turn)
        case .leave: return .records(reply, .worker)
        case .wait: return .records(reply, .growth)
        case .done: writeReply(on: connection)
        case .failed(let problem):
            loop.answer(problem, instance: loop.head.path)
            writeReply(on: connection)
        }
        loop.count(started: loop.now, ended: loop.now)
        endExchange(connection)
        return nil
    }

    /// Goes on with a reply in later turns, or on a worker.
    func stream(_ reply: RecordsReply, _ pause: ReplyPause, _ connection: Connection) {
        let stream = StreamedReply(reply, to: ChunkedResponse(self, connection))
        state = .streaming(stream)
        stream.writer.pauseBody()
        if reply.isStream {
            loop.waits.begin(stream, asker: exchange?.asker, endsAt: endsAt)
        } else {
            connection.setTimer(Self.requestTimer, after: gateway.options.requestTimeout)
        }
        loop.writeSlice(of: stream)
        goOn(stream, pause, connection)
    }

    /// Makes the next part of the reply; called when the connection's turn in the loop's queue has come.
    func continueStream(on connection: Connection) {
        guard case .streaming(let stream) = state else { return }
        stream.isQueued = false
        if stream.writer.hasBegun {
            loop.continueReply(now: connection.loop.now, wallClockMs: connection.loop.wallClockMs)
        } else {
            revive(connection)
        }
        switch loop.makeSlice(of: stream.reply, by: peerKey(connection), { beginExchange(connection) }) {
        case .pause:
            loop.writeSlice(of: stream)
            return goOn(stream, .turn, connection)
        case .leave:
            loop.writeSlice(of: stream)
            return goOn(stream, .worker, connection)
        case .wait:
            loop.writeSlice(of: stream)
            return goOn(stream, .growth, connection)
        case .failed(let problem):
            precondition(!stream.writer.hasBegun, "a reply failed after it had begun")
            loop.answer(problem, instance: loop.head.path)
            writeReply(on: connection)
        case .done where stream.writer.hasBegun: loop.writeSlice(of: stream)
        case .done: writeReply(on: connection)
        }
        if !stream.writer.hasBegun { loop.count(started: loop.now, ended: loop.now) }
        endStream(stream, connection)
    }

    func outputDrained(on connection: Connection) {
        if case .streaming(let stream) = state, !stream.isQueued, !stream.isAway, !stream.isWaiting {
            goOn(stream, .turn, connection)
        }
    }

    /// Waits for the next turn, for a worker, or for the peer to read what it has got.
    private func goOn(_ stream: StreamedReply, _ pause: ReplyPause, _ connection: Connection) {
        if stream.writer.isHeadOnly { return endStream(stream, connection) }
        if pause == .growth { return wait(stream, connection) }
        // Once it has read, the next turn pauses for the same reason.
        guard stream.writer.isReady else { return }
        if pause == .worker { leave(stream, connection) } else { queue(stream, connection) }
    }

    // MARK: Waiting for growth

    private func wait(_ stream: StreamedReply, _ connection: Connection) {
        guard loop.waits.wait(stream) else { return queue(stream, connection) }
        (stream.isWaiting, stream.wasAway) = (true, true)
        connection.beginWork()
    }

    /// Goes on with a reply that has waited.
    func wake(_ stream: StreamedReply, _ connection: Connection) {
        guard stream.isWaiting else { return }
        stream.isWaiting = false
        goOn(stream, .turn, connection)
        connection.endWork()
    }

    /// Who has gone waits no longer: it is answered with what there is, and a stream ends.
    func peerFinished(on connection: Connection) {
        guard case .streaming(let stream) = state else { return }
        loop.waits.end(stream, .stopping)
    }

    private func queue(_ stream: StreamedReply, _ connection: Connection) {
        stream.isQueued = true
        loop.queueSlice(of: connection)
    }

    // MARK: Away

    /// Hands the reply to a worker, and goes on when it comes back.
    private func leave(_ stream: StreamedReply, _ connection: Connection) {
        let (id, name, handle) = (connection.id, beginExchange(connection).id, connection.loop.handle)
        let carried = CarriedReply(reply: stream.reply)
        let taken = gateway.broker.workers.submit {
            carried.reply.perform()
            handle.submit { eventLoop in
                guard let connection = eventLoop.connection(id) else { return }
                (connection.handler as? HTTPConnection)?.cameBack(name, connection)
            }
        }
        if taken {
            gateway.metrics.workerTrips.add()
            (stream.isAway, stream.wasAway, stream.leftAt) = (true, true, connection.loop.now)
            connection.beginWork()
        } else {
            stream.reply.stop(.overloaded(.noWorker))
            queue(stream, connection)
        }
    }

    /// Takes a reply back from its worker; not one that was given up meanwhile.
    private func cameBack(_ name: ExchangeID, _ connection: Connection) {
        guard let exchange = loop.exchanges[name], exchange === self.exchange, case .streaming(let stream) = state,
            stream.isAway
        else { return }
        if let problem = loop.account(for: stream.reply, by: peerKey(connection), beginExchange(connection)) {
            stream.reply.stop(.overloaded(problem))
        }
        stream.isAway = false
        queue(stream, connection)
        connection.endWork()
    }

    /// Waits no more for what is done elsewhere for a connection that is about to end.
    func endWaiting(_ connection: Connection) {
        switch state {
        case .waiting(let work):
            work.cancel()
            connection.endWork()
        case .windows: connection.endWork()
        case .streaming(let stream):
            if stream.isAway || stream.isWaiting { connection.endWork() }
            stream.isAway = false
            loop.waits.forget(stream)
        default: break
        }
    }

    private func endStream(_ stream: StreamedReply, _ connection: Connection) {
        loop.waits.forget(stream)
        endExchange(connection)
        connection.cancelTimer(Self.requestTimer)
        guard case .streaming = state else { return }
        // One that was short after all, and answered as a whole, has not begun here.
        if stream.writer.hasBegun, !stream.writer.end() { return state = .closing }
        state = .head
        stream.writer.resumeBody()
    }

    /// Closes a peer that does not read what we keep for it within ten rounds of the timer, or reads more slowly than
    /// it would have to send.
    func checkReader(of stream: StreamedReply, _ connection: Connection) {
        let timeout = gateway.options.requestTimeout
        if stream.isAway, connection.loop.now - stream.leftAt >= timeout.inNanoseconds {
            return workerIsLate(stream, connection)
        }
        let sent = stream.writer.sentBytes
        let least = max(gateway.options.leastProgress(in: timeout), (exchange?.reserved ?? 0) / 10)
        guard stream.wasAway || sent - stream.sentAtLastLook >= least else { return stream.writer.reset() }
        (stream.sentAtLastLook, stream.wasAway) = (sent, stream.isAway || stream.isWaiting)
        connection.setTimer(Self.requestTimer, after: timeout)
    }

    /// Gives up a reply for which the disk does not give the records in time.
    private func workerIsLate(_ stream: StreamedReply, _ connection: Connection) {
        // What was sent of the reply cannot be taken back.
        if stream.writer.hasBegun { return stream.writer.reset() }
        revive(connection)
        refuse(
            Problem(.readTimeout, "The disk did not give the records in time.", retryAfter: 5), on: connection,
            begun: true)
        stream.isAway = false
        connection.endWork()
    }
}

/// A reply on its way to a worker and back.
struct CarriedReply: @unchecked Sendable {
    // SAFETY: the reply is with one thread at a time: the loop that hands it over touches it again when it has it back, and
    // drops it unlooked at when its connection has ended meanwhile.
    let reply: RecordsReply
}
