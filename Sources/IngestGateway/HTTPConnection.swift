import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import Telemetry
import Transport

/// One client's connection: heads and bodies in, replies out in order. Confined to its loop.
///
/// ```
///            head whole, body here                       ┌────── topic made ──────┐
///   ┌────────────────────────────────────────────────┐   ▼                        │
///  head ──head whole, body by length──► sized ──whole──► handled ──needs a topic──► waiting (muted)
///   ▲  └──head whole, body by chunks──► chunked ──end──►   │
///   └──────────────────────── keep-alive ──────────────────┘── close, refusal, failure ──► closing
/// ```
/// Invalid events: a callback after `closed` is our bug; bytes that are no request are answered once and end the connection;
/// a timer that comes late for a request that is whole is ignored.
final class HTTPConnection: ConnectionHandler {
    let gateway: Gateway
    unowned let loop: GatewayLoop

    var state = State.head
    private var progress = HeadProgress()
    /// The table by which the request goes that this connection is about, however long it takes.
    private var routes: RouteTable
    /// Bytes of the budget that this connection's unfinished body holds.
    var reserved = 0
    /// The time at which the unfinished request began, in monotonic nanoseconds; 0: there is none.
    private var startedAt: Int64 = 0
    /// Bytes of the unfinished body at the last look of the timer.
    private var bytesAtLastLook = 0

    enum State {
        case head
        /// A body by length follows; both counts in bytes.
        case sized(head: Int, body: Int)
        case chunked(ChunkedBody)
        /// A whole request that waits for its topic. The connection is muted.
        case waiting(WholeRequest)
        /// A reply is made in slices. The connection is muted.
        case streaming(StreamedReply)
        /// The last reply is written.
        case closing
    }

    /// What a whole request waits for when it is not answered at once.
    enum Rest {
        case topic(String)
        case records(RecordsReply, RecordsReply.Elsewhere?)
    }

    /// A request that outlives its input buffer.
    struct WholeRequest {
        let head: ByteSlice
        let body: ByteSlice
    }

    /// The only timer: a request must be whole in time, and its topic made.
    static let requestTimer = 0
    /// Bytes reserved at least for a body that is not whole; then twice what has arrived.
    private static let firstShare = ChunkedBody.firstCapacity

    init(gateway: Gateway, loop: GatewayLoop) {
        self.gateway = gateway
        self.loop = loop
        routes = loop.routes
        gateway.metrics.connections.add(1)
    }

    // MARK: Input

    func received(_ input: inout ConnectionInput, on connection: Connection) {
        var began: Int64 = 0
        while connection.wantsInput {
            if case .head = state, !input.isEmpty {
                // More came in the same read than one request: thousands have room in it.
                if began == 0 {
                    began = EventLoop.clock()
                } else if EventLoop.clock() - began >= gateway.options.maxTurnNanoseconds {
                    return connection.giveWay()
                }
            }
            switch state {
            case .head:
                guard !input.isEmpty, readHead(&input, connection) else { return }
            case .sized(let head, let body):
                guard input.count >= head + body else {
                    awaitBody(&input, head: head, body: body, connection)
                    return
                }
                // The same bytes gave this head before.
                guard case .complete = parseHead(input.readable) else { preconditionFailure("a head has changed") }
                loop.begin(now: connection.loop.now, wallClockMs: connection.loop.wallClockMs)
                loop.findRoute(in: routes)
                finishReceiving(connection)
                handle(&input, head: head, body: body, connection)
            case .chunked(let body):
                guard !input.isEmpty, readChunks(&input, body, connection) else { return }
            case .waiting, .streaming: return
            case .closing:
                input.consume(input.count)
                return
            }
        }
    }

    private func parseHead(_ bytes: UnsafeRawBufferPointer) -> HeadOutcome { loop.head.parse(bytes, &progress) }

    /// Reads the next head. False: wait for more bytes.
    private func readHead(_ input: inout ConnectionInput, _ connection: Connection) -> Bool {
        switch parseHead(input.readable) {
        case .incomplete:
            beginReceiving(connection, timeout: gateway.options.headTimeout)
            return false
        case .failure(let failure):
            gateway.metrics.refusedInput.add()
            refuse(Problem(failure), on: connection)
            return false
        case .complete(let length):
            loop.begin(now: connection.loop.now, wallClockMs: connection.loop.wallClockMs)
            return headIsWhole(&input, length, connection)
        }
    }

    /// Says everything that can be said by the head alone, before a byte of the body is waited for.
    private func headIsWhole(_ input: inout ConnectionInput, _ length: Int, _ connection: Connection) -> Bool {
        loop.findRoute()
        if routes !== loop.routes { routes = loop.routes }
        let most: Int
        switch loop.admit() {
        case .nothing: most = loop.routeRow.pointee.maxBodyBytes
        case .collected(let bytes): most = bytes
        case .refused(let problem):
            // What follows is read as the next request only if this one's body is here to be skipped.
            if case .length(let body) = loop.head.body, input.count >= length + body {
                finishReceiving(connection)
                answerProblem(problem, on: connection)
                input.consume(length + body)
                return true
            }
            loop.reply.closes = true
            refuse(problem, on: connection, begun: true)
            return false
        }
        return readBody(upTo: most, &input, length, connection)
    }

