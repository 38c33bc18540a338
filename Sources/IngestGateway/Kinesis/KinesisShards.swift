import BrokerCore
import Security

/// The partitions of a topic as shards: shard i of n has the i-th of n equal parts of the 128-bit numbers, as the service divides them.
/// What a division leaves over is the last one's.
struct KinesisShards {
    let count: Int
    private let step: UInt128

    init(_ topic: Topic) { self.init(count: topic.partitions.count) }

    /// - Parameter count: above 0.
    init(count: Int) {
        self.count = count
        // 2^128 / count, without a number of 129 bits.
        step = count == 1 ? .max : (UInt128.max - UInt128(count) + 1) / UInt128(count) + 1
    }

    func index(of hash: UInt128) -> Int { count == 1 ? 0 : min(Int(hash / step), count - 1) }

    /// Inclusive.
    func range(of index: Int) -> ClosedRange<UInt128> {
        if count == 1 { return 0...UInt128.max }
        let first = UInt128(index) * step
        return first...(index == count - 1 ? UInt128.max : first + step - 1)
    }

    /// The MD5 of a partition key as a number; nil: this machine's OpenSSL has no MD5.
    static func hash(of key: [UInt8]) -> UInt128? {
        key.withUnsafeBytes { MD5.hash($0) }.map { $0.reduce(0) { $0 << 8 | UInt128($1) } }
    }

    // MARK: Names

    static func id(of index: Int) -> String {
        let digits = String(index)
        return idPrefix + String(repeating: "0", count: max(0, idDigits - digits.utf8.count)) + digits
    }

    /// The index in the id of one of the shards; nil: there is no such one.
    func index(ofID id: String) -> Int? {
        guard id.hasPrefix(Self.idPrefix), let index = Int(id.dropFirst(Self.idPrefix.count)), index < count,
            index >= 0, Self.id(of: index) == id
        else { return nil }
        return index
    }

    private static let idPrefix = "shardId-"
    private static let idDigits = 12
}
