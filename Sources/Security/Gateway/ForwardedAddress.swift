/// Whose request it is when it came through proxies: the header lines they wrote, believed only as far as they are
/// ours.
///
/// Read from the right, from the socket on: each address that is a trusted proxy's hands on to the one it names; the
/// first that is not is the client, and nothing further left is looked at, for the client wrote it. Bytes, not
/// characters: a mark of the client's would join the comma after it. Source: RFC 7239.
public struct ForwardedAddress: Sendable {
    public enum Header: Sendable {
        case xForwardedFor
        case forwarded

        /// In lower case.
        public var name: String {
            switch self {
            case .xForwardedFor: "x-forwarded-for"
            case .forwarded: "forwarded"
            }
        }
    }

    /// Elements looked at, from the right. A chain is two or three long; one that goes on is unreadable.
    public static let maxHops = 32

    public let header: Header
    let trusted: [NetworkRange]

    /// `trusted` is empty by default: then the socket's address counts.
    public init(_ header: Header = .xForwardedFor, trusted: [NetworkRange]) {
        self.header = header
        self.trusted = trusted
    }

    public func isTrusted(_ address: NetworkAddress) -> Bool { trusted.contains { $0.contains(address) } }

    /// `lines` are the values of the configured header in their order; the other header must not be given here. Without
    /// any the request is the proxy's own. Nil when a trusted proxy names nobody who could be read: the request has no
    /// address then, and least of all the proxy's, whose rights and limits are not the client's.
    public func client(socket: NetworkAddress, lines: [String]) -> NetworkAddress? {
        guard isTrusted(socket) else { return socket }
        var client = socket
        var hops = 0
        for line in lines.reversed() {
            var rest = Array(line.utf8)[...]
            while true {
                let element = takeLast(of: &rest)
                hops += 1
                guard hops <= Self.maxHops, let address = address(of: element.bytes) else { return nil }
                client = address
                if !isTrusted(address) { return client }
                if element.isFirst { break }
            }
        }
        return client
    }

    /// What stands behind the last comma outside of quotes. A quote that is not closed reaches to the left end, and
    /// makes this element unreadable, no other.
    private func takeLast(of line: inout ArraySlice<UInt8>) -> (bytes: ArraySlice<UInt8>, isFirst: Bool) {
        var isQuoted = false
        for index in line.indices.reversed() {
            if line[index] == UInt8(ascii: "\""), header == .forwarded { isQuoted.toggle() }
            guard !isQuoted, line[index] == UInt8(ascii: ",") else { continue }
            defer { line = line[..<index] }
            return (line[(index + 1)...], false)
        }
        return (line, true)
    }

    private func address(of element: ArraySlice<UInt8>) -> NetworkAddress? {
        switch header {
        case .xForwardedFor: Self.address(Self.trimmed(element))
        case .forwarded: Self.forwarded(element)
        }
    }

    /// `for=` of an element. Nil without it, or with what is no address (`unknown`, `_name`).
    private static func forwarded(_ element: ArraySlice<UInt8>) -> NetworkAddress? {
        // No address needs a backslash, and with one it is not plain where a quoted text ends.
        guard !element.contains(UInt8(ascii: "\\")) else { return nil }
        var values: [ArraySlice<UInt8>] = []
        var isQuoted = false
        let pairs = element.split(omittingEmptySubsequences: false) { byte in
            if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
            return !isQuoted && byte == UInt8(ascii: ";")
        }
        guard !isQuoted else { return nil }
        for pair in pairs {
            guard let equals = pair.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let name = trimmed(pair[..<equals])
            let isFor = name.count == 3 && name.map { $0 | 0x20 }.elementsEqual("for".utf8)
            if isFor { values.append(trimmed(pair[(equals + 1)...])) }
        }
        guard values.count == 1, let value = values.first else { return nil }
        guard value.first == UInt8(ascii: "\"") else { return address(value) }
        return value.count >= 2 && value.last == UInt8(ascii: "\"") ? address(value.dropFirst().dropLast()) : nil
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        var bytes = bytes.drop(while: isBlank)
        while let last = bytes.last, isBlank(last) { bytes.removeLast() }
        return bytes
    }

    /// An address, with a port or without; IPv6 in brackets, or bare without a port.
    private static func address(_ bytes: ArraySlice<UInt8>) -> NetworkAddress? {
        func parsed(_ bytes: ArraySlice<UInt8>) -> NetworkAddress? {
            NetworkAddress(String(decoding: bytes, as: UTF8.self))
        }
        if bytes.first == UInt8(ascii: "[") {
            guard let end = bytes.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            let (inner, rest) = (bytes[..<end].dropFirst(), bytes[(end + 1)...])
            return (rest.isEmpty || isPort(rest)) && inner.contains(UInt8(ascii: ":")) ? parsed(inner) : nil
        }
        if let whole = parsed(bytes) { return whole }
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")), isPort(bytes[colon...]) else { return nil }
        return parsed(bytes[..<colon])
    }

    private static func isPort(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.first == UInt8(ascii: ":") && (2...6).contains(bytes.count)
            && bytes.dropFirst().allSatisfy { (0x30...0x39).contains($0) }
    }
}
