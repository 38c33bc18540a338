import Security

/// An address that keys are fetched from: https, or plain http to this machine alone.
///
/// Read strictly, so that nobody behind it (libcurl, a proxy) could see another host in it than we do.
public struct KeyAddress: Hashable, Sendable, CustomStringConvertible {
    /// What servers take at most of an address, about.
    static let maxBytes = 2_048

    public let text: String
    /// Http: the connection is held to the loopback as well, whatever the name stands for.
    let isPlain: Bool

    /// Nil for another scheme, a user's name in it, a fragment, and http to another machine.
    public init?(_ text: String) {
        guard text.utf8.count <= Self.maxBytes, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else { return nil }
        let rest: Substring
        if text.hasPrefix("https://") {
            rest = text.dropFirst("https://".count)
            isPlain = false
        } else if text.hasPrefix("http://") {
            rest = text.dropFirst("http://".count)
            isPlain = true
        } else {
            return nil
        }
        guard !rest.contains("#"), !rest.contains("\\"),
            let host = Self.host(of: rest.prefix { $0 != "/" && $0 != "?" }), !isPlain || Self.isLoopback(host)
        else { return nil }
        self.text = text
    }

    public var description: String { text }

    /// With `path` behind it.
    func appending(_ path: String) -> KeyAddress? {
        KeyAddress((text.hasSuffix("/") ? String(text.dropLast()) : text) + path)
    }

    /// Of HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT.
    private static func host(of authority: Substring) -> String? {
        var host = authority
        var port: Substring?
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<end]
            let behind = authority[authority.index(after: end)...]
            guard behind.isEmpty || behind.first == ":", NetworkAddress(String(host)) != nil else { return nil }
            port = behind.isEmpty ? nil : behind.dropFirst()
        } else {
            if let colon = authority.firstIndex(of: ":") {
                host = authority[..<colon]
                port = authority[authority.index(after: colon)...]
            }
            let isName = host.utf8.allSatisfy { byte in
                (0x61...0x7a).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "-")
                    || byte == UInt8(ascii: ".")
            }
            guard isName else { return nil }
        }
        if let port {
            guard port.utf8.allSatisfy({ (0x30...0x39).contains($0) }), UInt16(port) ?? 0 > 0 else { return nil }
        }
        return host.isEmpty ? nil : String(host)
    }

    private static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" { return true }
        return NetworkAddress(host)?.isLoopback ?? false
    }
}

/// Where an issuer's keys are.
public enum KeyLocation: Hashable, Sendable, CustomStringConvertible {
    /// A JWKS document.
    case document(KeyAddress)
    /// What OpenID Connect Discovery says at `/.well-known/openid-configuration` behind the issuer's name.
    case discovery(issuer: KeyAddress)
    /// A file with a JWKS document, for issuers that cannot be reached from here.
    case file(String)

    /// As `sasl.oauthbearer.jwks.endpoint.url` is written: an address, or `file:///PATH`.
    public init?(_ text: String) {
        if text.hasPrefix("file://") {
            let path = String(text.dropFirst("file://".count))
            guard path.hasPrefix("/") else { return nil }
            self = .file(path)
        } else {
            guard let address = KeyAddress(text) else { return nil }
            self = .document(address)
        }
    }

    public var description: String {
        switch self {
        case .document(let address): address.text
        case .discovery(let issuer): issuer.text + Self.discoveryPath
        case .file(let path): path
        }
    }

    static let discoveryPath = "/.well-known/openid-configuration"
}
