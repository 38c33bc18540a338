internal import KafkaModel
internal import KafkaWire

/// The states of a consumer group, with the names that ListGroups and ConsumerGroupDescribe show.
public enum ConsumerGroupState: String, CaseIterable, Sendable {
    case empty = "Empty"
    /// The target assignment is of an earlier group epoch, and the next one is to be made.
    case assigning = "Assigning"
    /// A member has not all of its target assignment.
    case reconciling = "Reconciling"
    case stable = "Stable"
}

/// One group of the consumer protocol (KIP-848): its epochs, its members, what they are to read and what they read.
///
/// A value type without I/O; `GroupShard` feeds it events. It is a part of a `ClassicGroup`, whose offsets it shares and which has no
/// members of its own then. All of it is in records, but for timers.
struct ConsumerGroup: Sendable {
    let groupID: String
    /// Grows with whatever the assignment depends on. A new group has 1, so the first target assignment that was made has 2.
    var epoch: Int32 = 1
    /// The group epoch that the target assignment is of.
    private(set) var assignmentEpoch: Int32 = 1
    /// Wall clock; when the target assignment was made, or the group became empty.
    private(set) var assignmentTimestampMs: Int64 = 0
    /// A hash of the subscribed topics as they were for `epoch`.
    var metadataHash: Int64 = 0
    private(set) var members: [ExactString: ConsumerMember] = [:]
    /// Member ids by group instance id.
    private(set) var staticMembers: [ExactString: ExactString] = [:]
    /// Who reads a partition, or has not confirmed yet that it does not any more: nobody else is assigned it.
    private(set) var owners: [TopicID: [Int32: ExactString]] = [:]
    /// How many members subscribe to a topic by its name.
    private(set) var subscribers: [ExactString: Int] = [:]
    /// Names in the subscriptions of all members.
    private var subscribedNames = 0
    /// The patterns by which members subscribe.
    private(set) var patternSubscribers: [ExactString: PatternUse] = [:]
    /// Of the programs of all of them.
    private(set) var patternInstructions = 0
    /// What patterns stand for, of those that were looked up.
    private(set) var patterns: [ExactString: ResolvedPattern] = [:]
    /// Members that speak the classic protocol.
    private(set) var classicCount = 0
    /// How many of them support each protocol.
    private(set) var classicProtocols: [ExactString: Int] = [:]

    /// Memory and log of members, about.
    private(set) var memberBytes = 0
    private(set) var memberRecordBytes = 0
    /// Memory of what patterns stand for; at most `ClassicGroup.maxMemberBytes`.
    private(set) var patternBytes = 0
    /// Topics of which members read something or are to: as often as they stand in a description.
    private(set) var describedTopics = 0
    /// Members that have all of the target assignment.
    private var settledCount = 0

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
    /// Target assignments and look-ups of patterns that are being made elsewhere.
    var assigning = PendingWork()
    var resolving = PendingWork()
    /// Monotonic; when patterns were last looked up.
    var resolvedAtMs: Int64?

    struct PatternUse: Equatable, Sendable {
        var members = 0
        /// 0: it is no pattern; somebody else has let it in.
        var instructions: Int
    }

    /// What a pattern stood for.
    struct ResolvedPattern: Equatable, Sendable {
        /// In order.
        var topics: [ExactString]
        /// Of the topics, then.
        var version: Int64
        /// Wall clock.
        var timestampMs: Int64

        var memoryBytes: Int { topics.reduce(128) { $0 + 32 + $1.text.utf8.count } }
        var recordBytes: Int { topics.reduce(48) { $0 + 3 + $1.text.utf8.count } }
    }

    /// Work that was given away, and again where nothing came of it for long. What comes first is taken, also of an older piece: work
    /// that takes longer than `patienceMs` would never end otherwise.
    struct PendingWork: Equatable, Sendable {
        /// Of the piece that was given away last.
        private(set) var number: UInt64 = 0
        /// Pieces up to this one are not taken any more: they are of an earlier state, or of an earlier group of this name.
        private var ended: UInt64 = 0
        /// Monotonic; `nil`: nothing is being made.
        private var sinceMs: Int64?

        /// Who has the work may be gone: it is given away again after so long.
        static let patienceMs: Int64 = 30_000

        func isAway(_ nowMs: Int64) -> Bool { sinceMs.map { nowMs - $0 < Self.patienceMs } ?? false }

        var isAwaited: Bool { sinceMs != nil }

