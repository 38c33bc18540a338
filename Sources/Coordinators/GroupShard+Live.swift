internal import KafkaModel

/// What of the log is still needed, so that a log that only grows can be replaced by its meaning.
extension GroupShard {
    /// Returns everything that replay needs to come to the present committed state: for each group its newest metadata
    /// record, when it has one, and then all its committed offsets; groups, topics and partitions in order. `nil` while
    /// offsets of unfinished transactions are pending: they are tied to their producers' batches and cannot be written
    /// again.
    ///
    /// Appended behind the log they change nothing, because each repeats what its key already has: a replay may see all
    /// of them, some (in order), or none, and also the records before them or not.
    ///
    /// A rebalance under way has no record and gets none here: a restart brings back the last completed generation.
    public func liveRecords() -> [CoordinatorRecord]? {
        guard pendingTransactions.isEmpty else { return nil }
        var records: [CoordinatorRecord] = []
        for groupID in groups.keys.sorted() {
            let group = groups[groupID]!
            if let metadata = group.recorded {
                records.append(GroupRecord.group(groupID: groupID.text, metadata).encoded)
            }
            for (topic, partitions) in group.offsets.sorted {
                for (index, offset) in partitions {
                    let key = GroupRecord.OffsetKey(groupID: groupID.text, topic: topic, partitionIndex: index)
                    records.append(GroupRecord.offset(key, offset).encoded)
                }
            }
        }
        return records
    }
}
