/// A record's place in its partition. Whether a given one is inclusive or exclusive is in its name (style: `lastOffset`
/// is inclusive, `logEndOffset`, `highWatermark` and `flushedOffset` are exclusive).
public struct Offset: RawRepresentable, Hashable, Comparable, Sendable {
    public var rawValue: Int64
    @inlinable public init(rawValue: Int64) { self.rawValue = rawValue }
    @inlinable public init(_ value: Int64) { rawValue = value }
    @inlinable public static func < (lhs: Offset, rhs: Offset) -> Bool { lhs.rawValue < rhs.rawValue }
    @inlinable public static func + (lhs: Offset, rhs: Int64) -> Offset { Offset(lhs.rawValue + rhs) }
    /// Number of offsets from `rhs` (inclusive) to `lhs` (exclusive).
    @inlinable public static func - (lhs: Offset, rhs: Offset) -> Int64 { lhs.rawValue - rhs.rawValue }

    public static let zero = Offset(0)
    /// "No offset" on the wire (-1).
    public static let none = Offset(-1)
}

/// The epoch of a partition's leadership; grows with every new leader. -1 on the wire means "not known".
public struct LeaderEpoch: RawRepresentable, Hashable, Comparable, Sendable {
    public var rawValue: Int32
    @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }
    @inlinable public init(_ value: Int32) { rawValue = value }
    @inlinable public static func < (lhs: LeaderEpoch, rhs: LeaderEpoch) -> Bool { lhs.rawValue < rhs.rawValue }
    public static let none = LeaderEpoch(-1)
}

/// Names one producer session; given out by the broker. -1: the producer is not idempotent. Source: KIP-98.
public struct ProducerID: RawRepresentable, Hashable, Comparable, Sendable {
    public var rawValue: Int64
    @inlinable public init(rawValue: Int64) { self.rawValue = rawValue }
    @inlinable public init(_ value: Int64) { rawValue = value }
    @inlinable public static func < (lhs: ProducerID, rhs: ProducerID) -> Bool { lhs.rawValue < rhs.rawValue }
    public static let none = ProducerID(-1)
}

/// Fences earlier incarnations of one producer ID. Source: KIP-98, KIP-360.
public struct ProducerEpoch: RawRepresentable, Hashable, Comparable, Sendable {
    public var rawValue: Int16
    @inlinable public init(rawValue: Int16) { self.rawValue = rawValue }
    @inlinable public init(_ value: Int16) { rawValue = value }
    @inlinable public static func < (lhs: ProducerEpoch, rhs: ProducerEpoch) -> Bool { lhs.rawValue < rhs.rawValue }
    public static let none = ProducerEpoch(-1)
}

/// A producer's per-partition record counter; wraps from 2^31 - 1 to 0.
public struct Sequence32: RawRepresentable, Hashable, Sendable {
    public var rawValue: Int32
    @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }
    @inlinable public init(_ value: Int32) { rawValue = value }
    public static let none = Sequence32(-1)

    /// Returns the sequence `count` records later, wrapped.
    @inlinable
    public func advanced(by count: Int32) -> Sequence32 {
        let sum = Int64(rawValue) + Int64(count)
        return Sequence32(Int32(truncatingIfNeeded: sum & 0x7fff_ffff))
    }
}

/// A topic's identity through renames and re-creations: a random UUID. Zero means "none". Source: KIP-516.
public struct TopicID: Hashable, Sendable, BitwiseCopyable {
    public var high: UInt64
    public var low: UInt64

    @inlinable
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    public static let zero = TopicID(high: 0, low: 0)

    /// Returns a new random version-4 UUID whose text form does not begin with a dash (Kafka's tools refuse such).
    public static func random(using generator: inout some RandomNumberGenerator) -> TopicID {
        while true {
            let id = TopicID(
                high: (generator.next() & 0xffff_ffff_ffff_0fff) | 0x4000,
                low: (generator.next() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000)
            if !id.description.hasPrefix("-") { return id }
        }
    }

    public static func random() -> TopicID {
        var generator = SystemRandomNumberGenerator()
        return random(using: &generator)
    }
}

extension TopicID: CustomStringConvertible, LosslessStringConvertible {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    /// The 22 characters of URL-safe base64 without padding, as Kafka prints ids.
    public var description: String {
        String(unsafeUninitializedCapacity: 22) { out in
            for index in 0..<22 {
                // Six bits at a time from the 128; the last character carries two bits and four zeros.
                let bit = index * 6
                var value = 0
                for step in bit..<bit + 6 {
                    let word = step < 64 ? high : low
                    let set = step < 128 ? (word >> UInt64(63 - step % 64)) & 1 : 0
                    value = value << 1 | Int(set)
                }
                out[index] = Self.alphabet[value]
            }
            return 22
        }
    }

    public init?(_ description: String) {
        let text = Array(description.utf8)
        guard text.count == 22 else { return nil }
        var words: [UInt64] = [0, 0]
        for (index, character) in text.enumerated() {
            guard let value = Self.alphabet.firstIndex(of: character) else { return nil }
            for step in 0..<6 where index * 6 + step < 128 {
                let bit = index * 6 + step
                words[bit / 64] |= UInt64(value >> (5 - step) & 1) << UInt64(63 - bit % 64)
            }
        }
        self.init(high: words[0], low: words[1])
    }
}

/// One partition of one topic incarnation.
public struct TopicPartition: Hashable, Sendable {
    public var topicID: TopicID
    public var partitionIndex: Int32

    @inlinable
    public init(topicID: TopicID, partitionIndex: Int32) {
        self.topicID = topicID
        self.partitionIndex = partitionIndex
    }
}
