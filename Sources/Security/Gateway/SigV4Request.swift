/// A request as it arrived, as far as its signature covers it.
public struct SigV4Request: Sendable {
    public let method: String
    /// Raw, not decoded.
    public let path: String
    /// Raw, without the question mark; nil and empty are the same.
    public let query: String?
    /// In the order of their arrival; names in any case.
    public let headers: [(name: String, value: String)]
    /// SHA-256 of the body as sent.
    public let bodyHash: [UInt8]

    public init(
        method: String, path: String, query: String?, headers: [(name: String, value: String)], bodyHash: [UInt8]
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers.map { ($0.name.lowercased(), $0.value) }
        self.bodyHash = bodyHash
    }

    func values(of name: String) -> [String] { headers.filter { $0.name == name }.map(\.value) }

    /// Whether the parts that are cut and compared here are visible ASCII and blanks. Of such text every character is one
    /// byte; of other text a mark would join the character before it, and who splits bytes would read another request.
    var isPlain: Bool {
        func isPlain(_ text: String) -> Bool { text.utf8.allSatisfy { (0x20...0x7e).contains($0) } }
        return isPlain(method) && isPlain(path) && isPlain(query ?? "")
            && headers.allSatisfy { name, value in
                isPlain(name)
                    && (!["authorization", "host", "date"].contains(name) && !name.hasPrefix("x-amz-")
                        || isPlain(value))
            }
    }

    /// What is hashed and signed, up to the value of the host and from there on. Nil for a path that nobody signs.
    func canonical(signedHeaders: [String]) -> (head: String, tail: String)? {
        guard let path = Self.canonicalPath(path) else { return nil }
        var (head, tail) = ("\(method)\n\(path)\n\(Self.canonicalQuery(query ?? ""))\n", "")
        for name in signedHeaders {
            if name == "host" {
                head += tail + "host:"
                tail = "\n"
            } else {
                tail += "\(name):\(values(of: name).map(Self.collapsed).joined(separator: ","))\n"
            }
        }
        tail += "\n\(signedHeaders.joined(separator: ";"))\n\(Hexadecimal.encode(bodyHash))"
        return (head, tail)
    }

    /// Blanks trimmed, runs of them inside made one.
    static func collapsed(_ value: String) -> String {
        let parts = value.utf8.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
        return parts.map { String($0)! }.joined(separator: " ")
    }

    /// What is there encoded once more: what all services but S3 sign. Nil for dot segments and doubled slashes: they are
    /// signed as if they were not there, so who routes by the path as it came would serve another than was signed.
    static func canonicalPath(_ path: String) -> String? {
        if path.isEmpty || path == "/" { return "/" }
        var segments = path.split(separator: "/", omittingEmptySubsequences: false)
        guard segments.removeFirst().isEmpty, !segments.dropLast().contains(where: \.isEmpty),
            !segments.contains(where: { $0 == "." || $0 == ".." })
        else { return nil }
        return "/" + segments.map { encode(Array($0.utf8)) }.joined(separator: "/")
    }

    /// Decoded, encoded again in one way, sorted by name and value. A `+` is a plus: whoever takes it for a blank reads
    /// another query than was signed.
    static func canonicalQuery(_ query: String) -> String {
        let pairs = query.split(separator: "&").map { field in
            let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (encode(decode(parts[0])), encode(decode(parts.count > 1 ? parts[1] : "")))
        }
        let sorted = pairs.sorted { one, other in
            one.0 == other.0
                ? one.1.utf8.lexicographicallyPrecedes(other.1.utf8)
                : one.0.utf8.lexicographicallyPrecedes(other.0.utf8)
        }
        return sorted.map { "\($0.0)=\($0.1)" }.joined(separator: "&")
    }

    /// A `%` that begins no escape stands for itself.
    private static func decode(_ text: Substring) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2, let decoded = Hexadecimal.decode(rest.prefix(2)) {
                bytes += decoded
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }

    private static let digits = Array("0123456789ABCDEF".utf8)

    /// All but letters, digits, `-_.~` as `%XX`.
    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "~"):
                text.append(byte)
            default: text += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
