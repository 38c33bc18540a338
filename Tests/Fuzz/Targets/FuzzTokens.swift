import ByteBuffers
import COpenSSL
import KafkaModel
import Security

@testable import IssuerKeys

/// What holders and issuers of tokens send. The first byte says what the rest is:
/// 0: a token as it comes. 1: header and claims, a zero byte between, signed by a key of the test's issuer: what is in them is read
/// behind the signature. 2: a key set. 3: a client's first message of OAUTHBEARER. 4: the file of issuers. 5: an address of keys.
@Sendable func fuzzTokens(_ bytes: UnsafeRawBufferPointer) {
    var input = Input(bytes)
    let mode = input.byte() % 6
    let rest = Array(input.rest())
    switch mode {
    case 0: check(rest)
    case 1:
        let parts = rest.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
        let signed = Array((Base64.encodeURL(parts[0]) + "." + Base64.encodeURL(parts.count > 1 ? parts[1] : [])).utf8)
        check(signed + Array(("." + Base64.encodeURL(fuzzSigner.sign(signed))).utf8))
    case 2:
        guard let keys = JSONWebKeySet(parsing: rest) else { break }
        insist(keys.keys.count <= JSONWebKeySet.maxKeys)
        for key in keys.keys { insist(!key.key.verifies([UInt8](repeating: 0, count: 64), of: rest)) }
    case 3: authenticate(rest)
    case 4: _ = try? IssuerFile.parse(rest, key: "file")
    default:
        guard let text = String(validating: rest, as: UTF8.self), let address = KeyAddress(text) else { break }
        insist(!text.contains("@") || text.contains("/"), "a name before the host of \(address)")
    }
    insist(ERR_peek_error() == 0, "an error was left for the next who asks")
}

private let fuzzNow = UnixTime(seconds: 1_000_000)

private func check(_ token: [UInt8]) {
    do throws(TokenRefusal) {
        let found = try fuzzVerifier.verify(token, now: fuzzNow)
        insist(found.expiry > fuzzNow - .seconds(30) && !found.subject.isEmpty)
        insist(found.memberships.count <= AccessSubject.maxGroups)
        // What was taken once is taken from memory, too, and is of a known issuer.
        var cache = TokenCache(fuzzVerifier)
        for _ in 0..<2 { insist((try? cache.identity(of: token, now: fuzzNow)) == found) }
        insist(fuzzVerifier.claimedIssuer(of: token) == 0)
    } catch {}
}

/// The session neither takes anything but a right token nor goes on behind a failure.
private func authenticate(_ message: [UInt8]) {
    let now = MonotonicTime(seconds: 1)
    var session = SaslSession(settings: SaslSettings(mechanisms: [.oauthBearer]), now: now)
    let environment = SaslEnvironment(credentials: NoUsers(), decoys: ScramDecoys(secret: Secret(copying: [UInt8](repeating: 7, count: 32)[...])))
    _ = session.receive(.handshake(version: 1, mechanism: "OAUTHBEARER"), now: now, environment: environment)
    let action = session.receive(
        .authenticate(version: 2, token: Secret(copying: message[...])), now: now, environment: environment)
    if case .verify(.token(let token)) = action {
        insist(!token.isEmpty)
        token.withBytes { check(Array($0)) }
        let answer = session.finish(.rejected, now: now, wall: fuzzNow)
        guard case .reply = answer else { fatalError("a refused token gets no challenge: \(answer)") }
        let end = session.receive(
            .authenticate(version: 2, token: Secret(copying: message[...])), now: now, environment: environment)
        guard case .fail = end else { fatalError("a second token was looked at: \(end)") }
    } else {
        guard case .fail = action else { fatalError("what is no message brings about \(action)") }
    }
    insist(!session.isAuthenticated)
}

private struct NoUsers: ScramCredentialSource {
    func scramCredential(of user: ExactString, mechanism: ScramMechanism) -> ScramCredential? { nil }
}

private let fuzzVerifier: TokenVerifier = {
    guard let keys = JSONWebKeySet(parsing: #"{"keys":[\#(fuzzSigner.jwk)]}"#.utf8),
        let made = try? TokenVerifier(issuers: [
            TokenIssuer(names: ["i"], audiences: ["a"], algorithms: [.edDSA], keys: keys, groupsClaim: "groups")
        ])
    else { fatalError("the test's issuer is refused") }
    return made
}()

private let fuzzSigner = FuzzSigner()

/// A key of Ed25519 that is the same in every run.
private final class FuzzSigner: @unchecked Sendable {
    // SAFETY: signing does not change the key; each signature has a context of its own.
    private let key: OpaquePointer
    let jwk: String

    init() {
        key = EVP_PKEY_new_raw_private_key_ex(nil, "ED25519", nil, [UInt8](repeating: 7, count: 32), 32)!
        var bytes = [UInt8](repeating: 0, count: 32)
        var count = 32
        EVP_PKEY_get_raw_public_key(key, &bytes, &count)
        jwk = #"{"kty":"OKP","crv":"Ed25519","x":"\#(Base64.encodeURL(bytes))","kid":"k"}"#
    }

    func sign(_ message: [UInt8]) -> [UInt8] {
        let context = EVP_MD_CTX_new()!
        defer { EVP_MD_CTX_free(context) }
        var signature = [UInt8](repeating: 0, count: 64)
        var count = 64
        EVP_DigestSignInit(context, nil, nil, nil, key)
        EVP_DigestSign(context, &signature, &count, message, message.count)
        return signature
    }
}
