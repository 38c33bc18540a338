import ByteBuffers
import HTTPWire

/// CloudEvents 1.0 in the three modes of its HTTP binding, stored as its Kafka binding has them: structured ones whole, binary
/// ones as `ce_` headers beside the data.
enum CloudEvents {
    static let structured = "application/cloudevents+json"
    /// Attributes in the fields of one request: the field's name behind `ce-`.
    static let maxAttributes = 64

    /// What every event must have.
    static let required: JSONSchema = {
        var schema = JSONSchema()
        let root = schema.add()
        var part = JSONSchema.Part()
        part.types = .object
        for name in ["specversion", "id", "source", "type"] {
            var text = JSONSchema.Part()
            text.types = .string
            text.length = 1...Int.max
            if name == "specversion" { text.constants = [.string(Array("1.0".utf8))] }
            part.properties.append(
                JSONSchema.Property(name: Array(name.utf8), part: schema.add(text), isRequired: true))
        }
        schema.replace(root, part)
        return schema
    }()

    static let partitionKey = JSONPointer("/partitionkey")
    static let content = JSONPointer("/data")
    /// What tells an event from all others.
    static let identity = ["/source", "/id"].compactMap { JSONPointer($0) }
}

extension GatewayLoop {
    /// Writes the headers of a binary event's attributes, and says how many, or what is wrong with them.
    func writeAttributes() -> Result<Int32, Problem> {
        var missing: Set<String> = ["specversion", "id", "source", "type"]
        var known: Set<String> = []
        var count: Int32 = 0
        for index in 0..<head.fieldCount {
            let field = head.fieldName(index)
            guard field.count > 3, RequestHead.equals(UnsafeRawBufferPointer(rebasing: field[..<3]), "ce-") else {
                continue
            }
            let name = String(decoding: field.dropFirst(3), as: UTF8.self).lowercased()
            guard count < CloudEvents.maxAttributes, (1...20).contains(name.utf8.count),
                name.utf8.allSatisfy({ $0 &- UInt8(ascii: "a") < 26 || $0 &- UInt8(ascii: "0") < 10 })
            else {
                return .failure(
                    Problem(.invalidHeader, "An attribute's name is 1 to 20 of a-z and 0-9, and there are at most 64."))
            }
            guard let value = PercentDecoding.string(head.fieldValue(index)) else {
                return .failure(Problem(.invalidHeader, "The field ce-\(name) is not percent-encoded UTF-8."))
            }
            guard known.insert(name).inserted else {
                return .failure(Problem(.invalidHeader, "The field ce-\(name) stands twice."))
            }
            if name == "partitionkey", value.utf8.count > Self.maxKeyBytes {
                return .failure(
                    Problem(.keyTooLarge, "A key is at most \(Self.maxKeyBytes) bytes.", limit: Self.maxKeyBytes))
            }
            if name == "specversion", value != "1.0" {
                return .failure(Problem(.invalidHeader, "ce-specversion must be 1.0"))
            }
            if !value.isEmpty { missing.remove(name) }
            writeHeader("ce_" + name, value)
            count += 1
        }
        if let name = missing.sorted().first { return .failure(Problem(.invalidHeader, "ce-\(name) is required")) }
        return .success(count)
    }

    /// The attribute of a binary event that chooses its partition.
    func partitionKeyAttribute() -> [UInt8]? {
        for index in 0..<head.fieldCount where RequestHead.equals(head.fieldName(index), "ce-partitionkey") {
            return PercentDecoding.string(head.fieldValue(index)).map { Array($0.utf8) }
        }
        return nil
    }
}
