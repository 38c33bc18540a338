import ByteBuffers
import KafkaModel

/// A tagged field's number and where its bytes end.
struct TagHeader {
    var number: UInt32
    /// Position behind the field's last byte.
    var end: Int
}

/// Limits of what one message may make the decoder do.
enum DecodeLimits {
    /// Longest string in bytes, in every version. Kafka's own bound: the classic length is a signed 16-bit number.
    static let stringBytes = 0x7fff
    /// What an array, a long string or bytes take beside their content: the object's header and the allocator's.
    static let heapOverhead = 48
    /// A string of so many bytes or fewer lies in its own 16.
    static let inlineStringBytes = 15
}

/// The protocol's own types. All that is decoded is taken from the reader's allowance before it is allocated: an array is
/// up to 24 times as large in memory as on the wire. `flexible` chooses compact lengths (an unsigned varint, one more than the length, 0 for
/// null) or classic ones (16 bits for strings, 32 for the rest, -1 for null). Source: KIP-482.
extension ByteReader {
    mutating func topicID() throws(DecodeError) -> TopicID {
        let high: UInt64 = try integer()
        return TopicID(high: high, low: try integer())
    }

    // MARK: - Lengths

    /// Reads a length and checks it against the remaining bytes, given that each element takes `minimumSize` of them;
    /// nil stands for null.
    private mutating func length(_ flexible: Bool, minimumSize: Int) throws(DecodeError) -> Int? {
        let start = position
        let length = flexible ? Int(try unsignedVarint()) - 1 : Int(try int32())
        if length == -1 { return nil }
        guard length >= 0 else { throw .invalid("negative length", position: start) }
        guard length <= remaining / minimumSize else { throw .truncated(position: position) }
        return length
    }

    private func nullRefused(_ start: Int) -> DecodeError {
        .invalid("null in a field that cannot be null", position: start)
    }

    // MARK: - Strings

    mutating func nullableString(_ flexible: Bool, allowed: Bool = true) throws(DecodeError) -> String? {
        let start = position
        let length = flexible ? Int(try unsignedVarint()) - 1 : Int(try int16())
        if length == -1 {
            if allowed { return nil }
            throw nullRefused(start)
        }
        guard length >= 0, length <= DecodeLimits.stringBytes else {
            throw .invalid("length of a string", position: start)
        }
        if length > DecodeLimits.inlineStringBytes { try spend(length + DecodeLimits.heapOverhead) }
        return try string(length)
    }

    mutating func string(_ flexible: Bool) throws(DecodeError) -> String {
        let start = position
        guard let string = try nullableString(flexible) else { throw nullRefused(start) }
        return string
    }

    // MARK: - Bytes

    mutating func nullableByteArray(_ flexible: Bool, allowed: Bool = true) throws(DecodeError) -> [UInt8]? {
        let start = position
        guard let length = try length(flexible, minimumSize: 1) else {
            if allowed { return nil }
            throw nullRefused(start)
        }
        if length > 0 { try spend(length + DecodeLimits.heapOverhead) }
        return Array(try bytes(length))
    }

    mutating func byteArray(_ flexible: Bool) throws(DecodeError) -> [UInt8] {
        let start = position
        guard let bytes = try nullableByteArray(flexible) else { throw nullRefused(start) }
        return bytes
    }

    // MARK: - Arrays

    /// Makes room for `count` elements, paid from the allowance. The count was held against the bytes that are left;
    /// what it announces and does not bring is address space that nobody touches.
    private mutating func emptyArray<Element>(_ count: Int) throws(DecodeError) -> [Element] {
        var elements: [Element] = []
        guard count > 0 else { return elements }
        try spend(count * MemoryLayout<Element>.stride + DecodeLimits.heapOverhead)
        elements.reserveCapacity(count)
        return elements
    }

