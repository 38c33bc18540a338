import KafkaModel

extension SaslSession {
    /// One token of the client, in whichever frame it came.
    mutating func take(
        _ token: Secret, in exchange: Exchange, now: MonotonicTime, environment: () -> SaslEnvironment
    ) -> SaslAction {
        var exchange = exchange
        exchange.tokenArrived = now
        phase = .exchanging(exchange)
        if exchange.isDoomed || token.count > Self.maxFrameBytes { return fail() }
        switch exchange.step {
        case .first: return takeFirst(token, in: exchange, environment: environment)
        case .scram(let scram):
            // Nobody has the password from it, but whoever has the credential has the client's key.
            var message = token.withBytes { Array($0) }
            defer { Secret.wipe(&message) }
            guard case .accepted(let user, let epoch, let serverFinal) = scram.finish(with: message) else {
                return fail()
            }
            let principal = Principal(type: "User", name: user.text)
            return succeed(SaslIdentity(principal: principal, epoch: epoch), end: nil, token: serverFinal, now: now)
        case .challenged:
            // The client's 0x01 says that it has read the challenge. A new token is not looked at.
            return fail(message: Self.invalidToken)
        case .verifying: return close(.unexpectedFrame)
        }
    }

    private mutating func takeFirst(
        _ token: Secret, in exchange: Exchange, environment: () -> SaslEnvironment
    ) -> SaslAction {
        var exchange = exchange
        let action: SaslAction
        switch exchange.mechanism {
        case .plain:
            guard let message = token.withBytes({ PlainMessage($0) }) else { return fail() }
            claimed?.user = message.user
            exchange.step = .verifying(authorizationID: nil)
            action = .verify(.password(user: message.user, message.password))
        case .oauthBearer:
            guard let message = token.withBytes({ OAuthBearerMessage($0) }) else { return fail() }
            exchange.step = .verifying(authorizationID: message.authorizationID)
            action = .verify(.token(message.token))
        case .scramSHA256, .scramSHA512:
            var scram = ScramExchange(mechanism: exchange.mechanism == .scramSHA256 ? .sha256 : .sha512)
            let environment = environment()
            let entropy = environment.entropy(ScramExchange.nonceBytes)
            let first = scram.begin(
                with: token.withBytes { Array($0) }, credentials: environment.credentials, decoys: environment.decoys,
                entropy: entropy)
            guard let first else { return fail() }
            claimed?.user = scram.user
            exchange.step = .scram(scram)
            action = exchange.isRaw ? .replyRaw(first) : .reply(SaslReply(token: first))
        }
        phase = .exchanging(exchange)
        return action
    }

    /// What the worker found for the last `.verify`. `wall` is for the credential's end.
    public mutating func finish(_ verdict: SaslVerdict, now: MonotonicTime, wall: UnixTime) -> SaslAction {
        guard case .exchanging(var exchange) = phase, case .verifying(let authorizationID) = exchange.step else {
            // The session ended meanwhile, and what ended it was said then.
            guard case .closed = phase else { preconditionFailure("a verdict that nobody asked for") }
            return .drop
        }
        switch verdict {
        case .unavailable: return close(.verifierUnavailable)
        case .accepted(let found):
            let left = found.expiry.map { $0 - wall }
            if let left, left < Self.minSession { break }
            guard authorizationID == nil || authorizationID == found.principal.name else { return fail(now: now) }
            return succeed(found, end: left.map { now + $0 }, token: [], now: now)
        case .rejected: break
        }
        guard exchange.mechanism == .oauthBearer else { return fail(now: now) }
        exchange.step = .challenged
        phase = .exchanging(exchange)
        exchangeDeadline = min(exchangeDeadline, now + Self.maxChallengeTime)
        let challenge = Array(Self.invalidToken.utf8)
        return exchange.isRaw ? .replyRaw(challenge) : .reply(SaslReply(token: challenge))
    }

    private mutating func succeed(
        _ found: SaslIdentity, end: MonotonicTime?, token: [UInt8], now: MonotonicTime
    ) -> SaslAction {
        guard case .exchanging(let exchange) = phase else { preconditionFailure("success outside an exchange") }
        // Who renews a session has to be who began it.
        if let identity, identity.principal != found.principal { return fail(now: now) }
        if found.groups.count > AccessSubject.maxGroups { return close(.tooManyGroups) }
        hasRenewed = identity != nil
        identity = found
        mechanism = exchange.mechanism
        authenticatedAt = now
        let byRule = settings.maxSession > .zero ? now + settings.maxSession : nil
        sessionEnd = [end, byRule].compactMap { $0 }.min()
        phase = .authenticated
        let lifetime = sessionEnd.map { min($0 - now, Self.maxToldLifetime).milliseconds } ?? 0
        return exchange.isRaw ? .replyRaw(token) : .reply(SaslReply(token: token, sessionLifetimeMs: lifetime))
    }

    /// The end, once the delay is over; a raw exchange has no form for an error.
    ///
    /// - Parameter now: when a worker was asked, whose check and queue may have taken longer than the delay. Then the end is that of a
    ///   later whole delay since the token came: told at once, it would tell how long the check took, and so whether there is such
    ///   a user.
    private mutating func fail(message: String = Self.failureMessage, now: MonotonicTime? = nil) -> SaslAction {
        guard case .exchanging(let exchange) = phase else { preconditionFailure("failure outside an exchange") }
        phase = .closed
        let reply = SaslReply(error: .saslAuthenticationFailed, message: message)
        let delay = settings.failureDelay.milliseconds
        let passed = now.map { ($0 - exchange.tokenArrived).milliseconds } ?? 0
        let delays = delay > 0 ? max(1, (passed + delay - 1) / delay) : 0
        return .fail(exchange.isRaw ? nil : reply, at: exchange.tokenArrived + .milliseconds(delay * delays))
    }
}
