/// How `consume --format` writes a record: literal text with fields in it.
public struct RecordTemplate: Sendable, Equatable {
    public enum Part: Sendable, Equatable {
        case literal([UInt8])
        case topic, partition, offset, timestamp, timeText, key, value, headers, keyLength, valueLength
    }

    public let parts: [Part]

    public static let valueAndNewline = RecordTemplate(parts: [.value, .literal([0x0a])])

    init(parts: [Part]) { self.parts = parts }

    /// Reads a format such as `%o %k\t%v\n`; on failure says what is wrong.
    public static func parse(_ format: String) -> Result<RecordTemplate, Failure> {
        var parts: [Part] = []
        var literal: [UInt8] = []
        var characters = format.unicodeScalars.makeIterator()
        while let character = characters.next() {
            switch character {
            case "%":
                guard let field = characters.next() else { return .failure(Failure(reason: "ends in a single %")) }
                if field == "%" {
                    literal.append(UInt8(ascii: "%"))
                    continue
                }
                guard let part = Self.field(field) else {
                    return .failure(Failure(reason: "%\(field) is no field; fields are %t %p %o %T %D %k %v %h %K %V"))
                }
                if !literal.isEmpty { parts.append(.literal(literal)) }
                literal = []
                parts.append(part)
            case "\\":
                guard let escaped = characters.next(), let byte = Self.escape(escaped) else {
                    return .failure(Failure(reason: "a \\ must be followed by n, t, r, 0 or \\"))
                }
                literal.append(byte)
            default: literal.append(contentsOf: String(character).utf8)
            }
        }
        if !literal.isEmpty { parts.append(.literal(literal)) }
        return .success(RecordTemplate(parts: parts))
    }

    public struct Failure: Error, Equatable, Sendable {
        public var reason: String
    }

    /// Text with the escapes of a format and no fields, as `--key-separator` takes it.
    public static func unescape(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var characters = text.unicodeScalars.makeIterator()
        while let character = characters.next() {
            if character == "\\" {
                guard let escaped = characters.next(), let byte = Self.escape(escaped) else { return nil }
                bytes.append(byte)
            } else {
                bytes.append(contentsOf: String(character).utf8)
            }
        }
        return bytes
    }

    private static func escape(_ character: Unicode.Scalar) -> UInt8? {
        switch character {
        case "n": 0x0a
        case "t": 0x09
        case "r": 0x0d
        case "0": 0
        case "\\": UInt8(ascii: "\\")
        default: nil
        }
    }

    private static func field(_ character: Unicode.Scalar) -> Part? {
        switch character {
        case "t": .topic
        case "p": .partition
        case "o": .offset
        case "T": .timestamp
        case "D": .timeText
        case "k": .key
        case "v": .value
        case "h": .headers
        case "K": .keyLength
        case "V": .valueLength
        default: nil
        }
    }
}
