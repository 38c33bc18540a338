internal import KafkaModel
internal import KafkaWire

/// From what a member reads to what it is to read, a step with each heartbeat: first it gives up what it is not to have, and
/// confirms that, then it gets what nobody else has. No partition has two readers at any moment. Source: KIP-848.
///
/// ```
///                    target changed, something to give up
///            ┌───────────────────────────────────────────────┐
///            │                                               ▼
///        ┌────────┐   has all of it    ┌────────────┐   ┌────────────┐
///        │ stable │◄───────────────────│ unreleased │   │ unrevoked  │  its epoch stays
///        └────────┘                    └────────────┘   └────────────┘
///            ▲                               ▲               │ does not name what it was to give up
///            └───────────────────────────────┴───────────────┘
/// ```
extension ConsumerGroup {
    /// Takes a member as far as it can come now. `owned`: what it says it reads; `nil`: as much as before.
    mutating func reconcile(_ key: ExactString, owned: Owned?, _ shard: inout ShardContext) {
        guard let before = members[key] else { return }
        var member = before
        switch before.state {
        case .stable:
            if before.epoch == assignmentEpoch {
                guard before.checkedTopics != shard.topics.version else { return }
                guard hasUnwanted(before, shard.topics) else {
                    let version = shard.topics.version
                    return withTimers(of: key) { $0.checkedTopics = version }
                }
            }
            advance(&member, from: before.epoch, owned: owned, shard.topics)
        case .unrevoked:
            if Self.owns(owned, before.pendingRevocation) { return }
            // Without a sum: a record may have the last epoch.
            let next = before.epoch < assignmentEpoch ? before.epoch + 1 : assignmentEpoch
            advance(&member, from: next, owned: owned, shard.topics)
        case .unreleased:
            advance(&member, from: before.epoch, owned: owned, shard.topics)
        }
        if member.isSameAssignment(as: before) { return }
        if member.state == .stable { member.checkedTopics = shard.topics.version }
        put(member)
        shard.write(.consumerCurrent(groupID: groupID, member))
        setRebalanceTimer(key, &shard)
    }

    /// Whether a member reads a topic that is gone, or that it does not subscribe to any more: it gives that up without waiting for
    /// the next target assignment.
    private func hasUnwanted(_ member: ConsumerMember, _ topics: any GroupTopics) -> Bool {
        member.assigned.keys.contains { !isWanted($0, member, topics) }
    }

    private func isWanted(_ id: TopicID, _ member: ConsumerMember, _ topics: any GroupTopics) -> Bool {
        guard let topic = topics.topic(id: id) else { return false }
        return subscribes(member, to: topic.name)
    }

    private static func owns(_ owned: Owned?, _ partitions: PartitionEpochs) -> Bool {
        // Who does not say has not given them up.
        guard let owned else { return true }
        return owned.contains { topic in
            guard let indexes = partitions[topic.topicID] else { return false }
            return topic.partitions.contains { indexes[$0] != nil }
        }
    }

    private func advance(
        _ member: inout ConsumerMember, from epoch: Int32, owned: Owned?, _ topics: any GroupTopics
    ) {
        let wanted = member.target.filter { isWanted($0.key, member, topics) }
        var kept: PartitionEpochs = [:]
        var given: PartitionEpochs = [:]
        for (topic, partitions) in member.assigned {
            let list = wanted[topic] ?? []
            for (index, since) in partitions {
                if list.holds(index) {
                    kept[topic, default: [:]][index] = since
                } else {
                    given[topic, default: [:]][index] = since
                }
            }
        }
        let previous = member.epoch
        if !given.isEmpty, Self.owns(owned, given) {
            member.previousEpoch = previous
            member.epoch = epoch
            member.state = .unrevoked
            member.assigned = kept
            member.pendingRevocation = given
            return
        }
        let key = member.key
        var isWaiting = false
        for (topic, partitions) in wanted {
            for index in partitions where kept[topic]?[index] == nil {
                // What it gave up itself, and confirmed, it may have again.
                if let owner = owners[topic]?[index], owner != key {
                    isWaiting = true
                } else {
                    kept[topic, default: [:]][index] = assignmentEpoch
                }
            }
        }
        if member.epoch != assignmentEpoch || member.state != .unreleased { member.previousEpoch = previous }
        member.epoch = assignmentEpoch
        member.state = isWaiting ? .unreleased : .stable
        member.assigned = kept
        member.pendingRevocation = [:]
    }

    /// Who has to give partitions up has its rebalance timeout for it.
    mutating func setRebalanceTimer(_ key: ExactString, _ shard: inout ShardContext) {
        guard let member = members[key] else { return }
        let groupID = groupID
        guard member.state == .unrevoked else {
            // A classic member's runs on: it has to join and to sync.
            if member.classic == nil { withTimers(of: key) { $0.rebalance.cancel() } }
            return
        }
        let at = shard.after(Int64(max(0, member.rebalanceTimeoutMs)))
        withTimers(of: key) { member in
            member.rebalance.set(
                at, in: &shard.timers, groupID: groupID, subject: .rebalance(memberID: key.text))
        }
    }
}

extension TopicID {
    static func precedes(_ one: TopicID, _ other: TopicID) -> Bool {
        one.high != other.high ? one.high < other.high : one.low < other.low
    }
}
