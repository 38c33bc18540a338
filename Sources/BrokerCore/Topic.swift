import ByteBuffers
public import KafkaModel
public import LogStorage

/// One topic: its identity and its partitions' logs. A change of partitions or settings makes a new value in the next
/// catalog; the logs stay the same objects.
public final class Topic: Sendable {
    public let name: String
    public let id: TopicID
    public let partitions: [PartitionLog]
    public let settings: TopicSettings
    public let isInternal: Bool
    /// The name's UTF-8, for look-ups and replies without a String.
    public let nameBytes: [UInt8]

    init(name: String, id: TopicID, partitions: [PartitionLog], settings: TopicSettings) {
        self.name = name
        self.id = id
        self.partitions = partitions
        self.settings = settings
        isInternal = name == Topic.offsetsTopicName
        nameBytes = Array(name.utf8)
    }

    public static let offsetsTopicName = "__consumer_offsets"

    public func partition(_ index: Int32) -> PartitionLog? {
        index >= 0 && Int(index) < partitions.count ? partitions[Int(index)] : nil
    }
}

/// All topics at one moment: immutable, exchanged as a whole by whoever changes it.
public final class TopicCatalog: Sendable {
    public let topics: [String: Topic]
    private let byID: [TopicID: Topic]
    /// Open addressing by a hash of the name's bytes; a power of two, at most half full.
    private let table: [Topic?]
    /// Partitions in all, internal topics included.
    public let partitionCount: Int
    /// Grows with every change; lets a cache know that it is stale.
    public let version: Int64

    init(_ topics: [String: Topic], version: Int64) {
        self.topics = topics
        self.version = version
        byID = Dictionary(uniqueKeysWithValues: topics.values.map { ($0.id, $0) })
        partitionCount = topics.values.reduce(0) { $0 + $1.partitions.count }
        var size = 16
        while size < topics.count * 2 { size *= 2 }
        var table = [Topic?](repeating: nil, count: size)
        for topic in topics.values {
            var at = topic.nameBytes.withUnsafeBytes { Self.hash($0) } & (size - 1)
            while table[at] != nil { at = (at + 1) & (size - 1) }
            table[at] = topic
        }
        self.table = table
    }

    public func topic(named name: String) -> Topic? { topics[name] }
    public func topic(id: TopicID) -> Topic? { byID[id] }

    /// By the bytes of a request, without building a String.
    public func topic(named bytes: UnsafeRawBufferPointer) -> Topic? {
        var at = Self.hash(bytes) & (table.count - 1)
        while let topic = table[at] {
            if topic.nameBytes.count == bytes.count,
                topic.nameBytes.withUnsafeBytes({ $0.elementsEqual(bytes) })
            {
                return topic
            }
            at = (at + 1) & (table.count - 1)
        }
        return nil
    }

    /// FNV-1a; names are at most 249 bytes.
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return Int(truncatingIfNeeded: hash ^ (hash >> 32))
    }
}
