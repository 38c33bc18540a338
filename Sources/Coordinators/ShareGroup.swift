internal import KafkaModel
internal import KafkaWire

/// The states of a share group, with the names that ListGroups and ShareGroupDescribe show.
public enum ShareGroupState: String, CaseIterable, Sendable {
    case empty = "Empty"
    case stable = "Stable"
}

/// A member of a share group.
struct ShareMember: Equatable, Sendable {
    let memberID: String
    var rackID: String?
    var clientID = ""
    var clientHost = ""
    /// In order, each once.
    var topicNames: [ExactString] = []
    /// 0: it has just joined.
    var epoch: Int32 = 0
    var previousEpoch: Int32 = -1
    /// What it was told to read.
    var assigned: PartitionLists = [:]
    /// What it is to read, by the group's assignment epoch.
    var target: PartitionLists = [:]
    var session = GroupTimer()

    init(memberID: String) { self.memberID = memberID }

    var key: ExactString { ExactString(memberID) }

    var textBytes: Int {
        let texts = memberID.utf8.count + (rackID?.utf8.count ?? 0) + clientID.utf8.count + clientHost.utf8.count
        return texts + topicNames.reduce(0) { $0 + 16 + $1.text.utf8.count }
    }

    var memoryBytes: Int {
        ConsumerMember.emptyBytes + 2 * textBytes + Self.memoryBytes(of: target) + Self.memoryBytes(of: assigned)
    }

    var recordBytes: Int {
        3 * (64 + memberID.utf8.count) + textBytes + ConsumerMember.recordBytes(of: target)
            + ConsumerMember.recordBytes(of: assigned)
    }

    /// Bytes of memory of lists of partitions.
    static func memoryBytes(of lists: PartitionLists) -> Int {
        lists.values.reduce(ConsumerMember.topicBytes * lists.count) { $0 + 8 * $1.count }
    }

    func isSameMetadata(as other: ShareMember) -> Bool {
        rackID.map { ExactString($0) } == other.rackID.map { ExactString($0) } && clientID.isExactly(other.clientID)
            && clientHost.isExactly(other.clientHost) && topicNames == other.topicNames
    }
}

/// One share group (KIP-932): its epochs, its members, what they are to read. A partition may have several readers, and who reads what
/// record is no affair of it.
///
/// A value type without I/O; `GroupShard` feeds it events. It is a part of a `ClassicGroup`, which has no members and no offsets of its
/// own then. All of it is in records, but for timers.
struct ShareGroup: Sendable {
    let groupID: String
    /// Grows with whatever the assignment depends on. A new group has 1, so the first target assignment that was made has 2.
    var epoch: Int32 = 1
    /// The group epoch that the target assignment is of.
    private(set) var assignmentEpoch: Int32 = 1
    /// Wall clock; when the target assignment was made, or the group became empty.
    private(set) var assignmentTimestampMs: Int64 = 0
    /// A hash of the subscribed topics as they were for `epoch`.
    var metadataHash: Int64 = 0
    private(set) var members: [ExactString: ShareMember] = [:]
    /// How many members subscribe to a topic.
    private(set) var subscribers: [ExactString: Int] = [:]
    /// Names in the subscriptions of all members.
    private(set) var subscribedNames = 0

    /// Memory and log of members, about.
    private(set) var memberBytes = 0
    private var memberRecordBytes = 0
    /// Topics of which members read something: as often as they stand in a description.
    private(set) var describedTopics = 0

    // What follows is of this run alone.

    /// The version of the topics that `metadataHash` and `partitionTotal` are of; -2: of none.
    var seenTopics: Int64 = -2
    /// `metadataHash` is of topics that were subscribed to before the epoch was bumped.
    var isHashStale = false
    /// Partitions of the subscribed topics.
    var partitionTotal = 0
    var assignTimer = GroupTimer()
    /// Monotonic; when the last target assignment was made.
    var assignedAtMs: Int64?
    /// Target assignments that are being made elsewhere.
    var assigning = ConsumerGroup.PendingWork()

