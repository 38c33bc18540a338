public import ByteBuffers
public import KafkaModel

/// Fields as the hand-written writers of responses need them.
extension ByteWriter {
    /// Writes the count of an array.
    @inlinable
    mutating func count(_ count: Int, _ flexible: Bool) {
        if flexible { unsignedVarint(UInt32(clamping: count &+ 1)) } else { int32(Int32(clamping: count)) }
    }

    /// Writes a string from its bytes, at most 32,767 of them: it was decoded from a request before.
    @inlinable
    mutating func rawString(_ utf8: UnsafeRawBufferPointer, _ flexible: Bool) {
        if flexible { unsignedVarint(UInt32(utf8.count &+ 1)) } else { int16(Int16(utf8.count)) }
        bytes(utf8)
    }

    @inlinable
    mutating func id(_ id: TopicID) {
        integer(id.high)
        integer(id.low)
    }
}

/// Returns the bytes that `value` takes as an unsigned varint.
@inlinable
func varintSize(_ value: Int) -> Int {
    // One byte for every seven bits, and one for zero.
    (max(1, Int.bitWidth - value.leadingZeroBitCount) + 6) / 7
}
