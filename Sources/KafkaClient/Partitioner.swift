/// Which partition a key belongs to: the same as every Kafka client's default, so that a key's records meet in one
/// partition whoever writes them.
public enum Partitioner {
    /// Returns the partition of `key` among `count`.
    public static func partition(of key: some Collection<UInt8>, count: Int32) -> Int32 {
        precondition(count > 0)
        // The sign bit is cleared rather than the absolute value taken, as the Java client does.
        return Int32(murmur2(key) & 0x7fff_ffff) % count
    }

    /// Hashes by Murmur2 (Austin Appleby), 32 bits, with the seed of Kafka's producer.
    public static func murmur2(_ bytes: some Collection<UInt8>) -> UInt32 {
        let multiplier: UInt32 = 0x5bd1_e995
        let data = Array(bytes)
        var hash: UInt32 = 0x9747_b28c ^ UInt32(truncatingIfNeeded: data.count)
        var index = 0
        while data.count - index >= 4 {
            var word =
                UInt32(data[index]) | UInt32(data[index + 1]) << 8 | UInt32(data[index + 2]) << 16
                | UInt32(data[index + 3]) << 24
            word &*= multiplier
            word ^= word >> 24
            word &*= multiplier
            hash &*= multiplier
            hash ^= word
            index += 4
        }
        if index < data.count {
            for (place, byte) in data[index...].enumerated() { hash ^= UInt32(byte) << UInt32(8 * place) }
            hash &*= multiplier
        }
        hash ^= hash >> 13
        hash &*= multiplier
        return hash ^ hash >> 15
    }
}
