public import CChecksum

/// CRC-32C (Castagnoli), the checksum of a record batch. The hardware's fastest way is chosen at load.
public enum CRC32C {
    /// Returns the checksum of `bytes`, continuing `seed`: `checksum(b, seed: checksum(a))` is that of `a` followed by
    /// `b`.
    @inlinable
    public static func checksum(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
        millrace_crc32c(seed, bytes.baseAddress, bytes.count)
    }

    /// The name of the implementation in use, for the line logged at start.
    public static var implementation: String { String(cString: millrace_crc32c_name()) }
}
