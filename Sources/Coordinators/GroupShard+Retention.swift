public import KafkaModel

/// When offsets and groups end: retention, deleted topics. Source: KIP-211.
extension GroupShard {
    /// Records in one action of `expireOffsets` and `topicsDeleted`, so that a batch stays small (about 100 bytes each)
    /// and the shard's lock is held for milliseconds.
    public static let sweepLimit = 10_000

    /// Removes offsets that are older than the retention, and empty groups without offsets. To be called every few
    /// minutes (`offsets.retention.check.interval.ms`), and again at once while `isComplete` is false.
    ///
    /// An offset's age counts from
    /// - the time its group became Empty, for groups that had members;
    /// - its commit, for simple groups, and for topics that a Stable consumer group does not subscribe to.
    /// It does not expire otherwise. A retention that the client gave with the commit counts instead of the setting.
    public mutating func expireOffsets(now: CoordinatorTime) -> (actions: GroupActions, isComplete: Bool) {
        context.begin(now)
        guard phase == .active else { return (context.finish(), true) }
        var isComplete = true
        for groupID in groups.keys.sorted() {
            guard context.actions.records.count < Self.sweepLimit else {
                isComplete = false
                break
            }
            counting(groupID.text) { shard in
                shard.expireOffsets(of: shard.groups[groupID]!)
                if shard.groups[groupID]?.isOver == true { shard.writeTombstone(of: groupID.text) }
            }
        }
        return (context.finish(), isComplete)
    }

    private mutating func expireOffsets(of group: ClassicGroup) {
        guard let base = group.expiryBase else { return }
        let now = context.now.wallClockMs
        for (topic, partitions) in group.offsets.sorted where !group.isSubscribed(to: topic) {
            for (index, offset) in partitions where !hasPendingOffset(of: group, topic, index) {
                let isExpired: Bool =
                    if let expiry = offset.expireTimestampMs {
                        now >= expiry
                    } else {
                        now - (base.sinceEmptyMs ?? offset.commitTimestampMs) >= context.settings.offsetsRetentionMs
                    }
                guard isExpired else { continue }
                context.counters.expiredOffsets += 1
                let key = GroupRecord.OffsetKey(groupID: group.groupID, topic: topic, partitionIndex: index)
                context.write(.offset(key, nil))
                apply(key, nil, producerID: .none)
            }
        }
    }

    /// Removes the offsets of topics that were deleted. Offsets of a new topic of the same name, known by its id, stay.
    public mutating func topicsDeleted(
        _ topics: [(name: String, id: TopicID)], now: CoordinatorTime
    ) -> (actions: GroupActions, isComplete: Bool) {
        context.begin(now)
        guard phase == .active else { return (context.finish(), true) }
        for groupID in groups.keys.sorted() {
            let group = groups[groupID]!
            for topic in topics {
                for index in partitions(of: topic.name, id: topic.id, in: group) {
                    guard context.actions.records.count < Self.sweepLimit else { return (context.finish(), false) }
                    counting(groupID.text) { $0.delete(topic.name, index, of: group) }
                }
            }
        }
        return (context.finish(), true)
    }

    /// Returns the partitions of the topic that the group has offsets of, pending ones included.
    private func partitions(of topic: String, id: TopicID, in group: ClassicGroup) -> [Int32] {
        let stores = [group.offsets] + group.openTransactions.compactMap { pendingTransactions[$0]?[group.groupID] }
        let indexes = stores.flatMap { store in
            (store.byTopic[topic] ?? [:]).lazy.filter { !$0.value.isOfOtherTopic(than: id) }.map(\.key)
        }
        return Set(indexes).sorted()
    }

    /// Ends a group that was recorded. Its offsets are gone already.
    mutating func writeTombstone(of groupID: String) {
        context.write(.group(groupID: groupID, nil))
        groups[groupID] = nil
    }
}

extension ClassicGroup {
    /// Whether nothing is left of the group but its record.
    fileprivate var isOver: Bool {
        isRecorded && state == .empty && pendingMembers.isEmpty && offsets.isEmpty && openTransactions.isEmpty
    }

    struct ExpiryBase {
        /// `nil`: each offset's commit.
        var sinceEmptyMs: Int64?
    }

    /// The time from which offsets age; `nil` while none may expire.
    fileprivate var expiryBase: ExpiryBase? {
        if protocolType == nil { return ExpiryBase(sinceEmptyMs: nil) }
        switch state {
        case .empty: return ExpiryBase(sinceEmptyMs: stateTimestampMs)
        case .stable where usesConsumerProtocol && subscribedTopics != nil: return ExpiryBase(sinceEmptyMs: nil)
        default: return nil
        }
    }
}
