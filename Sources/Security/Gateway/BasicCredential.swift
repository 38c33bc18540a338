import ByteBuffers
public import KafkaModel

/// What HTTP's Basic scheme carries: a name and a password, for ``PasswordCheck``. Source: RFC 7617.
public struct BasicCredential: Sendable {
    public let user: ExactString
    public let password: Secret

    /// From what follows `Basic `: base64, then UTF-8, cut at the first colon. Nil for anything else, for an empty name
    /// or password, and for control characters, which the RFC forbids.
    public init?(_ encoded: some Collection<UInt8>) {
        guard var bytes = Base64.decode(encoded) else { return nil }
        defer { Secret.wipe(&bytes) }
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")), colon > 0, colon + 1 < bytes.count,
            !bytes.contains(where: { $0 < 0x20 || $0 == 0x7f }), PlainMessage.isUTF8(bytes[(colon + 1)...]),
            let user = String(validating: bytes[..<colon], as: UTF8.self)
        else { return nil }
        self.user = ExactString(user)
        password = Secret(copying: bytes[(colon + 1)...])
    }
}
