import ByteBuffers
import KafkaModel
public import StorageIO
import Synchronization

extension LogStore {
    /// Locks the data folder for this process. `recover` does this too. Errors: `.lockedByAnother`.
    public func lockFolder() throws(StorageError) {
        if folderLock.withLock({ $0 != nil }) { return }
        let lock = try fileSystem.lock(Path.join(folder, "millrace.lock"))
        folderLock.withLock { $0 = lock }
    }

    /// Releases the folder's lock after a failed start, when nothing may be written to the folder. `stop` does this
    /// too.
    public func unlockFolder() {
        folderLock.withLock { lock in
            lock?.release()
            lock = nil
        }
    }

    /// Removes the folders of partitions that are not in `known`: what a deletion left when it was interrupted.
    public func removeFolders(except known: Set<String>) {
        guard let names = try? fileSystem.list(partitionsFolder) else { return }
        for name in names where !known.contains(name) {
            // A partition created since the folder was listed must stay. A folder that cannot be removed is tried again
            // at the next start.
            if registry.contains(folderName: name) { continue }
            try? fileSystem.removeTree(Path.join(partitionsFolder, name))
        }
    }

    /// Opens the data folder after a stop of any kind: the registered partitions' segments from the checkpoint on, then
    /// the journal, then a new checkpoint. Nothing may be appended before it returns. `progress` is called after every
    /// 256 partitions, and after each part of a segment that had to be scanned. `nowMs` is the wall clock, by which
    /// silent producers are forgotten; nil stands for the system's clock.
    ///
    /// Damage does not stop it: what is damaged is quarantined (`damage`), everything else is served.
    /// Errors: `.lockedByAnother` when a broker holds the folder; what the file system refuses; `.corrupt` for files of a
    /// newer version.
    public func recover(
        nowMs: Int64? = nil, progress: ((RecoveryProgress) -> Void)? = nil
    ) throws(StorageError) -> RecoverySummary {
        try lockFolder()
        let nowMs = nowMs ?? WallClock.milliseconds
        var summary = RecoverySummary()
        let loaded = try Checkpoint.load(fileSystem, folder: folder)
        // The process that wrote it may have died before its name was durable, and what follows goes by its word.
        if !options.unsafeTrustsCache { try fileSystem.syncDirectory(folder) }
        summary.notices += loaded.notices
        summary.wasClean = loaded.checkpoint.isClean && !loaded.isLost
        let logs = registry.byPartition
        var reports = try openPartitions(logs, loaded, &summary, nowMs, progress)
        let reader = try replayJournal(
            after: loaded.isLost ? nil : loaded.checkpoint.journalGeneration, logs, &reports, &summary, nowMs)
        try settle(logs, reports, nowMs)
        summary.damage = damage
        summary.faults = faults.map { "\($0.partition): \($0.reason)" }
        let journal = try openJournal(after: reader.end)
        hasRecovered.store(true, ordering: .relaxed)
        showDamage()
        diskSpace.check()
        do throws(StorageError) {
            try self.checkpoint()
        } catch {
            // A new folder without a checkpoint must not get segments: the next start would miss one. And the journal of a
            // folder of an earlier version must not get frames that the program of that version takes for torn.
            guard error.isNoSpace || error.isNotNow, error.reach != .folder, !loaded.isNew, !loaded.isOfEarlierVersion
            else { throw error }
            try goOnWithoutCheckpoint(error, journal, reader, &summary)
        }
        // What the replay took is not needed again.
        replayPool.trim()
        pool.trim()
        return summary
    }

