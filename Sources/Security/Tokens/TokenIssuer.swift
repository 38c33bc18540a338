public import KafkaModel

/// Whose tokens are taken, and for what.
public struct TokenIssuer: Sendable {
    /// Which of an issuer's two kinds of token a route takes. Cognito's `token_use`.
    public enum Use: String, Sendable {
        case access, id
    }

    /// `iss`; Google writes its own in two ways.
    public var names: Set<ExactString>
    /// One of them has to be in `aud`, or to be `client_id` where `use` is access.
    public var audiences: Set<ExactString>
    public var algorithms: Set<SignatureAlgorithm>
    public var keys: JSONWebKeySet
    /// Nil where the issuer's tokens have no `token_use`. Else a token without it is refused.
    public var use: Use?
    /// The header's `typ`, compared in lower case; nil takes any.
    public var types: Set<String>?
    /// Kafka's default.
    public var skew: Duration
    /// Stands before the names of this issuer's users and groups. Whoever issues a token chooses its `sub`: without it
    /// one issuer's "root" would be another's. Mandatory as soon as there are two.
    public var namePrefix: String?
    /// A claim `email` counts only with `email_verified`.
    public var subjectClaim: ExactString
    /// Blanks between names, or an array.
    public var scopeClaim: ExactString
    public var groupsClaim: ExactString?
    /// With several audiences in a token, `azp` has to be one of ours. Google's rule.
    public var checksAuthorizedParty: Bool

    public init(
        names: Set<ExactString>, audiences: Set<ExactString>, algorithms: Set<SignatureAlgorithm> = [.rs256],
        keys: JSONWebKeySet, use: Use? = nil, types: Set<String>? = nil, skew: Duration = .seconds(30),
        subjectClaim: ExactString = "sub", scopeClaim: ExactString = "scope", groupsClaim: ExactString? = nil,
        namePrefix: String? = nil, checksAuthorizedParty: Bool = false
    ) {
        self.names = names
        self.audiences = audiences
        self.algorithms = algorithms
        self.keys = keys
        self.use = use
        self.types = types
        self.skew = skew
        self.subjectClaim = subjectClaim
        self.scopeClaim = scopeClaim
        self.groupsClaim = groupsClaim
        self.namePrefix = namePrefix
        self.checksAuthorizedParty = checksAuthorizedParty
    }
}

/// What a token says of its holder, once it was verified.
public struct TokenIdentity: Hashable, Sendable {
    public let issuer: ExactString
    /// As the token has it.
    public let subject: ExactString
    /// With the issuer's prefix, as that of each group and scope.
    public let principal: Principal
    public let groups: [Principal]
    /// A scope is a name as a group is: what it allows, an ACL has to say.
    public let scopes: [Principal]
    public let expiry: UnixTime
    public let tokenID: ExactString?
    public let keyID: ExactString?
    /// Only if the issuer has verified it.
    public let email: String?

    public init(
        issuer: ExactString, subject: ExactString, principal: Principal, groups: [Principal] = [],
        scopes: [Principal] = [], expiry: UnixTime, tokenID: ExactString? = nil, keyID: ExactString? = nil,
        email: String? = nil
    ) {
        self.issuer = issuer
        self.subject = subject
        self.principal = principal
        self.groups = groups
        self.scopes = scopes
        self.expiry = expiry
        self.tokenID = tokenID
        self.keyID = keyID
        self.email = email
    }

    /// What else an ACL may call the holder, at most ``AccessSubject/maxGroups``.
    public var memberships: [Principal] { groups + scopes }
}

/// Why a token is not taken: for the metric and the audit. The client gets one answer for all.
public enum TokenRefusal: String, Error, Hashable, Sendable, CaseIterable {
    case tooLong, malformed, algorithm, critical, type, unknownIssuer, wrongSignature, noExpiry, expired, notYet
    case noIssueTime, issuedLater, audience, use, authorizedParty, subject, groups, scopes, denied
    /// No key of that id: worth fetching the issuer's keys again, at most once in 30 seconds.
    case unknownKey
}