    /// Handles the request if its body is here, and begins to wait for it otherwise. False: wait for more bytes.
    private func readBody(
        upTo most: Int, _ input: inout ConnectionInput, _ length: Int, _ connection: Connection
    ) -> Bool {
        switch loop.head.body {
        case .length(let body) where body == 0 || input.count >= length + body:
            finishReceiving(connection)
            handle(&input, head: length, body: body, connection)
            return true
        case .length(let body):
            guard body <= most else {
                refuse(loop.bodyTooLarge(), on: connection, begun: true)
                return false
            }
            state = .sized(head: length, body: body)
            guard awaitBody(&input, head: length, body: body, connection) else { return false }
            if loop.head.expectsContinue, input.count == length { connection.write { ResponseHead.writeContinue(&$0) } }
            beginReceiving(connection, timeout: gateway.options.bodyIdleTimeout, newPhase: true)
            return false
        case .chunked:
            let head = loop.pool.slice(copying: UnsafeRawBufferPointer(rebasing: input.readable[..<length]))
            input.consume(length)
            if loop.head.expectsContinue, input.isEmpty { connection.write { ResponseHead.writeContinue(&$0) } }
            state = .chunked(ChunkedBody(head: head, maxBody: most))
            beginReceiving(connection, timeout: gateway.options.bodyIdleTimeout, newPhase: true)
            return true
        }
    }

    /// Asks for more of a body by length, and reserves as much as will be there then. False: refused.
    @discardableResult
    private func awaitBody(_ input: inout ConnectionInput, head: Int, body: Int, _ connection: Connection) -> Bool {
        let share = min(body, max(Self.firstShare, 2 * (input.count - head)))
        if share > reserved, let problem = reserve(share - reserved, connection) {
            // Another request of the loop may have been parsed meanwhile.
            revive(input.readable, connection)
            refuse(problem, on: connection, begun: true)
            return false
        }
        input.needed = head + body
        input.review = head + share
        return true
    }

    /// Feeds the chunked body. False: wait for more bytes.
    private func readChunks(
        _ input: inout ConnectionInput, _ body: ChunkedBody, _ connection: Connection
    ) -> Bool {
        let bytes = input.readable
        var position = 0
        while true {
            switch body.decoder.next(bytes, &position) {
            case .needMore:
                input.consume(bytes.count)
                return false
            case .data(let range):
                let growth = body.growth(for: range.count)
                if growth > 0, let problem = reserve(growth, connection) {
                    revive(body.head.bytes, connection)
                    refuse(problem, on: connection, begun: true)
                    return false
                }
                body.append(UnsafeRawBufferPointer(rebasing: bytes[range]), pool: loop.pool)
            case .failure(let failure):
                gateway.metrics.refusedInput.add()
                revive(body.head.bytes, connection)
                let problem = failure == .bodyTooLarge ? loop.bodyTooLarge() : Problem(failure)
                loop.route = Route(row: loop.routes.unmatched)
                refuse(problem, on: connection, begun: true)
                return false
            case .end:
                input.consume(position)
                state = .head
                finishReceiving(connection)
                handle(WholeRequest(head: body.head, body: body.slice(pool: loop.pool)), connection)
                return true
            }
        }
    }

    /// Makes a request whose head was kept the loop's request again.
    func revive(_ head: UnsafeRawBufferPointer, _ connection: Connection) {
        guard case .complete = parseHead(head) else { preconditionFailure("a head has changed") }
        loop.begin(now: connection.loop.now, wallClockMs: connection.loop.wallClockMs)
        loop.findRoute(in: routes)
    }

    /// Takes `bytes` of the budget, or says what to answer.
    func reserve(_ bytes: Int, _ connection: Connection) -> Problem? {
        switch gateway.inflight.reserve(bytes, for: connection.peerAddress.peerKey) {
        case .total:
            return Problem(.overloaded, "Too many bodies are being received at the moment.", retryAfter: 1)
        case .peer:
            return Problem(.overloaded, "Too many bodies are being received from your address.", retryAfter: 1)
        case nil:
            reserved += bytes
            return nil
        }
    }

    func release(_ connection: Connection) {
        if reserved > 0 { gateway.inflight.release(reserved, of: connection.peerAddress.peerKey) }
        reserved = 0
    }

    // MARK: Handling

    /// Handles the request at the start of `input` and consumes it.
    private func handle(_ input: inout ConnectionInput, head: Int, body: Int, _ connection: Connection) {
        state = .head
        let bytes = UnsafeRawBufferPointer(rebasing: input.readable[head..<head + body])
        if let rest = handle(bytes, connection) {
            // Rare: the request is copied, and the buffer goes on without it.
            let head = loop.pool.slice(copying: UnsafeRawBufferPointer(rebasing: input.readable[..<head]))
            switch rest {
            case .topic(let name):
                wait(for: name, WholeRequest(head: head, body: loop.pool.slice(copying: bytes)), connection)
            case .records(let reply, let what): stream(reply, head: head, leavingFor: what, connection)
            }
        }
        input.consume(head + body)
    }

