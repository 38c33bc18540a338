/// What was found of a token.
public enum TokenVerdict: Hashable, Sendable {
    case accepted(TokenIdentity)
    case rejected(TokenRefusal)
    /// Nobody can tell: the issuer's keys are out of reach, or too many tokens wait.
    case unavailable
}

/// Who knows the issuers of tokens and their keys, for both edges.
public protocol TokenAuthority: Sendable {
    /// Grows when a token that was found good may be so no more, before its end: other keys.
    var generation: Int { get }

    /// Whose token it is, if it was found good before and has not ended. Takes microseconds.
    func remembered(_ token: Secret) -> TokenIdentity?

    /// Calls `done` once, from another thread, with what was found, unless the check is given up before it has begun. Where the
    /// token's key is not known, that may be as late as the issuer's keys are fetched anew. Nil, and `done` is forgotten: too
    /// many wait.
    func check(
        _ token: Secret, from address: NetworkAddress?, _ done: @escaping @Sendable (TokenVerdict) -> Void
    ) -> PendingCheck?
}
