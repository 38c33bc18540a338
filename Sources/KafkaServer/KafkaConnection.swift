import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security
import Telemetry
import Transport

/// One request in its frame: the header's fields and the body still to be decoded.
struct Request {
    let key: APIKey
    let version: Int16
    let correlationID: Int32
    let clientID: UnsafeRawBufferPointer?
    /// The whole frame behind its length; keeps the bytes alive.
    let frame: ByteSlice
    /// Stands behind the header.
    let body: ByteReader

    /// Decodes the message. Bytes behind it are overlooked, as Kafka does: librdkafka's Metadata requests have some.
    func decode<Message: KafkaRequest>(_ type: Message.Type) throws(DecodeError) -> Message {
        try decodeCounted(type).message
    }

    /// Decodes the message, and returns the memory that was paid for with it.
    func decodeCounted<Message: KafkaRequest>(_ type: Message.Type) throws(DecodeError) -> (
        message: Message, bytes: Int
    ) {
        defer { if key.bearsSecrets { frame.slice(body.position, count: body.remaining).wipe() } }
        var reader = body
        reader.allowance = RequestLimits.decodedBytes
        let message = try Message(from: &reader, version: version)
        return (message, RequestLimits.decodedBytes - reader.allowance)
    }

    /// Bytes of memory that the client's own text takes in a reply that has all of it once: twice, encoded.
    var echoedBytes: Int { 2 * frame.count }
    var clientIDText: String { clientID.map { String(decoding: $0, as: UTF8.self) } ?? "" }
    /// What a reply that is written later needs.
    var ticket: ReplyTicket { ReplyTicket(key: key, version: version, correlationID: correlationID) }
}

extension APIKey {
    /// Its frame is wiped once it is decoded: memory of frames is used again as it is.
    var bearsSecrets: Bool {
        switch self {
        case .saslAuthenticate, .alterUserScramCredentials, .alterGatewayKeys: true
        default: false
        }
    }
}

extension ByteSlice {
    /// Leaves zeros where a frame was that nobody looks at any more.
    func wipe() { Secret.wipe(UnsafeMutableRawBufferPointer(start: pointer, count: count)) }
}

/// Enough of a request to answer it later.
struct ReplyTicket: Sendable {
    let key: APIKey
    let version: Int16
    let correlationID: Int32
}

/// One client's connection: frames in, replies out. Confined to its loop.
final class KafkaConnection: ConnectionHandler {
    let server: KafkaServer
    unowned let loop: KafkaLoop
    unowned let connection: Connection
    private let advertised: KafkaServer.Advertised?
    /// Of a listener that asks clients who they are; nil on others.
    let sasl: SaslConnection?
    /// Who its certificate says that the client is, where it has shown one.
    private let certificateOwner: @Sendable (Connection) -> Principal?
    /// Whom ACLs are about; made when they are first asked, which is after the client has shown who it is.
    private var identity: KafkaClientIdentity?
    /// What the muted connection waits for.
    var parked = Parked.nothing
    /// The request at hand is held against quotas: by `counted`, which is there then. Every request looks here.
    var isCounted = false
    var counted: CountedRequests?
    /// Partitions of the parked OffsetCommit that do not exist.
    var refusedCommits: [OffsetCommitResponse.OffsetCommitResponseTopic] = []
    /// What its share sessions are known by; 0: it has had none.
    var shareConnection: UInt64 = 0
    /// The Produce that waits for the coordinator of transactions.
    var waitingProduce: HeldProduce?

    enum Parked {
        case nothing
        case fetch(UInt64)
        case group(WaiterID, groupID: String)
        /// Blocking work on another thread.
        case work
        /// Until the time is over that a quota makes the client wait; nothing is owed.
        case muted
        /// The client was told that it is not let in: its end of the connection comes first.
        case parting
    }

    init(
        server: KafkaServer, loop: KafkaLoop, connection: Connection, advertised: KafkaServer.Advertised? = nil,
        sasl: SaslListener? = nil, certificateOwner: @escaping @Sendable (Connection) -> Principal? = { _ in nil }
    ) {
        self.server = server
        self.loop = loop
        self.connection = connection
        self.advertised = advertised
        self.certificateOwner = certificateOwner
        let now = MonotonicTime(milliseconds: loop.eventLoop.now / 1_000_000)
        self.sasl = sasl.map { SaslConnection($0, now: now) }
        if let sasl {
            connection.setTimer(SaslConnection.Timer.deadline, after: sasl.settings.deadline)
        }
    }

