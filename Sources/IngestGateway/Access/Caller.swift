import BrokerCore
import KafkaModel
import Security

/// Who asks on one connection, as its last credential has shown: the next request that shows the same costs a comparison.
final class Caller {
    let address: NetworkAddress
    /// Over TLS, or from this machine: a password may be shown.
    let isConfidential: Bool
    /// Over TLS.
    let isSecure: Bool
    /// From this machine, and for no client behind a proxy.
    let isLocal: Bool
    /// Whoever shows nothing in a request: the owner of the connection's certificate, where it has shown one.
    let silent: Asker
    let hasCertificate: Bool
    private(set) var known: Known?
    /// Whose signatures were looked at last.
    private var signer: (webhook: WebhookRoute, asker: Asker)?
    /// What limits the requests of whom it was asked for last, and until when that is not looked up again.
    private var rated: (key: Asker?, share: CallerShare, until: Int64)?
    /// Whose signature was found right last, as the audit was told.
    private var toldSigner: WebhookRoute?
    /// What was found of the credential of the request at hand, which has waited with it.
    private var found: FoundCredential?

    enum Verdict: Sendable {
        case password(SaslVerdict)
        case token(TokenVerdict)
    }

    /// A credential that was right, and until when it is.
    final class Known {
        let credential: Secret
        let asker: Asker
        let basis: Basis
        /// Milliseconds since 1970; the key's or token's own end.
        let endMs: Int64
        /// When to write down that the key is used; nil for others.
        var useDueMs: Int64?

        init(_ credential: Secret, _ asker: Asker, _ basis: Basis, endMs: Int64, useDueMs: Int64? = nil) {
            self.credential = credential
            self.asker = asker
            self.basis = basis
            self.endMs = endMs
            self.useDueMs = useDueMs
        }

        /// Whether `other` is the same credential, byte by byte.
        func isShown(by other: UnsafeRawBufferPointer) -> Bool { credential.withBytes { $0.equals(other) } }
    }

    /// What has to be as it was.
    enum Basis: Equatable {
        case key(ExactString, version: Int64)
        case password(version: Int64)
        case token(generation: Int)

        /// For the audit. A key's identifier is no secret.
        var name: String {
            switch self {
            case .key(let id, _): "API key \(id.text)"
            case .password: "Basic"
            case .token: "token"
            }
        }
    }

    /// `certificateOwner`: nil where the connection has shown no certificate.
    init(
        address: NetworkAddress, isSecure: Bool, isLocal: Bool, isConfidential: Bool, certificateOwner: Principal? = nil
    ) {
        self.address = address
        (self.isSecure, self.isLocal, self.isConfidential) = (isSecure, isLocal, isConfidential)
        hasCertificate = certificateOwner != nil
        silent = Asker(AccessSubject(certificateOwner ?? .anonymous, address: address))
    }

    /// Who a request of that route is, once its signature is right.
    func asker(of webhook: WebhookRoute) -> Asker {
        if let signer, signer.webhook === webhook { return signer.asker }
        let asker = Asker(AccessSubject(webhook.principal, address: address))
        signer = (webhook, asker)
        return asker
    }

    /// Whether the audit has not been told yet that a signature of that route was right.
    func isNew(_ webhook: WebhookRoute) -> Bool {
        defer { toldSigner = webhook }
        return toldSigner !== webhook
    }

    /// What limits the requests of `asker`; nil: those of the address.
    func share(of asker: Asker?, _ limits: CallerLimits, now: Int64) -> CallerShare {
        if let rated, rated.key === asker, now < rated.until { return rated.share }
        let share = limits.share(of: shareKey(of: asker), now: now)
        rated = (asker, share, now + CallerLimits.keptFor)
        return share
    }

    /// Whose requests count together.
    private func shareKey(of asker: Asker?) -> CallerLimits.Caller {
        if let known, known.asker === asker, case .key(let id, _) = known.basis { return .key(id) }
        guard let asker, asker !== silent || hasCertificate else { return .address(address.limitKey) }
        return .principal(asker.registered.subject.principal)
    }

    func know(_ found: Known) { known = found }

    func forget() { known = nil }

    func take(_ found: FoundCredential) { self.found = found }

    /// What nobody has looked at.
    func takeUnread() -> FoundCredential? {
        defer { found = nil }
        return found
    }

    /// What was found of that credential, once.
    func takeVerdict(of credential: UnsafeRawBufferPointer) -> Verdict? {
        guard let found else { return nil }
        self.found = nil
        return found.credential.withBytes { $0.equals(credential) } ? found.verdict : nil
    }
}

/// What a worker has found of a credential that a request waits with.
struct FoundCredential {
    let credential: Secret
    /// From where it came.
    let address: NetworkAddress
    let verdict: Caller.Verdict
}
