/// Whose request it is when it came through proxies: the header lines they wrote, believed only as far as they are
/// ours.
///
/// Read from the right, from the socket on: each address that is a trusted proxy's hands on to the one it names; the
/// first that is not is the client. What cannot be read ends the walk at the last proxy. Source: RFC 7239.
public struct ForwardedAddress: Sendable {
    public enum Header: Sendable {
        case xForwardedFor
        case forwarded
    }

    /// Entries looked at, from the right. A chain is two or three long; what lies further left was written by the
    /// client.
    public static let maxHops = 32

    let header: Header
    let trusted: [NetworkRange]

    /// `trusted` is empty by default: then the socket's address counts.
    public init(_ header: Header = .xForwardedFor, trusted: [NetworkRange]) {
        self.header = header
        self.trusted = trusted
    }

    public func isTrusted(_ address: NetworkAddress) -> Bool { trusted.contains { $0.contains(address) } }

    /// `lines` are the values of the configured header in their order; the other header must not be given here.
    public func client(socket: NetworkAddress, lines: [String]) -> NetworkAddress {
        guard isTrusted(socket) else { return socket }
        let entries = header == .xForwardedFor ? Self.list(lines) : Self.elements(lines)
        var client = socket
        for entry in entries.suffix(Self.maxHops).reversed() {
            guard let address = entry else { return client }
            client = address
            if !isTrusted(address) { return client }
        }
        return client
    }

    private static func list(_ lines: [String]) -> [NetworkAddress?] {
        lines.joined(separator: ",").split(separator: ",", omittingEmptySubsequences: false)
            .map { address($0.trimmingBlanks) }
    }

    /// `for=` of each element; an element without it, or with what is no address (`unknown`, `_name`), is nil.
    private static func elements(_ lines: [String]) -> [NetworkAddress?] {
        let text = lines.joined(separator: ",")
        guard let elements = split(text, at: ",") else { return [nil] }
        return elements.map { element in
            guard let pairs = split(element, at: ";") else { return nil }
            let values = pairs.compactMap { pair -> String? in
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2, parts[0].trimmingBlanks.lowercased() == "for" else { return nil }
                return parts[1].trimmingBlanks
            }
            guard values.count == 1, let value = unquoted(values[0]) else { return nil }
            return address(value)
        }
    }

    /// Splits outside of quotes; nil when a quote is left open.
    private static func split(_ text: String, at separator: Character) -> [String]? {
        var parts = [""]
        var isQuoted = false
        var isEscaped = false
        for character in text {
            if !isQuoted, character == separator {
                parts.append("")
                continue
            }
            parts[parts.count - 1].append(character)
            if isEscaped {
                isEscaped = false
            } else if isQuoted, character == "\\" {
                isEscaped = true
            } else if character == "\"" {
                isQuoted.toggle()
            }
        }
        return isQuoted ? nil : parts
    }

    private static func unquoted(_ text: String) -> String? {
        guard text.hasPrefix("\"") else { return text.contains("\"") ? nil : text }
        guard text.count >= 2, text.hasSuffix("\"") else { return nil }
        let inner = text.dropFirst().dropLast()
        // No address needs a backslash.
        return inner.contains("\\") || inner.contains("\"") ? nil : String(inner)
    }

    /// An address, with a port or without; IPv6 in brackets, or bare without a port.
    static func address(_ text: String) -> NetworkAddress? {
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || isPort(rest) else { return nil }
            let inner = text[text.index(after: text.startIndex)..<end]
            return inner.contains(":") ? NetworkAddress(String(inner)) : nil
        }
        if let whole = NetworkAddress(text) { return whole }
        guard let colon = text.lastIndex(of: ":"), isPort(text[colon...]), !text[..<colon].contains(":") else {
            return nil
        }
        return NetworkAddress(String(text[..<colon]))
    }

    private static func isPort(_ text: Substring) -> Bool {
        text.hasPrefix(":") && (2...6).contains(text.utf8.count)
            && text.dropFirst().utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
}
