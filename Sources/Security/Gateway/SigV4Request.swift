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

    /// What is hashed and signed. `host` stands in for the header's value.
    func canonical(signedHeaders: [String], host: String) -> String {
        let fields = signedHeaders.map { name in
            let values = name == "host" ? [host] : values(of: name)
            return "\(name):\(values.map(Self.collapsed).joined(separator: ","))\n"
        }
        return [
            method, Self.canonicalPath(path), Self.canonicalQuery(query ?? ""), fields.joined(),
            signedHeaders.joined(separator: ";"), Hexadecimal.encode(bodyHash),
        ].joined(separator: "\n")
    }

    /// Blanks trimmed, runs of them inside made one.
    private static func collapsed(_ value: String) -> String {
        value.split { $0 == " " || $0 == "\t" }.joined(separator: " ")
    }

    /// Dot segments removed, slashes merged, and what is left encoded once more: what all services but S3 sign.
    static func canonicalPath(_ path: String) -> String {
        var segments: [Substring] = []
        for segment in path.split(separator: "/") where segment != "." {
            if segment == ".." {
                _ = segments.popLast()
            } else {
                segments.append(segment)
            }
        }
        let encoded = segments.map { encode(Array($0.utf8)) }.joined(separator: "/")
        return "/" + encoded + (path.hasSuffix("/") && !segments.isEmpty ? "/" : "")
    }

    /// Decoded, encoded again in one way, sorted by name and value.
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