    init(groupID: String) { self.groupID = groupID }

    /// What ListGroups calls groups of this kind.
    static let typeName = "share"
    /// The one assignor that Kafka has for them: each partition has a reader and each member a partition, as far as numbers allow.
    static let assignorName = "simple"

    var isEmpty: Bool { members.isEmpty }
    var state: ShareGroupState { members.isEmpty ? .empty : .stable }
    var memoryBytes: Int { ConsumerGroup.emptyBytes + memberBytes + 48 * subscribers.count }
    var recordBytes: Int { 256 + memberRecordBytes }

    func isSubscribed(to topic: String) -> Bool { subscribers.has(topic) }

    // MARK: Members

    /// Stores a member, new or changed, and all that is counted of it.
    mutating func put(_ member: ShareMember) {
        let old = members[member.key]
        if let old { forget(old) }
        memberBytes += member.memoryBytes
        memberRecordBytes += member.recordBytes
        describedTopics += member.assigned.count
        if old?.topicNames != member.topicNames {
            for name in old?.topicNames ?? [] { countSubscriber(name, -1) }
            for name in member.topicNames { countSubscriber(name, 1) }
        }
        members[member.key] = member
    }

    @discardableResult
    mutating func take(_ key: ExactString) -> ShareMember? {
        guard let member = members.removeValue(forKey: key) else { return nil }
        forget(member)
        for name in member.topicNames { countSubscriber(name, -1) }
        return member
    }

    private mutating func forget(_ member: ShareMember) {
        memberBytes -= member.memoryBytes
        memberRecordBytes -= member.recordBytes
        describedTopics -= member.assigned.count
    }

    private mutating func countSubscriber(_ name: ExactString, _ amount: Int) {
        subscribedNames += amount
        let count = subscribers[name, default: 0] + amount
        subscribers[name] = count == 0 ? nil : count
    }

    mutating func setAssignment(epoch: Int32, timestampMs: Int64) {
        (assignmentEpoch, assignmentTimestampMs) = (epoch, timestampMs)
    }

    // MARK: Sessions

    mutating func startSession(_ key: ExactString, _ shard: inout ShardContext) {
        guard let index = members.index(forKey: key) else { return }
        let at = shard.after(Int64(shard.settings(of: groupID).shareSessionTimeoutMs))
        members.values[index].session.set(
            at, in: &shard.timers, groupID: groupID, subject: .session(memberID: key.text))
    }

    mutating func timerFired(_ entry: DeadlineQueue.Entry, _ shard: inout ShardContext) {
        let now = shard.now.monotonicMs
        switch entry.subject {
        case .session(let memberID):
            guard let index = members.index(forKey: ExactString(memberID)),
                members.values[index].session.fires(entry, now: now, in: &shard.timers)
            else { return }
            shard.counters.expiredMembers += 1
            fence(ExactString(memberID), &shard)
        case .assignment:
            if assignTimer.fires(entry, now: now, in: &shard.timers) { assignIfDue(&shard) }
        case .join, .sync, .pendingMember, .rebalance: break
        }
    }

    /// The timers' entries in the shard's heap.
    var timerEntries: [DeadlineQueue.Entry] {
        var entries = members.values.compactMap {
            $0.session.entry(groupID: groupID, subject: .session(memberID: $0.memberID))
        }
        if let entry = assignTimer.entry(groupID: groupID, subject: .assignment) { entries.append(entry) }
        return entries
    }

    /// Begins what runs by time, of a group that was found in the log.
    mutating func takeUp(_ shard: inout ShardContext) {
        for key in members.keys.sorted() { startSession(key, &shard) }
        // Not at once: what is loaded brings no records.
        if epoch > assignmentEpoch, !members.isEmpty {
            assignTimer.set(shard.after(1), in: &shard.timers, groupID: groupID, subject: .assignment)
        }
    }
}