    /// Opens each partition's segments. Gives the reports of those that the journal may have something to say about.
    private func openPartitions(
        _ logs: [TopicPartition: PartitionLog], _ loaded: Checkpoint.Loaded, _ summary: inout RecoverySummary,
        _ nowMs: Int64, _ progress: ((RecoveryProgress) -> Void)?
    ) throws(StorageError) -> [TopicPartition: PartitionLog.RecoveryReport] {
        var state = RecoveryProgress(partitions: 0, partitionCount: logs.count, scannedBytes: 0)
        var reports: [TopicPartition: PartitionLog.RecoveryReport] = [:]
        var recovered: [PartitionLog] = []
        for (partition, log) in logs {
            let entry = loaded.entry(of: partition)
            log.state.withLock { state in
                state.replayTimeMs = nowMs
                state.checkpoint = entry
            }
            state.partitions += 1
            if state.partitions % 256 == 0 { progress?(state) }
            let opened = try log.tryRecover(from: entry, isFirstTry: loaded.isLost, nowMs: nowMs) { bytes in
                state.scannedBytes += bytes
                progress?(state)
            }
            guard let report = opened else { continue }
            recovered.append(log)
            if handles.isCrowded { try syncRecovered(&recovered, nowMs: nowMs) }
            // With what was lost the next checkpoint tells again what there is.
            if report.scannedBytes > 0 || report.cutBytes > 0 || entry?.isLost == true { log.markDirty() }
            summary.scannedBytes += report.scannedBytes
            summary.cutBytes += report.cutBytes
            summary.rewrittenBytes += report.rewrittenBytes
            if report.lostEnd != nil || !report.orphans.isEmpty { reports[partition] = report }
        }
        summary.partitions = logs.count
        return reports
    }

    /// Finishes the recovery of the partitions after the journal has been replayed: expires producers, closes log ends
    /// whose records stay lost, disposes of orphaned segments, and stores the quarantines.
    private func settle(
        _ logs: [TopicPartition: PartitionLog], _ reports: [TopicPartition: PartitionLog.RecoveryReport], _ nowMs: Int64
    ) throws(StorageError) {
        let silentSince = nowMs - options.producerExpirationMs
        for log in logs.values { log.expireProducers(silentSince: silentSince) }
        producerLimit.recount(self.logs)
        cleaner.loadProgress()
        for (partition, report) in reports {
            let log = logs[partition]!
            log.settleLostEnd(report)
            try log.openOrSetAside(nowMs: nowMs) { () throws(StorageError) in
                try settleOrphans(report.orphans, of: log)
            }
        }
        for log in logs.values where !log.quarantine.isEmpty { reportDamage(of: log) }
        do throws(StorageError) { try maintenance.storeQuarantines() } catch {
            // The checkpoint that follows waits for the same room, and without one the next start finds the damage again.
            guard error.isNoSpace || error.isNotNow, error.reach != .folder else { throw error }
        }
    }

    private func openJournal(after end: Journal.Position) throws(StorageError) -> Journal {
        let isDirect = options.direct && fileSystem.supportsDirect(journalFolder)
        let journal = try Journal(
            fileSystem: fileSystem, folder: journalFolder, fileBytes: options.journalFileBytes,
            frameBytes: options.journalFrameBytes, direct: isDirect, pool: pool, after: end,
            trustsCache: options.unsafeTrustsCache)
        commits.begin(journal, isDirect: isDirect)
        return journal
    }

    /// Starts serving although no checkpoint could be made. Everything is readable, and the journal keeps the batches
    /// that have no room in the segments.
    ///
    /// What is promised then is what is always promised: all that a reader is shown, and all that the repeat of an idempotent
    /// batch is acknowledged by, is on disk. The process before may have died after a sync that failed, and left in the page
    /// cache alone what it told nobody of. So that is made durable first. Where there is no room even for that, on a file
    /// system that writes to a new place what is overwritten, the start is refused: once it served, a repeat would be
    /// acknowledged that a power cut takes away.
    private func goOnWithoutCheckpoint(
        _ error: StorageError, _ journal: Journal, _ reader: JournalReader, _ summary: inout RecoverySummary
    ) throws(StorageError) {
        for log in logs { try log.flush() }
        if !options.unsafeTrustsCache { summary.rewrittenBytes += try reader.writeAgain(fileSystem) }
        journal.mayGrow.store(false, ordering: .relaxed)
        commits.backgroundFailed(error)
        summary.notices.append(
            error.isNoSpace
                ? "the disk is full, appends are refused until there is space: \(error)"
                : "the first checkpoint is put off: \(error)")
    }

