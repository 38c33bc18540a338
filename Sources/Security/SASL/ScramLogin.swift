public import ByteBuffers

/// The client's half of one SCRAM exchange, for our own client: client-first, client-final, and whether the server has shown
/// that it knows the password, too. Source: RFC 5802.
public struct ScramLogin {
    /// More would keep a client busy for seconds, at the word of whoever answers.
    public static let maxIterations = 1_000_000

    public let mechanism: ScramMechanism
    private let nonce: [UInt8]
    private let bare: [UInt8]
    private var expected: [UInt8]?

    /// The nonce is printable ASCII without a comma; tests give the same each time.
    public init(
        _ mechanism: ScramMechanism, user: String,
        nonce: [UInt8] = Array(Base64.encode(Randomness.bytes(18)).utf8)
    ) {
        self.mechanism = mechanism
        self.nonce = nonce
        // The only two characters that are written otherwise; the equals sign first.
        var bare = Array("n=".utf8)
        for byte in user.utf8 {
            switch byte {
            case UInt8(ascii: "="): bare += "=3D".utf8
            case UInt8(ascii: ","): bare += "=2C".utf8
            default: bare.append(byte)
            }
        }
        bare += ",r=".utf8
        self.bare = bare + nonce
    }

    /// No channel binding, and nobody else's name.
    private static let header = Array("n,,".utf8)

    public var first: [UInt8] { Self.header + bare }

    /// Makes client-final. Nil: this is no server-first, or asks for more than `maxIterations`, or for fewer than a server may
    /// (then it could guess the password by what it is sent). Takes milliseconds.
    public mutating func answer(_ serverFirst: [UInt8], password: Secret) -> [UInt8]? {
        let fields = serverFirst.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        guard fields.count >= 3, fields[0].starts(with: "r=".utf8), fields[1].starts(with: "s=".utf8),
            fields[2].starts(with: "i=".utf8), fields[0].dropFirst(2).starts(with: nonce),
            fields[0].count > 2 + nonce.count, let salt = Base64.decode(fields[1].dropFirst(2)), !salt.isEmpty,
            let iterations = Int(String(decoding: fields[2].dropFirst(2), as: UTF8.self)),
            (ScramCredential.minIterations...Self.maxIterations).contains(iterations)
        else { return nil }
        let algorithm = mechanism.algorithm
        var salted = algorithm.pbkdf2(password: password, salt: salt, iterations: iterations)
        let key = Secret(wiping: &salted)
        var final = Array("c=\(Base64.encode(Self.header)),".utf8)
        final += fields[0]
        var signed = bare
        for part in [serverFirst, final] {
            signed.append(UInt8(ascii: ","))
            signed += part
        }
        var clientKey = algorithm.hmac(key: key, "Client Key".utf8)
        defer { Secret.wipe(&clientKey) }
        let signature = algorithm.hmac(key: algorithm.hash(clientKey), signed)
        let proof = zip(clientKey, signature).map { $0 ^ $1 }
        let serverKey = algorithm.hmac(key: key, "Server Key".utf8)
        expected = Array("v=\(Base64.encode(algorithm.hmac(key: serverKey, signed)))".utf8)
        final += ",p=\(Base64.encode(proof))".utf8
        return final
    }

    /// Whether the server has the user's credential: who has not could make himself out to be the broker.
    public func isProven(by serverFinal: [UInt8]) -> Bool {
        expected.map { ConstantTime.equal($0, serverFinal) } ?? false
    }
}
