import Security

/// What an event must be: of JSON Schema 2020-12 the part that gateways use. The page Routes lists the keywords; any other is
/// refused when the configuration is read, so that none is thought to be in force that is not.
///
/// Its parts refer to each other by index: `$ref` may lead anywhere, to a part around it as well.
struct JSONSchema: Sendable {
    /// The first is the whole schema.
    private(set) var parts: [Part] = []

    /// Parts of one schema.
    static let maxParts = 1000

    struct Part: Sendable {
        /// Empty: any.
        var types: JSONTypes = []
        /// `enum` and `const`: one of these; nil: anything.
        var constants: [JSONConstant]?
        /// Code points of a string, inclusive.
        var length: ClosedRange<Int> = 0...Int.max
        var format: TextFormat?
        /// Something of the string is of this form.
        var pattern: SchemaPattern?
        var minimum: JSONNumber?
        var maximum: JSONNumber?
        var exclusiveMinimum: JSONNumber?
        var exclusiveMaximum: JSONNumber?
        /// In the order of the configuration, which is the order of what is said to be wrong; then those that are only required.
        var properties: [Property] = []
        /// Of members that are no properties; nil: anything.
        var otherMembers: Others?
        var memberCount: ClosedRange<Int> = 0...Int.max
        var items: Int?
        var itemCount: ClosedRange<Int> = 0...Int.max
        /// All of these must hold, `$ref` among them.
        var all: [Int] = []
        /// One at least of each list.
        var any: [[Int]] = []
        /// Exactly one.
        var one: [Int] = []
        var not: Int?
    }

    struct SchemaPattern: Sendable {
        let source: String
        let form: LinearPattern
    }

    struct Property: Sendable {
        let name: [UInt8]
        /// nil: anything.
        var part: Int?
        var isRequired: Bool
    }

    enum Others: Sendable {
        case forbidden
        case part(Int)
    }

    mutating func add(_ part: Part = Part()) -> Int {
        parts.append(part)
        return parts.count - 1
    }

    mutating func replace(_ index: Int, _ part: Part) { parts[index] = part }

    /// Whether a part asks for itself of the same value, which never ends.
    var isEndless: Bool {
        var state = [Int](repeating: 0, count: parts.count)
        func leadsBack(_ index: Int) -> Bool {
            if state[index] != 0 { return state[index] == 1 }
            state[index] = 1
            defer { state[index] = 2 }
            let part = parts[index]
            return (part.all + part.any.joined() + part.one + (part.not.map { [$0] } ?? [])).contains(where: leadsBack)
        }
        return parts.indices.contains(where: leadsBack)
    }
}

/// Kinds of values as bits; `integer` is a number without a fraction.
struct JSONTypes: OptionSet, Sendable {
    let rawValue: UInt8

    static let object = JSONTypes(rawValue: 1)
    static let array = JSONTypes(rawValue: 2)
    static let string = JSONTypes(rawValue: 4)
    static let number = JSONTypes(rawValue: 8)
    static let integer = JSONTypes(rawValue: 16)
    static let boolean = JSONTypes(rawValue: 32)
    static let null = JSONTypes(rawValue: 64)

    static let named: KeyValuePairs<String, JSONTypes> = [
        "object": .object, "array": .array, "string": .string, "number": .number, "integer": .integer,
        "boolean": .boolean, "null": .null,
    ]

    /// For people.
    var words: String {
        let spoken: [(JSONTypes, String)] = [
            (.object, "a JSON object"), (.array, "an array"), (.string, "a string"), (.number, "a number"),
            (.integer, "an integer"), (.boolean, "true or false"), (.null, "null"),
        ]
        return spoken.filter { contains($0.0) }.map { $0.1 }.joined(separator: " or ")
    }
}

/// A form that a string may have to have (`format`).
enum TextFormat: String, Sendable, CaseIterable {
    case dateTime = "date-time"
    case date
    case uuid

    func holds(_ text: [UInt8]) -> Bool {
        switch self {
        case .uuid: Self.matches(text, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh")
        case .date: Self.matches(text, "dddd-dd-dd") && Self.isDate(text)
        case .dateTime: Self.isDateTime(text)
        }
    }

    /// RFC 3339: seconds, a fraction or none, and an offset.
    private static func isDateTime(_ text: [UInt8]) -> Bool {
        guard text.count >= 20, matches(text[..<19], "dddd-dd-ddTdd:dd:dd"), isDate(text) else { return false }
        guard number(text[11...12]) < 24, number(text[14...15]) < 60, number(text[17...18]) <= 60 else { return false }
        var rest = text[19...]
        if rest.first == UInt8(ascii: ".") {
            let digits = rest.dropFirst().prefix { isDigit($0) }
            if digits.isEmpty { return false }
            rest = rest.dropFirst(1 + digits.count)
        }
        if rest.count == 1 { return rest.first! | 0x20 == UInt8(ascii: "z") }
        return (matches(rest, "+dd:dd") || matches(rest, "-dd:dd")) && number(rest.dropFirst().prefix(2)) < 24
            && number(rest.suffix(2)) < 60
    }

    private static func isDate(_ text: [UInt8]) -> Bool {
        let (year, month, day) = (number(text[0...3]), number(text[5...6]), number(text[8...9]))
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return (1...12).contains(month) && (1...days[month - 1]).contains(day)
    }

    /// In `form` d stands for a digit, h for a hexadecimal one, T for itself in either case, anything else for itself.
    private static func matches(_ text: some Collection<UInt8>, _ form: StaticString) -> Bool {
        guard text.count == form.utf8CodeUnitCount else { return false }
        return zip(text, UnsafeBufferPointer(start: form.utf8Start, count: text.count)).allSatisfy { byte, wanted in
            switch wanted {
            case UInt8(ascii: "d"): isDigit(byte)
            case UInt8(ascii: "h"): JSONText.hex(byte) != nil
            case UInt8(ascii: "T"): byte & 0xdf == wanted
            default: byte == wanted
            }
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") <= 9 }

    private static func number(_ digits: some Sequence<UInt8>) -> Int {
        digits.reduce(0) { $0 * 10 + Int($1 &- UInt8(ascii: "0")) }
    }
}
