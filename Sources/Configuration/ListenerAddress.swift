/// A listener as it is configured: a name, and where it listens. `SSL://127.0.0.1:9093`; without a name it has the key's own.
public struct ListenerAddress: Sendable, Equatable {
    public var name: String
    public var endpoint: Endpoint

    public init(name: String, endpoint: Endpoint) {
        self.name = name
        self.endpoint = endpoint
    }

    /// Listeners of one key; none of its users has as many.
    static let maxListeners = 32
    static let maxNameLength = 64

    /// Reads a list between commas. Nil: one is no address, a name is not among those allowed or stands twice, or there are none or
    /// too many.
    ///
    /// - Parameters:
    ///   - usual: the name of an address that has none.
    ///   - names: those that are allowed; empty: any of letters, digits, `_` and `-`, which are written in capitals (as by Kafka,
    ///     for which case makes no difference).
    static func list(_ text: String, usual: String, among names: [String]) -> [ListenerAddress]? {
        var found: [ListenerAddress] = []
        for item in ConfigurationKey.list(text) {
            var rest = Substring(item)
            var name = usual
            if let colon = item.firstIndex(of: ":"), item[colon...].hasPrefix("://") {
                guard let known = Self.name(String(item[..<colon]), among: names) else { return nil }
                name = known
                rest = item[item.index(colon, offsetBy: 3)...]
            }
            guard let endpoint = Endpoint(String(rest)), !found.contains(where: { $0.name == name }) else { return nil }
            found.append(ListenerAddress(name: name, endpoint: endpoint))
        }
        return found.isEmpty || found.count > maxListeners ? nil : found
    }

    /// Reads a name; nil when it is none, or not allowed.
    static func name(_ text: String, among names: [String]) -> String? {
        if !names.isEmpty { return names.first { $0.lowercased() == text.lowercased() } }
        let isName = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        return isName && !text.isEmpty && text.utf8.count <= maxNameLength ? text.uppercased() : nil
    }

    /// As it is written: the usual name is left out.
    public func text(usual: String) -> String { name == usual ? endpoint.description : "\(name)://\(endpoint)" }

    /// Whether it is one of the gateway's that speak TLS.
    public var isSecureHTTP: Bool { name == Configuration.secureHTTPName }

    /// Whether both cannot be listened at: the same port, and an address that is the other's, or all of its family. A name may be
    /// that of any address, which binding it tells.
    func collides(with other: ListenerAddress) -> Bool {
        guard endpoint.port != 0, endpoint.port == other.endpoint.port else { return false }
        let (own, others) = (endpoint.boundAddresses, other.endpoint.boundAddresses)
        if own.isEmpty || others.isEmpty { return endpoint.host.lowercased() == other.endpoint.host.lowercased() }
        return own.contains { one in others.contains { $0.overlaps(one) } }
    }
}

/// What a listener of Kafka's protocol speaks below it. Source: Kafka's `listener.security.protocol.map`.
public enum SecurityProtocol: String, Sendable, CaseIterable {
    case plaintext = "PLAINTEXT"
    case ssl = "SSL"
    case saslPlaintext = "SASL_PLAINTEXT"
    case saslSSL = "SASL_SSL"

    public var isEncrypted: Bool {
        switch self {
        case .ssl, .saslSSL: true
        case .plaintext, .saslPlaintext: false
        }
    }
    /// Whether clients have to say who they are, and to show it.
    public var hasSasl: Bool { self == .saslPlaintext || self == .saslSSL }
}