    mutating func nullableIntegerArray<Element: FixedWidthInteger & BitwiseCopyable>(
        _ flexible: Bool, allowed: Bool = true
    ) throws(DecodeError) -> [Element]? {
        let start = position
        guard let count = try length(flexible, minimumSize: MemoryLayout<Element>.size) else {
            if allowed { return nil }
            throw nullRefused(start)
        }
        var elements: [Element] = try emptyArray(count)
        for _ in 0..<count { elements.append(try integer()) }
        return elements
    }

    mutating func integerArray<Element: FixedWidthInteger & BitwiseCopyable>(
        _ flexible: Bool
    ) throws(DecodeError) -> [Element] {
        let start = position
        guard let elements: [Element] = try nullableIntegerArray(flexible) else { throw nullRefused(start) }
        return elements
    }

    mutating func nullableStringArray(_ flexible: Bool, allowed: Bool = true) throws(DecodeError) -> [String]? {
        let start = position
        guard let count = try length(flexible, minimumSize: flexible ? 1 : 2) else {
            if allowed { return nil }
            throw nullRefused(start)
        }
        var elements: [String] = try emptyArray(count)
        for _ in 0..<count { elements.append(try string(flexible)) }
        return elements
    }

    mutating func stringArray(_ flexible: Bool) throws(DecodeError) -> [String] {
        let start = position
        guard let elements = try nullableStringArray(flexible) else { throw nullRefused(start) }
        return elements
    }

    mutating func nullableArray<Element: KafkaStructure>(
        _ flexible: Bool, _ version: Int16, minimumSize: Int, allowed: Bool = true
    ) throws(DecodeError) -> [Element]? {
        let start = position
        guard let count = try length(flexible, minimumSize: minimumSize) else {
            if allowed { return nil }
            throw nullRefused(start)
        }
        var elements: [Element] = try emptyArray(count)
        for _ in 0..<count { elements.append(try Element(from: &self, version: version)) }
        return elements
    }

    mutating func array<Element: KafkaStructure>(
        _ flexible: Bool, _ version: Int16, minimumSize: Int
    ) throws(DecodeError) -> [Element] {
        let start = position
        guard let elements: [Element] = try nullableArray(flexible, version, minimumSize: minimumSize) else {
            throw nullRefused(start)
        }
        return elements
    }

    /// Reads a structure behind one byte that is negative when the structure is null.
    mutating func nullableStructure<Structure: KafkaStructure>(_ version: Int16) throws(DecodeError) -> Structure? {
        if try int8() < 0 { return nil }
        return try Structure(from: &self, version: version)
    }

    // MARK: - Tagged fields

    mutating func tag() throws(DecodeError) -> TagHeader {
        let number = try unsignedVarint()
        let size = Int(try unsignedVarint())
        guard size <= remaining else { throw .truncated(position: position) }
        return TagHeader(number: number, end: position + size)
    }

    /// Checks that a known tagged field took exactly the bytes that it announced.
    func finish(_ tag: TagHeader) throws(DecodeError) {
        guard position == tag.end else { throw .invalid("length of a tagged field", position: position) }
    }

    mutating func unknownTaggedField(_ tag: TagHeader) throws(DecodeError) -> UnknownTaggedField {
        // Twice its size: these arrays grow as their elements come.
        try spend(2 * MemoryLayout<UnknownTaggedField>.stride)
        let length = tag.end - position
        guard length >= 0 else { throw .invalid("length of a tagged field", position: position) }
        if length > 0 { try spend(length + DecodeLimits.heapOverhead) }
        return UnknownTaggedField(tag: tag.number, bytes: Array(try bytes(length)))
    }

    mutating func unknownTaggedFields() throws(DecodeError) -> [UnknownTaggedField] {
        var fields: [UnknownTaggedField] = []
        for _ in 0..<(try unsignedVarint()) {
            let tag = try tag()
            fields.append(try unknownTaggedField(tag))
        }
        return fields
    }
}
