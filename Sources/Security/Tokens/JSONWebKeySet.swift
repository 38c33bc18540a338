import ByteBuffers
public import KafkaModel

/// An issuer's public keys, as its JWKS document lists them. Source: RFC 7517, RFC 8037.
public struct JSONWebKeySet: Sendable {
    /// Issuers list two or three. What follows the bound is not read.
    public static let maxKeys = 100
    /// Of a key's id; a longer one, or one with other than visible ASCII, is nobody's.
    public static let maxIDBytes = 128

    public struct Key: Sendable {
        public let id: ExactString?
        public let key: PublicKey
    }

    public let keys: [Key]

    public init(keys: [Key]) { self.keys = keys }

    /// Nil when the document is none. A key that cannot be used (another type, another purpose, too small, with its
    /// private half) is left out; the others count.
    public init?(parsing document: some Collection<UInt8>) {
        guard let json = StrictJSON(parsing: document), case .array(let entries)? = json["keys"] else { return nil }
        keys = entries.prefix(Self.maxKeys).compactMap(Self.key)
    }

    /// The key of that id and algorithm. Without an id there has to be one key of the algorithm, no more.
    public func key(id: ExactString?, algorithm: SignatureAlgorithm) -> PublicKey? {
        let fitting = keys.filter { $0.key.algorithm == algorithm }
        guard let id else { return fitting.count == 1 ? fitting[0].key : nil }
        return fitting.first { $0.id == id }?.key
    }

    static func isID(_ text: ExactString) -> Bool {
        (1...maxIDBytes).contains(text.text.utf8.count) && text.text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
    }

    private static func key(_ entry: StrictJSON) -> Key? {
        func bytes(_ name: ExactString) -> [UInt8]? { entry[name]?.text.flatMap { Base64.decodeURL($0.utf8) } }
        // A private key that was published is no secret any more.
        guard entry["d"] == nil, entry["use"].map({ $0.text == "sig" }) ?? true,
            entry["key_ops"].map({ $0.texts?.contains("verify") ?? false }) ?? true
        else { return nil }
        let key: PublicKey?
        switch (entry["kty"]?.text, entry["crv"]?.text) {
        case ("RSA", nil):
            guard let modulus = bytes("n"), let exponent = bytes("e") else { return nil }
            key = .rsa(modulus: modulus, exponent: exponent)
        case ("EC", "P-256"):
            guard let x = bytes("x"), let y = bytes("y") else { return nil }
            key = .p256(x: x, y: y)
        case ("OKP", "Ed25519"):
            guard let x = bytes("x") else { return nil }
            key = .ed25519(x)
        default: return nil
        }
        guard let key, entry["alg"].map({ $0.text == key.algorithm.rawValue }) ?? true else { return nil }
        guard let id = entry["kid"] else { return Key(id: nil, key: key) }
        guard let text = id.text.map({ ExactString($0) }), isID(text) else { return nil }
        return Key(id: text, key: key)
    }
}
