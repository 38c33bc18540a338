internal import KafkaModel
internal import KafkaWire

/// How far a member is on its way to the target assignment, with the numbers that its record has.
public enum ConsumerMemberState: Int8, Sendable {
    /// It has all of the target of its epoch.
    case stable = 0
    /// It was told to give partitions up and has not confirmed that; its epoch stays.
    case unrevoked = 1
    /// It is at the target's epoch, and others have some of its partitions still.
    case unreleased = 2
}

/// Partitions by topic, each with the member's epoch in which it was assigned (KIP-1251).
typealias PartitionEpochs = [TopicID: [Int32: Int32]]
/// Partitions by topic, in order.
typealias PartitionLists = [TopicID: [Int32]]

/// A member of a consumer group.
struct ConsumerMember: Equatable, Sendable {
    typealias Classic = ConsumerGroupMemberMetadataValue.ClassicMemberMetadata

    let memberID: String
    var instanceID: String?
    var rackID: String?
    var clientID = ""
    var clientHost = ""
    var rebalanceTimeoutMs: Int32 = -1
    /// In order, each once.
    var topicNames: [ExactString] = []
    /// `nil`: it subscribes by names alone.
    var pattern: String?
    /// Of the pattern's program; 0: there is none.
    var patternInstructions = 0
    /// The assignor that it asks for.
    var assignor: String?
    /// What it said in JoinGroup; `nil`: it speaks the consumer protocol.
    var classic: Classic?

    /// 0: it has just joined. -2: a static member that has left, and may come back.
    var epoch: Int32 = 0
    var previousEpoch: Int32 = -1
    var state = ConsumerMemberState.stable
    /// What it may read.
    var assigned: PartitionEpochs = [:]
    /// What it was told to give up.
    var pendingRevocation: PartitionEpochs = [:]
    /// What it is to read, by the group's assignment epoch.
    var target: PartitionLists = [:]

    var session = GroupTimer()
    /// Runs while it has to give partitions up; of a classic member also until its JoinGroup and its SyncGroup.
    var rebalance = GroupTimer()
    /// The version of the topics for which it was seen to read nothing that is deleted or not subscribed to.
    var checkedTopics: Int64 = -2

    init(memberID: String) { self.memberID = memberID }

    var key: ExactString { ExactString(memberID) }

    var patternKey: ExactString? { pattern.map { ExactString($0) } }

    /// A static member's epoch between its leaving and its coming back.
    static let leftEpoch: Int32 = -2

    /// Its own share of the memory and of the log, about; see `ConsumerGroup`.
    var textBytes: Int {
        var bytes = memberID.utf8.count + (instanceID?.utf8.count ?? 0) + (rackID?.utf8.count ?? 0)
        bytes += clientID.utf8.count + clientHost.utf8.count + (pattern?.utf8.count ?? 0)
        bytes += (assignor?.utf8.count ?? 0) + topicNames.reduce(0) { $0 + 16 + $1.text.utf8.count }
        return bytes
            + (classic?.supportedProtocols.reduce(64) { $0 + 64 + $1.name.utf8.count + $1.metadata.count } ?? 0)
    }

    var partitionCount: Int {
        func count(_ partitions: PartitionEpochs) -> Int { partitions.values.reduce(0) { $0 + $1.count } }
        return count(assigned) + count(pendingRevocation) + target.values.reduce(0) { $0 + $1.count }
    }

    var topicCount: Int { assigned.count + pendingRevocation.count + target.count }

    var memoryBytes: Int { Self.emptyBytes + 2 * textBytes + sharesBytes(of: target) }

    /// Bytes of memory of what it is to read, if that is `target`, and of what it reads or gives up. The room for all of the target is
    /// kept from the start: it comes to read it without another look at what there is.
    func sharesBytes(of target: PartitionLists) -> Int {
        let (wanted, has) = (
            Self.memoryBytes(of: target), Self.memoryBytes(of: assigned) + Self.memoryBytes(of: pendingRevocation)
        )
        return wanted + max(wanted, has)
    }

    var recordBytes: Int {
        3 * (64 + memberID.utf8.count) + textBytes + Self.recordTopicBytes * topicCount
            + Self.recordPartitionBytes * partitionCount
    }

    /// Bytes that a record of what the member reads takes at most besides its partitions, in a batch.
    static func fixedRecordBytes(of memberID: String, in groupID: String) -> Int {
        128 + memberID.utf8.count + groupID.utf8.count + CoordinatorRecord.overhead + CoordinatorRecord.batchHeader
    }

    /// Bytes that these partitions take at most in a record of what a member reads. A topic may stand in it twice, with what the
    /// member keeps and with what it gives up: an id, two lengths and the tag of the epochs each time.
    static func recordBytes(topics: Int, partitions: Int) -> Int { 64 * topics + 8 * partitions }

    /// Bytes of memory of a member without its texts and partitions, about.
    static let emptyBytes = 768
    /// Bytes of memory of a topic of which a member has partitions: the table or list of these, and that of their owners.
    static let topicBytes = 160
    /// Bytes of memory of a partition, in a member and in the table of owners.
    static let partitionBytes = 48

    private static let recordTopicBytes = 24
    private static let recordPartitionBytes = 8

    static func recordBytes(of target: PartitionLists) -> Int {
        target.values.reduce(recordTopicBytes * target.count) { $0 + recordPartitionBytes * $1.count }
    }

    private static func memoryBytes(of target: PartitionLists) -> Int {
        target.values.reduce(topicBytes * target.count) { $0 + partitionBytes * $1.count }
    }

    private static func memoryBytes(of partitions: PartitionEpochs) -> Int {
        partitions.values.reduce(topicBytes * partitions.count) { $0 + partitionBytes * $1.count }
    }

    /// Whether both say the same in their records of who they are.
    func isSameMetadata(as other: ConsumerMember) -> Bool {
        func isExactly(_ one: String?, _ other: String?) -> Bool {
            one.map { ExactString($0) } == other.map { ExactString($0) }
        }
        return isExactly(instanceID, other.instanceID) && isExactly(rackID, other.rackID)
            && isExactly(clientID, other.clientID) && isExactly(clientHost, other.clientHost)
            && rebalanceTimeoutMs == other.rebalanceTimeoutMs && topicNames == other.topicNames
            && isExactly(pattern, other.pattern) && isExactly(assignor, other.assignor) && classic == other.classic
    }

    /// Whether both read the same, as their records have it.
    func isSameAssignment(as other: ConsumerMember) -> Bool {
        epoch == other.epoch && previousEpoch == other.previousEpoch && state == other.state
            && assigned == other.assigned
            && pendingRevocation == other.pendingRevocation
    }

    /// Whether it may read the same partitions as `other`, whatever their epochs.
    func readsSame(as other: ConsumerMember) -> Bool {
        // Mostly they are one table.
        if assigned == other.assigned { return true }
        guard assigned.count == other.assigned.count else { return false }
        return assigned.allSatisfy { topic, partitions in
            guard let others = other.assigned[topic], others.count == partitions.count else { return false }
            return partitions.keys.allSatisfy { others[$0] != nil }
        }
    }

    func reads(_ topic: TopicID, _ partition: Int32) -> Bool { assigned[topic]?[partition] != nil }
}

extension Array where Element == Int32 {
    /// Whether a list in order has the number.
    func holds(_ number: Int32) -> Bool {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low < count && self[low] == number
    }
}
