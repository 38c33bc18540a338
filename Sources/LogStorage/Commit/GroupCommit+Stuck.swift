import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization

/// A long run whose own file does not take it goes to the journal. Where the journal cannot take it either (a batch larger
/// than a frame, no file free), its appends are left out of the commit, whose ticket fails. What else has this ticket is on disk
/// all the same, and an edge that can tell its batches apart tells so (`PartitionLog.isFlushed`). The partition takes no appends until its files have taken what
/// it has in memory.
extension GroupCommit {
    /// Puts a partition's part of the commit into the journal, or out of the commit.
    func journalInstead(
        _ log: PartitionLog, _ error: StorageError, _ commit: inout CommitBatch, _ journal: Journal
    ) throws(StorageError) {
        let nowMs = WallClock.milliseconds
        let slices = commit.appends.filter { $0.log === log }
        let bytes = slices.reduce(0) { $0 + $1.slice.count }
        guard slices.allSatisfy({ $0.slice.count <= journal.maxEntry }),
            journal.hasRoom(payload: bytes, entries: slices.count)
        else {
            log.becomeStuck(error, nowMs: nowMs)
            return leaveOutStuck(&commit)
        }
        for append in slices {
            try journal.add(
                .batch, log.topicPartition, value: append.baseOffset, truncations: append.truncations,
                bytes: append.slice.bytes)
        }
        try journal.commit(sync: !options.unsafeWithoutSync)
        log.recordFault(error, nowMs: nowMs)
    }

    /// Takes out the appends of partitions that are stuck: those before them are not on disk.
    func leaveOutStuck(_ commit: inout CommitBatch) {
        let before = commit.appends.count
        commit.appends.removeAll { append in
            append.log.state.withLock { $0.isStuck && $0.flushedOffset <= append.lastOffset }
        }
        if commit.appends.count < before { commit.isPartlyFailed = true }
    }
}
