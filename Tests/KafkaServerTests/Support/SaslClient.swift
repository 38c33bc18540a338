import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// The client's half of SASL, over a connection of the test.
extension WireClient {
    func shake(_ mechanism: String, version: Int16 = 1) throws -> SaslHandshakeResponse {
        var request = SaslHandshakeRequest()
        request.mechanism = mechanism
        return try call(request, version: version)
    }

    func authenticate(_ token: [UInt8], version: Int16 = 2) throws -> SaslAuthenticateResponse {
        var request = SaslAuthenticateRequest()
        request.authBytes = token
        return try call(request, version: version)
    }

    /// A bare token there and back, after SaslHandshake 0.
    func exchange(raw token: [UInt8]) throws -> [UInt8] {
        try sendRaw(token)
        return try receiveFrame()
    }

    func sendRaw(_ token: [UInt8]) throws {
        var writer = ByteWriter()
        writer.int32(Int32(token.count))
        writer.bytes(token)
        try send(bytes: writer.array)
    }

    static func plain(_ user: String, _ password: String) -> [UInt8] { Array("\0\(user)\0\(password)".utf8) }

    func logIn(plain user: String, _ password: String) throws -> SaslAuthenticateResponse {
        _ = try shake("PLAIN")
        return try authenticate(Self.plain(user, password))
    }

    /// Answers the last reply: of client-first if that fails, else of client-final.
    func logIn(
        _ mechanism: ScramMechanism, _ user: String, _ password: String
    ) throws -> SaslAuthenticateResponse {
        _ = try shake(mechanism.name)
        let scram = ScramClient(mechanism: mechanism, user: user, password: password)
        let first = try authenticate(scram.first)
        guard first.errorCode == 0 else { return first }
        let final = scram.final(after: first.authBytes)
        let reply = try authenticate(final.message)
        if reply.errorCode == 0, reply.authBytes != final.expected { throw Failure.closed }
        return reply
    }
}

/// The client of SCRAM, written apart from the server's.
struct ScramClient {
    let mechanism: ScramMechanism
    let user: String
    let password: String

    private var bare: String { "n=\(user),r=fyko" }
    var first: [UInt8] { Array("n,,\(bare)".utf8) }

    /// client-final, and what the server has to answer.
    func final(after serverFirst: [UInt8]) -> (message: [UInt8], expected: [UInt8]) {
        let text = String(decoding: serverFirst, as: UTF8.self)
        let fields = text.split(separator: ",").map { String($0.dropFirst(2)) }
        let algorithm = mechanism.algorithm
        let salted = algorithm.pbkdf2(
            password: Secret(copying: Array(password.utf8)[...]), salt: Base64.decode(fields[1].utf8)!,
            iterations: Int(fields[2])!)
        let withoutProof = "c=biws,r=\(fields[0])"
        let signed = Array("\(bare),\(text),\(withoutProof)".utf8)
        let clientKey = algorithm.hmac(key: salted, "Client Key".utf8)
        let signature = algorithm.hmac(key: algorithm.hash(clientKey), signed)
        let proof = Base64.encode(zip(clientKey, signature).map { $0 ^ $1 })
        let serverKey = algorithm.hmac(key: salted, "Server Key".utf8)
        return (
            Array("\(withoutProof),p=\(proof)".utf8),
            Array("v=\(Base64.encode(algorithm.hmac(key: serverKey, signed)))".utf8)
        )
    }
}
