/// Zigzag base-128 integers, as the record format writes them. A 32-bit VARINT and a 64-bit VARLONG of one value have
/// the same bytes, so that writing needs only one of them.
@usableFromInline
enum Varint {
    /// Bytes that `value` takes: 1 to 10.
    @inlinable
    static func size(_ value: Int64) -> Int {
        let raw = zigzag(value) | 1
        return (70 &- raw.leadingZeroBitCount) / 7
    }

    @inlinable
    static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: (value &<< 1) ^ (value &>> 63)) }

    /// Writes `value` to memory that has room for it, and moves on.
    @inlinable
    static func write(_ value: Int64, to at: inout UnsafeMutableRawPointer) {
        var rest = zigzag(value)
        while rest >= 0x80 {
            at.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, as: UInt8.self)
            at += 1
            rest &>>= 7
        }
        at.storeBytes(of: UInt8(truncatingIfNeeded: rest), as: UInt8.self)
        at += 1
    }
}
