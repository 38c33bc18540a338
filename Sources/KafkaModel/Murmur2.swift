/// The hash by which Kafka's clients choose a keyed record's partition, so that whoever chooses for them agrees with them.
/// Source: MurmurHash2 (Austin Appleby, public domain) with Kafka's seed, as its default partitioner applies it.
public enum Murmur2 {
    public static func hash(_ key: UnsafeRawBufferPointer) -> UInt32 {
        let multiplier: UInt32 = 0x5bd1_e995
        var hash: UInt32 = 0x9747_b28c ^ UInt32(truncatingIfNeeded: key.count)
        var at = 0
        while at + 4 <= key.count {
            var word = UInt32(littleEndian: key.loadUnaligned(fromByteOffset: at, as: UInt32.self))
            word = word &* multiplier
            word ^= word >> 24
            hash = (hash &* multiplier) ^ (word &* multiplier)
            at += 4
        }
        let rest = key.count - at
        if rest == 3 { hash ^= UInt32(key[at + 2]) << 16 }
        if rest >= 2 { hash ^= UInt32(key[at + 1]) << 8 }
        if rest >= 1 { hash = (hash ^ UInt32(key[at])) &* multiplier }
        hash = (hash ^ (hash >> 13)) &* multiplier
        return hash ^ (hash >> 15)
    }

    /// Returns the partition of `key` among `count`: the hash without its sign bit, modulo.
    public static func partition(of key: UnsafeRawBufferPointer, among count: Int) -> Int {
        Int(hash(key) & 0x7fff_ffff) % count
    }
}