    /// Syncs the segments that recovery has rewritten, because unsynced segments must keep their handles open and too
    /// many do.
    private func syncRecovered(_ recovered: inout [PartitionLog], nowMs: Int64) throws(StorageError) {
        for log in recovered {
            try log.openOrSetAside(nowMs: nowMs) { () throws(StorageError) in try log.flush() }
        }
        recovered = []
    }

    private func replayJournal(
        after generation: UInt64?, _ logs: [TopicPartition: PartitionLog],
        _ reports: inout [TopicPartition: PartitionLog.RecoveryReport], _ summary: inout RecoverySummary,
        _ nowMs: Int64
    ) throws(StorageError) -> JournalReader {
        var reader = JournalReader()
        // Partitions of which records may be lost that nothing else tells of; each is cleared by a later entry that
        // goes on where its log ends.
        var suspects: Set<TopicPartition> = []
        var suspicion = ""
        var memory = SlicePacker(pool: replayPool)
        try reader.read(fileSystem, folder: journalFolder, after: generation) { event throws(StorageError) in
            switch event {
            case .unsureEntry(let entry):
                guard let log = logs[entry.partition], !log.isVoid(entry.truncations) else { return }
                var report = PartitionLog.RecoveryReport()
                let isNext = entry.value == log.logEndOffset.rawValue || log.unavailability != nil
                if entry.kind == .batch, isNext, try log.tryReplay(entry, &report, &memory, nowMs: nowMs) {
                    summary.replayedBatches += 1
                }
            case .entry(let entry):
                guard let log = logs[entry.partition], !log.isVoid(entry.truncations) else { return }
                var report = reports[entry.partition] ?? PartitionLog.RecoveryReport()
                if try log.tryReplay(entry, &report, &memory, nowMs: nowMs) { summary.replayedBatches += 1 }
                if report.lostEnd != nil { reports[entry.partition] = report }
                if entry.kind == .batch { suspects.remove(entry.partition) }
            case .lost(let lost, let reason):
                guard let log = logs[lost.partition], !log.isVoid(lost.truncations),
                    lost.baseOffset >= log.logEndOffset.rawValue
                else { return }
                if log.unavailability != nil { return log.quarantineEnd(reason) }
                var report = reports[lost.partition] ?? PartitionLog.RecoveryReport()
                log.loseJournaled(from: lost.baseOffset, reason, &report)
                reports[lost.partition] = report
            case .lostUnknown(let reason):
                suspicion = reason
                suspects = Set(logs.keys)
            }
        }
        for partition in suspects {
            logs[partition]!.quarantineEnd("\(suspicion); whose records it held is not known")
        }
        summary.journalFrames = reader.frames
        summary.notices += reader.notices
        let generation = reader.end.generation
        let damaged = reader.damaged.map { ("\($0.path).damaged-\(generation)-\($0.position)", $0.bytes) }
        maintenance.state.withLock { $0.damagedFrames = damaged }
        return reader
    }

    /// Removes segments behind a torn one, once the journal has shown that they held nothing acknowledged. If the
    /// partition is damaged, that is not certain, and they are renamed instead.
    func settleOrphans(_ paths: [String], of log: PartitionLog) throws(StorageError) {
        guard !paths.isEmpty else { return }
        let isDamaged = !log.quarantine.isEmpty
        for path in paths {
            if isDamaged { try fileSystem.rename(path, to: path + ".damaged") } else { try fileSystem.remove(path) }
        }
        try fileSystem.syncDirectory(log.folder)
    }
}

extension PartitionLog {
    /// Puts the partition on the list for the next checkpoint.
    func markDirty() {
        state.withLock { state in
            guard !state.isDirty, !state.isDeleted else { return }
            state.isDirty = true
            store.registry.addDirty(self)
        }
    }

    /// The batch at `offset` was in the journal, and is lost: at least that one offset, more when the journal goes on
    /// further behind.
    func loseJournaled(from offset: Int64, _ reason: String, _ report: inout RecoveryReport) {
        state.withLock { state in
            guard offset >= state.logEndOffset else { return }
            if report.lostEnd == nil { report.lostEnd = (reason, state.logEndOffset) }
            state.jump(to: offset + 1, reason)
        }
    }
}
