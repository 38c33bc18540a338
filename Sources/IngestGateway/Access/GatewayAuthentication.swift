public import BrokerCore
public import Security

/// How the gateway asks who somebody is. Without one nobody is asked, and everybody may do everything.
public final class GatewayAuthentication: Sendable {
    /// `http.auth`, but for `off`.
    public enum Mode: Sendable {
        /// Who shows nothing is `User:ANONYMOUS`, of whom ACLs may speak.
        case optional
        case required
    }

    public let mode: Mode
    /// Nil: no JSON Web Tokens are taken.
    public let tokens: (any TokenAuthority)?
    /// Of Basic: the users of SCRAM.
    public let passwords: Authentication
    /// Whether a token may stand in Authorization without its scheme, as AWS's gateways take it.
    public let takesBareTokens: Bool

    public init(
        _ mode: Mode, passwords: Authentication, tokens: (any TokenAuthority)? = nil, takesBareTokens: Bool = false
    ) {
        self.mode = mode
        self.tokens = tokens
        self.passwords = passwords
        self.takesBareTokens = takesBareTokens
    }
}

/// Who asks, as ACLs call him. An object, so that a request counts one reference to it.
final class Asker: Sendable {
    let registered: DecisionCache.RegisteredSubject
    /// What he has shown; nil: nothing that ends.
    let shown: ShownCredential?

    init(_ subject: AccessSubject, shown: ShownCredential? = nil) {
        registered = DecisionCache.RegisteredSubject(subject)
        self.shown = shown
    }
}

/// A credential that was right when it was shown, for who goes on by it for long.
enum ShownCredential {
    /// As it was then.
    case key(GatewayKeyRecord, endMs: Int64)
    case password(version: Int64)
    /// Milliseconds since 1970.
    case token(generation: Int, endMs: Int64)
}

/// What was decided for those who ask on one loop. Confined to it.
final class CallerDecisions {
    var cache = DecisionCache()
}

/// A credential that a worker has to look at: the request waits, and asks again when it has.
final class CredentialCheck {
    let credential: Secret
    /// From where it came.
    let address: NetworkAddress
    /// Nil: nobody could be asked.
    let begin: (@escaping @Sendable (Caller.Verdict) -> Void) -> PendingCheck?

    init(
        _ credential: Secret, from address: NetworkAddress,
        _ begin: @escaping (@escaping @Sendable (Caller.Verdict) -> Void) -> PendingCheck?
    ) {
        self.credential = credential
        self.address = address
        self.begin = begin
    }
}
