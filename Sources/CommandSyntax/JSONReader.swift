/// One value of JSON (RFC 8259), with the place in the text that it was read from.
public struct JSONValue: Sendable, Equatable {
    public enum Content: Sendable, Equatable {
        case null
        case boolean(Bool)
        case number
        /// Unescaped, in UTF-8.
        case string([UInt8])
        case array([JSONValue])
        case object([Member])
    }

    public struct Member: Sendable, Equatable {
        public var name: String
        public var value: JSONValue
    }

    public var content: Content
    public var range: Range<Int>

    /// Reads a whole text; what is wrong with it otherwise.
    public static func parse(_ text: [UInt8]) throws(JSONProblem) -> JSONValue {
        guard String(validating: text, as: UTF8.self) != nil else { throw JSONProblem("it is not UTF-8", at: 0) }
        var reader = JSONReader(text: text)
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        if reader.position < text.count { throw JSONProblem("there is more behind the value", at: reader.position) }
        return value
    }
}

/// Why a text is not JSON, or not the JSON that was wanted.
public struct JSONProblem: Error, Equatable, Sendable, CustomStringConvertible {
    public var reason: String
    public var position: Int

    init(_ reason: String, at position: Int) {
        self.reason = reason
        self.position = position
    }

    public var description: String { "\(reason) (byte \(position + 1))" }
}

struct JSONReader {
    let text: [UInt8]
    var position = 0

    /// Deeper than people nest, and far from the end of the stack.
    static let maxDepth = 256

    init(text: [UInt8]) { self.text = text }

    private var next: UInt8? { position < text.count ? text[position] : nil }

    mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { position += 1 }
    }

    private func problem(_ reason: String) -> JSONProblem { JSONProblem(reason, at: position) }

    mutating func value(depth: Int) throws(JSONProblem) -> JSONValue {
        skipSpace()
        if depth > Self.maxDepth { throw problem("values are nested more than \(Self.maxDepth) deep") }
        let start = position
        let content: JSONValue.Content
        switch next {
        case UInt8(ascii: "{"): content = .object(try members(depth))
        case UInt8(ascii: "["): content = .array(try elements(depth))
        case UInt8(ascii: "\""): content = .string(try string())
        case UInt8(ascii: "t"): content = try word("true", .boolean(true))
        case UInt8(ascii: "f"): content = try word("false", .boolean(false))
        case UInt8(ascii: "n"): content = try word("null", .null)
        default: content = try number()
        }
        return JSONValue(content: content, range: start..<position)
    }

    private mutating func word(_ word: String, _ content: JSONValue.Content) throws(JSONProblem) -> JSONValue.Content {
        guard text[position...].starts(with: word.utf8) else { throw problem("no value is here") }
        position += word.utf8.count
        return content
    }

    private mutating func digits() -> Int {
        let start = position
        while let byte = next, byte >= 0x30, byte <= 0x39 { position += 1 }
        return position - start
    }

    private mutating func number() throws(JSONProblem) -> JSONValue.Content {
        let start = position
        if next == UInt8(ascii: "-") { position += 1 }
        let first = next
        let count = digits()
        guard count > 0, first != UInt8(ascii: "0") || count == 1 else {
            position = start
            throw problem("no value is here")
        }
        if next == UInt8(ascii: ".") {
            position += 1
            if digits() == 0 { throw problem("a digit is missing") }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            if digits() == 0 { throw problem("a digit is missing") }
        }
        return .number
    }

    private mutating func elements(_ depth: Int) throws(JSONProblem) -> [JSONValue] {
        position += 1
        var found: [JSONValue] = []
        skipSpace()
        if take("]") { return found }
        while true {
            found.append(try value(depth: depth + 1))
            skipSpace()
            if take("]") { return found }
            if !take(",") { throw problem("a comma or ] is missing") }
        }
    }

    private mutating func members(_ depth: Int) throws(JSONProblem) -> [JSONValue.Member] {
        position += 1
        var found: [JSONValue.Member] = []
        skipSpace()
        if take("}") { return found }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw problem("a member's name is missing") }
            let name = String(decoding: try string(), as: UTF8.self)
            skipSpace()
            if !take(":") { throw problem("a colon is missing") }
            found.append(JSONValue.Member(name: name, value: try value(depth: depth + 1)))
            skipSpace()
            if take("}") { return found }
            if !take(",") { throw problem("a comma or } is missing") }
        }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    // MARK: Strings

    private mutating func string() throws(JSONProblem) -> [UInt8] {
        position += 1
        var bytes: [UInt8] = []
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return bytes
            case UInt8(ascii: "\\"): try escape(&bytes)
            case 0..<0x20: throw problem("a control character in a string must be escaped")
            default:
                bytes.append(byte)
                position += 1
            }
        }
        throw problem("a string has no end")
    }

    private mutating func escape(_ bytes: inout [UInt8]) throws(JSONProblem) {
        position += 1
        guard let byte = next else { throw problem("a string has no end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(byte)
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "f"): bytes.append(0x0c)
        case UInt8(ascii: "n"): bytes.append(0x0a)
        case UInt8(ascii: "r"): bytes.append(0x0d)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "u"): bytes += UTF8.encode(try scalar())!
        default: throw problem("this escape is none of JSON's")
        }
    }

    /// One character of `\uXXXX`, or of the two that make a character beyond the first 65,536.
    private mutating func scalar() throws(JSONProblem) -> Unicode.Scalar {
        let first = try hex()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard (0xd800..<0xdc00).contains(first), take("\\"), take("u") else { throw problem("half of a character") }
        let second = try hex()
        guard (0xdc00..<0xe000).contains(second) else { throw problem("half of a character") }
        return Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))!
    }

    private mutating func hex() throws(JSONProblem) -> UInt32 {
        var number: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw problem("four hexadecimal digits are missing")
            }
            number = number << 4 | UInt32(digit)
            position += 1
        }
        return number
    }
}
