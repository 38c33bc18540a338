import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security
import Telemetry
import Transport

/// Asks a client who it is: hands what comes to the connection's `SaslSession`, and does what that says. What a password is
/// checked by is a worker's; the connection is muted meanwhile, and during the delay of a failure.
extension KafkaConnection {
    /// A request on a connection whose session is to be asked first.
    func authenticate(_ api: API, _ request: borrowing Request, _ sasl: SaslConnection) throws(DecodeError) {
        if let identity = sasl.session.identity, !isProven(identity, sasl) {
            return end(.revoked)
        }
        switch api.key {
        // Their handlers ask the session.
        case .saslHandshake, .saslAuthenticate: try api.handle(self, request)
        case .apiVersions:
            let response = try versions(request)
            let answer = ErrorCode(rawValue: response.errorCode)
            if take(.apiVersions(answer), request.ticket, sasl) { reply(response, to: request.ticket) }
        default:
            if take(.other, request.ticket, sasl) { try serve(api, request) }
        }
    }

    /// After SaslHandshake 0: a frame that is nothing but a token.
    func takeRawToken(_ frame: ByteSlice, _ sasl: SaslConnection) {
        let ticket = ReplyTicket(key: .saslAuthenticate, version: 0, correlationID: 0)
        let token = Secret(copying: frame.bytes)
        frame.wipe()
        _ = take(.rawToken(token), ticket, sasl)
    }

    /// Gives the session what has come. True: it is to be served like any other request.
    func take(_ asked: SaslRequest, _ ticket: ReplyTicket, _ sasl: SaslConnection) -> Bool {
        // Before anything is done for it. PLAIN is looked at where its password is not remembered (`verify`).
        if asked.isToken, sasl.session.wouldBeginScram, sasl.session.identity == nil {
            guard mayTry(sasl), sasl.authentication.mayBegin(from: peerAddress) else {
                end(.unavailable)
                return false
            }
            sasl.hasBegun = true
        }
        let action = sasl.session.receive(asked, now: saslTime, environment: sasl.authentication.environment)
        return perform(action, ticket, sasl)
    }

    /// Whether a proof of who has not shown who he is may be looked at just now.
    private func mayTry(_ sasl: SaslConnection) -> Bool {
        sasl.session.identity != nil || sasl.authentication.mayTry(from: peerAddress)
    }

    /// Closes the connection without a reply, which clients take for a reason to try again.
    private func end(_ end: SaslEnd) {
        server.metrics.endedAuthentications[end]?.add()
        if let sasl { audit(end.rawValue, sasl) }
        switch end {
        case .unavailable:
            Log.info("authentication is not possible just now", "peer", connection.peerAddress.description)
        case .tooManyGroups:
            let claimed = sasl?.session.claimed?.user?.text ?? ""
            Log.warning(
                "a client is in more groups, and has more scopes, than can be looked at: its connection is closed",
                "peer",
                connection.peerAddress.description, "most", AccessSubject.maxGroups, "user", Self.shortened(claimed))
        case .deadline, .expired, .revoked: break
        }
        close(because: "authentication: \(end.rawValue)")
    }

    /// Tells the audit how somebody's showing who he is has ended; of whoever has not, the name is what he says.
    private func audit(_ result: String, _ sasl: SaslConnection) {
        guard let audit = server.options.audit else { return }
        let claimed = sasl.session.claimed
        let who = sasl.session.identity?.principal ?? .user(claimed?.user?.text ?? "")
        audit.note(
            AuditEntry(
                .authentication, who: who.description, from: peerAddress.description,
                what: claimed?.mechanism.rawValue ?? "none", result: result))
    }

    /// Of a name that somebody says to have, in a line of the log.
    private static let maxLoggedName = 64

    private static func shortened(_ name: String) -> String {
        String(decoding: name.utf8.prefix(maxLoggedName), as: UTF8.self)
    }

    private var saslTime: MonotonicTime { MonotonicTime(milliseconds: loop.eventLoop.now / 1_000_000) }

    // MARK: Actions

