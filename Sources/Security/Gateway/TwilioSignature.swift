import ByteBuffers

/// Twilio's `X-Twilio-Signature`: HMAC over the URL as it is configured there, and over a form's fields.
///
/// The URL is configuration here as well, for a proxy may have changed what arrived. Its default port is tried both
/// ways, for Twilio's products differ. What no form covers is covered by `bodySHA256` in the query.
public enum TwilioSignature {
    /// A form's fields; Twilio sends some dozens. More is a wrong signature.
    public static let maxFields = 1_000
    /// A larger form is no Twilio's: a wrong signature, before anything of it is looked at.
    public static let maxFormBytes = 65_536

    public enum Body: Sendable {
        /// `application/x-www-form-urlencoded`, as it arrived.
        case form([UInt8])
        case other([UInt8])

        var bytes: [UInt8] {
            switch self {
            case .form(let bytes), .other(let bytes): bytes
            }
        }
    }

    public static func isRight(
        _ signature: String, url: String, body: Body, secrets: [Secret], algorithm: HashAlgorithm = .sha1
    ) -> Bool {
        // A code under an empty secret is anybody's. Of visible ASCII every character is one byte.
        guard !secrets.contains(where: \.isEmpty), url.utf8.allSatisfy({ (0x21...0x7e).contains($0) }),
            let given = Base64.decode(signature.utf8), given.count == algorithm.byteCount
        else { return false }
        // Whoever sends it chooses the content type: where the query has a sum, it holds for a form as well.
        let sums = queryValues(of: "bodySHA256", in: url)
        if !sums.isEmpty, sums != [Hexadecimal.encode(HashAlgorithm.sha256.hash(body.bytes))] { return false }
        let fields: [UInt8]
        switch body {
        case .form(let bytes):
            guard bytes.count <= maxFormBytes, let text = signedFields(of: bytes) else { return false }
            fields = text
        case .other:
            guard !sums.isEmpty else { return false }
            fields = []
        }
        var isRight = false
        for url in variants(of: url) {
            for secret in secrets {
                let code = algorithm.hmac(key: secret, Array(url.utf8) + fields)
                if ConstantTime.equal(code, given) { isRight = true }
            }
        }
        return isRight
    }

    /// Names and values, decoded, one after another, in the order of the names; the same pair once.
    private static func signedFields(of form: [UInt8]) -> [UInt8]? {
        var pairs: [(name: [UInt8], value: [UInt8])] = []
        var rest = form[...]
        while !rest.isEmpty {
            let field = rest.prefix { $0 != UInt8(ascii: "&") }
            rest = rest.dropFirst(field.count + 1)
            if field.isEmpty { continue }
            let equals = field.firstIndex(of: UInt8(ascii: "=")) ?? field.endIndex
            guard let name = decode(field[..<equals]), let value = decode(field[equals...].dropFirst()),
                pairs.count < maxFields
            else { return nil }
            pairs.append((name, value))
        }
        pairs.sort { one, other in
            one.name == other.name
                ? one.value.lexicographicallyPrecedes(other.value) : one.name.lexicographicallyPrecedes(other.name)
        }
        var text: [UInt8] = []
        for (index, pair) in pairs.enumerated() where index == 0 || pair != pairs[index - 1] {
            text += pair.name + pair.value
        }
        return text
    }

    private static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = text
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
            case UInt8(ascii: "%"):
                guard rest.count >= 2, let decoded = Hexadecimal.decode(rest.prefix(2)) else { return nil }
                bytes += decoded
                rest = rest.dropFirst(2)
            default: bytes.append(byte)
            }
        }
        return bytes
    }

    private static func queryValues(of name: String, in url: String) -> [String] {
        guard let mark = url.firstIndex(of: "?") else { return [] }
        return url[url.index(after: mark)...].split(separator: "&").compactMap { pair in
            pair.hasPrefix("\(name)=") ? String(pair.dropFirst(name.count + 1)) : nil
        }
    }

    /// The URL, and the same with its scheme's port added or removed.
    private static func variants(of url: String) -> [String] {
        for (scheme, port) in [("https://", ":443"), ("http://", ":80")] where url.hasPrefix(scheme) {
            let rest = url.dropFirst(scheme.count)
            let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
            let (authority, tail) = (rest[..<end], rest[end...])
            if authority.hasSuffix(port) { return [url, scheme + authority.dropLast(port.count) + tail] }
            let host = authority.split(separator: "@").last ?? ""
            let hasPort = host.hasSuffix("]") ? false : host.contains(":")
            return hasPort ? [url] : [url, scheme + authority + port + tail]
        }
        return [url]
    }
}
