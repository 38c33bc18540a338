import ByteBuffers
import HTTPWire

/// Records as requests of Kafka REST proxies write them, read one by one into the lists of `RoutedEvents`.
///
///     v2   {"key":…,"value":…,"partition":0}                                   the media type says what key and value are
///     v3   {"key":{"type":"STRING","data":"k"},"value":{…},"partition_id":0,
///           "headers":[{"name":"h","value":"base64"}]}                         each says it by itself
struct KafkaRecordReader {
    enum Form {
        case v2(Encoding)
        case v3
    }

    /// What the text of a key or a value stands for.
    enum Encoding {
        /// Itself, byte for byte.
        case json
        /// A string's characters.
        case text
        /// A string of base64.
        case binary
    }

    /// Headers of one record.
    static let maxHeaders = 64
    /// Bytes of a member's name that a refusal repeats.
    static let maxQuoted = 64

    private let form: Form
    private let walk: JSONWalk

    init(_ form: Form, _ text: UnsafeRawBufferPointer) {
        self.form = form
        walk = JSONWalk(text)
    }

    /// Reads a record; the result is what is wrong with it. It takes a place in all lists in either case.
    func read(_ record: JSONWalk.Value, into routed: RoutedEvents, _ events: inout [JSONRange]) -> String? {
        var found = Record()
        let words = record.kind == .object ? collect(record, &found, routed) : "a record must be a JSON object"
        events.append(found.value ?? RoutedEvents.noValue)
        routed.keys.append(found.key)
        routed.wanted.append(found.partition)
        routed.recordHeaders.append((found.headers, found.headerCount))
        return words
    }

    private struct Record {
        var value: JSONRange?
        var key: JSONRange?
        var partition: Int32 = -1
        var headers = JSONRange(0, 0)
        var headerCount: Int32 = 0
    }

    private func collect(_ record: JSONWalk.Value, _ found: inout Record, _ routed: RoutedEvents) -> String? {
        var words: String?
        var seen: Set<String> = []
        walk.members(of: record.range) { member in
            let name = String(decoding: member.key.bytes(of: walk.text), as: UTF8.self)
            if !seen.insert(name).inserted { words = "\(Self.quoted(name)) stands twice" }
            words = words ?? take(name, member.value, &found, routed)
            return words == nil
        }
        return words
    }

    private func take(
        _ name: String, _ value: JSONWalk.Value, _ found: inout Record, _ routed: RoutedEvents
    ) -> String? {
        switch (name, form) {
        case ("value", _):
            let start = routed.source.count
            if value.kind == .null { return nil }
            if let words = write(value, name, into: &routed.source) { return words }
            found.value = JSONRange(start, routed.source.count)
        case ("key", _):
            let start = routed.keyBytes.count
            if value.kind == .null { return nil }
            if let words = write(value, name, into: &routed.keyBytes) { return words }
            guard routed.keyBytes.count - start <= GatewayLoop.maxKeyBytes else {
                return "key is longer than \(GatewayLoop.maxKeyBytes) bytes"
            }
            found.key = JSONRange(start, routed.keyBytes.count)
        case ("partition", .v2), ("partition_id", .v3):
            if value.kind == .null { return nil }
            guard value.kind == .number, let number = value.range.bytes(of: walk.text).decimalValue,
                let partition = Int32(exactly: number)
            else { return "\(name) must be a number from 0" }
            found.partition = partition
        case ("headers", .v3): return takeHeaders(value, &found, routed)
        case ("id", .v3): return nil
        case ("timestamp", .v3): return "timestamp is not supported: the time of a record is that of its arrival"
        default: return "\(Self.quoted(name)) is not supported"
        }
        return nil
    }

    private func write(_ value: JSONWalk.Value, _ name: String, into out: inout ByteWriter) -> String? {
        switch form {
        case .v2(let encoding): return write(value, encoding, name, into: &out)
        case .v3:
            guard value.kind == .object else { return "\(name) must be an object with type and data" }
            guard let type = walk.member(Self.typeKey, of: value.range), type.kind == .string,
                let text = walk.string(type),
                let encoding = Self.encodings.first(where: { $0.0 == String(decoding: text, as: UTF8.self) })?.1
            else { return "\(name).type must be JSON, STRING or BINARY" }
            guard let content = walk.member(Self.contentKey, of: value.range) else { return "\(name).data is required" }
            return write(content, encoding, name, into: &out)
        }
    }

    private static let encodings: [(String, Encoding)] = [("JSON", .json), ("STRING", .text), ("BINARY", .binary)]

    private func write(
        _ value: JSONWalk.Value, _ encoding: Encoding, _ name: String, into out: inout ByteWriter
    ) -> String? {
        if case .json = encoding {
            out.bytes(value.range.bytes(of: walk.text))
            return nil
        }
        guard value.kind == .string, let text = walk.string(value) else { return "\(name) must be a string" }
        if case .text = encoding {
            out.bytes(text)
            return nil
        }
        guard let bytes = Base64.decode(text) else { return "\(name) must be base64" }
        out.bytes(bytes)
        return nil
    }

    private static let typeKey = Array("type".utf8)
    private static let contentKey = Array("data".utf8)
    private static let nameKey = Array("name".utf8)
    private static let valueKey = Array("value".utf8)

    static func quoted(_ name: String) -> String {
        // By bytes: what people take for one letter may be of any number.
        String(decoding: name.utf8.prefix(maxQuoted), as: UTF8.self)
    }

    private func takeHeaders(_ value: JSONWalk.Value, _ found: inout Record, _ routed: RoutedEvents) -> String? {
        guard value.kind == .array else { return "headers must be an array" }
        let start = routed.headerBytes.count
        var words: String?
        var count: Int32 = 0
        walk.elements(of: value.range) { header in
            count += 1
            words = count > Self.maxHeaders ? "there are more than \(Self.maxHeaders) headers" : write(header, routed)
            return words == nil
        }
        found.headers = JSONRange(start, routed.headerBytes.count)
        found.headerCount = count
        return words
    }

    private func write(_ header: JSONWalk.Value, _ routed: RoutedEvents) -> String? {
        guard header.kind == .object, let name = walk.member(Self.nameKey, of: header.range), name.kind == .string,
            let text = walk.string(name)
        else { return "a header must be an object with name and value" }
        routed.headerBytes.varint(Int32(text.count))
        routed.headerBytes.bytes(text)
        guard let value = walk.member(Self.valueKey, of: header.range), value.kind != .null else {
            routed.headerBytes.varint(-1)
            return nil
        }
        guard value.kind == .string, let encoded = walk.string(value), let bytes = Base64.decode(encoded) else {
            return "a header's value must be base64"
        }
        routed.headerBytes.varint(Int32(bytes.count))
        routed.headerBytes.bytes(bytes)
        return nil
    }
}