        /// `number`: higher than that of every piece before, of any group of the shard.
        mutating func begin(_ number: UInt64, _ nowMs: Int64) {
            if sinceMs == nil { ended = number - 1 }
            self.number = number
            sinceMs = nowMs
        }

        /// Takes a piece back, and ends all that were given away until now: they are of the state before this one; false: it has
        /// ended.
        mutating func end(_ number: UInt64) -> Bool {
            guard sinceMs != nil, number > ended, number <= self.number else { return false }
            ended = self.number
            sinceMs = nil
            return true
        }
    }

    init(groupID: String) { self.groupID = groupID }

    var isEmpty: Bool { members.isEmpty }

    /// Whether nobody has joined ever, so that no record tells of it.
    var isNew: Bool { members.isEmpty && epoch == 1 }

    var state: ConsumerGroupState {
        if members.isEmpty { return .empty }
        if epoch > assignmentEpoch { return .assigning }
        return settledCount == members.count ? .stable : .reconciling
    }

    var memoryBytes: Int { Self.emptyBytes + memberBytes + patternBytes + 48 * subscribers.count }
    var recordBytes: Int { 256 + memberRecordBytes + patternBytes }
    static let emptyBytes = 640

    // MARK: Members

    private func isSettled(_ member: ConsumerMember) -> Bool {
        member.state == .stable && member.epoch == assignmentEpoch
    }

    /// Stores a member, new or changed, and all that is counted of it.
    mutating func put(_ member: ConsumerMember) {
        let key = member.key
        let old = members[key]
        if let old { forget(old) }
        memberBytes += member.memoryBytes
        memberRecordBytes += member.recordBytes
        describedTopics += member.assigned.count + member.target.count
        if isSettled(member) { settledCount += 1 }
        countClassic(member, 1)
        if let instanceID = member.instanceID { staticMembers[instanceID] = key }
        if old?.topicNames != member.topicNames {
            for name in old?.topicNames ?? [] { countSubscriber(name, -1) }
            for name in member.topicNames { countSubscriber(name, 1) }
            subscribedNames += member.topicNames.count - (old?.topicNames.count ?? 0)
        }
        if old?.patternKey != member.patternKey {
            if let old { countPattern(of: old, -1) }
            countPattern(of: member, 1)
        }
        if old?.assigned != member.assigned || old?.pendingRevocation != member.pendingRevocation {
            if let old { release(old) }
            own(member.assigned, key)
            own(member.pendingRevocation, key)
        }
        members[key] = member
    }

    @discardableResult
    mutating func take(_ key: ExactString) -> ConsumerMember? {
        guard let member = members.removeValue(forKey: key) else { return nil }
        forget(member)
        release(member)
        for name in member.topicNames { countSubscriber(name, -1) }
        subscribedNames -= member.topicNames.count
        countPattern(of: member, -1)
        return member
    }

    private mutating func forget(_ member: ConsumerMember) {
        memberBytes -= member.memoryBytes
        memberRecordBytes -= member.recordBytes
        describedTopics -= member.assigned.count + member.target.count
        if isSettled(member) { settledCount -= 1 }
        countClassic(member, -1)
        if let instanceID = member.instanceID, staticMembers[instanceID] == member.key {
            staticMembers[instanceID] = nil
        }
    }

    private mutating func own(_ partitions: PartitionEpochs, _ key: ExactString) {
        for (topic, indexes) in partitions {
            for index in indexes.keys { owners[topic, default: [:]][index] = key }
        }
    }

    /// Gives free what the member has. What another one has by a later record is not its own any more.
    private mutating func release(_ member: ConsumerMember) {
        for partitions in [member.assigned, member.pendingRevocation] {
            for (topic, indexes) in partitions {
                for index in indexes.keys where owners[topic]?[index] == member.key { owners[topic]![index] = nil }
                if owners[topic]?.isEmpty == true { owners[topic] = nil }
            }
        }
    }

    private mutating func countClassic(_ member: ConsumerMember, _ amount: Int) {
        guard let classic = member.classic else { return }
        classicCount += amount
        // A peer may name a protocol twice; it still is one member that supports it.
        for name in Set(classic.supportedProtocols.lazy.map { ExactString($0.name) }) {
            let count = classicProtocols[name, default: 0] + amount
            classicProtocols[name] = count == 0 ? nil : count
        }
    }

    private mutating func countSubscriber(_ name: ExactString, _ amount: Int) {
        let count = subscribers[name, default: 0] + amount
        subscribers[name] = count == 0 ? nil : count
    }

