internal import ByteBuffers

/// A record as one JSON object: what `consume --json` writes and `produce --json` reads, so that one fed into the other
/// gives the same records.
///
///     {"topic":"t","partition":0,"offset":7,"timestamp":1700000000000,"key":"k","value":"v",
///      "headers":[{"key":"h","value":"x"},{"key":"n","value":null}]}
///
/// Bytes that are not UTF-8 stand as base64 under the name with `_base64` behind it; null and empty are told apart.
public struct RecordJSON: Sendable, Equatable {
    public struct Header: Sendable, Equatable {
        public var key: [UInt8]
        public var value: [UInt8]?

        public init(key: [UInt8], value: [UInt8]?) {
            self.key = key
            self.value = value
        }
    }

    public var topic: String?
    public var partition: Int32?
    public var offset: Int64?
    /// Ms since 1970; -1: none.
    public var timestampMs: Int64?
    public var key: [UInt8]?
    public var value: [UInt8]?
    public var headers: [Header] = []

    public init(key: [UInt8]?, value: [UInt8]?) {
        self.key = key
        self.value = value
    }

    // MARK: Writing

    /// Writes the members of the object.
    public func write(to json: inout JSONWriter) {
        if let topic { json.member("topic", topic) }
        if let partition { json.member("partition", partition) }
        if let offset { json.member("offset", offset) }
        if let timestampMs { json.member("timestamp", timestampMs) }
        json.member("key", bytes: key)
        json.member("value", bytes: value)
        json.array("headers") { json in
            for header in headers {
                json.object { json in
                    json.member("key", bytes: header.key)
                    json.member("value", bytes: header.value)
                }
            }
        }
    }

    // MARK: Reading

    /// Reads one object. `value` must be there, everything else may be missing. A key or value that is no string but a
    /// number, an object and so on is its JSON text, byte for byte. A member that is not known is refused, since it would
    /// be lost.
    public init(parsing text: [UInt8]) throws(JSONProblem) {
        self.init(key: nil, value: nil)
        let members = try Self.members(of: try JSONValue.parse(text), "a record")
        var hasValue = false
        for member in members {
            switch member.name {
            case "topic":
                guard case .string(let bytes) = member.value.content else { throw Self.wrong(member, "text") }
                topic = String(decoding: bytes, as: UTF8.self)
            case "partition": partition = Int32(try Self.integer(member, text, 0...Int64(Int32.max)))
            case "offset": offset = try Self.integer(member, text, 0...Int64.max)
            case "timestamp": timestampMs = try Self.time(member, text)
            case "key", "key_base64": key = try Self.bytes(member, text)
            case "value", "value_base64":
                value = try Self.bytes(member, text)
                hasValue = true
            case "headers": headers = try Self.headers(member, text)
            default:
                throw JSONProblem(
                    "there is no member \"\(member.name)\" of a record", at: member.value.range.lowerBound)
            }
        }
        if !hasValue { throw JSONProblem("\"value\" is missing; null makes a tombstone", at: 0) }
    }

    /// The members of an object, each name once, `x` and `x_base64` being one name.
    private static func members(of value: JSONValue, _ what: String) throws(JSONProblem) -> [JSONValue.Member] {
        guard case .object(let members) = value.content else {
            throw JSONProblem("\(what) is a JSON object", at: value.range.lowerBound)
        }
        var seen: Set<String> = []
        for member in members {
            let name = member.name.hasSuffix("_base64") ? String(member.name.dropLast(7)) : member.name
            guard seen.insert(name).inserted else {
                throw JSONProblem("\"\(name)\" is given twice", at: member.value.range.lowerBound)
            }
        }
        return members
    }

    private static func wrong(_ member: JSONValue.Member, _ allowed: String) -> JSONProblem {
        JSONProblem("\"\(member.name)\" must be \(allowed)", at: member.value.range.lowerBound)
    }

    private static func integer(
        _ member: JSONValue.Member, _ text: [UInt8], _ range: ClosedRange<Int64>
    ) throws(JSONProblem) -> Int64 {
        guard case .number = member.value.content,
            let number = Int64(String(decoding: text[member.value.range], as: UTF8.self)), range.contains(number)
        else { throw wrong(member, "a whole number from \(range.lowerBound) to \(range.upperBound)") }
        return number
    }

    private static func time(_ member: JSONValue.Member, _ text: [UInt8]) throws(JSONProblem) -> Int64 {
        if case .string(let bytes) = member.value.content {
            guard let time = TimeText.milliseconds(String(decoding: bytes, as: UTF8.self)) else {
                throw wrong(member, "ms since 1970 or YYYY-MM-DDTHH:MM:SS with Z or +HH:MM")
            }
            return time
        }
        return try integer(member, text, -1...Int64.max)
    }

    private static func bytes(_ member: JSONValue.Member, _ text: [UInt8]) throws(JSONProblem) -> [UInt8]? {
        switch member.value.content {
        case .null: return nil
        case .string(let bytes):
            guard member.name.hasSuffix("_base64") else { return bytes }
            guard let decoded = Base64.decode(bytes) else { throw wrong(member, "base64") }
            return decoded
        default:
            if member.name.hasSuffix("_base64") { throw wrong(member, "base64") }
            return Array(text[member.value.range])
        }
    }

    private static func headers(_ member: JSONValue.Member, _ text: [UInt8]) throws(JSONProblem) -> [Header] {
        guard case .array(let entries) = member.value.content else {
            throw wrong(member, "an array of {\"key\":…,\"value\":…}")
        }
        var headers: [Header] = []
        for entry in entries {
            var key: [UInt8]?
            var value: [UInt8]?
            for part in try members(of: entry, "a header") {
                switch part.name {
                case "key", "key_base64": key = try bytes(part, text)
                case "value", "value_base64": value = try bytes(part, text)
                default:
                    throw JSONProblem(
                        "there is no member \"\(part.name)\" of a header", at: part.value.range.lowerBound)
                }
            }
            guard let key else { throw JSONProblem("a header's \"key\" is missing", at: entry.range.lowerBound) }
            headers.append(Header(key: key, value: value))
        }
        return headers
    }
}
