import Configuration
import HTTPWire
import Security

/// What the gateway believes of the way that requests have come: for which hosts they may ask, and which proxies stand before it.
/// Of keys that are read at the start.
struct Perimeter: Sendable {
    /// nil: any host.
    var hosts: AllowedHosts?
    /// nil: no proxy is believed, and the socket's address counts.
    var proxies: ForwardedAddress?

    init() {}

    /// Reads them, and notes what is wrong.
    init(_ configuration: Configuration, _ problems: inout [ConfigurationError.Problem]) {
        func refuse(_ key: String, _ item: String, _ reason: String, _ remedy: String) {
            problems.append(
                .init(
                    key: key, value: item, source: configuration.value(for: key)?.source, reason: reason, remedy: remedy
                ))
        }
        let names = configuration.list(Self.hostsKey)
        for name in names where !AllowedHosts.isName(name) {
            refuse(
                Self.hostsKey, name, "is no host",
                "Write names and addresses without a port, such as events.example.com or 192.0.2.1, [::1]")
        }
        if names.count > AllowedHosts.maxNames {
            refuse(
                Self.hostsKey, names[AllowedHosts.maxNames], "has more than \(AllowedHosts.maxNames) names",
                "Leave some out")
        }
        if !names.isEmpty { hosts = AllowedHosts(names) }
        let ranges = configuration.list(Self.proxiesKey)
        let read = ranges.compactMap { NetworkRange($0) }
        for text in ranges where NetworkRange(text) == nil {
            refuse(
                Self.proxiesKey, text, "is no range of addresses",
                "Write addresses such as 192.0.2.7, or ranges such as 10.0.0.0/8 and fd00::/8, with no bit set behind the length"
            )
        }
        if ranges.count > Self.maxRanges {
            refuse(
                Self.proxiesKey, ranges[Self.maxRanges], "has more than \(Self.maxRanges) ranges", "Join some of them")
        }
        if !read.isEmpty {
            let header: ForwardedAddress.Header =
                configuration.text("http.forwarded.header") == "forwarded" ? .forwarded : .xForwardedFor
            proxies = ForwardedAddress(header, trusted: read)
        }
    }

    private static let hostsKey = "http.allowed.hosts"
    private static let proxiesKey = "http.trusted.proxies"
    /// Each is looked at for each request of a proxy.
    private static let maxRanges = 64
}

/// The hosts that requests may be for, whatever the port.
struct AllowedHosts: Sendable {
    private let names: [[UInt8]]

    /// Each is compared with that of each request.
    static let maxNames = 64

    fileprivate init(_ names: [String]) { self.names = names.map { Array($0.lowercased().utf8) } }

    /// Whether text is a host without a port, IPv6 in brackets.
    static func isName(_ text: String) -> Bool {
        if text.hasPrefix("[") {
            return text.hasSuffix("]") && text.contains(":")
                && NetworkAddress(String(text.dropFirst().dropLast())) != nil
        }
        return !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (0x61...0x7a).contains(byte | 0x20) || (0x30...0x39).contains(byte)
                    || [UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_")].contains(byte)
            }
    }

    /// - Parameter authority: host and port as the request has them.
    func serve(_ authority: UnsafeRawBufferPointer) -> Bool {
        guard let host = Self.host(of: authority) else { return false }
        return names.contains { name in
            name.count == host.count
                && zip(name, host).allSatisfy { $0 == ($1 &- UInt8(ascii: "A") < 26 ? $1 | 0x20 : $1) }
        }
    }

    /// Without the port, and without the root that may be written out behind a name; nil: it is none.
    static func host(of authority: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var end = authority.count
        if authority.first == UInt8(ascii: "[") {
            guard let bracket = authority.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            end = bracket + 1
            guard end == authority.count || authority[end] == UInt8(ascii: ":") else { return nil }
        } else if let colon = authority.firstIndex(of: UInt8(ascii: ":")) {
            end = colon
        }
        if end > 1, authority[end - 1] == UInt8(ascii: ".") { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: authority[..<end])
    }
}
