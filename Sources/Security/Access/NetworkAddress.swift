/// An IP address by its bytes, so that two ways of writing one are the same. An IPv4 address mapped into IPv6 is the
/// IPv4 address, as in Kafka.
public struct NetworkAddress: Hashable, Sendable, CustomStringConvertible {
    /// The sixteen bytes of IPv6; of IPv4 as `::ffff:a.b.c.d`.
    private let high: UInt64
    private let low: UInt64

    private static let mapped: UInt64 = 0xffff_0000_0000

    public init(v4 bytes: UInt32) {
        high = 0
        low = Self.mapped | UInt64(bytes)
    }

    /// Sixteen bytes.
    public init(v6 bytes: some Collection<UInt8>) {
        precondition(bytes.count == 16, "an IPv6 address of \(bytes.count) bytes")
        let words = bytes.enumerated().reduce(into: (UInt64(0), UInt64(0))) { words, next in
            if next.offset < 8 { words.0 = words.0 << 8 | UInt64(next.element) }
            if next.offset >= 8 { words.1 = words.1 << 8 | UInt64(next.element) }
        }
        (high, low) = words
    }

    /// The first eight bytes of an IPv6 address, and the last.
    public init(v6High high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }

    /// The sixteen bytes as two numbers; of IPv4 as `::ffff:a.b.c.d`.
    public var words: (high: UInt64, low: UInt64) { (high, low) }

    /// Of IPv6 the first 64 bits, which are a household's; of IPv4 the address.
    public var networkBits: UInt64 { isV4 ? low & UInt64(UInt32.max) : high }

    /// Whether only this machine has it.
    public var isLoopback: Bool { isV4 ? low >> 24 & 255 == 127 : high == 0 && low == 1 }

    /// Whether it is of the link alone: 169.254.0.0/16 (RFC 3927), fe80::/10 (RFC 4291).
    public var isLinkLocal: Bool { isV4 ? low >> 16 & 0xffff == 0xa9fe : high >> 54 == 0xfe80 >> 6 }

    public var isV4: Bool { high == 0 && low & ~UInt64(UInt32.max) == Self.mapped }

    /// Reads `a.b.c.d` in decimal without leading zeros, and IPv6 with one `::` and an IPv4 tail allowed. No zone.
    public init?(_ text: String) {
        let text = Array(text.utf8)
        if text.contains(UInt8(ascii: ":")) {
            guard let bytes = Self.v6Bytes(text) else { return nil }
            self.init(v6: bytes)
        } else {
            guard let word = Self.v4Word(text[...]) else { return nil }
            self.init(v4: word)
        }
    }

    private static func v4Word(_ text: ArraySlice<UInt8>) -> UInt32? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var word: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.allSatisfy({ (0x30...0x39).contains($0) }),
                part.count == 1 || part.first != 0x30, let value = UInt8(String(decoding: part, as: UTF8.self))
            else { return nil }
            word = word << 8 | UInt32(value)
        }
        return word
    }

    private static func v6Bytes(_ text: [UInt8]) -> [UInt8]? {
        guard text.count <= 45 else { return nil }
        var halves: [[UInt8]] = [[]]
        var index = 0
        if text.starts(with: "::".utf8) {
            halves.append([])
            index = 2
        } else if text.first == UInt8(ascii: ":") {
            return nil
        }
        while index < text.count {
            let end = text[index...].firstIndex(of: UInt8(ascii: ":")) ?? text.count
            let group = text[index..<end]
            if group.contains(UInt8(ascii: ".")) {
                guard end == text.count, let word = v4Word(group) else { return nil }
                for shift: UInt32 in [24, 16, 8, 0] { halves[halves.count - 1].append(UInt8(word >> shift & 255)) }
                break
            }
            guard (1...4).contains(group.count), let word = UInt16(String(decoding: group, as: UTF8.self), radix: 16),
                group.allSatisfy({ Hexadecimal.value(of: $0) != nil })
            else { return nil }
            halves[halves.count - 1] += [UInt8(word >> 8), UInt8(word & 255)]
            index = end
            if index == text.count { break }
            index += 1
            if index < text.count, text[index] == UInt8(ascii: ":") {
                guard halves.count == 1 else { return nil }
                halves.append([])
                index += 1
            } else if index == text.count {
                return nil
            }
        }
        if halves.count == 1 { return halves[0].count == 16 ? halves[0] : nil }
        let missing = 16 - halves[0].count - halves[1].count
        // `::` stands for at least one group.
        return missing >= 2 ? halves[0] + [UInt8](repeating: 0, count: missing) + halves[1] : nil
    }

    /// As Kafka prints it: IPv6 with all eight groups, without leading zeros.
    public var description: String {
        if isV4 { return [24, 16, 8, 0].map { String(low >> UInt64($0) & 255) }.joined(separator: ".") }
        return (0..<8).map { group in
            let word = group < 4 ? high >> UInt64(48 - 16 * group) : low >> UInt64(112 - 16 * group)
            return String(word & 0xffff, radix: 16)
        }.joined(separator: ":")
    }

    /// The first `bits` of the address, the rest zero: of 32 for IPv4, of 128 for IPv6.
    func prefix(_ bits: Int) -> NetworkAddress {
        let kept = isV4 ? bits + 96 : bits
        func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : bits >= 64 ? .max : ~(UInt64.max >> UInt64(bits)) }
        return NetworkAddress(high: high & mask(kept), low: low & mask(kept - 64))
    }

    private init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// What limits by address count together: one IPv4 address, or one IPv6 network of 64 bits, which is what a
    /// household gets.
    public var limitKey: NetworkAddress { isV4 ? self : prefix(64) }

    /// What takes turns with others: one IPv4 address, or one IPv6 network of 48 bits, which is what a site gets, with
    /// 65,536 of ``limitKey``.
    public var siteKey: NetworkAddress { isV4 ? self : prefix(48) }
}

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or one address alone.
public struct NetworkRange: Hashable, Sendable {
    private let network: NetworkAddress
    private let bits: Int

    /// Nil for a length that the address does not have, and for bits set behind it: who wrote `10.1.2.3/8` meant
    /// something that is not there.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), let address = NetworkAddress(String(parts[0])) else { return nil }
        let whole = address.isV4 ? 32 : 128
        var bits = whole
        if parts.count == 2 {
            guard let given = Int(parts[1]), (0...whole).contains(given), String(given) == parts[1] else { return nil }
            bits = given
        }
        guard address.prefix(bits) == address else { return nil }
        network = address
        self.bits = bits
    }

    public func contains(_ address: NetworkAddress) -> Bool {
        address.isV4 == network.isV4 && address.prefix(bits) == network
    }
}