    private func handle(_ whole: WholeRequest, _ connection: Connection) {
        revive(whole.head.bytes, connection)
        switch handle(whole.body.bytes, connection) {
        case .topic(let name): wait(for: name, whole, connection)
        case .records(let reply, let what): stream(reply, head: whole.head, leavingFor: what, connection)
        case nil: break
        }
    }

    /// Handles the request whose head was just parsed.
    private func handle(_ body: UnsafeRawBufferPointer, _ connection: Connection) -> Rest? {
        let started = MonotonicClock.nanoseconds
        switch loop.handle(body) {
        case .suspended(.topic(let name)): return .topic(name)
        case .suspended(.records(let reply)): return begin(reply, connection)
        case .answered: writeReply(on: connection)
        case .gated(let ticket, let bytes): writeReply(on: connection, gatedBy: ticket, holding: bytes)
        }
        loop.count(started: started, ended: MonotonicClock.nanoseconds)
        return nil
    }

    // MARK: Waiting for a topic

    /// Waits for a topic to be made, which waits for the disk: on the broker's own thread, with this connection muted.
    private func wait(for name: String, _ whole: WholeRequest, _ connection: Connection) {
        state = .waiting(whole)
        connection.setTimer(Self.requestTimer, after: gateway.options.requestTimeout)
        connection.pauseReading()
        connection.beginWork()
        let id = connection.id
        let handle = connection.loop.handle
        let broker = gateway.broker
        let taken = broker.admin.submit {
            let result = broker.topicCreatingIfAllowed(name)
            handle.submit { eventLoop in
                guard let connection = eventLoop.connection(id), let waiting = connection.handler as? HTTPConnection
                else { return }
                waiting.topicIsThere(result, connection)
            }
        }
        if !taken {
            topicIsThere(
                .failure(TopicRefusal(.kafkaStorageError, "too many changes of topics are under way")), connection)
        }
    }

    private func topicIsThere(_ result: Result<Topic, TopicRefusal>, _ connection: Connection) {
        guard case .waiting(let whole) = state else { return }
        state = .head
        connection.cancelTimer(Self.requestTimer)
        if case .failure(let refusal) = result { loop.topicRefusal = refusal }
        handle(whole, connection)
        loop.topicRefusal = nil
        connection.endWork()
        // Unless the topic was deleted in between, and is being made again.
        switch state {
        case .waiting, .streaming: return
        default: break
        }
        connection.resumeReading()
    }

    // MARK: Time

    /// Begins to wait for the rest of a request.
    func beginReceiving(_ connection: Connection, timeout: Duration, newPhase: Bool = false) {
        let isNew = startedAt == 0
        if isNew { startedAt = connection.loop.now }
        if isNew || newPhase {
            bytesAtLastLook = 0
            connection.setTimer(Self.requestTimer, after: timeout)
        }
    }

    /// Ends the wait for a request that is whole now, or given up.
    func finishReceiving(_ connection: Connection) {
        if startedAt != 0 {
            startedAt = 0
            connection.cancelTimer(Self.requestTimer)
        }
        release(connection)
    }

    func timerFired(_ id: Int, on connection: Connection) {
        let received: Int
        switch state {
        case .head:
            if startedAt == 0 { return }
            return refuse(
                Problem(.headTimeout, "The request's head did not arrive in time."), on: connection)
        case .sized: received = connection.unconsumedInput
        case .chunked(let body): received = body.count
        case .waiting: return topicIsLate(connection)
        case .streaming(let stream): return checkReader(of: stream, connection)
        case .closing: return
        }
        let idle = gateway.options.bodyIdleTimeout
        let isOverdue = connection.loop.now - startedAt >= gateway.options.requestTimeout.inNanoseconds
        let wanted = Int(idle.inNanoseconds / 1_000_000) * gateway.options.minimumBodyRate / 1000
        guard !isOverdue, received - bytesAtLastLook >= wanted else {
            return refuse(
                Problem(.bodyTimeout, "The request's body did not arrive in time."), on: connection)
        }
        bytesAtLastLook = received
        connection.setTimer(Self.requestTimer, after: idle)
    }

    private func topicIsLate(_ connection: Connection) {
        refuse(
            Problem(
                .commitTimeout, "The topic was not made in time; nothing of the request is stored.", retryAfter: 5),
            on: connection)
        connection.endWork()
    }

    func closed(on connection: Connection, reason: CloseReason) {
        release(connection)
        gateway.metrics.connections.add(-1)
    }
}

extension Duration {
    /// Saturates at the end of Int64.
    var inNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : product &+ attoseconds / 1_000_000_000
    }
}
