public import KafkaModel

/// When offsets and groups end: retention, deleted topics. Source: KIP-211.
extension GroupShard {
    /// Removes offsets that are older than the retention, and empty groups without offsets: the next step of a walk
    /// through `.offsets`. To be called every few minutes (`offsets.retention.check.interval.ms`), and again at once until
    /// the walk is complete.
    ///
    /// An offset's age counts from
    /// - the time its group became Empty, for groups that had members;
    /// - its commit, for simple groups, and for topics that a Stable consumer group does not subscribe to.
    /// It does not expire otherwise. A retention that the client gave with the commit counts instead of the setting.
    public mutating func expireOffsets(_ walk: inout ShardWalk, now: CoordinatorTime) -> GroupActions {
        sweep(&walk, now) { shard, part in
            for key in shard.expired(in: part) {
                shard.context.counters.expiredOffsets += 1
                shard.context.write(.offset(key, nil))
                shard.apply(key, nil, producerID: .none)
            }
            if part.isLast, shard.groups[part.groupID]?.isOver == true {
                shard.writeTombstone(of: part.groupID.text)
            }
        }
    }

    private func expired(in part: ShardWalk.Part) -> [GroupRecord.OffsetKey] {
        guard let group = groups[part.groupID], let base = group.expiryBase else { return [] }
        let now = context.now.wallClockMs
        return part.offsets.filter { key, offset in
            if let expiry = offset.expireTimestampMs {
                guard now >= expiry else { return false }
            } else {
                let since = base.sinceEmptyMs ?? offset.commitTimestampMs
                // A record may have any time; now and the retention are this broker's.
                guard since <= now - context.settings.offsetsRetentionMs else { return false }
            }
            return !group.isSubscribed(to: key.topic) && !hasPendingOffset(of: group, key.topic, key.partitionIndex)
        }.map(\.key)
    }

    /// Removes the offsets of topics that were deleted: the next step of a walk through `.offsets`, or through `.topic`
    /// where it is one. Offsets of a new topic of the same name stay, if it is known by its id, or if they were committed
    /// after the first `upTo` of all (`offsetRecords`).
    public mutating func topicsDeleted(
        _ topics: [ExactString: TopicID], upTo: UInt64 = .max, _ walk: inout ShardWalk, now: CoordinatorTime
    ) -> GroupActions {
        sweep(&walk, now) { shard, part in
            for key in shard.deleted(in: part, topics, upTo) {
                shard.delete(key.topic, key.partitionIndex, of: key.groupID)
            }
        }
    }

    /// Returns the offsets of the part that are of these topics. Pending ones of the group, which the walk does not come by,
    /// are in its first part.
    private func deleted(
        in part: ShardWalk.Part, _ topics: [ExactString: TopicID], _ upTo: UInt64
    ) -> [GroupRecord.OffsetKey] {
        func isDeleted(_ topic: ExactString, _ offset: CommittedOffset) -> Bool {
            topics[topic].map { offset.order <= upTo && !offset.isOfOtherTopic(than: $0) } ?? false
        }
        var keys = part.offsets.filter { isDeleted(ExactString($0.key.topic), $0.offset) }.map(\.key)
        guard part.isFirst, let group = groups[part.groupID], !group.openTransactions.isEmpty else { return keys }
        for store in stores(of: group).dropFirst() {
            for (topic, partitions) in store.byTopic where topics[topic] != nil {
                for (index, offset) in partitions where isDeleted(topic, offset) {
                    keys.append(.init(groupID: group.groupID, topic: topic.text, partitionIndex: index))
                }
            }
        }
        return keys
    }

    /// Takes a step of the walk, which ends with `maxStepEntries` looked at or `maxStepBytes` written. What `change`
    /// does to a part's group, it does to that group alone.
    private mutating func sweep(
        _ walk: inout ShardWalk, _ now: CoordinatorTime, _ change: (inout GroupShard, ShardWalk.Part) -> Void
    ) -> GroupActions {
        context.begin(now)
        guard phase == .active else {
            walk.end()
            return context.finish()
        }
        var room = ShardWalk.Room()
        while let part = walk.next(in: self, &room) {
            let before = context.actions.records.count
            counting(part.groupID.text) { change(&$0, part) }
            room.bytes -= context.actions.records[before...].reduce(0) { $0 + $1.sizeInBatch }
        }
        return context.finish()
    }

    /// Ends a group that was recorded. Its offsets are gone already.
    mutating func writeTombstone(of groupID: String) {
        if let consumer = groups[groupID]?.consumer {
            for record in consumer.tombstones { context.write(record) }
        } else if let share = groups[groupID]?.share {
            for record in share.tombstones { context.write(record) }
        } else {
            context.write(.group(groupID: groupID, nil))
        }
        groups[groupID] = nil
    }
}

extension ClassicGroup {
    /// Whether nothing is left of the group but its record. A share group stays until it is deleted: where it reads on is not here.
    fileprivate var isOver: Bool {
        isRecorded && share == nil && state == .empty && consumer?.isEmpty != false && pendingMembers.isEmpty
            && offsets.isEmpty
            && openTransactions.isEmpty
    }

    struct ExpiryBase {
        /// `nil`: each offset's commit.
        var sinceEmptyMs: Int64?
    }

    /// The time from which offsets age; `nil` while none may expire.
    fileprivate var expiryBase: ExpiryBase? {
        // Of topics that nobody reads; those that somebody reads are kept.
        if let consumer {
            return ExpiryBase(sinceEmptyMs: consumer.isEmpty ? consumer.assignmentTimestampMs : nil)
        }
        if protocolType == nil { return ExpiryBase(sinceEmptyMs: nil) }
        switch state {
        case .empty: return ExpiryBase(sinceEmptyMs: stateTimestampMs)
        case .stable where usesConsumerProtocol && subscribedTopics != nil: return ExpiryBase(sinceEmptyMs: nil)
        default: return nil
        }
    }
}
