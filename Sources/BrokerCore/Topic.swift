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
    /// `cleanup.policy` is `compact` alone: records go when their key is written again, and in no other way.
    public let isOnlyCompacted: Bool
    /// The name's UTF-8, for look-ups and replies without a String.
    public let nameBytes: [UInt8]

    init(name: String, id: TopicID, partitions: [PartitionLog], settings: TopicSettings) {
        self.name = name
        self.id = id
        self.partitions = partitions
        self.settings = settings
        isInternal = Self.isInternal(name)
        isOnlyCompacted = settings.isOnlyCompacted
        nameBytes = Array(name.utf8)
    }

    public static let offsetsTopicName = "__consumer_offsets"
    /// Where the gateway writes down which requests with keys it has stored.
    public static let requestsTopicName = "__gateway_requests"
    public static let transactionsTopicName = "__transaction_state"

    /// Who has which message of which queue.
    public static let queueStateTopicName = "__queue_state"

    /// Who has which record of the partitions that share groups read.
    public static let shareStateTopicName = "__share_state"

    /// Which jobs there are, and how far they are.
    public static let jobsTopicName = "__jobs"

    /// Whether a name is that of a topic which the broker writes itself, and nobody else.
    public static func isInternal(_ name: String) -> Bool {
        name == offsetsTopicName || name == requestsTopicName || name == transactionsTopicName
            || name == queueStateTopicName || name == shareStateTopicName || name == jobsTopicName
    }

    public func partition(_ index: Int32) -> PartitionLog? {
        index >= 0 && Int(index) < partitions.count ? partitions[Int(index)] : nil
    }
}
