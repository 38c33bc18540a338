import ByteBuffers
import KafkaModel
public import StorageIO
import Synchronization

/// What opening a data folder found and did.
public struct RecoverySummary: Sendable {
    /// Bytes of segments that were read.
    public var scannedBytes: Int64 = 0
    /// Bytes behind the last whole batch, cut off: the torn end of writes that nobody had been told of.
    public var cutBytes: Int64 = 0
    /// Batches that only the journal held.
    public var replayedBatches = 0
    public var journalFrames = 0
    public var partitions = 0
}

extension LogStore {
    /// Makes the data folder this process's own; `recover` does it too. Errors: `.lockedByAnother`.
    public func lockFolder() throws(StorageError) {
        if registry.withLock({ $0.lock != nil }) { return }
        let lock = try fileSystem.lock(Path.join(folder, "millrace.lock"))
        registry.withLock { $0.lock = lock }
    }

    /// Removes the folders of partitions that are not in `known`: what a deletion left when it was interrupted.
    public func removeFolders(except known: Set<String>) {
        guard let names = try? fileSystem.list(partitionsFolder) else { return }
        for name in names where !known.contains(name) {
            // Made since the names were taken: alive. Left over and not removable: the next start tries again.
            if registry.withLock({ $0.logs.values.contains { $0.folderName == name } }) { continue }
            try? fileSystem.removeTree(Path.join(partitionsFolder, name))
        }
    }

    /// Opens the data folder after a stop of any kind: the registered partitions' segments from the checkpoint on, then
    /// the journal, then a new checkpoint. Nothing may be appended before it returns.
    ///
    /// `nowMs` is the wall clock, by which silent producers are forgotten; nil: the system's.
    ///
    /// Errors: `.lockedByAnother` when a broker holds the folder; `.corrupt` when synced bytes are missing or damaged,
    /// with file and position; nothing is changed or removed then.
    public func recover(nowMs: Int64? = nil) throws(StorageError) -> RecoverySummary {
        try lockFolder()
        let nowMs = nowMs ?? Self.wallClockMs()
        var summary = RecoverySummary()
        let checkpoint = try Checkpoint.load(fileSystem, folder: folder)
        let logs = registry.withLock { $0.logs }
        var orphans: [String] = []
        for (partition, log) in logs {
            let entry = checkpoint.entries[partition]
            log.state.withLock { $0.replayTimeMs = nowMs }
            let report = try log.recover(from: entry)
            log.state.withLock { $0.checkpoint = entry }
            if report.scannedBytes > 0 || report.cutBytes > 0 { log.markDirty() }
            summary.scannedBytes += report.scannedBytes
            summary.cutBytes += report.cutBytes
            orphans += report.orphans
        }
        summary.partitions = logs.count
        var reader = JournalReader()
        try reader.read(fileSystem, folder: journalFolder, after: checkpoint.journalGeneration) {
            entry throws(StorageError) in
            guard let log = logs[entry.partition] else { return }
            switch entry.kind {
            case .batch:
                if try log.replayJournaled(entry.bytes, baseOffset: entry.value) { summary.replayedBatches += 1 }
            case .logStart: log.replayLogStart(entry.value)
            }
        }
        summary.journalFrames = reader.frames
        let silentSince = nowMs - options.producerExpirationMs
        for log in logs.values { log.expireProducers(silentSince: silentSince) }
        loadProgress()
        for path in orphans { try fileSystem.remove(path) }
        for folder in Set(orphans.map(Path.parent)) { try fileSystem.syncDirectory(folder) }
        let isDirect = options.direct && fileSystem.supportsDirect(journalFolder)
        let journal = try Journal(
            fileSystem: fileSystem, folder: journalFolder, fileBytes: options.journalFileBytes,
            frameBytes: options.journalFrameBytes,
            direct: isDirect, pool: pool, after: reader.end)
        if journal.fileCount == 0 { try journal.makeFile() }
        committer.withLock { committer in
            committer.journal = journal
            committer.isDirect = isDirect
        }
        try self.checkpoint()
        return summary
    }
}

extension PartitionLog {
    /// Puts the partition on the list for the next checkpoint.
    func markDirty() {
        state.withLock { state in
            guard !state.isDirty else { return }
            state.isDirty = true
            store.noteDirty(self)
        }
    }
}