    var broker: Broker { server.broker }

    // MARK: Permissions

    /// What the client may do just now.
    var permissions: Permissions {
        guard server.hasAuthorizer else { return .all }
        return Permissions(broker, client, server.options.audit)
    }

    /// Tells the audit of what the client does; nil: there is none.
    var auditor: Auditor? { server.options.audit.map { Auditor(log: $0, client: client) } }

    var standing: Standing? {
        guard let sasl, let identity = sasl.session.identity else { return nil }
        return Standing(authentication: sasl.authentication, identity: identity)
    }

    /// Makes the client's identity anew when it is asked for the next time.
    func forgetIdentity() {
        identity = nil
        counted?.forgetClient()
    }

    /// Whom quotas of users are about.
    var quotaUser: ExactString { principal.name }

    /// Who the client has shown that he is.
    var principal: Principal { subject.principal }

    private var client: KafkaClientIdentity {
        if let identity { return identity }
        let found = loop.identity(of: subject)
        identity = found
        return found
    }

    /// By SASL where the listener has it, else by certificate; who shows neither is nobody.
    private var subject: AccessSubject {
        guard let identity = sasl?.session.identity else {
            return AccessSubject(certificateOwner(connection) ?? .anonymous, address: peerAddress)
        }
        guard let subject = identity.subject(at: peerAddress) else {
            preconditionFailure("a session of \(identity.groups.count) groups, which SaslSession ends")
        }
        return subject
    }

    // MARK: Frames

    /// A request is a length of four bytes, then that many; the shortest holds a header.
    private static let shortestFrame = 8

    func received(_ input: inout ConnectionInput, on connection: Connection) {
        var began: Int64 = 0
        while connection.wantsInput {
            guard input.count >= 4 else {
                input.needed = 4
                return
            }
            let announced = Int(Int32(bigEndian: input.readable.loadUnaligned(as: Int32.self)))
            guard announced >= leastFrame, announced <= mostFrame, announced >> 16 != Self.helloOfTLS else {
                return refuseFrame(announced)
            }
            guard input.count >= announced + 4 else {
                input.needed = announced + 4
                return
            }
            let isFollowed = input.count > announced + 4
            if isFollowed, began == 0 { began = EventLoop.clock() }
            let frame = input.take(announced + 4)
            handle(frame.slice(4, count: announced))
            // More came in the same read, where thousands of requests have room that each cost little, or not so
            // little.
            if isFollowed, EventLoop.clock() - began >= server.options.maxTurnNanoseconds { connection.giveWay() }
        }
    }

    /// A bare token may be empty.
    private var leastFrame: Int { sasl?.session.expectsRawToken == true ? 0 : Self.shortestFrame }

    private var mostFrame: Int { min(sasl?.session.frameLimit ?? .max, server.options.maxRequestBytes) }

    /// A hello of TLS 1.0 to 1.3 begins with 22, 3 and 0 to 4. As a length that is over 352 MiB, which is refused whatever
    /// `socket.request.max.bytes` is: whoever sent it would wait for an answer for as long as frames may take.
    private static let helloOfTLS = 0x1603

    private func refuseFrame(_ announced: Int) {
        if announced >> 16 == Self.helloOfTLS {
            Log.info(
                "a client speaks TLS to a listener of plain text", "peer", connection.peerAddress.description, "port",
                connection.localAddress?.port ?? 0)
        }
        fail("a frame announces \(announced) bytes")
    }

    private func handle(_ frame: ByteSlice) {
        if let sasl, sasl.session.expectsRawToken { return takeRawToken(frame, sasl) }
        do throws(DecodeError) {
            var reader = ByteReader(frame)
            let header = try RequestHeaderView(from: &reader)
            guard let api = server.api(header.apiKey) else {
                return fail("API key \(header.apiKey) is not served")
            }
            guard api.versions.contains(header.apiVersion) else {
                return refuseVersion(api, header)
            }
            let request = Request(
                key: api.key, version: header.apiVersion, correlationID: header.correlationID,
                clientID: header.clientID, frame: frame, body: reader)
            switch api.key {
            case .produce: server.metrics.produceRequests.add()
            case .fetch: server.metrics.fetchRequests.add()
            default: server.metrics.otherRequests.add()
            }
            if let sasl, !sasl.isOpenEnded || sasl.provenAsOf != broker.credentialsVersion {
                return try authenticate(api, request, sasl)
            }
            try serve(api, request)
        } catch {
            fail("\(error)")
        }
    }

