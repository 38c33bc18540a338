public import KafkaModel

/// One request, as far as authentication has to know it.
public enum SaslRequest: Equatable, Sendable {
    /// ApiVersions, and what its ordinary handler will answer: only with NONE does the exchange move on.
    case apiVersions(ErrorCode)
    case handshake(version: Int16, mechanism: String)
    case authenticate(version: Int16, token: Secret)
    /// After SaslHandshake v0, everything that arrives: no request header, only an int32 length and bytes.
    case rawToken(Secret)
    case other

    public var isToken: Bool {
        switch self {
        case .authenticate, .rawToken: true
        case .apiVersions, .handshake, .other: false
        }
    }
}

extension SaslRequest: CustomStringConvertible, CustomReflectable {
    /// Without the token: it is a password, or as good as one.
    public var description: String {
        switch self {
        case .apiVersions(let answer): "ApiVersions, answered by \(answer.name)"
        case .handshake(let version, _): "SaslHandshake \(version)"
        case .authenticate(let version, let token): "SaslAuthenticate \(version) of \(token.count) bytes"
        case .rawToken(let token): "a bare token of \(token.count) bytes"
        case .other: "another request"
        }
    }

    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// What the connection is to do. It does it before it reads on.
public enum SaslAction: Equatable, Sendable {
    /// Hand the request to its ordinary handler.
    case serve
    case replyHandshake(ErrorCode, mechanisms: [String], close: Bool)
    case reply(SaslReply)
    /// An int32 length and these bytes.
    case replyRaw([UInt8])
    /// Give this to a worker, read nothing, call `finish` with what it found.
    case verify(SaslVerification)
    /// Read nothing more; at `time` send the reply, if there is one, and close. It counts from the token's arrival, so that
    /// how long the check took cannot be seen.
    case fail(SaslReply?, at: MonotonicTime)
    /// Forget this frame or verdict; what was to be done before still is.
    case drop
    /// Answer in the shape of the API that asked, then close or not.
    case refuse(ErrorCode, close: Bool)
    case close(SaslClose)
}

/// A SaslAuthenticate response. The listener leaves the lifetime out of version 0.
public struct SaslReply: Equatable, Sendable {
    public let error: ErrorCode
    public let message: String?
    public let token: [UInt8]
    /// Milliseconds until the session ends; 0 for no end, and while the exchange goes on.
    public let sessionLifetimeMs: Int64

    init(error: ErrorCode = .none, message: String? = nil, token: [UInt8] = [], sessionLifetimeMs: Int64 = 0) {
        self.error = error
        self.message = message
        self.token = token
        self.sessionLifetimeMs = sessionLifetimeMs
    }
}

/// Why a connection closes without a reply: for the log and the count, never for the peer.
public enum SaslClose: String, Sendable, CaseIterable {
    case requestBeforeAuthentication
    case apiVersionsTwice
    case unsupportedVersion
    case sessionExpired
    case verifierUnavailable
    case deadlinePassed
    case challengeUnanswered
    /// More groups and scopes than ACLs are asked for (``AccessSubject/maxGroups``): with fewer he would step past a DENY.
    case tooManyGroups
    /// More was sent while a worker looked at a token, or a frame of the wrong form.
    case unexpectedFrame
}
