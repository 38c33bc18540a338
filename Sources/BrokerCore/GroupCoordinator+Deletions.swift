import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage
import RecordFormat

/// Removes the committed offsets of topics that were deleted.
///
/// Where a shard's log takes nothing (a full disk), or cannot be read, what is left is noted and removed when it works again.
/// Then a new topic may have the name, so only what had been committed before is removed.
extension GroupCoordinator {
    /// A topic whose offsets a shard has still.
    struct MissedDeletion {
        let topic: String
        /// Offsets behind so many records of the shard (`GroupShard.offsetRecords`) are of another topic.
        var upTo: UInt64
    }

    /// Removes the offsets of a deleted topic, in every group.
    func topicDeleted(_ name: String) {
        var isWhole = true
        for shard in shards where !sweepDeleted([name], in: shard) { isWhole = false }
        // The timer thread looks for the rest from now on.
        if !isWhole { signal.raise() }
        broker.store.kick()
    }

    /// Removes the offsets of topics, by one walk for all of them, and notes the topics where that cannot be done to its end.
    /// Returns whether it was done.
    @discardableResult
    func sweepDeleted(_ names: [String], upTo: UInt64 = .max, in shard: Lock<Shard>) -> Bool {
        let topics = Dictionary(names.map { (ExactString($0), TopicID.zero) }) { id, _ in id }
        let isSuspended = shard.withLock { $0.isSuspended }
        if !isSuspended,
            sweep(
                shard, names.count == 1 ? .topic(ExactString(names[0])) : .offsets,
                { $0.topicsDeleted(topics, upTo: upTo, &$1, now: $2) })
        {
            return true
        }
        return shard.withLock { shard in
            // Who leads the partition sees to its groups.
            if shard.term == nil { return true }
            let upTo = min(upTo, shard.machine.offsetRecords)
            for name in names { shard.missDeletion(MissedDeletion(topic: name, upTo: upTo)) }
            return false
        }
    }

    /// Removes what sweeps have left, in the shards whose log works again. Gives whether others still wait. On the timer
    /// thread.
    func sweepMissed() -> Bool {
        if broker.store.isOffline { return false }
        var waits = false
        for shard in shards where !sweepMissed(in: shard) { waits = true }
        return waits
    }

    @discardableResult
    func sweepMissed(in shard: Lock<Shard>) -> Bool {
        let missed = shard.withLock { shard -> [MissedDeletion]? in
            if shard.missedDeletions.isEmpty { return [] }
            // Refused, a sweep is tried on a copy of all groups.
            if shard.isSuspended || shard.log.refusal(.broker) != nil { return nil }
            defer { shard.missedDeletions = [] }
            return shard.missedDeletions
        }
        guard let missed else { return false }
        var isWhole = true
        for (upTo, deletions) in Dictionary(grouping: missed, by: \.upTo) {
            if !sweepDeleted(deletions.map(\.topic), upTo: upTo, in: shard) { isWhole = false }
        }
        return isWhole
    }
}

extension GroupCoordinator.Shard {
    /// Deleted topics whose offsets a shard removes later; those of more stay until they expire.
    static let maxMissedDeletions = 10_000

    fileprivate mutating func missDeletion(_ deletion: GroupCoordinator.MissedDeletion) {
        if missedDeletions.count < Self.maxMissedDeletions { missedDeletions.append(deletion) }
    }

    /// Takes in that the log was replayed, which numbers its records anew: all of them were there before.
    mutating func renumberMissedDeletions() {
        for place in missedDeletions.indices { missedDeletions[place].upTo = machine.offsetRecords }
    }
}
