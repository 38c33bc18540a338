import Security

/// What a route whose requests are signed holds them against. Made where the configuration is read, secrets included; compared
/// by identity.
final class WebhookRoute: Sendable {
    let scheme: WebhookScheme
    let keys: WebhookVerification.Keys
    /// Who a request is whose signature is right.
    let principal: Principal

    init(_ scheme: WebhookScheme, _ keys: WebhookVerification.Keys, _ principal: Principal) {
        self.scheme = scheme
        self.keys = keys
        self.principal = principal
    }
}

/// A request whose body is signed, while that arrives.
final class SignedBody {
    let webhook: WebhookRoute
    let caller: Caller
    private let verification: WebhookVerification
    /// Digest of what was signed, once the signature is found right.
    private(set) var proof: [UInt8]?
    /// Bytes of the body that the signature was held against so far.
    private var seen = 0

    /// Bytes that are looked at in one go where a body comes by length: half a millisecond without the processor's own SHA-256.
    static let piece = 256 << 10

    init(_ webhook: WebhookRoute, _ verification: WebhookVerification, from caller: Caller) {
        self.webhook = webhook
        self.verification = verification
        self.caller = caller
    }

    /// Takes what of the body has come; `bytes` begin with its first.
    func see(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > seen else { return }
        verification.update(UnsafeRawBufferPointer(rebasing: bytes[seen...]))
        seen = bytes.count
    }

    /// Takes the next piece.
    func seeNext(_ piece: UnsafeRawBufferPointer) {
        verification.update(piece)
        seen += piece.count
    }

    /// The longest body that can be right; nil: any that the route takes.
    var maxBodyBytes: Int? { verification.maxBodyBytes }

    /// Why the whole body is not what was signed; nil: it is.
    func refusal(of body: UnsafeRawBufferPointer, now: UnixTime) -> WebhookVerification.Refusal? {
        see(body)
        do throws(WebhookVerification.Refusal) {
            proof = try verification.finish(now: now, body: body).digest
            return nil
        } catch { return error }
    }
}
