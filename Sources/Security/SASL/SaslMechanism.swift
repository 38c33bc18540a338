public import KafkaModel

/// The mechanisms of the Kafka listener, by the names of their registrations.
public enum SaslMechanism: String, Sendable, CaseIterable {
    case plain = "PLAIN"
    case scramSHA256 = "SCRAM-SHA-256"
    case scramSHA512 = "SCRAM-SHA-512"
    case oauthBearer = "OAUTHBEARER"
}

/// Who a connection has shown to be, and what of.
public struct SaslIdentity: Hashable, Sendable {
    public let principal: Principal
    /// Of the credential, when it was checked; the connection is closed once the credential has a later one.
    public let epoch: UInt64
    /// When the credential ends by itself (a token's `exp`); nil for never.
    public let expiry: UnixTime?
    /// What else ACLs may call him: groups, and of a token its scopes.
    public let groups: [Principal]
    /// Of OAUTHBEARER: its issuer, `jti` and `kid` for the audit, and for closing the session when one is taken back.
    public let token: TokenIdentity?

    public init(principal: Principal, epoch: UInt64 = 0, expiry: UnixTime? = nil, groups: [Principal] = []) {
        self.principal = principal
        self.epoch = epoch
        self.expiry = expiry
        self.groups = groups
        token = nil
    }

    /// What a token says.
    public init(_ token: TokenIdentity) {
        principal = token.principal
        epoch = 0
        expiry = token.expiry
        groups = token.memberships
        self.token = token
    }

    /// Who asks on this connection: the same over Kafka's protocol as over HTTP. Nil with too many groups.
    public func subject(at address: NetworkAddress) -> AccessSubject? {
        AccessSubject(principal, groups: groups, address: address)
    }
}

/// What a worker found.
public enum SaslVerdict: Hashable, Sendable {
    case accepted(SaslIdentity)
    case rejected
    /// Nobody could tell: the store or the issuer's keys are out of reach. The connection closes without a reply, for a
    /// client takes SASL_AUTHENTICATION_FAILED as final and anything else as a reason to try again.
    case unavailable
}

extension SaslVerdict {
    public init(_ verdict: TokenVerdict) {
        switch verdict {
        case .accepted(let identity): self = .accepted(SaslIdentity(identity))
        case .rejected: self = .rejected
        case .unavailable: self = .unavailable
        }
    }
}

/// What a worker is to find out, with ``PasswordCheck`` or the ``TokenAuthority``, and to hand back by
/// ``SaslSession/finish(_:now:wall:)``.
public enum SaslVerification: Equatable, Sendable {
    case password(user: ExactString, Secret)
    case token(Secret)
}

/// How one listener does SASL.
public struct SaslSettings: Sendable {
    /// In the order in which SaslHandshake tells them.
    public var mechanisms: [SaslMechanism]
    /// `connection.failed.authentication.delay.ms`: how long a failure waits for its reply and its close, so that
    /// guessing is slow. Must be below `connections.max.idle.ms`.
    public var failureDelay: Duration
    /// `connections.max.reauth.ms`: how long a session lasts without a new proof. Zero: as long as its credential.
    public var maxSession: Duration
    /// From the first byte to the end of authentication, TLS included.
    public var deadline: Duration
    /// How long a refusal waits for its client to close. Some (kafka-python) overlook a reply that they read together with the
    /// end of its connection, and take that for a broker that has gone.
    public var parting: Duration

    public init(
        mechanisms: [SaslMechanism], failureDelay: Duration = .milliseconds(100), maxSession: Duration = .zero,
        deadline: Duration = .seconds(30), parting: Duration = .seconds(1)
    ) {
        self.mechanisms = mechanisms
        self.failureDelay = failureDelay
        self.maxSession = maxSession
        self.deadline = deadline
        self.parting = parting
    }
}

/// What an exchange needs from outside: who is known, and randomness.
public struct SaslEnvironment: Sendable {
    public var credentials: any ScramCredentialSource
    public var decoys: ScramDecoys
    /// Tests give the same bytes each time.
    public var entropy: @Sendable (Int) -> [UInt8]

    public init(
        credentials: any ScramCredentialSource, decoys: ScramDecoys,
        entropy: @escaping @Sendable (Int) -> [UInt8] = Randomness.bytes
    ) {
        self.credentials = credentials
        self.decoys = decoys
        self.entropy = entropy
    }
}
