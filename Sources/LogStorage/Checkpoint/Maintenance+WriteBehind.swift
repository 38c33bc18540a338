import ByteBuffers
import StorageIO
import Synchronization

/// Write-behind: batches that the journal has made durable go to their segments.
extension Maintenance {
    /// Writes what all changed partitions have in memory, and tries again those that failed.
    func writeBehind(nowMs: Int64) throws(StorageError) {
        for log in registry.faulted { try log.reopen(nowMs: nowMs) }
        var written: [PartitionLog] = []
        for log in registry.dirty where log.isDue(nowMs) {
            guard try log.tryWriteBehind(with: commits.directWriter, nowMs: nowMs) else { continue }
            written.append(log)
            try syncIfCrowded(&written)
        }
    }

    /// Writes these partitions up to the given offsets, exclusive. Gives those whose files took it.
    func writeBehind(
        _ logs: [(log: PartitionLog, endOffset: Int64)], nowMs: Int64
    ) throws(StorageError) -> Set<ObjectIdentifier> {
        var kept: Set<ObjectIdentifier> = []
        var written: [PartitionLog] = []
        for (log, endOffset) in logs
        where try log.tryWriteBehind(through: endOffset - 1, with: commits.directWriter, nowMs: nowMs) {
            kept.insert(ObjectIdentifier(log))
            written.append(log)
            try syncIfCrowded(&written)
        }
        return kept
    }

    /// Syncs what was just written when too many handles have to stay open for want of a sync.
    private func syncIfCrowded(_ written: inout [PartitionLog]) throws(StorageError) {
        guard handles.isCrowded else { return }
        try syncSegments(of: written)
        written = []
    }

    /// From this many on, partitions are synced together, by one sync of the whole file system (measured over 2,000
    /// files: 14 against 182 ms).
    static let syncAllFrom = 16

    func syncSegments(of logs: [PartitionLog]) throws(StorageError) {
        if options.unsafeWithoutSync { return }
        if logs.count >= Self.syncAllFrom {
            // A commit may write through at the same time: only what was written before the sync is synced by it.
            let before = logs.map { ($0, $0.unsyncedSegments()) }
            try fileSystem.syncAll(folder)
            for (log, segments) in before where !segments.isEmpty { log.markSynced(segments) }
            return
        }
        for log in logs { try log.flushBeside() }
    }
}