    /// Handles a request of a client who may send it.
    func serve(_ api: API, _ request: borrowing Request) throws(DecodeError) {
        let version = server.quotas.version
        if version != 0 { beginCounting(request, version) }
        try api.handle(self, request)
    }

    /// Refuses a version that is not served. ApiVersions is answered in version 0, so that the client can choose
    /// another; for the rest there is no form that the client would understand, and the connection is closed, as by
    /// Kafka.
    private func refuseVersion(_ api: API, _ header: RequestHeaderView) {
        guard api.key == .apiVersions else {
            return fail("\(api.key.name) version \(header.apiVersion) is not served")
        }
        var response = ApiVersionsResponse()
        response.errorCode = ErrorCode.unsupportedVersion.rawValue
        response.apiKeys = [Self.versionEntry(api)]
        let ticket = ReplyTicket(key: .apiVersions, version: 0, correlationID: header.correlationID)
        if let sasl, !take(.apiVersions(.unsupportedVersion), ticket, sasl) { return }
        reply(response, to: ticket)
    }

    /// Closes the connection for what its bytes are.
    func fail(_ reason: @autoclosure () -> String) {
        server.metrics.protocolErrors.add()
        close(because: reason())
    }

    func close(because reason: @autoclosure () -> String) {
        if Log.writes(.debug) {
            Log.debug("kafka connection closed", "peer", connection.peerAddress.description, "reason", reason())
        }
        connection.close()
    }

    // MARK: Replies

    /// Writes a reply; it leaves once `commits` are on disk.
    func reply(_ response: some KafkaResponse, to ticket: ReplyTicket, commits: CommitSpan = CommitSpan()) {
        if !commits.isEmpty { connection.gate(commits) }
        if isCounted { return replyCounted(response, to: ticket) }
        connection.write { writer in Self.encode(response, to: &writer, ticket) }
    }

    /// Mutes the connection until `unpark`: requests behind a parked one wait.
    func park(_ what: Parked) {
        parked = what
        if isCounted { counted?.pause() }
        connection.pauseReading()
    }

    func unpark() {
        parked = .nothing
        if isCounted { counted?.resume() }
        connection.resumeReading()
    }

    /// This broker as this client should know it.
    var node: BrokerNode {
        let id = broker.options.nodeID
        if let advertised { return BrokerNode(id: id, host: advertised.host, port: advertised.port) }
        guard let local = connection.localAddress else { return BrokerNode(id: id, host: "localhost", port: 9092) }
        return BrokerNode(id: id, host: local.host, port: Int32(local.port))
    }

    var requestContextHost: String { "/" + connection.peerAddress.host }

    /// Ends what the peer waits for, as it sends no more and perhaps is not there any more: a fetch is answered with
    /// what there is, and the requests behind it are still handled; a member that joins or syncs is answered by
    /// closing, for there is no truthful reply yet. All else is owed soon, and is answered.
    func peerFinished(on connection: Connection) {
        switch parked {
        // What was sent before counts when its time has come; an end that is all there is ends the connection sooner.
        case .nothing, .work, .muted: break
        case .parting: connection.closeAfterFlush()
        case .fetch(let id): loop.answerFetch(id)
        case .group(let waiter, let groupID):
            guard let key = loop.waiters[waiter]?.reply.key, key == .joinGroup || key == .syncGroup else { return }
            parked = .nothing
            loop.waiters[waiter] = nil
            connection.closeAfterFlush()
            broker.groups.waiterGone(waiter, groupID: groupID)
        }
    }

    func closed(on connection: Connection, reason: CloseReason) {
        if let user = sasl?.signedInAs { loop.signedOut(user, connection.id) }
        sasl?.pending?.giveUp()
        if shareConnection != 0 { broker.shares.closeConnection(shareConnection) }
        switch parked {
        case .nothing, .work, .parting: break
        case .muted: loop.unmute(connection.id)
        case .fetch(let id): loop.dropFetch(id)
        case .group(let waiter, let groupID):
            loop.waiters[waiter] = nil
            broker.groups.waiterGone(waiter, groupID: groupID)
        }
        parked = .nothing
        waitingProduce = nil
    }
}
