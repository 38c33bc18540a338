public import BrokerCore
import KafkaModel
public import Security
import Transport

/// How a listener asks its clients who they are.
public struct SaslListener: Sendable {
    let settings: SaslSettings
    let authentication: Authentication
    let tokens: (any TokenAuthority)?

    /// - Parameters:
    ///   - authentication: one for all listeners of a broker.
    ///   - tokens: of OAUTHBEARER, which without it must not be among the mechanisms.
    public init(_ settings: SaslSettings, _ authentication: Authentication, tokens: (any TokenAuthority)? = nil) {
        precondition(tokens != nil || !settings.mechanisms.contains(.oauthBearer), "nobody verifies tokens")
        self.settings = settings
        self.authentication = authentication
        self.tokens = tokens
    }
}

/// What a client was let in by, for work that goes on for long: it ends when that is its user's no more.
struct Standing: Sendable {
    let authentication: Authentication
    let identity: SaslIdentity

    var holds: Bool { authentication.isCurrent(identity) }
}

/// The authentication of one connection. Confined to its loop.
final class SaslConnection {
    let authentication: Authentication
    let tokens: (any TokenAuthority)?
    var session: SaslSession
    /// What is said once the delay of a failure is over.
    var owed: (reply: SaslReply, to: ReplyTicket)?
    /// The check of its password or token, which nobody needs once the connection has ended.
    var pending: PendingCheck?
    /// Under which name the loop finds the connection when a credential changes.
    var signedInAs: ExactString?
    /// Whether requests are served without asking the session: `SaslSession.isOpenEnded`, for every request looks here.
    var isOpenEnded = false
    /// `Broker.credentialsVersion` as of which the client was let in by what its user has: with another one it is looked at
    /// again before a request is served, for the loop may not have closed the connection yet.
    var provenAsOf: Int64 = -1
    /// An exchange of SCRAM was begun that was not yet given back (`Authentication.mayBegin`).
    var hasBegun = false

    init(_ listener: SaslListener, now: MonotonicTime) {
        authentication = listener.authentication
        tokens = listener.tokens
        session = SaslSession(settings: listener.settings, now: now)
    }

    /// Timers of a connection.
    enum Timer {
        /// The exchange has to be over.
        static let deadline = 0
        /// The delay of a failure is over.
        static let failure = 1
        /// The time is over that a quota makes the client wait.
        static let muted = 2
        /// The client of a refusal has had long enough to read it.
        static let parting = 3
    }
}