    private func perform(_ action: SaslAction, _ ticket: ReplyTicket, _ sasl: SaslConnection) -> Bool {
        switch action {
        case .serve: return true
        case .drop: return false
        case .replyHandshake(let error, let mechanisms, let closes):
            var response = SaslHandshakeResponse()
            (response.errorCode, response.mechanisms) = (error.rawValue, mechanisms)
            reply(response, to: ticket)
            if closes { part() }
        case .reply(let said): reply(SaslAuthenticateResponse(said), to: ticket)
        case .replyRaw(let token):
            connection.write { writer in
                writer.int32(Int32(token.count))
                writer.bytes(token)
            }
        case .verify(let verification): verify(verification, ticket, sasl)
        case .fail(let said, let time):
            server.metrics.refusedAuthentications.add()
            sasl.authentication.countFailure(from: peerAddress)
            audit("refused", sasl)
            let claimed = sasl.session.claimed
            Log.info(
                "authentication refused", "peer", connection.peerAddress.description, "port",
                connection.localAddress?.port ?? 0, "mechanism", claimed?.mechanism.rawValue ?? "none", "user",
                Self.shortened(claimed?.user?.text ?? ""))
            sasl.owed = said.map { ($0, ticket) }
            park(.work)
            connection.setTimer(SaslConnection.Timer.failure, after: max(.zero, time - saslTime))
        case .refuse(let error, let closes): refuseSasl(error, ticket, closes: closes)
        case .close(let reason):
            if let why = SaslEnd(reason) { end(why) } else { fail("authentication: \(reason.rawValue)") }
        }
        settle(sasl)
        return false
    }

    /// Follows the session: its deadline, and who the client has shown to be.
    private func settle(_ sasl: SaslConnection) {
        if let deadline = sasl.session.deadline {
            connection.setTimer(SaslConnection.Timer.deadline, after: max(.zero, deadline - saslTime))
        } else {
            connection.cancelTimer(SaslConnection.Timer.deadline)
        }
        guard sasl.session.isAuthenticated, let identity = sasl.session.identity else {
            sasl.isOpenEnded = false
            return
        }
        if sasl.hasBegun { sasl.authentication.hasProven(from: peerAddress) }
        sasl.hasBegun = false
        sasl.isOpenEnded = sasl.session.isOpenEnded
        // What the first or a renewed session says of groups counts from here on.
        forgetIdentity()
        if sasl.signedInAs == nil {
            sasl.signedInAs = identity.principal.name
            loop.signedIn(identity.principal.name, connection.id)
            server.metrics.authentications.add()
            audit("accepted", sasl)
        }
        // A change of the credential since it was looked at has told the loop before the connection was there to be found.
        sasl.provenAsOf = -1
        if !isProven(identity, sasl) { end(.revoked) }
    }

    /// Whether what the client was let in by is still its user's: looked at once after each change of credentials.
    private func isProven(_ identity: SaslIdentity, _ sasl: SaslConnection) -> Bool {
        // Before the look, so that a change in between is looked at the next time.
        let version = broker.credentialsVersion
        if sasl.provenAsOf == version { return true }
        guard sasl.authentication.isCurrent(identity) else { return false }
        sasl.provenAsOf = version
        return true
    }

    /// Answers in the shape of the API that asked; one that clients do not send while they authenticate has none here, and
    /// its connection is closed.
    func refuseSasl(_ error: ErrorCode, _ ticket: ReplyTicket, closes: Bool) {
        switch ticket.key {
        case .saslHandshake:
            var response = SaslHandshakeResponse()
            response.errorCode = error.rawValue
            reply(response, to: ticket)
        case .saslAuthenticate:
            var response = SaslAuthenticateResponse()
            response.errorCode = error.rawValue
            response.errorMessage = "SaslAuthenticate request received after successful authentication"
            reply(response, to: ticket)
        case .apiVersions:
            var response = ApiVersionsResponse()
            response.errorCode = error.rawValue
            reply(response, to: ticket)
        default: return fail("\(ticket.key.name) during authentication")
        }
        if closes { part() }
    }

