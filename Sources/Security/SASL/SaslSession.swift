public import KafkaModel

/// The authentication of one connection of a SASL listener: requests in, actions out. Copied freely, it holds no
/// resource.
///
/// ```
///            ApiVersions                 SaslHandshake            last token right
///   start ───────────────► versions ───────────────► exchanging ───────────────► authenticated ──┐
///     └───────── SaslHandshake ──────────────────────►│    ▲ ▲                     │            │ ordinary requests
///                                                     │    │ └─ SaslHandshake, re-authentication ┘
///                                    verify ─► worker ┘    └ finish
///   everything else: an error reply and the end, or the end alone (closed)
/// ```
///
/// Invariants: nothing but ApiVersions and the two SASL requests is served before `identity` is set; a closed session
/// serves nothing; a failed one cannot try again; what a failure says does not depend on its cause.
/// Our bug: a verdict that nobody asked for. The peer's error: all that the table of security's page names, and a frame
/// while a verification runs. Silently ignored: a frame after the end. Source: KIP-43, KIP-152, KIP-255, KIP-368.
public struct SaslSession: Sendable {
    /// `sasl.server.max.receive.size` is 512 KiB; no honest token comes near 64. A larger frame before authentication,
    /// or while it is renewed, closes the connection.
    public static let maxFrameBytes = 65_536
    /// A client has this long to answer the challenge that says why its token was refused.
    public static let maxChallengeTime = Duration.seconds(10)
    /// A session has to last this long before the client may prove itself anew.
    public static let minReauthenticationInterval = Duration.seconds(1)
    /// What is told of a longer session: clients multiply the number, and some overflow.
    public static let maxToldLifetime = Duration.seconds(365 * 86_400)
    /// A token with less left is refused: the session would end before the client can renew it.
    public static let minSession = Duration.seconds(5)
    /// The same for unknown users, wrong passwords, disabled ones and users of another mechanism.
    public static let failureMessage = "Authentication failed: invalid credentials"
    /// What OAUTHBEARER's challenge says, and the failure after it.
    public static let invalidToken = #"{"status":"invalid_token"}"#

    enum Phase {
        case start
        case versionsAnswered
        case exchanging(Exchange)
        case authenticated
        case closed
    }

    struct Exchange {
        enum Step {
            case first
            case scram(ScramExchange)
            /// `authorizationID` is checked when the worker says whose token it is.
            case verifying(authorizationID: ExactString?)
            case challenged
        }

        let mechanism: SaslMechanism
        /// After SaslHandshake v0.
        let isRaw: Bool
        /// Reads as a wrong credential: a re-authentication by another mechanism than the first.
        var isDoomed = false
        var step = Step.first
        /// When the last token came.
        var tokenArrived: MonotonicTime

        var isVerifying: Bool { if case .verifying = step { true } else { false } }
    }

    public let settings: SaslSettings
    var phase = Phase.start
    /// Set by the first success, and by each that renews it.
    public internal(set) var identity: SaslIdentity?
    public internal(set) var mechanism: SaslMechanism?
    /// Whom the last exchange was about, as far as it came: for the log, never for a decision.
    public internal(set) var claimed: (mechanism: SaslMechanism, user: ExactString?)?
    var authenticatedAt: MonotonicTime?
    /// Whether that was a renewal. The first one may come at once, as in Kafka: where sessions last a second, clients renew
    /// after less, and take a refusal for final.
    var hasRenewed = false
    /// When the session ends; nil for never.
    public internal(set) var sessionEnd: MonotonicTime?
    var exchangeDeadline: MonotonicTime

    public init(settings: SaslSettings, now: MonotonicTime) {
        self.settings = settings
        exchangeDeadline = now + settings.deadline
    }

    // MARK: What the connection asks

    /// The largest frame to accept now; nil for the listener's ordinary limit.
    /// While a session is renewed it is small again, as in Kafka.
    public var frameLimit: Int? { identity == nil || isExchanging ? Self.maxFrameBytes : nil }

    /// Nothing is to be read now: a worker looks at the last token, or the session has ended. A frame that was read
    /// already ends a session of the first kind, and does nothing to one of the second.
    public var expectsNothing: Bool {
        switch phase {
        case .exchanging(let exchange): exchange.isVerifying
        case .closed: true
        case .start, .versionsAnswered, .authenticated: false
        }
    }

    /// Whether the next frame is a bare token, without a request header.
    public var expectsRawToken: Bool {
        if case .exchanging(let exchange) = phase { exchange.isRaw } else { false }
    }

    /// Whether a token would begin an exchange of SCRAM: the work of that is done at once, on the event loop.
    public var wouldBeginScram: Bool {
        guard case .exchanging(let exchange) = phase, case .first = exchange.step, !exchange.isDoomed else {
            return false
        }
        return exchange.mechanism == .scramSHA256 || exchange.mechanism == .scramSHA512
    }

    public var isAuthenticated: Bool { if case .authenticated = phase { true } else { false } }

