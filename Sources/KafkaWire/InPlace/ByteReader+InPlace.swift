public import ByteBuffers
public import KafkaModel

/// Fields read where they lie, for the requests that are walked in place. The rules are those of the generated
/// decoders, except that strings are not checked to be UTF-8: they are looked up by their bytes.
extension ByteReader {
    /// Reads a string's bytes; nil stands for null.
    @inlinable
    mutating func stringInPlace(_ flexible: Bool) throws(DecodeError) -> UnsafeRawBufferPointer? {
        let start = position
        let length = flexible ? Int(try unsignedVarint()) &- 1 : Int(try int16())
        if length == -1 { return nil }
        // 32,767 is the limit of a string in every version, as in `DecodeLimits`.
        guard length >= 0, length <= 0x7fff else { throw .invalid("length of a string", position: start) }
        return try bytes(length)
    }

    @inlinable
    mutating func requiredStringInPlace(_ flexible: Bool) throws(DecodeError) -> UnsafeRawBufferPointer {
        let start = position
        guard let string = try stringInPlace(flexible) else {
            throw .invalid("null in a field that cannot be null", position: start)
        }
        return string
    }

    /// Reads where a field of bytes lies, in positions of this reader; nil stands for null.
    @inlinable
    mutating func rangeInPlace(_ flexible: Bool) throws(DecodeError) -> Range<Int>? {
        let start = position
        let length = flexible ? Int(try unsignedVarint()) &- 1 : Int(try int32())
        if length == -1 { return nil }
        guard length >= 0 else { throw .invalid("negative length", position: start) }
        try skip(length)
        return position &- length..<position
    }

    /// Reads the number of elements of an array that cannot be null. An element takes at least one byte, so the count
    /// is bounded by what is there.
    @inlinable
    mutating func countInPlace(_ flexible: Bool) throws(DecodeError) -> Int {
        let start = position
        let count = flexible ? Int(try unsignedVarint()) &- 1 : Int(try int32())
        guard count >= 0 else { throw .invalid("count of an array", position: start) }
        guard count <= remaining else { throw .truncated(position: position) }
        return count
    }

    @inlinable
    mutating func topicIDInPlace() throws(DecodeError) -> TopicID {
        let high: UInt64 = try integer()
        return TopicID(high: high, low: try integer())
    }

    @inlinable
    mutating func skipTaggedFields() throws(DecodeError) {
        var left = try unsignedVarint()
        while left > 0 {
            left &-= 1
            _ = try unsignedVarint()
            try skip(Int(try unsignedVarint()))
        }
    }
}
