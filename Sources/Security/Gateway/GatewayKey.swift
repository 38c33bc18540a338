public import KafkaModel

/// The text of an API key: `gk_`, an id of 12, `_`, a secret of 43 characters, and 6 that check both for typing errors.
///
/// The check is CRC-32 over all that stands before it, in base 62. It lets a secret scanner, and us, tell a key from
/// any other text without asking anybody; it protects nothing.
public struct GatewayKeyText: Sendable {
    static let idCharacters = Array("abcdefghijklmnopqrstuvwxyz0123456789".utf8)
    static let secretCharacters = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
    static let idLength = 12
    /// 43 characters of base 62 hold 256 random bits.
    static let secretLength = 43
    static let checkLength = 6
    public static let length = 3 + idLength + 1 + secretLength + checkLength

    public let id: ExactString
    /// SHA-256 over the whole text: what is stored of it. The secret is random, so it needs no slow hash.
    public let hash: [UInt8]

    static func isID(_ text: ExactString) -> Bool {
        text.text.utf8.count == idLength && text.text.utf8.allSatisfy(idCharacters.contains)
    }

    /// What is stored of a key. Nil when that is no id, or no hash.
    public init?(id: ExactString, hash: [UInt8]) {
        guard Self.isID(id), hash.count == HashAlgorithm.sha256.byteCount else { return nil }
        self.id = id
        self.hash = hash
    }

    /// A new key, and its text, which is shown once.
    public static func make() -> (key: GatewayKeyText, text: Secret) {
        guard
            let made = make(
                id: ExactString(String(decoding: Randomness.text(idLength, of: idCharacters), as: UTF8.self)))
        else { preconditionFailure("made a key that is none") }
        return made
    }

    /// Another secret for a key that has this id. Nil when it is no id: it came from a store.
    public static func make(id: ExactString) -> (key: GatewayKeyText, text: Secret)? {
        var text = Array("gk_\(id)_".utf8)
        text += Randomness.text(secretLength, of: secretCharacters)
        text += check(over: text[...])
        defer { Secret.wipe(&text) }
        return GatewayKeyText(text).map { ($0, Secret(copying: text[...])) }
    }

    /// Nil when the text is no key: then nothing has to be looked up. The text is the caller's to wipe; nothing is copied of it.
    public init?(_ text: some Collection<UInt8>) {
        let found = withContiguousBytes(text) { text -> (ExactString, [UInt8])? in
            guard text.count == Self.length, text.starts(with: "gk_".utf8),
                text[3 + Self.idLength] == UInt8(ascii: "_"),
                text[3..<3 + Self.idLength].allSatisfy(Self.idCharacters.contains),
                text[(4 + Self.idLength)...].allSatisfy(Self.secretCharacters.contains),
                text.suffix(Self.checkLength).elementsEqual(Self.check(over: text.dropLast(Self.checkLength)))
            else { return nil }
            let id = ExactString(String(decoding: text[3..<3 + Self.idLength], as: UTF8.self))
            return (id, HashAlgorithm.sha256.hash(text))
        }
        guard let found else { return nil }
        (id, hash) = found
    }

    static func check(over text: some Sequence<UInt8>) -> [UInt8] {
        // 62 to the sixth is more than 2 to the 32nd: each sum has its own text.
        var sum = Int(CyclicCheck.crc32.sum(text))
        return (0..<checkLength).map { _ in
            defer { sum /= 62 }
            return secretCharacters[sum % 62]
        }
    }
}

/// The two reflected CRCs of 32 bits that headers and keys of this module carry. Bit by bit: they run over a hundred
/// bytes.
struct CyclicCheck {
    static let crc32 = CyclicCheck(polynomial: 0xedb8_8320)
    static let crc32c = CyclicCheck(polynomial: 0x82f6_3b78)

    let polynomial: UInt32

    func sum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var sum = UInt32.max
        for byte in bytes {
            sum ^= UInt32(byte)
            for _ in 0..<8 { sum = sum >> 1 ^ (sum & 1 == 1 ? polynomial : 0) }
        }
        return ~sum
    }
}
