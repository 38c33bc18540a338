import ByteBuffers
import KafkaModel
import StorageIO

/// Carrying: what only the journal has of partitions whose files fail is written to the journal once more, before a checkpoint
/// makes its old files free. Recovery takes the same batch twice without harm.
///
/// Such a partition takes no appends, so what is carried does not grow, and the journal has at most twice its
/// files for as long as one checkpoint takes.
extension GroupCommit {
    /// Writes again what partitions that fail have in the journal alone.
    func carry(_ logs: [PartitionLog], to journal: Journal) throws(StorageError) {
        guard !logs.isEmpty else { return }
        try committer.withLock { _ throws(StorageError) in
            for log in logs {
                for entry in log.carriedEntries() {
                    let bytes = entry.slice?.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0)
                    try journal.add(
                        entry.kind, log.topicPartition, value: entry.value, truncations: entry.truncations,
                        bytes: bytes)
                }
            }
            try journal.commit(sync: !options.unsafeWithoutSync)
        }
    }
}

extension PartitionLog {
    /// What the segments do not have, and where the log starts.
    fileprivate func carriedEntries() -> [CarriedEntry] {
        state.withLock { state in
            if state.isDeleted { return [] }
            if state.fault?.kind == .unopened { return state.carried }
            var entries: [CarriedEntry] = []
            for index in state.settled..<state.tail.count {
                let batch = state.tail[index]
                // What is not durable yet is not the journal's.
                guard batch.lastOffset < state.flushedOffset else { break }
                entries.append(
                    CarriedEntry(
                        kind: .batch, value: batch.baseOffset, truncations: state.truncations, slice: batch.slice))
            }
            if state.logStartOffset > state.checkpoint?.logStartOffset ?? 0 {
                entries.append(
                    CarriedEntry(
                        kind: .logStart, value: state.logStartOffset, truncations: state.truncations, slice: nil))
            }
            return entries
        }
    }
}
