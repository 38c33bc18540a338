import ByteBuffers
import KafkaModel

/// The protocol's own types, as `ByteReader` reads them.
extension ByteWriter {
    mutating func topicID(_ id: TopicID) {
        integer(id.high)
        integer(id.low)
    }

    // MARK: - Lengths

    private mutating func length(_ length: Int, _ flexible: Bool) {
        // Nothing of 2 GiB is sent; should a caller's limit be missing, it is that caller's connection that ends.
        if flexible { unsignedVarint(UInt32(clamping: length + 1)) } else { int32(Int32(clamping: length)) }
    }

    /// Writes null where the version allows it, else an empty value.
    private mutating func null(_ flexible: Bool, _ allowed: Bool) { length(allowed ? -1 : 0, flexible) }

    // MARK: - Strings

    mutating func string(_ value: String, _ flexible: Bool) {
        var copy = value
        copy.withUTF8 { utf8 in
            var count = utf8.count
            if count > DecodeLimits.stringBytes {
                // Cut before the character that crosses the limit: back over its continuation bytes.
                count = DecodeLimits.stringBytes
                while utf8[count] & 0xc0 == 0x80 { count -= 1 }
            }
            if flexible { unsignedVarint(UInt32(count + 1)) } else { int16(Int16(count)) }
            bytes(UnsafeRawBufferPointer(start: utf8.baseAddress, count: count))
        }
    }

    mutating func nullableString(_ value: String?, _ flexible: Bool, allowed: Bool = true) {
        if let value {
            string(value, flexible)
        } else if flexible {
            unsignedVarint(allowed ? 0 : 1)
        } else {
            int16(allowed ? -1 : 0)
        }
    }

    // MARK: - Bytes

    mutating func byteArray(_ value: [UInt8], _ flexible: Bool) {
        length(value.count, flexible)
        bytes(value)
    }

    mutating func nullableByteArray(_ value: [UInt8]?, _ flexible: Bool, allowed: Bool = true) {
        if let value { byteArray(value, flexible) } else { null(flexible, allowed) }
    }

    // MARK: - Arrays

    mutating func integerArray<Element: FixedWidthInteger & BitwiseCopyable>(_ value: [Element], _ flexible: Bool) {
        length(value.count, flexible)
        for element in value { integer(element) }
    }

    mutating func nullableIntegerArray<Element: FixedWidthInteger & BitwiseCopyable>(
        _ value: [Element]?, _ flexible: Bool, allowed: Bool = true
    ) {
        if let value { integerArray(value, flexible) } else { null(flexible, allowed) }
    }

    mutating func stringArray(_ value: [String], _ flexible: Bool) {
        length(value.count, flexible)
        for element in value {
            if isOverLimit { return }
            string(element, flexible)
        }
    }

    mutating func nullableStringArray(_ value: [String]?, _ flexible: Bool, allowed: Bool = true) {
        if let value { stringArray(value, flexible) } else { null(flexible, allowed) }
    }

    mutating func array<Element: KafkaStructure>(_ value: [Element], _ flexible: Bool, _ version: Int16) {
        length(value.count, flexible)
        for element in value {
            if isOverLimit { return }
            element.encode(to: &self, version: version)
        }
    }

    mutating func nullableArray<Element: KafkaStructure>(
        _ value: [Element]?, _ flexible: Bool, _ version: Int16, allowed: Bool = true
    ) {
        if let value { array(value, flexible, version) } else { null(flexible, allowed) }
    }

    /// Writes a structure behind one byte: 1, or -1 when it is null.
    mutating func nullableStructure<Structure: KafkaStructure>(_ value: Structure?, _ version: Int16) {
        int8(value == nil ? -1 : 1)
        value?.encode(to: &self, version: version)
    }

    // MARK: - Tagged fields

    mutating func unknownTaggedFields(_ fields: [UnknownTaggedField]) {
        unsignedVarint(UInt32(fields.count))
        for field in fields { unknownTaggedField(field) }
    }

    fileprivate mutating func unknownTaggedField(_ field: UnknownTaggedField) {
        unsignedVarint(field.tag)
        unsignedVarint(UInt32(clamping: field.bytes.count))
        bytes(field.bytes)
    }
}

/// Collects a structure's tagged fields, which are written behind their number and in order of their tags.
struct TaggedFieldWriter: ~Copyable {
    private var body = ByteWriter(capacity: 64)
    private var count: UInt32 = 0
    private let unknown: [UnknownTaggedField]
    private var nextUnknown = 0

    /// `unknown` is in order of tags, as it was decoded.
    init(_ unknown: [UnknownTaggedField]) { self.unknown = unknown }

    /// Adds a known field; called in order of tags.
    mutating func append(_ tag: UInt32, _ value: borrowing ByteWriter) {
        appendUnknown(below: tag)
        body.unsignedVarint(tag)
        body.unsignedVarint(UInt32(clamping: value.count))
        body.bytes(value.bytes)
        count += 1
    }

    private mutating func appendUnknown(below tag: UInt32) {
        while nextUnknown < unknown.count, unknown[nextUnknown].tag < tag {
            body.unknownTaggedField(unknown[nextUnknown])
            nextUnknown += 1
            count += 1
        }
    }

    mutating func finish(to writer: inout ByteWriter) {
        for field in unknown[nextUnknown...] {
            body.unknownTaggedField(field)
            count += 1
        }
        writer.unsignedVarint(count)
        writer.bytes(body.bytes)
    }
}
