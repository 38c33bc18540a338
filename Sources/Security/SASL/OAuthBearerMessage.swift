import KafkaModel

/// The first message of OAUTHBEARER: header, 0x01, then `key=value` 0x01 for each pair, then 0x01. `auth` must be among
/// them. Source: RFC 7628, section 3.1; KIP-342 for the other keys.
struct OAuthBearerMessage {
    /// Pairs besides `auth`; a client sends two or three. More is an error.
    static let maxExtensions = 32

    let authorizationID: ExactString?
    let token: Secret
    let extensionCount: Int

    init?(_ message: UnsafeRawBufferPointer) {
        var rest = message[...]
        guard let header = SaslName.Header(takenFrom: &rest), rest.popFirst() == 1, rest.popLast() == 1 else {
            return nil
        }
        authorizationID = header.authorizationID
        guard rest.isEmpty || rest.last == 1 else { return nil }
        var keys: Set<[UInt8]> = []
        var token: Secret?
        for pair in rest.dropLast().split(separator: 1, omittingEmptySubsequences: false) {
            guard let equals = pair.firstIndex(of: UInt8(ascii: "=")), equals > pair.startIndex,
                equals + 1 < pair.endIndex
            else { return nil }
            let (key, value) = (pair[..<equals], pair[(equals + 1)...])
            guard key.allSatisfy(Self.isLetter), value.allSatisfy(Self.isValueByte), keys.count <= Self.maxExtensions,
                keys.insert(Array(key)).inserted
            else { return nil }
            guard key.elementsEqual("auth".utf8) else { continue }
            guard let bearer = Self.bearer(value) else { return nil }
            token = Secret(copying: UnsafeRawBufferPointer(rebasing: bearer))
        }
        guard let token else { return nil }
        self.token = token
        extensionCount = keys.count - 1
    }

    /// `Bearer`, in any case, blanks, then a token of base64url characters and dots.
    private static func bearer(_ value: Slice<UnsafeRawBufferPointer>) -> Slice<UnsafeRawBufferPointer>? {
        let scheme = value.prefix { $0 != UInt8(ascii: " ") }
        guard scheme.map({ $0 | 0x20 }) == Array("bearer".utf8), scheme.allSatisfy(isLetter) else { return nil }
        let token = value.dropFirst(scheme.count).drop { $0 == UInt8(ascii: " ") }
        let isToken = token.allSatisfy { byte in
            isLetter(byte) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
                || byte == UInt8(ascii: ".")
        }
        return !token.isEmpty && isToken && token.startIndex > value.startIndex + scheme.count ? token : nil
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(byte | 0x20) }

    private static func isValueByte(_ byte: UInt8) -> Bool {
        (0x20...0x7e).contains(byte) || byte == 0x09 || byte == 0x0a || byte == 0x0d
    }
}
