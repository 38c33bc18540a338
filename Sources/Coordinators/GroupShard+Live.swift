internal import KafkaModel

/// What of the log is still needed, so that a log that only grows can be replaced by its meaning.
extension GroupShard {
    /// Bytes of all records that are alive, about.
    public var liveBytes: Int { context.footprint.liveBytes }

    /// Whether what is alive can be written again now: not while offsets of unfinished transactions are pending. They are
    /// tied to their producers' batches, and a committed offset that is written again behind one of them would be the newer
    /// of the two. A walk waits for their end where it is: offsets that became pending after its beginning have their
    /// records behind it, as they do once they are committed.
    public var canBeRewritten: Bool { phase == .active && pendingTransactions.isEmpty }

    /// Returns the next of the records that replay needs to come to the present committed state, of a walk through
    /// `.offsets`: for each group its newest metadata record, when it has one, and then all its committed offsets. `nil`:
    /// the walk cannot go on, now because of a transaction (`canBeRewritten`), or ever because it began before the
    /// shard was loaded.
    ///
    /// Appended behind the log they change nothing, because each repeats what its key already has: a replay may see all
    /// of them, some (in order), or none, and also the records before them or not. Once the walk is complete, every key that
    /// is alive has its newest record behind the place where the log ended when the walk began: the walk came by it, or it
    /// was written meanwhile. That of a key that was deleted after the walk came by it has a tombstone behind it.
    ///
    /// A rebalance under way has no record and gets none here: a restart brings back the last completed generation.
    ///
    /// - Parameter maxBytes: the step ends with the part that reaches it (`ShardWalk.Room`).
    public func liveRecords(_ walk: inout ShardWalk, maxBytes: Int = maxStepBytes) -> [CoordinatorRecord]? {
        guard canBeRewritten, walk.isThrough(self) else { return nil }
        var records: [CoordinatorRecord] = []
        var room = ShardWalk.Room(bytes: maxBytes)
        func add(_ record: GroupRecord) {
            let encoded = record.encoded
            room.bytes -= encoded.sizeInBatch
            records.append(encoded)
        }
        while let part = walk.next(in: self, &room) {
            if part.isFirst, let consumer = groups[part.groupID]?.consumer { consumer.records.forEach(add) }
            if part.isFirst, let share = groups[part.groupID]?.share { share.records.forEach(add) }
            if part.isFirst, let metadata = groups[part.groupID]?.recorded {
                add(.group(groupID: part.groupID.text, metadata))
            }
            for (key, offset) in part.offsets { add(.offset(key, offset)) }
        }
        return records
    }
}