    /// Whether every request but those of SASL may be served unasked, for ever: nothing ends the session by itself.
    public var isOpenEnded: Bool { isAuthenticated && sessionEnd == nil }

    /// Whether requests that came before have to be answered before the next frame is given here, and later ones wait.
    public var isExchanging: Bool { if case .exchanging = phase { true } else { false } }

    /// When to call `deadlinePassed`: the exchange's end, or the challenge's. Nil when nothing is waited for; the end
    /// of a session is looked at when the next request comes, and an idle connection is left alone.
    public var deadline: MonotonicTime? {
        switch phase {
        case .start, .versionsAnswered, .exchanging: exchangeDeadline
        case .authenticated, .closed: nil
        }
    }

    /// Called when `deadline` has come.
    public mutating func deadlinePassed() -> SaslAction {
        if case .exchanging(let exchange) = phase, case .challenged = exchange.step {
            return close(.challengeUnanswered)
        }
        return close(.deadlinePassed)
    }

    // MARK: What arrives

    /// `environment` is asked for by SCRAM's first token alone: requests of a session with an end come here as well.
    public mutating func receive(
        _ request: SaslRequest, now: MonotonicTime, environment: @autoclosure () -> SaslEnvironment
    ) -> SaslAction {
        switch phase {
        case .start: receiveFirst(request, now: now)
        case .versionsAnswered: receiveAfterVersions(request, now: now)
        case .exchanging(let exchange): receive(request, in: exchange, now: now, environment: environment)
        case .authenticated: receiveAuthenticated(request, now: now)
        // Read before the end was known. Closing now would step over the delay of a failure.
        case .closed: .drop
        }
    }

    private mutating func receiveFirst(_ request: SaslRequest, now: MonotonicTime) -> SaslAction {
        guard case .apiVersions(let answer) = request else { return receiveAfterVersions(request, now: now) }
        // An unknown version or a bad software name: the client may ask again.
        if answer == .none { phase = .versionsAnswered }
        return .serve
    }

    private mutating func receiveAfterVersions(_ request: SaslRequest, now: MonotonicTime) -> SaslAction {
        switch request {
        case .handshake(let version, let name): return handshake(version: version, name: name, now: now)
        case .apiVersions: return close(.apiVersionsTwice)
        case .authenticate, .rawToken, .other: return close(.requestBeforeAuthentication)
        }
    }

    private mutating func receive(
        _ request: SaslRequest, in exchange: Exchange, now: MonotonicTime, environment: () -> SaslEnvironment
    ) -> SaslAction {
        // Parsed before its predecessor was looked at.
        if exchange.isVerifying { return close(.unexpectedFrame) }
        switch (request, exchange.isRaw) {
        case (.rawToken(let token), true):
            return take(token, in: exchange, now: now, environment: environment)
        case (.authenticate(let version, let token), false):
            guard (0...2).contains(version) else { return close(.unsupportedVersion) }
            return take(token, in: exchange, now: now, environment: environment)
        default:
            // Parsed before its predecessor was looked at.
            if case .rawToken = request { return close(.unexpectedFrame) }
            guard !exchange.isRaw else { return close(.unexpectedFrame) }
            phase = .closed
            return .refuse(.illegalSaslState, close: true)
        }
    }

    private mutating func receiveAuthenticated(_ request: SaslRequest, now: MonotonicTime) -> SaslAction {
        if case .handshake(let version, let name) = request, let since = authenticatedAt, sessionEnd != nil,
            !hasRenewed || now - since >= Self.minReauthenticationInterval, version == 1
        {
            exchangeDeadline = now + settings.deadline
            return handshake(version: version, name: name, now: now)
        }
        if let sessionEnd, now >= sessionEnd {
            // A handshake that may not renew the session is answered even so.
            if case .handshake = request { return .refuse(.illegalSaslState, close: false) }
            return close(.sessionExpired)
        }
        switch request {
        case .apiVersions, .other: return .serve
        case .handshake, .authenticate: return .refuse(.illegalSaslState, close: false)
        case .rawToken: return close(.unexpectedFrame)
        }
    }

    private mutating func handshake(version: Int16, name: String, now: MonotonicTime) -> SaslAction {
        guard version == 0 || version == 1 else { return close(.unsupportedVersion) }
        let enabled = settings.mechanisms.map(\.rawValue)
        guard let asked = SaslMechanism(rawValue: name), settings.mechanisms.contains(asked) else {
            phase = .closed
            return .replyHandshake(.unsupportedSaslMechanism, mechanisms: enabled, close: true)
        }
        var exchange = Exchange(mechanism: asked, isRaw: version == 0, tokenArrived: now)
        exchange.isDoomed = mechanism.map { $0 != asked } ?? false
        claimed = (asked, nil)
        phase = .exchanging(exchange)
        return .replyHandshake(.none, mechanisms: enabled, close: false)
    }

    mutating func close(_ reason: SaslClose) -> SaslAction {
        phase = .closed
        return .close(reason)
    }
}
