import ByteBuffers
import COpenSSL
import Glibc
import KafkaModel
import Security

@testable import IssuerKeys

/// A key pair of Ed25519, and tokens that it signs.
struct TestSigner: @unchecked Sendable {
    // SAFETY: signing does not change the key; each signature has a context of its own. Never freed: there are a handful.
    private let key: OpaquePointer
    let id: String
    let jwk: String

    init(_ id: String) {
        var made: OpaquePointer?
        let context = EVP_PKEY_CTX_new_from_name(nil, "ED25519", nil)!
        defer { EVP_PKEY_CTX_free(context) }
        precondition(EVP_PKEY_keygen_init(context) == 1 && EVP_PKEY_generate(context, &made) == 1)
        key = made!
        var bytes = [UInt8](repeating: 0, count: 32)
        var count = 32
        precondition(EVP_PKEY_get_raw_public_key(key, &bytes, &count) == 1)
        self.id = id
        jwk = #"{"kty":"OKP","crv":"Ed25519","kid":"\#(id)","x":"\#(Base64.encodeURL(bytes))"}"#
    }

    func token(_ issuer: String = "https://one", subject: String = "alice", expiry: Int64 = 9_000_000) -> Secret {
        let claims = #"{"iss":"\#(issuer)","sub":"\#(subject)","aud":"us","iat":1,"exp":\#(expiry)}"#
        let header = #"{"alg":"EdDSA","kid":"\#(id)"}"#
        let signed = Array((Base64.encodeURL(header.utf8) + "." + Base64.encodeURL(claims.utf8)).utf8)
        let context = EVP_MD_CTX_new()!
        defer { EVP_MD_CTX_free(context) }
        precondition(EVP_DigestSignInit(context, nil, nil, nil, key) == 1)
        var signature = [UInt8](repeating: 0, count: 64)
        var count = 64
        precondition(EVP_DigestSign(context, &signature, &count, signed, signed.count) == 1)
        return Secret(copying: (signed + Array(("." + Base64.encodeURL(signature)).utf8))[...])
    }

    static func document(_ signers: TestSigner...) -> [UInt8] {
        Array(#"{"keys":[\#(signers.map(\.jwk).joined(separator: ","))]}"#.utf8)
    }
}

/// Answers by addresses, counted.
final class ScriptedFetcher: KeyFetcher {
    private let state = Lock<(answers: [String: [UInt8]], asked: [String])>(([:], []))

    func set(_ address: String, _ answer: [UInt8]?) { state.withLock { $0.answers[address] = answer } }
    func set(_ address: String, _ answer: String) { set(address, Array(answer.utf8)) }
    var asked: [String] { state.withLock { $0.asked } }

    func get(_ address: KeyAddress, isStopping: @escaping @Sendable () -> Bool) throws(KeyFetchError) -> [UInt8] {
        let answer = state.withLock { state in
            state.asked.append(address.text)
            return state.answers[address.text]
        }
        guard let answer else { throw KeyFetchError("nobody there") }
        return answer
    }
}

/// Issuers at `https://NAME`, with keys at `https://NAME/keys`; a clock that is moved, and pieces of work that run when a test says.
final class TestIssuers {
    let fetcher = ScriptedFetcher()
    let tokens: IssuedTokens
    private let now: Lock<MonotonicTime>
    private let work = Lock<[@Sendable () -> Void]>([])
    let verdicts = Lock<[TokenVerdict]>([])

    init(_ names: String..., location: (String) -> KeyLocation = { KeyLocation("\($0)/keys")! }) throws {
        let now = Lock(MonotonicTime(seconds: 1_000))
        self.now = now
        let settings = names.map { name in
            var issuer = TokenIssuer(
                names: [ExactString(name)], audiences: ["us"], algorithms: [.edDSA], keys: JSONWebKeySet(keys: []))
            if names.count > 1 { issuer.namePrefix = "\(name)/" }
            return IssuerSettings(issuer, location(name))
        }
        let work = work
        tokens = try IssuedTokens(
            settings, interval: .seconds(600), fetcher: fetcher,
            submit: { job in
                work.withLock { $0.append(job) }
                return true
            },
            clock: { now.withLock { $0 } }, wall: { UnixTime(seconds: 1_000_000) })
    }

    func pass(_ duration: Duration) { now.withLock { $0 = $0 + duration } }

    /// Lets the watches do what is due, then all that waits for a worker.
    func settle() {
        for watch in tokens.all { watch.turn() }
        runWork()
    }

    func runWork() {
        while let job = work.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { job() }
    }

    /// Begins a check; its verdict comes to `verdicts`.
    @discardableResult
    func check(_ token: Secret, from address: String = "10.0.0.1") -> Bool {
        begin(token, from: address) != nil
    }

    func begin(_ token: Secret, from address: String = "10.0.0.1") -> PendingCheck? {
        tokens.check(token, from: NetworkAddress(address)) { [verdicts] verdict in
            verdicts.withLock { $0.append(verdict) }
        }
    }

    /// The verdicts since the last call, in one word each.
    func take() -> [String] {
        let found = verdicts.withLock { verdicts in
            defer { verdicts = [] }
            return verdicts
        }
        return found.map { verdict in
            switch verdict {
            case .accepted(let identity): identity.principal.name.text
            case .rejected(let refusal): refusal.rawValue
            case .unavailable: "unavailable"
            }
        }
    }

    /// What one token comes to, once all that is due is done.
    func verdict(_ token: Secret) -> String {
        check(token)
        runWork()
        settle()
        return take().joined(separator: ", ")
    }
}
