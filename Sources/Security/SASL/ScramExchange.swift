import ByteBuffers
import KafkaModel

/// The server's half of one SCRAM exchange: client-first, server-first, client-final, server-final.
///
/// ```
///  C: n,,n=user,r=fyko                       header, bare
///  S: r=fykoXYZ,s=c2FsdA==,i=4096
///  C: c=biws,r=fykoXYZ,p=cHJvb2Y=            c = base64 of the header
///  S: v=c2lnbmF0dXJl
/// ```
///
/// Invariant: what is signed are the bytes as they were received, extensions included; no message is ever rebuilt.
/// Unknown users go through the same steps with a decoy and fail at the same place. Source: RFC 5802, RFC 7677.
struct ScramExchange {
    /// Clients send 20 to 50 characters; a longer one would only make our reply long. Refused like a wrong password.
    static let maxNonceBytes = 256
    /// Bytes of randomness in our half of the nonce.
    static let nonceBytes = 18

    enum Outcome {
        case accepted(user: ExactString, epoch: UInt64, serverFinal: [UInt8])
        case refused
    }

    let mechanism: ScramMechanism
    private(set) var user = ExactString("")
    private var header: [UInt8] = []
    /// client-first without its header, a comma, server-first, a comma.
    private var signed: [UInt8] = []
    /// The client's half, and both.
    private var clientNonce: [UInt8] = []
    private var nonce: [UInt8] = []
    private var credential: ScramCredential?
    /// What was made or found besides: given up now or later, it would show in the time of an answer, whoever was found.
    private var spare: ScramCredential?
    private var isKnown = false

    init(mechanism: ScramMechanism) { self.mechanism = mechanism }

    /// Takes client-first and makes server-first, or nil: then the exchange has failed.
    mutating func begin(
        with message: [UInt8], credentials: some ScramCredentialSource, decoys: ScramDecoys, entropy: [UInt8]
    ) -> [UInt8]? {
        var bare = message[...]
        guard let header = SaslName.Header(takenFrom: &bare) else { return nil }
        let fields = bare.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        // `m=` announces an extension that must be understood, and none is.
        guard fields.count >= 2, fields[0].starts(with: "n=".utf8), fields[1].starts(with: "r=".utf8),
            let user = SaslName.decode(fields[0].dropFirst(2)), Self.isNonce(fields[1].dropFirst(2)),
            fields[2...].allSatisfy(Self.isExtension),
            header.authorizationID == nil || header.authorizationID == user,
            // Kafka's delegation tokens, which no node gives out.
            !fields[2...].contains(where: { $0.elementsEqual("tokenauth=true".utf8) })
        else { return nil }

        let beside = credentials.scramTwins(mechanism: mechanism)?.beside(user)
        // From here on only numbers depend on whether there is such a user: a copy or a release more takes a tenth of a microsecond,
        // which some thousand tries show.
        let known = credentials.scramCredential(of: user, mechanism: mechanism)
        isKnown = known != nil
        let twin = beside.flatMap { beside in
            credentials.scramCredential(of: [beside.user, beside.nobody][isKnown ? 1 : 0], mechanism: mechanism)
        }
        // Made for known users as well, so that both cost the same.
        let decoy = decoys.credential(
            of: user, mechanism: mechanism, like: credentials.scramForms(mechanism: mechanism))
        // One of the two is somebody's, whose bytes may have to come from afar; a decoy's are at hand. Without any user there is none.
        let found = ([known, twin].compactMap { $0 }.first ?? decoy).copied
        let held = [decoy, found]
        let credential = held[isKnown ? 1 : 0]
        self.user = user
        self.header = Array(header.bytes)
        self.credential = credential
        spare = held[isKnown ? 0 : 1]
        clientNonce = Array(fields[1].dropFirst(2))
        nonce = clientNonce + Array(Base64.encode(entropy).utf8)
        var first = Array("r=".utf8)
        first += nonce
        first += ",s=\(Base64.encode(credential.salt)),i=\(credential.iterations)".utf8
        signed = Array(bare)
        signed.append(UInt8(ascii: ","))
        signed += first
        signed.append(UInt8(ascii: ","))
        return first
    }

    /// Takes client-final. Called once, after `begin` succeeded.
    func finish(with message: [UInt8]) -> Outcome {
        guard let credential else { preconditionFailure("client-final before client-first") }
        // The proof is the last field; what stands before it is signed.
        guard let comma = message.lastIndex(of: UInt8(ascii: ",")), message[(comma + 1)...].starts(with: "p=".utf8),
            let proof = Base64.decode(message[(comma + 3)...]), proof.count == mechanism.algorithm.byteCount
        else { return .refused }
        let withoutProof = message[..<comma]
        let fields = withoutProof.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        guard fields.count >= 2, fields[0].starts(with: "c=".utf8), fields[1].starts(with: "r=".utf8),
            let binding = Base64.decode(fields[0].dropFirst(2)), binding == header,
            repeatsNonce(Array(fields[1].dropFirst(2))), fields[2...].allSatisfy(Self.isExtension)
        else { return .refused }

        let algorithm = mechanism.algorithm
        let message = signed + withoutProof
        let signature = algorithm.hmac(key: credential.storedKey, message)
        var clientKey = zip(proof, signature).map { $0 ^ $1 }
        // As good as the password.
        defer { Secret.wipe(&clientKey) }
        let isProven = ConstantTime.equal(algorithm.hash(clientKey), credential.storedKey)
        let serverSignature = algorithm.hmac(key: credential.serverKey, message)
        guard isProven && isKnown else { return .refused }
        return .accepted(
            user: user, epoch: credential.epoch, serverFinal: Array("v=\(Base64.encode(serverSignature))".utf8))
    }

    /// librdkafka before 2.6.1 puts its own half before both once more (librdkafka#4895). Kafka 3.9 takes that, Kafka 4 no more.
    /// Our half is in it, and all of it is signed as it came, so nothing is lost.
    private func repeatsNonce(_ sent: [UInt8]) -> Bool {
        ConstantTime.equal(sent, nonce) || ConstantTime.equal(sent, clientNonce + nonce)
    }

    /// Printable ASCII without a comma.
    private static func isNonce(_ bytes: ArraySlice<UInt8>) -> Bool {
        (1...maxNonceBytes).contains(bytes.count) && bytes.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x2c }
    }

    /// A letter, an equals sign, a value; or, as Kafka's own `tokenauth`, a word in place of the letter.
    private static func isExtension(_ field: ArraySlice<UInt8>) -> Bool {
        guard let equals = field.firstIndex(of: UInt8(ascii: "=")), equals > field.startIndex else { return false }
        let name = field[..<equals]
        let isWord = name.allSatisfy { ($0 | 0x20) >= UInt8(ascii: "a") && ($0 | 0x20) <= UInt8(ascii: "z") }
        return isWord && !name.elementsEqual("m".utf8) && String(validating: field[equals...], as: UTF8.self) != nil
    }
}
