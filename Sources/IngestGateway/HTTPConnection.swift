import BrokerCore
import ByteBuffers
import HTTP2Wire
import HTTPWire
import KafkaModel
import Security
import Telemetry
import Transport

/// One client's connection: heads and bodies in, replies out in order. Confined to its loop.
///
/// ```
///            head whole, body here                       ┌────── work done ───────┐
///   ┌────────────────────────────────────────────────┐   ▼                        │
///  head ──head whole, body by length──► sized ──whole──► handled ──suspended────► waiting, streaming (muted)
///   ▲  ├──head whole, body by chunks──► chunked ──end──►   │
///   │  └──head whole, body in pieces──► reading ──end──►   │
///   └──────────────────────── keep-alive ──────────────────┘── close, refusal, failure ──► closing
/// ```
/// In every state but `head` and `closing` the request has an `Exchange`.
///
/// Invalid events: a callback after `closed` is our bug; bytes that are no request are answered once and end the connection;
/// a timer that comes late for a request that is whole is ignored.
final class HTTPConnection: ConnectionHandler {
    let gateway: Gateway
    let loop: GatewayLoop

    var state = State.head
    private var progress = HeadProgress()
    /// Who asks; nil until the first request, and where nobody is asked.
    private var caller: Caller?
    /// The look at the credential that the request at hand waits for, and what came of it until that request is read once more.
    private var pending: PendingCheck?
    private var found: FoundCredential?
    /// For whom a trusted proxy says that it sends; nil: it is the socket's own address. Changed between two requests.
    private(set) var client: NetworkAddress?
    /// When its next reply is its last, in monotonic nanoseconds.
    let endsAt: Int64
    /// It came to the listener of operators.
    let isForOperators: Bool
    /// Nothing has come yet but what may be the first head.
    private var isFirst = true
    /// The request that is not whole, or not answered. Of HTTP/1.1 a connection has one at a time.
    private(set) var exchange: Exchange?
    /// The time at which the unfinished request began, in monotonic nanoseconds; 0: there is none.
    private var startedAt: Int64 = 0

    enum State {
        case head
        /// A body by length follows; both counts in bytes.
        case sized(head: Int, body: Int)
        case chunked(ChunkedBody)
        /// The body goes piece by piece to its endpoint.
        case reading(StreamedBody)
        /// A whole request that waits for work. The connection is muted.
        case waiting(any ExchangeWork)
        /// A part of a body is handled; the rest comes so, or is here. The connection is muted.
        case windows(WindowedBody, StreamedBody?)
        /// A reply is made in slices. The connection is muted.
        case streaming(StreamedReply)
        /// The last reply is written.
        case closing
    }

    /// What a whole request waits for when it is not answered at once.
    enum Rest {
        case work(any ExchangeWork)
        case records(RecordsReply, ReplyPause)
        case windows(WindowedBody)
    }

    /// A tenth of the age more or less: connections that came together do not go together.
    private static func end(of age: Duration?, from now: Int64) -> Int64 {
        guard let age = age?.inNanoseconds else { return .max }
        let (end, isNever) = now.addingReportingOverflow(min(age, .max / 4) / 1000 * Int64.random(in: 900...1100))
        return isNever ? .max : end
    }

    /// The only timer: a request must be whole in time, and what it waits for done.
    static let requestTimer = 0
    /// Bytes of a body that nobody looks at: it is read for the next request behind it alone.
    static let maxUnwantedBody = 64 << 10
    /// Bytes reserved at least for a body that is not whole; then twice what has arrived.
    private static let firstShare = ChunkedBody.firstCapacity

    /// Whose certificate a connection has shown; nil: none.
    private let certificateOwner: @Sendable (Connection) -> Principal?
    /// Whether a connection's certificate is for a host; nil: any may be asked for.
    private let serves: (@Sendable (Connection, String) -> Bool)?
    /// The last host that it was found to be for, as the request has it.
    private var servedAuthority: [UInt8] = []

