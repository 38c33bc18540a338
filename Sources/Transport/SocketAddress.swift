internal import CSystem
internal import Glibc

/// An IPv4 or IPv6 address with a port. An IPv6 address that only maps an IPv4 one is the IPv4 one.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address's first eight bytes as a number; 0 for IPv4.
    public let high: UInt64
    /// The last eight bytes as a number; for IPv4 the low 32 bits are the address.
    public let low: UInt64
    public let scope: UInt32
    public var port: UInt16
    public let isIPv6: Bool

    /// An address that somebody else has told.
    public init(high: UInt64, low: UInt64, isIPv6: Bool, port: UInt16) {
        (self.high, self.low, self.isIPv6, self.port) = (isIPv6 ? high : 0, low, isIPv6, port)
        scope = 0
    }

    init(_ native: millrace_address) {
        high = native.high
        low = native.low
        scope = native.scope
        port = native.port
        isIPv6 = native.family == 6
    }

    var native: millrace_address {
        millrace_address(high: high, low: low, scope: scope, port: port, family: isIPv6 ? 6 : 4)
    }

    /// Listens on every address of its family.
    var isWildcard: Bool { high == 0 && low == 0 }

    /// The address without its port.
    public var host: String {
        var native = native
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
            guard millrace_address_text(&native, text.baseAddress, text.count) == 0 else { return "?" }
            return String(cString: text.baseAddress!)
        }
    }

    public var description: String { isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// What counts as one peer for `maxConnectionsPerIP`: an IPv4 address, or an IPv6 /64, which is what one host gets.
    public var peerKey: PeerKey { isIPv6 ? PeerKey(isIPv6: true, bits: high) : PeerKey(isIPv6: false, bits: low) }
}

/// Who counts as one peer for the limits a peer; see `SocketAddress.peerKey`.
public struct PeerKey: Hashable, Sendable {
    let isIPv6: Bool
    let bits: UInt64

    /// For an address that is no socket's. `bits`: of IPv6 the first 64, of IPv4 the address.
    public init(isIPv6: Bool, bits: UInt64) {
        self.isIPv6 = isIPv6
        self.bits = bits
    }

    /// Of the same peer the same in every process.
    public var bytes: [UInt8] { [isIPv6 ? 6 : 4] + withUnsafeBytes(of: bits.bigEndian, Array.init) }
}

extension SocketAddress {
    /// Returns the addresses to listen on for a configured host: a literal or a name.
    static func resolve(host: String, port: UInt16) throws(TransportError) -> [SocketAddress] {
        // `[::1]` as in URLs.
        let bare = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
        let capacity = 16
        var found: [SocketAddress] = []
        let count = withUnsafeTemporaryAllocation(of: millrace_address.self, capacity: capacity) { addresses in
            let count = millrace_resolve(bare, port, addresses.baseAddress, Int32(capacity))
            for index in 0..<max(0, Int(count)) { found.append(SocketAddress(addresses[index])) }
            return count
        }
        if count < 0 {
            throw .cannotResolve(host: host, message: String(cString: millrace_resolve_error(count)))
        }
        if found.isEmpty { throw .cannotResolve(host: host, message: "no IPv4 or IPv6 address") }
        return found
    }
}

/// What can go wrong when listening or starting; at start only.
public enum TransportError: Error, Equatable, Sendable, CustomStringConvertible {
    case cannotResolve(host: String, message: String)
    case cannotListen(address: SocketAddress, errno: Int32)
    case cannotStart(operation: String, errno: Int32)
    case stopped

    public var description: String {
        switch self {
        case .cannotResolve(let host, let message): "cannot resolve \"\(host)\": \(message)"
        case .cannotListen(let address, let errno): "cannot listen on \(address): \(errorText(errno))"
        case .cannotStart(let operation, let errno): "\(operation): \(errorText(errno))"
        case .stopped: "the event loops are stopped"
        }
    }
}

func errorText(_ errno: Int32) -> String { String(cString: strerror(errno)) + " (errno \(errno))" }
