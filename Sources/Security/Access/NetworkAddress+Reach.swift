/// What may be behind an address, for who is told by others what to call.
///
/// Source: RFC 6890 and IANA's registries of special-purpose addresses, RFC 6052 (NAT64), RFC 3056 (6to4).
extension NetworkAddress {
    /// Whether it is of the internet at large: not of this machine, of the link, of a private network, of a document, for many receivers,
    /// or kept for later. An address that gateways lead on to one of IPv4 is what that one is.
    public var isGlobal: Bool {
        if let inside = carriedV4 { return inside.isGlobal }
        if isV4 { return !Self.reservedV4.contains { $0.contains(self) } }
        return Self.globalV6.contains(self) && !Self.reservedV6.contains { $0.contains(self) }
    }

    /// Whether machines of clouds may find their credentials there: addresses of the link, and the few others at which clouds answer.
    public var isMetadata: Bool {
        if let inside = carriedV4 { return inside.isMetadata }
        return isLinkLocal || Self.metadata.contains { $0.contains(self) }
    }

    /// The address of IPv4 that gateways lead this one of IPv6 on to: of NAT64 and 6to4, and of the form without `ffff`, which is out of
    /// use; nil: it is none of these.
    private var carriedV4: NetworkAddress? {
        if isV4 { return nil }
        let (high, low) = words
        // The well-known prefix alone: where one for networks of their own (RFC 8215) has the address is each network's to say.
        if high == 0x0064_ff9b_0000_0000 && low >> 32 == 0 {
            return NetworkAddress(v4: UInt32(truncatingIfNeeded: low))
        }
        if high >> 48 == 0x2002 { return NetworkAddress(v4: UInt32(truncatingIfNeeded: high >> 16)) }
        // Neither no address nor this machine.
        if high == 0, low >> 32 == 0, low > 1 { return NetworkAddress(v4: UInt32(low)) }
        return nil
    }

    private static func ranges(_ texts: [String]) -> [NetworkRange] {
        texts.map { text in
            guard let range = NetworkRange(text) else { preconditionFailure("\(text) is no range of addresses") }
            return range
        }
    }

    private static let reservedV4 = ranges([
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4", azure,
    ])

    /// All that is given out so far; what is in it and is not for everybody is `reservedV6`.
    private static let globalV6 = ranges(["2000::/3"])[0]
    private static let reservedV6 = ranges(["2001::/23", "2001:db8::/32", "3fff::/20"])

    /// Of the host below each virtual machine of Azure.
    private static let azure = "168.63.129.16"

    /// Beside those of the link: of AWS by IPv6, of Google Cloud by IPv6, of Alibaba Cloud, of Azure; and NAT64 of networks of their own,
    /// which may lead on to any of them.
    private static let metadata = ranges(["fd00:ec2::/32", "fd20:ce::254", "100.100.100.200", azure, "64:ff9b:1::/48"])
}
