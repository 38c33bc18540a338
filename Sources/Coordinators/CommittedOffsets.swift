internal import KafkaModel

/// One group's committed offset of one partition, with what came along.
struct CommittedOffset: Equatable, Sendable {
    var offset: Int64
    /// -1: not known.
    var leaderEpoch: Int32 = -1
    /// Free text of the client, kept byte for byte; null was stored as the empty string.
    var metadata = ""
    /// Wall clock.
    var commitTimestampMs: Int64 = -1
    /// Wall clock; set only by OffsetCommit 2-4 with a retention of its own.
    var expireTimestampMs: Int64?
    /// Zero when the topic was named without its id.
    var topicID = TopicID.zero
    /// The commit's place in the shard's log, to order commits with those of transactions. Not recorded: replay counts
    /// again, in the same order.
    var order: UInt64 = 0

    init(offset: Int64) { self.offset = offset }

    /// Whether this is the offset of a topic of another incarnation. A zero id on either side matches all.
    func isOfOtherTopic(than topicID: TopicID) -> Bool {
        self.topicID != .zero && topicID != .zero && self.topicID != topicID
    }

    /// Returns whether two offsets are equal in all that a client sees and a record holds.
    func isSame(as other: CommittedOffset) -> Bool {
        var copy = other
        copy.order = order
        return self == copy
    }
}

/// Offsets by topic name and partition index.
struct CommittedOffsets: Sendable {
    private(set) var byTopic = SlotTable<ExactString, SlotTable<Int32, CommittedOffset>>()
    private(set) var count = 0
    private(set) var metadataBytes = 0
    /// Bytes of the topics' names, each as often as it has offsets.
    private var topicBytes = 0
    /// Bytes of the longest text there was, since there was none.
    private(set) var longestMetadata = 0
    /// See `SlotTable.idleBytes`, of the inner tables together.
    private var idleBytes = 0

    /// Bytes of memory, about: an entry of the inner table, a share of the outer one, the text; and places that offsets have
    /// left.
    var memoryBytes: Int { count * Self.entryBytes + metadataBytes + idleBytes + byTopic.idleBytes }
    static let entryBytes = 224

    /// Returns the bytes that their records take in a log, about.
    func recordBytes(of groupID: String) -> Int {
        count * (Self.recordNumbers + groupID.utf8.count) + topicBytes + metadataBytes
    }
    /// A record's numbers and lengths, and what it takes in a batch besides.
    private static let recordNumbers = 34 + CoordinatorRecord.overhead

    var isEmpty: Bool { count == 0 }

    subscript(topic: String, partition: Int32) -> CommittedOffset? {
        get { byTopic[topic]?[partition] }
        set {
            if let newValue {
                metadataBytes += newValue.metadata.utf8.count
                longestMetadata = max(longestMetadata, newValue.metadata.utf8.count)
                // Mostly nothing is idle, and nothing becomes so here.
                let before = idleBytes > 0 ? byTopic[topic]?.idleBytes ?? 0 : 0
                if let old = byTopic[topic, default: SlotTable()].updateValue(newValue, forKey: partition) {
                    metadataBytes -= old.metadata.utf8.count
                } else {
                    count += 1
                    topicBytes += topic.utf8.count
                }
                if before > 0 { idleBytes += byTopic[topic]!.idleBytes - before }
            } else {
                remove(topic, partition)
            }
        }
    }

    private mutating func remove(_ topic: String, _ partition: Int32) {
        let before = byTopic[topic]?.idleBytes ?? 0
        guard let old = byTopic[topic]?.removeValue(forKey: partition) else { return }
        metadataBytes -= old.metadata.utf8.count
        count -= 1
        topicBytes -= topic.utf8.count
        if byTopic[topic]!.isEmpty { byTopic[topic] = nil }
        idleBytes += (byTopic[topic]?.idleBytes ?? 0) - before
        if metadataBytes == 0 { longestMetadata = 0 }
    }

    /// Topics by name, partitions by index: replies and records come in the same order each time.
    var sorted: [(topic: String, partitions: [(index: Int32, offset: CommittedOffset)])] {
        byTopic.keys.sorted().map { topic in
            (topic.text, byTopic[topic]!.sorted { $0.key < $1.key }.map { (index: $0.key, offset: $0.value) })
        }
    }
}
