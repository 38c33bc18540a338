import ByteBuffers
import HTTP2Wire
import HTTPWire
import KafkaModel
import Security
import Telemetry
import Transport

/// One client's connection of HTTP/2: streams in, replies out in the order in which they are ready. Confined to its loop.
///
/// ```
///   HTTPConnection ──preface──► open ──drain, age──► ending (GOAWAY: more may come) ──1 s──► ended (GOAWAY: the last was …)
///                                 └── bytes that are no HTTP/2, a flood ──► closing                 └── no streams ──► closing
/// ```
/// What it knows of who asks is that of the `HTTPConnection` that has taken the first bytes (`front`). Each stream has its own
/// exchange and waits for its own commits; <doc:HTTP2> has what bounds them.
///
/// Invalid events: what the library tells of a stream that is gone is ignored; bytes that are no HTTP/2 end the connection.
final class HTTP2Connection: ConnectionHandler, HTTP2StreamEvents {
    let front: HTTPConnection
    /// It has this handler, and ends with it.
    unowned let connection: Connection
    /// Set by `init`, once there is somebody to tell of streams.
    private(set) var session: HTTP2Session!
    var streams: [Int32: HTTP2Stream] = [:]
    /// Streams that are whole and wait for their turn, oldest first.
    var parked: [Int32] = []
    /// Streams that wait for a part of the loop's time, to make the next part of their reply.
    var slicing: [Int32] = []
    var isSliceQueued = false
    /// Bytes of replies' bodies that were made and not sent.
    var heldBytes = 0
    /// Bytes of events that wait for their commits.
    var weight = 0
    /// Streams that wait for work on another thread, or whose reply is there.
    var working = 0
    /// The session is at work, and must not be asked to be.
    private var isInSession = false
    private var hasFailed = false
    /// When the session began with the newest piece of input, as `EventLoop.clock` has it.
    private var sliceBegan: Int64 = 0
    /// When the next look at streams is due; `.max`: none is.
    private var timerAt = Int64.max
    /// When fields that have begun must be whole; `.max`: none have.
    private var fieldsUntil = Int64.max
    /// When what the session does not need without streams is given back; `.max`: it has some, or that was done.
    private var restAt = Int64.max
    private var ending = Ending.no

    private enum Ending {
        case no
        /// The peer was told that the end is near; at this moment no more streams are taken.
        case announced(until: Int64)
        case said
    }

    /// Bytes that are read before what they have brought about is sent.
    static let slice = 16 << 10
    /// From the announcement of the end to it: a peer has heard of it by then, and what it had sent has come.
    static let endNotice: Int64 = 1_000_000_000
    /// From the last stream's end to when the connection counts as silent: giving memory back and getting it again costs two calls.
    static let silence: Int64 = 1_000_000_000
    /// The only timer: the next look at a stream.
    static let timer = 1

    var gateway: Gateway { front.gateway }
    var loop: GatewayLoop { front.loop }
    var now: Int64 { connection.loop.now }

    init(behind front: HTTPConnection, _ connection: Connection) {
        self.front = front
        self.connection = connection
        session = HTTP2Session(self, space: front.loop.frameSpace)
        front.gateway.metrics.http2Connections.add()
        // It ends with its age though nothing comes: its client is told, and loses nothing by it.
        look(at: front.endsAt)
        restLater()
    }

    /// Whether no request is begun, and no part of a reply made, before the peer has read more or commits have come.
    var isCongested: Bool {
        heldBytes > connection.limits.outputHighWater || weight > connection.limits.maxUncommitted
    }

    /// Streams of one connection that wait for work at a time, each with a reply to come whose size nobody knows yet.
    static let maxWorking = 8

    /// What a piece of input has brought about has taken the connection's part of the turn.
    var isTurnUsed: Bool {
        isInSession && EventLoop.clock() - sliceBegan >= gateway.options.maxTurnNanoseconds
    }

    var isBusy: Bool { isCongested || working >= Self.maxWorking }

    // MARK: Input and output

    func received(_ input: inout ConnectionInput, on connection: Connection) {
        let began = EventLoop.clock()
        beginEndingIfDue()
        while !input.isEmpty, connection.wantsInput {
            let count = min(input.count, Self.slice)
            let piece = UnsafeRawBufferPointer(rebasing: input.readable.prefix(count))
            isInSession = true
            sliceBegan = EventLoop.clock()
            let failure = session.receive(piece, now: now)
            isInSession = false
            if let failure {
                input.consume(input.count)
                return fail(failure)
            }
            input.consume(count)
            pump()
            if EventLoop.clock() - began >= gateway.options.maxTurnNanoseconds, !input.isEmpty {
                connection.giveWay()
                break
            }
        }
        watchFields()
    }