    /// Ends the connection of a client that was just told why: once it has closed, or has had the time to.
    private func part() {
        guard let time = sasl?.session.settings.parting, time > .zero, !loop.eventLoop.isStopping else {
            return connection.closeAfterFlush()
        }
        park(.parting)
        connection.setTimer(SaslConnection.Timer.parting, after: time)
    }

    // MARK: Passwords and tokens

    private func verify(_ verification: SaslVerification, _ ticket: ReplyTicket, _ sasl: SaslConnection) {
        switch verification {
        case .password(let user, let password):
            if let identity = sasl.authentication.remembered(user, password) {
                return verified(.accepted(identity), ticket, sasl)
            }
            guard mayTry(sasl) else { return verified(.unavailable, ticket, sasl) }
            sasl.pending = sasl.authentication.check(user, password, from: peerAddress, verdictTaker(ticket))
            if sasl.pending == nil { verified(.unavailable, ticket, sasl) }
        case .token(let token):
            guard let tokens = sasl.tokens else {
                preconditionFailure("OAUTHBEARER is offered, and nobody verifies tokens")
            }
            if let identity = tokens.remembered(token) {
                return verified(.accepted(SaslIdentity(identity)), ticket, sasl)
            }
            guard mayTry(sasl) else { return verified(.unavailable, ticket, sasl) }
            let take = verdictTaker(ticket)
            sasl.pending = tokens.check(token, from: peerAddress) { take(SaslVerdict($0)) }
            if sasl.pending == nil { verified(.unavailable, ticket, sasl) }
        }
    }

    /// Parks the connection, and makes what brings a verdict back to it from another thread.
    private func verdictTaker(_ ticket: ReplyTicket) -> @Sendable (SaslVerdict) -> Void {
        park(.work)
        let (id, handle) = (connection.id, loop.handle)
        return { verdict in
            handle.submit { loop in
                guard let handler = loop.connection(id)?.handler as? KafkaConnection, let sasl = handler.sasl else {
                    return
                }
                handler.unpark()
                handler.verified(verdict, ticket, sasl)
            }
        }
    }

    private func verified(_ verdict: SaslVerdict, _ ticket: ReplyTicket, _ sasl: SaslConnection) {
        let wall = UnixTime(milliseconds: WallClock.milliseconds)
        _ = perform(sasl.session.finish(verdict, now: saslTime, wall: wall), ticket, sasl)
    }

    /// Where the client is. Of an address of one link, the link is no part of it here.
    var peerAddress: NetworkAddress { NetworkAddress(connection.peerAddress) }

    // MARK: Time

    func timerFired(_ id: Int, on connection: Connection) {
        if id == SaslConnection.Timer.muted { return endMuting() }
        guard let sasl else { return }
        switch id {
        case SaslConnection.Timer.failure:
            guard let owed = sasl.owed else { return connection.closeAfterFlush() }
            sasl.owed = nil
            reply(SaslAuthenticateResponse(owed.reply), to: owed.to)
            part()
        case SaslConnection.Timer.parting: connection.closeAfterFlush()
        case SaslConnection.Timer.deadline:
            guard let deadline = sasl.session.deadline else { return }
            guard deadline <= saslTime else { return settle(sasl) }
            let ticket = ReplyTicket(key: .saslAuthenticate, version: 0, correlationID: 0)
            _ = perform(sasl.session.deadlinePassed(), ticket, sasl)
        default: preconditionFailure("timer \(id) of a Kafka connection")
        }
    }

    /// Closes the connection if what it was let in by is no longer its user's.
    func credentialChanged() {
        guard let sasl, let identity = sasl.session.identity, !sasl.authentication.isCurrent(identity) else { return }
        end(.revoked)
    }
}

extension SaslAuthenticateResponse {
    fileprivate init(_ reply: SaslReply) {
        self.init()
        (errorCode, errorMessage) = (reply.error.rawValue, reply.message)
        authBytes = reply.token
        sessionLifetimeMs = reply.sessionLifetimeMs
    }
}
