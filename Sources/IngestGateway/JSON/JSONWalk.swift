import HTTPWire

/// Goes through values of a text that was checked: members of an object, elements of an array, each where it begins and ends.
/// What is not a checked text traps or gives nonsense, but reads nothing outside of it.
struct JSONWalk {
    let text: UnsafeRawBufferPointer
    private let base: UnsafeRawPointer

    /// Containers within each other that a checked text has at most.
    private static let depth = JSONLimits().depth

    init(_ text: UnsafeRawBufferPointer) {
        self.text = text
        base = text.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
    }

    /// A value: what it is, and where.
    struct Value {
        let kind: JSONKind
        /// Quotes included.
        let range: JSONRange
    }

    struct Member {
        /// The bytes between the quotes, as they stand.
        let key: JSONRange
        let value: Value
    }

    /// The value that `range` is, with or without whitespace around it.
    func value(_ range: JSONRange) -> Value { value(at: space(Int(range.start))) }

    private func value(at start: Int) -> Value {
        var counts = JSONScan.Counts()
        var marks = JSONMarks()
        let end = JSONScan.value(base, start, text.count, outerDepth: 0, Self.depth, &counts, &marks)
        guard end >= 0, let kind = JSONScan.kind(text[start]) else { preconditionFailure("no JSON at byte \(start)") }
        return Value(kind: kind, range: JSONRange(start, end))
    }

    private func space(_ at: Int) -> Int { JSONScan.skipSpace(base, at, text.count) }

    /// Calls `body` for each member until it gives false.
    func members(of object: JSONRange, _ body: (Member) -> Bool) {
        var at = space(Int(object.start) + 1)
        while text[at] != UInt8(ascii: "}") {
            if text[at] == UInt8(ascii: ",") { at = space(at + 1) }
            let key = value(at: at).range
            let found = value(at: space(space(Int(key.end)) + 1))
            if !body(Member(key: JSONRange(Int(key.start) + 1, Int(key.end) - 1), value: found)) { return }
            at = space(Int(found.range.end))
        }
    }

    /// Calls `body` for each element until it gives false.
    func elements(of array: JSONRange, _ body: (Value) -> Bool) {
        var at = space(Int(array.start) + 1)
        while text[at] != UInt8(ascii: "]") {
            if text[at] == UInt8(ascii: ",") { at = space(at + 1) }
            let found = value(at: at)
            if !body(found) { return }
            at = space(Int(found.range.end))
        }
    }

    /// The value of the first member of an object that has this name.
    func member(_ name: [UInt8], of object: JSONRange) -> Value? {
        var found: Value?
        members(of: object) { member in
            if equals(member.key, name) { found = member.value }
            return found == nil
        }
        return found
    }

    /// A key, or a string's inside, once its escapes are resolved: for who compares it with many.
    enum Text {
        case plain(UnsafeRawBufferPointer)
        /// nil: half of a surrogate pair is in it, and it is equal to nothing.
        case unescaped([UInt8]?)

        func equals(_ name: [UInt8]) -> Bool {
            switch self {
            case .plain(let bytes): bytes.count == name.count && bytes.elementsEqual(name)
            case .unescaped(let bytes): bytes == name
            }
        }
    }

    func text(inside: JSONRange) -> Text {
        let bytes = inside.bytes(of: text)
        return bytes.contains(UInt8(ascii: "\\")) ? .unescaped(JSONText.unescaped(bytes)) : .plain(bytes)
    }

    /// Whether a key, or a string's inside, is this text once its escapes are resolved.
    func equals(_ inside: JSONRange, _ name: [UInt8]) -> Bool { text(inside: inside).equals(name) }

    /// The text of a string, its escapes resolved; nil: half of a surrogate pair is in it.
    func string(_ value: Value) -> [UInt8]? {
        let bytes = UnsafeRawBufferPointer(rebasing: value.range.bytes(of: text).dropFirst().dropLast())
        return bytes.contains(UInt8(ascii: "\\")) ? JSONText.unescaped(bytes) : Array(bytes)
    }

    func number(_ value: Value) -> JSONNumber? {
        JSONNumber(String(decoding: value.range.bytes(of: text), as: UTF8.self))
    }

    /// Whether JavaScript would take the value for none: null, false, 0 or "".
    func isFalsy(_ value: Value) -> Bool {
        switch value.kind {
        case .object, .array, .true: false
        case .null, .false: true
        case .string: value.range.count <= 2
        case .number: number(value) == JSONNumber("0")
        }
    }
}

/// A way into a value: keys of objects and places of arrays, one behind the other. Source: RFC 6901.
struct JSONPointer: Sendable, Equatable {
    let text: String
    /// Names of members, or indices of elements, from the outside in.
    let tokens: [[UInt8]]

    /// Longer ones of a configuration are a slip.
    private static let maxTokens = 16

    /// nil: it is none.
    init?(_ text: String) {
        guard text.hasPrefix("/") else { return nil }
        self.text = text
        var tokens: [[UInt8]] = []
        for piece in text.utf8.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            guard let token = Self.resolved(Array(piece)) else { return nil }
            tokens.append(token)
        }
        guard tokens.count <= Self.maxTokens else { return nil }
        self.tokens = tokens
    }

    /// `~1` stands for a slash, `~0` for a tilde.
    private static func resolved(_ piece: [UInt8]) -> [UInt8]? {
        var token: [UInt8] = []
        var at = 0
        while at < piece.count {
            if piece[at] == UInt8(ascii: "~") {
                guard at + 1 < piece.count, piece[at + 1] &- UInt8(ascii: "0") <= 1 else { return nil }
                token.append(piece[at + 1] == UInt8(ascii: "0") ? UInt8(ascii: "~") : UInt8(ascii: "/"))
                at += 2
            } else {
                token.append(piece[at])
                at += 1
            }
        }
        return token
    }

    /// The value that it leads to within `event`; of a key that stands twice the first.
    func find(in walk: JSONWalk, _ event: JSONRange) -> JSONWalk.Value? {
        var value = walk.value(event)
        for token in tokens {
            var found: JSONWalk.Value?
            switch value.kind {
            case .object: found = walk.member(token, of: value.range)
            case .array:
                guard var left = token.withUnsafeBytes({ $0.decimalValue }) else { return nil }
                walk.elements(of: value.range) { element in
                    if left == 0 { found = element }
                    left -= 1
                    return found == nil
                }
            default: return nil
            }
            guard let found else { return nil }
            value = found
        }
        return value
    }
}