    private mutating func countPattern(of member: ConsumerMember, _ amount: Int) {
        guard let pattern = member.patternKey else { return }
        var use = patternSubscribers[pattern] ?? PatternUse(instructions: member.patternInstructions)
        if use.members == 0 { patternInstructions += use.instructions }
        use.members += amount
        if use.members == 0 { patternInstructions -= use.instructions }
        patternSubscribers[pattern] = use.members == 0 ? nil : use
    }

    mutating func setTarget(_ target: PartitionLists, of key: ExactString) {
        guard let index = members.index(forKey: key) else { return }
        // In place, with what of the sums depends on it: an assignment may be one of many members.
        let old = members.values[index].target
        memberBytes += members.values[index].sharesBytes(of: target) - members.values[index].sharesBytes(of: old)
        members.values[index].target = target
        memberRecordBytes += ConsumerMember.recordBytes(of: target) - ConsumerMember.recordBytes(of: old)
        describedTopics += target.count - old.count
    }

    /// Starts or moves a member's timers, which count nowhere.
    mutating func withTimers(of key: ExactString, _ change: (inout ConsumerMember) -> Void) {
        guard let index = members.index(forKey: key) else { return }
        change(&members.values[index])
    }

    // MARK: Patterns

    mutating func setPattern(_ pattern: ExactString, _ resolved: ResolvedPattern?) {
        patternBytes -= patterns[pattern]?.memoryBytes ?? 0
        patterns[pattern] = resolved
        patternBytes += resolved?.memoryBytes ?? 0
    }

    // MARK: Epochs

    mutating func setAssignment(epoch: Int32, timestampMs: Int64) {
        let isNew = epoch != assignmentEpoch
        assignmentEpoch = epoch
        assignmentTimestampMs = timestampMs
        if isNew { settledCount = members.values.reduce(0) { $0 + (isSettled($1) ? 1 : 0) } }
    }

    // MARK: Topics

    /// The topics that a member subscribes to, each once.
    static func topics(
        _ names: [ExactString], _ pattern: ExactString?, _ patterns: [ExactString: ResolvedPattern]
    ) -> [ExactString] {
        guard let found = pattern.flatMap({ patterns[$0]?.topics }), !found.isEmpty else { return names }
        return names.isEmpty ? found : Array(Set(names).union(found))
    }

    func subscribes(_ member: ConsumerMember, to name: String) -> Bool {
        let name = ExactString(name)
        return member.topicNames.holds(name) || member.pattern.flatMap { patterns[$0]?.topics.holds(name) } ?? false
    }

    /// Whether a member subscribes to the topic. A pattern that was not looked up yet may stand for any, so that nothing that is
    /// needed is deleted.
    func isSubscribed(to topic: String) -> Bool {
        let name = ExactString(topic)
        if subscribers[name] != nil { return true }
        return patternSubscribers.keys.contains { patterns[$0]?.topics.holds(name) ?? true }
    }

    /// Topics in the subscriptions of all members, as often as members have them: what an assignment goes through.
    var subscribedEntries: Int {
        patternSubscribers.reduce(subscribedNames) { $0 + $1.value.members * (patterns[$1.key]?.topics.count ?? 0) }
    }

    /// At most in `subscribedEntries`: an assignment takes some bytes for each where no two members subscribe to the same, and looks
    /// at each some times.
    static let maxSubscribedEntries = 5_000_000

    /// Whether a member may subscribe to what it names, in place of `before`. Who subscribes to less, or to as much, always may.
    func hasEntries(for member: ConsumerMember, before: ConsumerMember?) -> Bool {
        func entries(_ member: ConsumerMember) -> Int {
            member.topicNames.count + (member.patternKey.flatMap { patterns[$0]?.topics.count } ?? 0)
        }
        let added = entries(member) - (before.map(entries) ?? 0)
        return added <= 0 || subscribedEntries + added <= Self.maxSubscribedEntries
    }

    /// Names in subscriptions, with those that patterns stand for, at most: what a look at the topics takes.
    var subscribedCount: Int { subscribers.count + patterns.values.reduce(0) { $0 + $1.topics.count } }
}

extension Array where Element == ExactString {
    /// Whether a list in order has the name.
    func holds(_ name: ExactString) -> Bool {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < name { low = middle + 1 } else { high = middle }
        }
        return low < count && self[low] == name
    }
}
