internal import Glibc

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
    public var isLoopback: Bool {
        let bound = boundAddresses
        return !bound.isEmpty && bound.allSatisfy(\.isLoopback)
    }

    /// Whether this stands for every address of the machine, or of one family.
    public var isWildcard: Bool { boundAddresses.contains { $0.bytes.allSatisfy { $0 == 0 } } }

    /// What is bound by it, as far as that can be told without asking anybody: nothing of a name, but for `localhost`.
    var boundAddresses: [BoundAddress] {
        if host.isEmpty { return [.everyIPv4, .everyIPv6] }
        if host.lowercased() == "localhost" { return ["127.0.0.1", "::1"].compactMap { BoundAddress($0) } }
        guard let address = BoundAddress(host) else { return [] }
        // The socket of `::` takes IPv4, too.
        return address == .everyIPv6 ? [.everyIPv4, .everyIPv6] : [address]
    }
}

/// An address by its bytes: four of IPv4, sixteen of IPv6, all zero for every one of the family.
struct BoundAddress: Equatable {
    let bytes: [UInt8]

    static let everyIPv4 = BoundAddress(bytes: [UInt8](repeating: 0, count: 4))
    static let everyIPv6 = BoundAddress(bytes: [UInt8](repeating: 0, count: 16))

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// Nil: a name, or an address with a zone, whose number only the machine knows.
    init?(_ host: String) {
        for (family, count) in [(AF_INET, 4), (AF_INET6, 16)] {
            var bytes = [UInt8](repeating: 0, count: count)
            if inet_pton(family, host, &bytes) == 1 {
                self.bytes = bytes
                return
            }
        }
        return nil
    }

    func overlaps(_ other: BoundAddress) -> Bool {
        guard bytes.count == other.bytes.count else { return false }
        return bytes == other.bytes || isEvery || other.isEvery
    }

    var isLoopback: Bool {
        bytes.count == 4 ? bytes[0] == 127 : bytes.last == 1 && bytes.dropLast().allSatisfy { $0 == 0 }
    }

    private var isEvery: Bool { bytes.allSatisfy { $0 == 0 } }
}