    /// Says what there is to say of it, and ends the connection.
    private func fail(_ failure: HTTP2Session.Failure) {
        gateway.metrics.refusedInput.add()
        Log.debug("connection of HTTP/2 ended", "peer", connection.peerAddress.description, "reason", "\(failure)")
        pump()
        hasFailed = true
        connection.closeAfterFlush(peerIsSending: true)
    }

    /// Sends what the session has, as far as the socket takes it.
    func pump() {
        if isInSession || hasFailed { return }
        repeat {
            isInSession = true
            while connection.pendingOutputBytes <= connection.limits.outputHighWater, let bytes = session.nextOutput() {
                connection.write(copying: bytes)
            }
            isInSession = false
        } while handleParked()
        // Not by `streamClosed`, which comes before the stream's last bytes are written.
        if session.isOver || isAtItsEnd { return connection.closeAfterFlush() }
        for stream in streams.values {
            if case .streaming(let reply) = stream.state, !reply.isQueued, !reply.isAway, !reply.isWaiting {
                goOn(reply, stream)
            }
        }
    }

    func outputDrained(on connection: Connection) { pump() }

    func closed(on connection: Connection, reason: CloseReason) {
        for stream in streams.values { forget(stream) }
        streams = [:]
        front.closed(on: connection, reason: reason)
    }

    // MARK: Streams

    func begin(_ stream: HTTP2Stream) {
        if streams.isEmpty { connection.beginWork() }
        restAt = .max
        streams[stream.id] = stream
    }

    func streamClosed(_ id: Int32) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        forget(stream)
        if !streams.isEmpty { return }
        connection.endWork()
        restLater()
    }

    private func restLater() {
        restAt = now + Self.silence
        look(at: restAt)
    }

    /// Gives back what a stream holds.
    private func forget(_ stream: HTTP2Stream) {
        stream.check?.giveUp()
        stream.check = nil
        switch stream.state {
        case .waiting(let work):
            work.cancel()
            working -= 1
        case .streaming(let streamed):
            if streamed.isAway { working -= 1 }
            loop.waits.forget(streamed)
        case .windows(let body) where body.isAway: working -= 1
        default: break
        }
        endExchange(stream)
        dropEarly(stream)
        gateway.inflight.release(stream.fieldsReserved, of: stream.peer)
        stream.fieldsReserved = 0
        heldBytes -= stream.dropPieces()
        weight -= stream.weight
        stream.weight = 0
    }

    // MARK: The end

    /// Tells the peer that the end is near, when it is.
    func beginEndingIfDue() {
        guard case .no = ending, gateway.isDraining || now >= front.endsAt else { return }
        ending = .announced(until: now + Self.endNotice)
        session.announceEnd()
        look(at: now + Self.endNotice)
        pump()
    }

    /// Takes no more streams. What comes later is not looked at, and the peer knows that.
    private func end() {
        if case .said = ending { return }
        ending = .said
        session.goAway()
        pump()
    }

    /// Nothing more is taken, and all that was is answered.
    private var isAtItsEnd: Bool {
        if case .said = ending { streams.isEmpty } else { false }
    }

    func stopBegan(on connection: Connection) {
        stopBodies()
        end()
    }

    // MARK: Time

    private func watchFields() {
        if !session.hasPartialFields {
            fieldsUntil = .max
        } else if fieldsUntil == .max {
            fieldsUntil = now + gateway.options.headTimeout.inNanoseconds
            look(at: fieldsUntil)
        }
    }

    /// Has all streams looked at then, or before.
    func look(at time: Int64) {
        guard time < timerAt else { return }
        timerAt = time
        connection.setTimer(Self.timer, after: .nanoseconds(max(0, time - now)))
    }

    func timerFired(_ id: Int, on connection: Connection) {
        timerAt = .max
        beginEndingIfDue()
        if now >= fieldsUntil {
            fieldsUntil = .max
            session.terminate(.enhanceYourCalm)
            gateway.metrics.refusedInput.add()
        }
        if case .announced(let until) = ending {
            if now >= until { end() } else { look(at: until) }
        }
        for stream in Array(streams.values) where stream.lookAt != .max {
            if now >= stream.lookAt { check(stream) }
            if streams[stream.id] != nil, stream.lookAt != .max { look(at: stream.lookAt) }
        }
        if now >= restAt {
            restAt = .max
            session.rest()
        } else if restAt != .max {
            look(at: restAt)
        }
        if fieldsUntil != .max { look(at: fieldsUntil) }
        if case .no = ending, front.endsAt != .max { look(at: front.endsAt) }
        pump()
    }
}
