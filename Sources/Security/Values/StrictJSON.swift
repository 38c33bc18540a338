public import KafkaModel

/// JSON as tokens and key sets are read: what two readers could understand differently is refused.
///
/// RFC 8259, and besides: no member twice, no lone surrogates, valid UTF-8, depth and size bounded.
public indirect enum StrictJSON: Hashable, Sendable {
    /// Of one text; a key set of a large provider has 10 KiB.
    public static let maxBytes = 256 << 10
    /// Tokens and key sets have three levels.
    public static let maxDepth = 16

    case null
    case bool(Bool)
    /// As it is written.
    case number(String)
    case string(ExactString)
    case array([StrictJSON])
    case object([ExactString: StrictJSON])

    /// Nil for what is no JSON or past a bound.
    public init?(parsing bytes: some Collection<UInt8>) {
        guard bytes.count <= Self.maxBytes else { return nil }
        var parser = Parser(bytes: Array(bytes))
        guard let value = parser.document() else { return nil }
        self = value
    }

    public subscript(_ name: ExactString) -> StrictJSON? {
        if case .object(let members) = self { members[name] } else { nil }
    }

    public var text: String? { if case .string(let text) = self { text.text } else { nil } }
    public var isTrue: Bool { self == .bool(true) }

    /// Seconds since 1970, fractions allowed.
    public var time: UnixTime? {
        guard case .number(let text) = self, let seconds = Double(text), seconds.isFinite else { return nil }
        let milliseconds = (seconds * 1_000).rounded(.down)
        if milliseconds >= 9.2e18 { return UnixTime(milliseconds: .max) }
        return milliseconds <= -9.2e18 ? UnixTime(milliseconds: .min) : UnixTime(milliseconds: Int64(milliseconds))
    }

    /// A string, or an array of nothing but strings.
    public var texts: [String]? {
        switch self {
        case .string(let text): return [text.text]
        case .array(let values):
            let texts = values.compactMap(\.text)
            return texts.count == values.count ? texts : nil
        default: return nil
        }
    }

    private struct Parser {
        let bytes: [UInt8]
        var at = 0
        var depth = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        mutating func document() -> StrictJSON? {
            guard let value = value() else { return nil }
            skipBlanks()
            return at == bytes.count ? value : nil
        }

        private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

        private mutating func skipBlanks() {
            while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { at += 1 }
        }

        private mutating func take(_ character: Unicode.Scalar) -> Bool {
            skipBlanks()
            guard next == UInt8(ascii: character) else { return false }
            at += 1
            return true
        }

        private mutating func word(_ word: String, _ value: StrictJSON) -> StrictJSON? {
            guard bytes[at...].starts(with: word.utf8) else { return nil }
            at += word.utf8.count
            return value
        }

        private mutating func value() -> StrictJSON? {
            skipBlanks()
            switch next {
            case UInt8(ascii: "{"): return nested { $0.object() }
            case UInt8(ascii: "["): return nested { $0.array() }
            case UInt8(ascii: "\""): return string().map { .string(ExactString($0)) }
            case UInt8(ascii: "t"): return word("true", .bool(true))
            case UInt8(ascii: "f"): return word("false", .bool(false))
            case UInt8(ascii: "n"): return word("null", .null)
            default: return number()
            }
        }

        private mutating func nested(_ body: (inout Parser) -> StrictJSON?) -> StrictJSON? {
            depth += 1
            defer { depth -= 1 }
            guard depth <= StrictJSON.maxDepth else { return nil }
            at += 1
            return body(&self)
        }

        private mutating func object() -> StrictJSON? {
            var members: [ExactString: StrictJSON] = [:]
            if take("}") { return .object(members) }
            repeat {
                skipBlanks()
                guard next == UInt8(ascii: "\""), let name = string(), take(":"), let value = value(),
                    members.updateValue(value, forKey: ExactString(name)) == nil
                else { return nil }
            } while take(",")
            return take("}") ? .object(members) : nil
        }

        private mutating func array() -> StrictJSON? {
            var values: [StrictJSON] = []
            if take("]") { return .array(values) }
            repeat {
                guard let value = value() else { return nil }
                values.append(value)
            } while take(",")
            return take("]") ? .array(values) : nil
        }

        private mutating func number() -> StrictJSON? {
            let start = at
            if next == UInt8(ascii: "-") { at += 1 }
            let whole = digits()
            guard whole >= 1, whole == 1 || bytes[at - whole] != UInt8(ascii: "0") else { return nil }
            if next == UInt8(ascii: ".") {
                at += 1
                guard digits() > 0 else { return nil }
            }
            if let byte = next, byte | 0x20 == UInt8(ascii: "e") {
                at += 1
                if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { at += 1 }
                guard digits() > 0 else { return nil }
            }
            return .number(String(decoding: bytes[start..<at], as: UTF8.self))
        }

        private mutating func digits() -> Int {
            let start = at
            while let byte = next, (0x30...0x39).contains(byte) { at += 1 }
            return at - start
        }

        /// From the opening quote to the closing one.
        private mutating func string() -> String? {
            at += 1
            var text: [UInt8] = []
            while let byte = next {
                at += 1
                switch byte {
                case UInt8(ascii: "\""): return String(validating: text, as: UTF8.self)
                case UInt8(ascii: "\\"):
                    guard let scalar = escape() else { return nil }
                    text += String(scalar).utf8
                case 0..<0x20: return nil
                default: text.append(byte)
                }
            }
            return nil
        }

        private mutating func escape() -> Unicode.Scalar? {
            guard let byte = next else { return nil }
            at += 1
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
            case UInt8(ascii: "b"): return "\u{8}"
            case UInt8(ascii: "f"): return "\u{c}"
            case UInt8(ascii: "n"): return "\n"
            case UInt8(ascii: "r"): return "\r"
            case UInt8(ascii: "t"): return "\t"
            case UInt8(ascii: "u"): break
            default: return nil
            }
            guard let first = hexWord() else { return nil }
            // Half of a pair alone is no scalar, and `Unicode.Scalar` says so.
            guard (0xd800..<0xdc00).contains(first) else { return Unicode.Scalar(first) }
            guard bytes[at...].starts(with: "\\u".utf8) else { return nil }
            at += 2
            guard let second = hexWord(), (0xdc00..<0xe000).contains(second) else { return nil }
            return Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
        }

        private mutating func hexWord() -> UInt32? {
            guard at + 4 <= bytes.count, let pair = Hexadecimal.decode(bytes[at..<at + 4]) else { return nil }
            at += 4
            return UInt32(pair[0]) << 8 | UInt32(pair[1])
        }
    }
}
