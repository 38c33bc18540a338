/// An address to listen at or to connect to: `HOST:PORT`, `[::1]:9092`, `:9092`.
///
/// An empty host means every address of the machine, IPv4 and IPv6 by one dual-stack socket (clients that try `::1`
/// first for `localhost` must find somebody there). Port 0 asks the system for a free one.
public struct Endpoint: Sendable, Equatable, CustomStringConvertible, LosslessStringConvertible {
    public var host: String
    public var port: UInt16

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Longest host name that DNS allows.
    static let maxHostLength = 253

    public init?(_ text: String) {
        let rest = Substring(text)
        guard let colon = rest.lastIndex(of: ":"), let port = UInt16(rest[rest.index(after: colon)...]) else {
            return nil
        }
        var host = rest[..<colon]
        if host.hasPrefix("[") {
            guard host.hasSuffix("]"), host.count > 2 else { return nil }
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { return nil }
        } else if host.contains(":") {
            // Unbracketed IPv6: `::1:9092` could be read in two ways.
            return nil
        }
        if host == "*" { host = "" }
        let allowed = host.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"),
                UInt8(ascii: ":"), UInt8(ascii: "%"):
                true
            default: false
            }
        }
        guard allowed, host.utf8.count <= Self.maxHostLength else { return nil }
        self.init(host: String(host), port: port)
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Whether only this machine can connect to it.
    public var isLoopback: Bool { host == "localhost" || host == "::1" || isIPv4Loopback }

    private var isIPv4Loopback: Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    /// Whether this stands for every address of the machine.
    public var isWildcard: Bool { host.isEmpty || host == "0.0.0.0" || host == "::" }
}
