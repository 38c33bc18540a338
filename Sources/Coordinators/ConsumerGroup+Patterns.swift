import KafkaModel
internal import KafkaWire

/// Subscriptions by patterns: what they stand for is looked up outside of the shard's lock, and the epoch rises only where that has
/// changed. Source: KIP-848.
extension ConsumerGroup {
    /// Asks for a look-up: of a pattern that was not looked up yet, where topics have changed, or when rights may have. Any member's
    /// heartbeat has all patterns of the group looked up, with the rights of that member's client.
    mutating func askForPatterns(of member: ConsumerMember, _ shard: inout ShardContext) {
        guard member.pattern != nil, !resolving.isAway(shard.now.monotonicMs) else { return }
        let now = shard.now
        let isNew = patternSubscribers.keys.contains { patterns[$0] == nil }
        let isOther = isNew || patterns.values.contains { $0.version != shard.topics.version }
        let since = resolvedAtMs.map { now.monotonicMs - $0 } ?? .max
        guard isOther && since >= Self.patternIntervalMs || since >= Int64(shard.settings.consumerPatternRefreshMs)
        else { return }
        resolving.begin(shard.nextWorkNumber(), now.monotonicMs)
        shard.actions.work.append(.patterns(groupID: groupID, isSlow: isLookUpSlow))
    }

    var isLookUpSlow: Bool { patternInstructions > Self.quickInstructions }

    /// Instructions of a group's patterns whose look-up is soon done: ordinary ones have some dozens each.
    static let quickInstructions = 1_000

    /// The least between two look-ups of a group's patterns, also where one of them is new.
    static let patternIntervalMs: Int64 = 10_000

    mutating func take(_ found: FoundTopics, _ shard: inout ShardContext) {
        guard resolving.end(found.number) else { return }
        resolvedAtMs = shard.now.monotonicMs
        var isOther = false
        var taken = 0
        for (pattern, topics) in found.topics {
            guard let use = patternSubscribers[pattern] else { continue }
            let before = patterns[pattern]
            let resolved = ResolvedPattern(
                topics: topics, version: found.version, timestampMs: shard.now.wallClockMs)
            if before?.topics == topics {
                // Nothing that would have to survive.
                setPattern(pattern, resolved)
                continue
            }
            // What it stood for stays; one that stood for nothing yet still may stand for anything (`isSubscribed`).
            let more = use.members * (topics.count - (before?.topics.count ?? 0))
            guard more <= 0 || subscribedEntries + more <= Self.maxSubscribedEntries else { continue }
            let added = resolved.memoryBytes - (before?.memoryBytes ?? 0)
            guard
                added <= 0
                    || patternBytes + added <= ClassicGroup.maxMemberBytes && shard.hasRoom(for: max(0, taken) + added)
            else { continue }
            taken += added
            isOther = isOther || !(before == nil && topics.isEmpty)
            setPattern(pattern, resolved)
            let record = GroupRecord.consumerPattern(groupID: groupID, pattern: pattern.text, resolved)
            // What does not fit a batch is looked up again after a restart.
            if shard.fits(resolved.recordBytes + pattern.text.utf8.count + groupID.utf8.count + 64) {
                shard.write(record)
            } else if before != nil {
                shard.write(.consumerPattern(groupID: groupID, pattern: pattern.text, nil))
            }
        }
        guard isOther else { return }
        for key in members.keys { withTimers(of: key) { $0.checkedTopics = -2 } }
        lookAtTopics(isBumped: true, &shard)
        assignIfDue(&shard)
    }
}

/// A look-up of what a group's patterns stand for. To be `run` on any thread, outside of the shard's lock; what it gives goes to
/// `GroupShard.patternsFound`.
public struct PatternWork: Sendable {
    private let groupID: String
    private let number: UInt64
    private let patterns: [ExactString]
    private let topics: any GroupTopics
    /// Whether it may take a while: of the patterns that there are now, which may be others than when it was asked for.
    public let isSlow: Bool

    init?(_ group: ConsumerGroup, _ shard: ShardContext) {
        guard group.resolving.isAwaited else { return nil }
        groupID = group.groupID
        number = group.resolving.number
        patterns = group.patternSubscribers.keys.sorted()
        topics = shard.topics
        isSlow = group.isLookUpSlow
    }

    /// Looks them up. `isVisible`: whether the client for which it is done may know of a topic. `isStopped`: nobody wants it any more;
    /// asked before each topic, and then nothing is found.
    public func run(isVisible: (String) -> Bool, isStopped: () -> Bool = { false }) -> FoundTopics? {
        var found = FoundTopics(groupID: groupID, number: number, version: topics.version)
        let names = topics.names.map { ExactString($0) }.sorted()
        // Each is asked about once, when a pattern matches it.
        var visible: [ExactString: Bool] = [:]
        for pattern in patterns {
            // What was let in is valid. One that came from a log of somebody more generous stands for nothing.
            guard var matcher = try? TopicPattern(pattern.text) else {
                found.topics[pattern] = []
                continue
            }
            var matching: [ExactString] = []
            for name in names {
                if isStopped() { return nil }
                guard matcher.matches(name.text.utf8) else { continue }
                let isAllowed = visible[name] ?? isVisible(name.text)
                visible[name] = isAllowed
                if isAllowed { matching.append(name) }
            }
            found.topics[pattern] = matching
        }
        return found
    }
}

/// What patterns stand for, each in order.
public struct FoundTopics: Sendable {
    let groupID: String
    let number: UInt64
    let version: Int64
    var topics: [ExactString: [ExactString]] = [:]
}
