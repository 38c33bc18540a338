import ByteBuffers
import Coordinators
public import KafkaModel
public import LogStorage
import QueueLedger
import StorageIO
import Synchronization

/// What tools see and change of where share groups are.
extension ShareCoordinator {
    /// Where a group is in a partition.
    public struct Position: Sendable, Equatable {
        /// All records below are done with; exclusive.
        public var start: Offset
        /// Records that are not done with.
        public var lag: Int
    }

    /// The partitions that a group reads, in no order.
    public func partitions(of group: ExactString) throws(ShareRefusal) -> [TopicPartition] {
        guard let lock = shard(ofGroup: group) else { return [] }
        let store = broker.store
        return try lock.withLock { shard throws(ShareRefusal) in
            try check(&shard, store)
            return shard.machine.groups[group].map { Array($0.keys) } ?? []
        }
    }

    /// How many partitions a group reads; 0 where that cannot be told now.
    public func partitionCount(of group: ExactString) -> Int {
        shard(ofGroup: group)?.withLock { $0.machine.groups[group]?.count ?? 0 } ?? 0
    }

    /// Nil: the group has not read the partition.
    public func position(
        of group: ExactString, in log: PartitionLog
    ) throws(ShareRefusal) -> (position: Position, ticket: UInt64)? {
        let end = log.highWatermark
        let found = try turn(of: group, log) { entry, shard, nowMs throws(ShareRefusal) in
            try catchUp(&entry, &shard, log, end, nowMs)
            return Position(start: entry.ledger.floor, lag: entry.ledger.counters.live)
        }
        return found.map { ($0.result, $0.ticket) }
    }

    /// Lets a group read a partition from an offset on, which is moved to where the log begins or ends if it lies outside; whatever was known of
    /// its records is forgotten. Returns the commit that the answer must not leave before.
    public func setStart(
        _ offset: Offset, of group: ExactString, in log: PartitionLog
    ) throws(ShareRefusal) -> UInt64 {
        try makeStateTopic()
        guard let lock = shard(ofGroup: group) else { throw Self.unavailable }
        let key = ShareKey(TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex), group)
        let start = max(min(offset, log.highWatermark), min(log.logStartOffset, log.highWatermark))
        let (rules, store) = (rules(of: group), broker.store)
        return try lock.withLock { shard throws(ShareRefusal) in
            try check(&shard, store)
            let isKnown = shard.machine.groups[group]?[key.partition] != nil
            guard isKnown || entryCount.load(ordering: .relaxed) < Self.maxLedgers else {
                throw ShareRefusal(
                    .invalidRequest, "All share groups together read at most \(Self.maxLedgers) partitions.")
            }
            let entry = try shard.makeEntry(key, start, rules, nowMs())
            shard.machine.remove(key.partition, of: group)
            shard.machine.put(entry, key.partition, of: group)
            count(&shard)
            return shard.ticket
        }
    }

    /// Forgets where a group is, in partitions of one topic or, nil, in all. Returns how many there were, and the commit that the answer must
    /// not leave before.
    public func forget(_ group: ExactString, topic: TopicID? = nil) throws(ShareRefusal) -> (count: Int, ticket: UInt64)
    {
        guard let lock = shard(ofGroup: group) else { return (0, 0) }
        let store = broker.store
        return try lock.withLock { shard throws(ShareRefusal) in
            try check(&shard, store)
            let keys = (shard.machine.groups[group] ?? [:]).keys.filter { topic == nil || $0.topicID == topic }
            try shard.append(
                keys.map { CoordinatorRecord(key: ShareKey($0, group).bytes, value: nil) }, nowMs())
            for key in keys { shard.machine.remove(key, of: group) }
            count(&shard)
            return (keys.count, shard.ticket)
        }
    }

    /// Forgets a topic that was deleted: its records become tombstones at the next loading.
    func topicDeleted(_ topic: TopicID) {
        for shard in shards {
            shard.withLock { shard in
                shard.machine.removeAll(of: topic)
                count(&shard)
            }
        }
    }
}
