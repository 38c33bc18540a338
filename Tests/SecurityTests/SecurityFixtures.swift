import ByteBuffers
import Foundation
import KafkaModel
import Security
import Synchronization

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
func text(_ bytes: some Collection<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
func secret(_ text: String) -> Secret { Secret(copying: Array(text.utf8)[...]) }

extension SaslRequest {
    static func authenticate(version: Int16, token: [UInt8]) -> SaslRequest {
        .authenticate(version: version, token: Secret(copying: token[...]))
    }
    static func rawToken(_ token: [UInt8]) -> SaslRequest { .rawToken(Secret(copying: token[...])) }
}

/// A user store for tests.
struct Users: ScramCredentialSource {
    var credentials: [ExactString: [ScramMechanism: ScramCredential]] = [:]

    func scramCredential(of user: ExactString, mechanism: ScramMechanism) -> ScramCredential? {
        credentials[user]?[mechanism]
    }

    mutating func add(
        _ user: String, _ password: String, _ mechanism: ScramMechanism = .sha256, salt: String = "salt of the user",
        epoch: UInt64 = 1
    ) {
        credentials[ExactString(user), default: [:]][mechanism] = ScramCredential(
            password: secret(password), salt: bytes(salt), iterations: 4_096, mechanism: mechanism, epoch: epoch)
    }
}

let testDecoys = makeDecoys()

func makeDecoys(whenMade: (@Sendable (ExactString) -> Void)? = nil) -> ScramDecoys {
    ScramDecoys(secret: secret("0123456789abcdef0123456789abcdef"), whenMade: whenMade)
}

/// The client's half of SCRAM, written apart from the server's.
struct ScramClient {
    let mechanism: ScramMechanism
    let user: String
    let password: String
    var header = "n,,"
    var nonce = "clientNonce"
    var extensions = ""
    /// What stands before the nonce in client-final, where it does not belong.
    var repeated = ""

    var escapedUser: String {
        user.replacing("=", with: "=3D").replacing(",", with: "=2C")
    }
    var bare: String { "n=\(escapedUser),r=\(nonce)\(extensions)" }
    var first: [UInt8] { bytes(header + bare) }

    func fields(of serverFirst: [UInt8]) -> (nonce: String, salt: [UInt8], iterations: Int) {
        let fields = text(serverFirst).split(separator: ",").map { String($0.dropFirst(2)) }
        return (fields[0], Base64.decode(fields[1].utf8)!, Int(fields[2])!)
    }

    /// client-final, and what the server has to answer.
    func final(after serverFirst: [UInt8], binding: String? = nil) -> (message: [UInt8], expected: String) {
        let server = fields(of: serverFirst)
        let algorithm = mechanism.algorithm
        let salted = algorithm.pbkdf2(password: secret(password), salt: server.salt, iterations: server.iterations)
        let withoutProof = "c=\(binding ?? Base64.encode(header.utf8)),r=\(repeated)\(server.nonce)"
        let signed = bytes("\(bare),\(text(serverFirst)),\(withoutProof)")
        let clientKey = algorithm.hmac(key: salted, "Client Key".utf8)
        let signature = algorithm.hmac(key: algorithm.hash(clientKey), signed)
        let proof = Base64.encode(zip(clientKey, signature).map { $0 ^ $1 })
        let serverKey = algorithm.hmac(key: salted, "Server Key".utf8)
        return (bytes("\(withoutProof),p=\(proof)"), "v=\(Base64.encode(algorithm.hmac(key: serverKey, signed)))")
    }
}

/// One session and the clock beside it.
struct SaslDialog {
    var session: SaslSession
    var environment: SaslEnvironment
    var now = MonotonicTime(seconds: 1_000)
    /// Goes its own way.
    var wall: UnixTime { UnixTime(seconds: 1_700_000_000) + (now - MonotonicTime(seconds: 0)) }

    init(
        _ mechanisms: [SaslMechanism] = SaslMechanism.allCases, users: Users = Users(),
        maxSession: Duration = .zero
    ) {
        session = SaslSession(settings: SaslSettings(mechanisms: mechanisms, maxSession: maxSession), now: now)
        environment = SaslEnvironment(credentials: users, decoys: testDecoys) { [UInt8](repeating: 7, count: $0) }
    }

    mutating func send(_ request: SaslRequest) -> SaslAction {
        session.receive(request, now: now, environment: environment)
    }

    mutating func shake(_ mechanism: SaslMechanism, version: Int16 = 1) -> SaslAction {
        send(.handshake(version: version, mechanism: mechanism.rawValue))
    }

    mutating func token(_ token: String, version: Int16 = 2) -> SaslAction {
        send(.authenticate(version: version, token: bytes(token)))
    }

    mutating func logInByPlain(_ user: String = "alice", expiry: UnixTime? = nil, version: Int16 = 1) -> SaslAction {
        _ = shake(.plain, version: version)
        let message = bytes("\0\(user)\0pw")
        _ = version == 0 ? send(.rawToken(message)) : send(.authenticate(version: 2, token: message))
        return session.finish(.accepted(SaslIdentity(principal: .user(user), expiry: expiry)), now: now, wall: wall)
    }
}

extension SaslAction {
    var reply: SaslReply? { if case .reply(let reply) = self { reply } else { nil } }
    var isFailure: Bool { if case .fail = self { true } else { false } }
    var failure: SaslReply? { if case .fail(let reply, _) = self { reply } else { nil } }
}

/// Runs `body` on a thread with the stack of a small worker.
func onSmallStack(_ body: @escaping @Sendable () -> String?) -> String? {
    final class Box: Sendable { let value = Mutex<String?>(nil) }
    let box = Box()
    let isDone = DispatchSemaphore(value: 0)
    let thread = Thread {
        let found = body()
        box.value.withLock { $0 = found }
        isDone.signal()
    }
    thread.stackSize = 256 << 10
    thread.start()
    isDone.wait()
    return box.value.withLock { $0 }
}
