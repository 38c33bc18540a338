import Configuration
import Security

/// An address of http or https, without a user's name or a fragment. Read strictly, so that libcurl could not see another host in it
/// than is judged here. Source: RFC 3986.
public struct WebAddress: Sendable, Equatable {
    public let text: String
    /// Scheme, host and port: what is called by somebody else's address is of another origin. The host is in small letters, and the port
    /// always written.
    let origin: String
    /// With the scheme, up to the path.
    private let start: String
    /// The path, with what stands behind it.
    private let rest: String

    /// What servers take at most of an address, about.
    static let maxBytes = 2_048
    private static let schemes: KeyValuePairs<String, UInt16> = ["https://": 443, "http://": 80]

    public init?(_ text: String) {
        guard text.utf8.count <= Self.maxBytes, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }),
            let (scheme, usualPort) = Self.schemes.first(where: { text.hasPrefix($0.key) }), !text.contains("#"),
            !text.contains("\\")
        else { return nil }
        let authority = text.dropFirst(scheme.utf8.count).prefix { $0 != "/" && $0 != "?" }
        guard let endpoint = Endpoint(String(authority)) ?? Endpoint("\(authority):\(usualPort)") else { return nil }
        let separators: [UInt8] = [UInt8(ascii: "."), UInt8(ascii: ":")]
        guard !endpoint.host.isEmpty, endpoint.port > 0,
            endpoint.host.utf8.allSatisfy({ WebhookScheme.isHeaderByte($0) || separators.contains($0) })
        else { return nil }
        self.text = text
        start = scheme + authority
        rest = String(text.dropFirst(start.utf8.count))
        origin = scheme + Endpoint(host: endpoint.host.lowercased(), port: endpoint.port).description
    }

    /// Without its query, which may hold what is nobody's.
    public var withoutQuery: String { String(text.prefix { $0 != "?" }) }

    var isPlain: Bool { text.hasPrefix("http://") }

    /// What a reference in an answer from here leads to; nil: to no address of http or https. Source: RFC 3986, 5.2, but for segments
    /// of dots, which libcurl takes out.
    func resolving(_ reference: String) -> WebAddress? {
        let reference = String(reference.prefix { $0 != "#" })
        if let end = reference.firstRange(of: "://")?.upperBound, !reference[..<end].contains("?"),
            reference.first != "/"
        {
            return WebAddress(reference[..<end].lowercased() + reference[end...])
        }
        if reference.hasPrefix("//") { return WebAddress(start.prefix { $0 != "/" } + reference) }
        if reference.hasPrefix("/") { return WebAddress(start + reference) }
        let path = rest.prefix { $0 != "?" }
        if reference.isEmpty { return self }
        if reference.hasPrefix("?") { return WebAddress(start + path + reference) }
        // Another scheme.
        if reference.prefix(while: { $0 != "/" && $0 != "?" }).contains(":") { return nil }
        let folder = path.lastIndex(of: "/").map { path[...$0] } ?? "/"
        return WebAddress(start + folder + reference)
    }

    /// With a parameter of its query, in place of the one that it has; nil: it would be too long.
    func setting(_ name: String, _ value: String) -> WebAddress? {
        let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let encoded = Self.encoded(name)
        var items = (parts.count > 1 ? parts[1] : "").split(separator: "&").map(String.init)
        items.removeAll { item in [name, encoded].contains(String(item.prefix { $0 != "=" })) }
        items.append("\(encoded)=\(Self.encoded(value))")
        let path = parts.first.flatMap { $0.isEmpty ? nil : $0 } ?? "/"
        return WebAddress("\(start)\(path)?" + items.joined(separator: "&"))
    }

    private static func encoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                bytes.append(byte)
            default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