    init(
        gateway: Gateway, loop: GatewayLoop, now: Int64, isForOperators: Bool,
        certificateOwner: @escaping @Sendable (Connection) -> Principal?,
        serves: (@Sendable (Connection, String) -> Bool)?
    ) {
        self.gateway = gateway
        self.loop = loop
        self.isForOperators = isForOperators
        self.certificateOwner = certificateOwner
        self.serves = serves
        endsAt = Self.end(of: gateway.options.maxConnectionAge, from: now)
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
                revive(input.readable, connection)
                finishReceiving(connection)
                handle(&input, head: head, body: body, connection)
            case .chunked(let body):
                guard !input.isEmpty, readChunks(&input, body, connection) else { return }
            case .reading(let body):
                guard readPieces(&input, body, connection) else { return }
            case .waiting, .streaming, .windows: return
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
            beginReceivingHead(connection)
            return false
        case .failure(let failure):
            if failure == .unsupportedVersion, isFirst, gateway.options.servesHTTP2, beginHTTP2(&input, connection) {
                return false
            }
            gateway.metrics.refusedInput.add()
            refuse(Problem(failure), on: connection)
            return false
        case .complete(let length):
            isFirst = false
            loop.begin(now: connection.loop.now, wallClockMs: connection.loop.wallClockMs)
            return headIsWhole(&input, length, connection)
        }
    }

    /// Lets HTTP/2 go on with a connection that begins as its clients begin, or waits for the rest of that. False: it does not.
    private func beginHTTP2(_ input: inout ConnectionInput, _ connection: Connection) -> Bool {
        let preface = HTTP2Session.preface
        guard input.readable.prefix(preface.count).elementsEqual(preface.prefix(input.count)) else { return false }
        guard input.count >= preface.count else {
            beginReceivingHead(connection)
            input.needed = preface.count
            return true
        }
        finishReceiving(connection)
        let successor = HTTP2Connection(behind: self, connection)
        connection.handOver(to: successor)
        successor.received(&input, on: connection)
        return true
    }

    /// Says everything that can be said by the head alone, before a byte of the body is waited for.
    private func headIsWhole(_ input: inout ConnectionInput, _ length: Int, _ connection: Connection) -> Bool {
        loop.findRoute(forOperators: isForOperators)
        let most: Int
        switch wish(connection) {
        case .nothing: most = min(Self.maxUnwantedBody, loop.routeRow.pointee.maxBodyBytes)
        case .collected(let bytes): most = bytes
        case .streamed(let reader, let bytes):
            return readPieces(by: reader, upTo: bytes, &input, head: length, connection)
        case .unknown(let check):
            wait(for: check, connection)
            return false
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

    /// What is to become of the body of the request at hand.
    func wish(_ connection: Connection) -> BodyWish {
        let found = self.found
        self.found = nil
        if let serves, loop.asksForHost, !isServed(serves, connection) {
            if let found { loop.settleUnread(found) }
            return .refused(loop.misdirected)
        }
        if let proxies = gateway.perimeter.proxies, let problem = findClient(proxies, connection) {
            if let found { loop.settleUnread(found) }
            return .refused(problem)
        }
        if caller == nil, gateway.asksCallers || loop.routeRow.pointee.authentication.needsCaller {
            caller = Caller(connection, client, certificateOwner(connection))
        }
        // Not before: requests of other clients may have come in between, and this one's caller was forgotten.
        if let found { caller?.take(found) }
        // A request that is refused for another reason leaves nothing to the next one, and a guess is a guess all the same.
        defer { if let unread = caller?.takeUnread() { loop.settleUnread(unread) } }
        return loop.admit(caller)
    }

    /// Whether the connection's certificate is for the host of the request at hand.
    private func isServed(_ serves: (Connection, String) -> Bool, _ connection: Connection) -> Bool {
        let authority = loop.head.authority
        if servedAuthority.withUnsafeBytes(authority.equals) { return true }
        guard let host = AllowedHosts.host(of: authority), serves(connection, String(decoding: host, as: UTF8.self))
        else {
            return false
        }
        servedAuthority = Array(authority)
        return true
    }

    /// From the request at hand on the connection is somebody else's.
    func become(_ client: NetworkAddress?) {
        self.client = client
        caller = nil
    }

    /// What was found of the credential of the request whose head is read next.
    func take(_ found: FoundCredential) { self.found = found }

    /// Who shares its limits.
    func peerKey(_ connection: Connection) -> PeerKey {
        client.map { PeerKey($0) } ?? connection.peerAddress.peerKey
    }

    /// Handles the request if its body is here, and begins to wait for it otherwise. False: wait for more bytes.
    private func readBody(
        upTo most: Int, _ input: inout ConnectionInput, _ length: Int, _ connection: Connection
    ) -> Bool {
        switch loop.head.body {
        case .length(let body)
        where (body == 0 || input.count >= length + body) && (body <= most || !loop.takesWindows):
            finishReceiving(connection)
            handle(&input, head: length, body: body, connection)
            return true
        case .length(let body):
            guard body <= most else {
                guard loop.takesWindows else {
                    refuse(loop.bodyTooLarge(most), on: connection, begun: true)
                    return false
                }
                switch loop.windows() {
                case .failure(let problem):
                    refuse(problem, on: connection, begun: true)
                    return false
                case .success(let reader):
                    return readPieces(by: reader, upTo: .max, &input, head: length, connection)
                }
            }
            beginReceivingBody(connection)
            state = .sized(head: length, body: body)
            guard awaitBody(&input, head: length, body: body, connection) else { return false }
            if loop.head.expectsContinue, input.count == length { connection.write { ResponseHead.writeContinue(&$0) } }
            return false
        case .chunked:
            beginReceivingBody(connection)
            exchange?.head = loop.pool.slice(copying: UnsafeRawBufferPointer(rebasing: input.readable[..<length]))
            input.consume(length)
            if loop.head.expectsContinue, input.isEmpty { connection.write { ResponseHead.writeContinue(&$0) } }
            state = .chunked(ChunkedBody(maxBody: most, becomesWindows: loop.takesWindows))
            return true
        }
    }

    /// Asks for more of a body by length, and reserves as much as will be there then. False: refused.
    @discardableResult
    private func awaitBody(_ input: inout ConnectionInput, head: Int, body: Int, _ connection: Connection) -> Bool {
        let share = min(body, max(Self.firstShare, 2 * (input.count - head)))
        let reserved = exchange?.reserved ?? 0
        if share > reserved, let problem = reserve(share - reserved, connection) {
            // Another request of the loop may have been parsed meanwhile.
            revive(input.readable, connection)
            refuse(problem, on: connection, begun: true)
            return false
        }
        input.needed = head + body
        input.review = head + share
        if let signature = exchange?.signature {
            signature.see(UnsafeRawBufferPointer(rebasing: input.readable[head..<min(input.count, head + body)]))
            input.review = min(input.review, input.count + SignedBody.piece)
        }
        return true
    }

    /// Feeds the chunked body. False: wait for more bytes.
    private func readChunks(
        _ input: inout ConnectionInput, _ body: ChunkedBody, _ connection: Connection
    ) -> Bool {
        let bytes = input.readable
        var position = 0
        while true {
            // What goes on in windows does so with a short piece.
            let end = position + min(body.becomesWindows ? WindowedBody.pieceBytes : .max, bytes.count - position)
            switch body.decoder.next(UnsafeRawBufferPointer(rebasing: bytes[..<end]), &position) {
            case .needMore:
                if end < bytes.count { continue }
                input.consume(bytes.count)
                return false
            case .data(let range):
                let piece = UnsafeRawBufferPointer(rebasing: bytes[range])
                if body.becomesWindows, body.count + range.count > body.longest {
                    let goesOn = becomeWindows(body, piece, connection)
                    if case .windows = state { input.consume(position) }
                    return goesOn
                }
                let growth = body.growth(for: range.count)
                if growth > 0, let problem = reserve(growth, connection) {
                    revive(connection)
                    refuse(problem, on: connection, begun: true)
                    return false
                }
                exchange?.signature?.seeNext(piece)
                body.append(piece, pool: loop.pool)
            case .failure(let failure):
                chunksFailed(failure, limit: body.longest, connection)
                return false
            case .end:
                input.consume(position)
                state = .head
                finishReceiving(connection)
                exchange?.body = body.slice(pool: loop.pool)
                revive(connection)
                loop.countChunks(exchange?.body?.count ?? 0)
                if let rest = handle(exchange?.body?.bytes ?? Self.noBody, connection) {
                    if case .work(let work) = rest, let whole = exchange?.body {
                        let kept = loop.kept(whole.bytes, for: work)
                        if kept.baseAddress != whole.bytes.baseAddress {
                            exchange?.body = loop.pool.slice(copying: kept)
                        }
                    }
                    wait(for: rest, connection)
                }
                return true
            }
        }
    }

    func chunksFailed(_ failure: HTTPFailure, limit: Int, _ connection: Connection) {
        gateway.metrics.refusedInput.add()
        revive(connection)
        let problem = failure == .bodyTooLarge ? loop.bodyTooLarge(limit) : Problem(failure)
        loop.forgetRoute()
        refuse(problem, on: connection, begun: true)
    }

    /// Makes a request whose head was kept the loop's request again. The same bytes gave this head before.
    private func revive(_ head: UnsafeRawBufferPointer, _ connection: Connection) {
        guard let exchange, case .complete = parseHead(head) else { preconditionFailure("a head has changed") }
        loop.begin(exchange, now: connection.loop.now, wallClockMs: connection.loop.wallClockMs)
    }

    func revive(_ connection: Connection) {
        guard let head = exchange?.head else { preconditionFailure("a request goes on whose head was not kept") }
        revive(head.bytes, connection)
    }

    // MARK: The exchange

    /// Returns the exchange of the request at hand: from now on it is one that is not answered in one go.
    @discardableResult
    func beginExchange(_ connection: Connection) -> Exchange {
        if let exchange { return exchange }
        let begun = loop.beginExchange(for: connection.id)
        exchange = begun
        return begun
    }

    /// Ends the exchange when there is one, and gives back what it holds.
    func endExchange(_ connection: Connection) {
        guard let ended = exchange else { return }
        release(connection)
        exchange = nil
        loop.exchanges.end(ended)
    }

    /// Takes `bytes` of the budget, or says what to answer.
    func reserve(_ bytes: Int, _ connection: Connection) -> Problem? {
        loop.reserve(bytes, by: peerKey(connection)) { beginExchange(connection) }
    }

    private func release(_ connection: Connection) {
        guard let exchange, exchange.reserved > 0 else { return }
        gateway.inflight.release(exchange.reserved, of: peerKey(connection))
        exchange.reserved = 0
    }

    // MARK: Handling

    static var noBody: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    /// Handles the request at the start of `input` and consumes it.
    private func handle(_ input: inout ConnectionInput, head: Int, body: Int, _ connection: Connection) {
        state = .head
        let bytes = UnsafeRawBufferPointer(rebasing: input.readable[head..<head + body])
        if let rest = handle(bytes, connection) {
            // Rare: the request is copied, and the buffer goes on without it.
            let exchange = beginExchange(connection)
            exchange.head = loop.pool.slice(copying: UnsafeRawBufferPointer(rebasing: input.readable[..<head]))
            if case .work(let work) = rest, body > 0 {
                let kept = loop.kept(bytes, for: work)
                // A long one has its chunk to itself, most often.
                exchange.body =
                    body > Self.copiedKept && kept.baseAddress == bytes.baseAddress
                    ? input.slice(head, count: body) : loop.pool.slice(copying: kept)
            }
            wait(for: rest, connection)
        }
        input.consume(head + body)
    }

    /// A body that waits for work is copied up to this many bytes, and beyond it keeps the memory in which it came.
    private static let copiedKept = 64 << 10

    /// Handles the request whose head was just parsed.
    private func handle(_ body: UnsafeRawBufferPointer, _ connection: Connection) -> Rest? {
        let started = MonotonicClock.nanoseconds
        loop.peer = peerKey(connection)
        return settle(loop.handle(body), started: started, connection)
    }

    /// Answers the request at hand, or says what it waits for.
    func settle(_ completion: Completion, started: Int64, _ connection: Connection) -> Rest? {
        switch completion {
        case .suspended(.work(let work)): return .work(work)
        case .suspended(.records(let reply)): return begin(reply, connection)
        case .suspended(.windows(let body)): return .windows(body)
        case .answered: writeReply(on: connection)
        case .gated(let commits, let bytes): writeReply(on: connection, gatedBy: commits, holding: bytes)
        }
        loop.count(started: started, ended: MonotonicClock.nanoseconds)
        endExchange(connection)
        return nil
    }

    // MARK: Waiting

    /// Waits, muted, for a worker that looks at the credential; then the head is read once more.
    private func wait(for check: CredentialCheck, _ connection: Connection) {
        finishReceiving(connection)
        connection.pauseReading()
        connection.beginWork()
        let (id, handle, credential, address) = (connection.id, connection.loop.handle, check.credential, check.address)
        pending = check.begin { verdict in
            handle.submit { eventLoop in
                guard let connection = eventLoop.connection(id), let waiting = connection.handler as? HTTPConnection
                else { return }
                waiting.pending = nil
                waiting.take(FoundCredential(credential: credential, address: address, verdict: verdict))
                connection.endWork()
                connection.resumeReading()
            }
        }
        if pending != nil { return }
        connection.endWork()
        connection.resumeReading()
        refuse(
            Problem(.overloaded, "Too many credentials are being checked.", retryAfter: 1), on: connection, begun: true)
    }

    func wait(for rest: Rest, _ connection: Connection) {
        switch rest {
        case .work(let work): wait(for: work, connection)
        case .records(let reply, let pause): stream(reply, pause, connection)
        case .windows(let body): handleWhole(body, connection)
        }
    }

    /// Waits for work on another thread, with this connection muted.
    private func wait(for work: any ExchangeWork, _ connection: Connection) {
        let exchange = beginExchange(connection)
        if let problem = keepBody(of: exchange, connection) {
            loop.answer(problem, instance: loop.head.path)
            writeReply(on: connection)
            loop.count(started: loop.now, ended: loop.now)
            return endExchange(connection)
        }
        state = .waiting(work)
        exchange.deadline = deadline(from: connection.loop.now)
        connection.setTimer(Self.requestTimer, after: gateway.options.requestTimeout)
        connection.pauseReading()
        connection.beginWork()
        let (id, name, handle) = (connection.id, exchange.id, connection.loop.handle)
        // Counted as its caller's for as long as somebody works for it, also when the client has gone.
        let taken = work.begin(exchange, for: peerKey(connection)) { [place = exchange.place] in
            withExtendedLifetime(place) {}
            handle.submit { eventLoop in
                guard let connection = eventLoop.connection(id), let waiting = connection.handler as? HTTPConnection
                else { return }
                waiting.resume(name, connection)
            }
        }
        if !taken {
            work.refuse()
            resume(name, connection)
        }
    }

    /// Counts the body of a request that waits as its peer's: as many may wait as there are connections.
    private func keepBody(of exchange: Exchange, _ connection: Connection) -> Problem? {
        guard let body = exchange.body, body.count > exchange.reserved else { return nil }
        return reserve(body.count - exchange.reserved, connection)
    }

    /// Goes on with a request whose work is done; not when it was given up meanwhile.
    private func resume(_ name: ExchangeID, _ connection: Connection) {
        guard let exchange = loop.exchanges[name], exchange === self.exchange, case .waiting(let work) = state else {
            return
        }
        state = .head
        connection.cancelTimer(Self.requestTimer)
        revive(connection)
        loop.peer = peerKey(connection)
        work.handOver(to: exchange)
        let body = exchange.body
        let started = MonotonicClock.nanoseconds
        let completion = work.resume(body?.bytes ?? Self.noBody, on: loop)
        if let rest = settle(completion, started: started, connection) { wait(for: rest, connection) }
        withExtendedLifetime(body) {}
        connection.endWork()
        switch state {
        case .waiting, .streaming, .windows: return
        default: connection.resumeReading()
        }
    }

    // MARK: Time

    /// Begins to wait for the rest of a head.
    private func beginReceivingHead(_ connection: Connection) {
        if startedAt != 0 { return }
        startedAt = connection.loop.now
        connection.setTimer(Self.requestTimer, after: gateway.options.headTimeout)
    }

    /// Begins to wait for the body of the request at hand.
    func beginReceivingBody(_ connection: Connection) {
        if startedAt == 0 { startedAt = connection.loop.now }
        beginExchange(connection).deadline = deadline(from: startedAt)
        connection.setTimer(Self.requestTimer, after: gateway.options.bodyIdleTimeout)
    }

    func deadline(from moment: Int64) -> Int64 {
        let (deadline, isNever) = moment.addingReportingOverflow(gateway.options.requestTimeout.inNanoseconds)
        return isNever ? .max : deadline
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
        case .reading(let body): received = body.received
        case .waiting(let work): return isLate(work, connection)
        case .windows(let body, _): return windowIsLate(body, connection)
        case .streaming(let stream): return checkReader(of: stream, connection)
        case .closing: return
        }
        guard let exchange else { preconditionFailure("a body that belongs to no request") }
        let idle = gateway.options.bodyIdleTimeout
        guard connection.loop.now < exchange.deadline,
            received - exchange.receivedAtLastLook >= gateway.options.leastProgress(in: idle)
        else {
            let problem = Problem(.bodyTimeout, "The request's body did not arrive in time.")
            if case .reading(let streamed) = state, let body = streamed.windows {
                return stop(body, problem, connection)
            }
            return refuse(problem, on: connection)
        }
        exchange.receivedAtLastLook = received
        connection.setTimer(Self.requestTimer, after: idle)
    }

    private func isLate(_ work: any ExchangeWork, _ connection: Connection) {
        work.cancel()
        refuse(work.lateProblem, on: connection)
        connection.endWork()
    }

    func closed(on connection: Connection, reason: CloseReason) {
        pending?.giveUp()
        switch state {
        case .waiting(let work): work.cancel()
        case .streaming(let stream): loop.waits.forget(stream)
        default: break
        }
        endExchange(connection)
        leaveSeat()
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

extension Caller {
    fileprivate convenience init(_ connection: Connection, _ client: NetworkAddress?, _ certificateOwner: Principal?) {
        let socket = NetworkAddress(connection.peerAddress)
        self.init(
            address: client ?? socket, isSecure: connection.transform != nil,
            isLocal: socket.isLoopback && client == nil,
            isConfidential: connection.transform != nil || socket.isLoopback,
            certificateOwner: certificateOwner)
    }
}
