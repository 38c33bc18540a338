import ByteBuffers
import Glibc
import KafkaModel
public import StorageIO
import Synchronization

/// Writing behind, checkpoints, retention: all that may block without anyone waiting for it.
extension LogStore {
    /// One round of what is due at `nowMs` (wall clock). A failed sync takes the store offline, after which nothing is due;
    /// what one partition's files refuse is tried again in a later round.
    public func maintain(nowMs: Int64) {
        countLogsIfAsked()
        if isOffline { return }
        do throws(StorageError) {
            try maintenance.withLock { state throws(StorageError) in
                state.nowMs = nowMs
                if needsQuarantineStored.exchange(false, ordering: .acquiringAndReleasing) { try storeQuarantines() }
                if needsProducerRoom.load(ordering: .relaxed) { limitProducers() }
                if needsCheckpoint.exchange(false, ordering: .acquiringAndReleasing) {
                    try checkpointLocked(&state)
                    state.lastWriteBehindMs = nowMs
                } else if needsWriteBehind.exchange(false, ordering: .acquiringAndReleasing)
                    || nowMs - state.lastWriteBehindMs >= options.writeBehindMs
                {
                    try writeBehind(nowMs: nowMs)
                    state.lastWriteBehindMs = nowMs
                }
                if nowMs - state.lastSpaceCheckMs >= Self.spaceCheckMs {
                    state.lastSpaceCheckMs = nowMs
                    checkSpace()
                }
                if nowMs - state.lastRetentionMs >= Self.retentionCheckMs {
                    state.lastRetentionMs = nowMs
                    var isAny = false
                    for log in logs { isAny = log.enforceRetention(nowMs: nowMs) || isAny }
                    // With a checkpoint, so that a restart does not know again who was forgotten.
                    let silentSince = nowMs - options.producerExpirationMs
                    for log in logs { isAny = log.expireProducers(silentSince: silentSince) || isAny }
                    if isAny { try checkpointLocked(&state) }
                }
            }
        } catch {
            backgroundFailed(error)
        }
    }

    private func writeBehind(nowMs: Int64) throws(StorageError) {
        for log in registry.withLock({ $0.faulted }) { log.reopen(nowMs: nowMs) }
        var written: [PartitionLog] = []
        for log in registry.withLock({ $0.dirty }) where log.isDue(nowMs) {
            guard try log.tryWriteBehind(with: directWriter, nowMs: nowMs) else { continue }
            written.append(log)
            try syncIfCrowded(&written)
        }
    }

    /// Syncs what was just written when too many handles have to stay open for want of a sync.
    private func syncIfCrowded(_ written: inout [PartitionLog]) throws(StorageError) {
        guard handles.isCrowded else { return }
        try syncSegments(of: written)
        written = []
    }

    /// `log.retention.check.interval.ms`.
    static let retentionCheckMs: Int64 = 300_000
    /// How often the free space is looked at while there is anything to do.
    static let spaceCheckMs: Int64 = 1000

    /// Makes a checkpoint now: everything appended so far is in the segments, synced, and the journal's full files are
    /// free again.
    public func checkpoint() throws(StorageError) {
        try maintenance.withLock { state throws(StorageError) in try checkpointLocked(&state) }
    }

    private func checkpointLocked(_ state: inout MaintenanceState, isClean: Bool = false) throws(StorageError) {
        guard let journal = committer.withLock({ $0.journal }) else {
            preconditionFailure("checkpoint before recovery")
        }
        // Read before the snapshots: what these generations hold had been appended by then.
        let generation = journal.fullGenerations
        let dirty = registry.withLock { registry in
            defer { registry.dirty = [] }
            return registry.dirty
        }
        do throws(StorageError) {
            try checkpoint(of: dirty, journal, generation, isClean: isClean, nowMs: state.nowMs)
        } catch {
            // The next attempt is to see them again.
            for log in dirty { log.markDirty() }
            throw error
        }
    }

    private func checkpoint(
        of dirty: [PartitionLog], _ journal: Journal, _ generation: UInt64, isClean: Bool, nowMs: Int64
    ) throws(StorageError) {
        var snapshots: [(log: PartitionLog, entry: Checkpoint.Entry, obsolete: [Segment])] = []
        var ticket: UInt64 = 0
        for log in dirty {
            log.state.withLock { state in
                state.isDirty = false
                ticket = max(ticket, state.lastTicket)
                snapshots.append((log, state.checkpointEntry, state.obsolete))
            }
        }
        // The snapshots may be ahead of the commits: what they tell of must be durable before they are.
        while durable.load(ordering: .acquiring) < ticket {
            try refuseWhenOffline()
            if !commitPending(), isHolding.load(ordering: .relaxed) {
                throw StorageError(.io(errno: isFull.load(ordering: .relaxed) ? ENOSPC : EAGAIN), .write, path: folder)
            }
        }
        let kept = try writeBehind(snapshots.map { ($0.log, $0.entry.endOffset) }, nowMs: nowMs)
        // Those that fail keep what the last checkpoint says of them, and stay on the list for the next one.
        let failing = snapshots.map(\.log).filter { !kept.contains(ObjectIdentifier($0)) }
        for log in failing { log.markDirty() }
        try carry(failing + registry.withLock { $0.faulted }.filter { $0.unavailability != nil }, to: journal)
        // All of them: of a failing one, too, the journal lets go what its segments have.
        if !dirty.isEmpty {
            try timed(metrics.segmentSync) { () throws(StorageError) in try syncSegments(of: dirty) }
        }
        for (log, entry, _) in snapshots where kept.contains(ObjectIdentifier(log)) {
            try log.tryStoreIndexes()
            log.state.withLock { $0.checkpoint = entry }
        }
        // A sync that failed meanwhile, by whomever, may have lost what a later sync of the same file does not tell of.
        try refuseWhenOffline()
        let isWhole = registry.withLock { $0.faulted.isEmpty }
        try storeAsides()
        try writeCheckpoint(journalGeneration: generation, isClean: isClean && isWhole)
        journal.recycle(through: generation)
        for (log, _, obsolete) in snapshots where kept.contains(ObjectIdentifier(log)) && !obsolete.isEmpty {
            try log.tryRemoveObsolete(obsolete)
        }
        statistics.checkpoints.add(1, ordering: .relaxed)
    }

    private func refuseWhenOffline() throws(StorageError) {
        guard let refusal = offline.withLock({ $0 }) else { return }
        throw StorageError(.corrupt(refusal.message), .write, path: folder)
    }

    /// Writes these partitions up to the given offsets, exclusive. Gives those whose files took it.
    private func writeBehind(
        _ logs: [(log: PartitionLog, endOffset: Int64)], nowMs: Int64
    ) throws(StorageError) -> Set<ObjectIdentifier> {
        var kept: Set<ObjectIdentifier> = []
        var written: [PartitionLog] = []
        for (log, endOffset) in logs
        where try log.tryWriteBehind(through: endOffset - 1, with: directWriter, nowMs: nowMs) {
            kept.insert(ObjectIdentifier(log))
            written.append(log)
            try syncIfCrowded(&written)
        }
        return kept
    }

    /// From this many on, partitions are synced together, by one sync of the whole file system (measured over 2,000
    /// files: 14 against 182 ms).
    static let syncAllFrom = 16

    private func syncSegments(of logs: [PartitionLog]) throws(StorageError) {
        if options.unsafeWithoutSync { return }
        if logs.count >= Self.syncAllFrom {
            // A commit may write through at the same time: only what was written before the sync is synced by it.
            let before = logs.map { ($0, $0.unsyncedSegments()) }
            try fileSystem.syncAll(folder)
            for (log, segments) in before where !segments.isEmpty { log.markSynced(segments) }
            return
        }
        for log in logs {
            try log.io.withLock { writer throws(StorageError) in
                if log.state.withLock({ $0.isDeleted }) { return }
                try log.syncSegments(&writer)
            }
        }
    }

    private func writeCheckpoint(journalGeneration: UInt64, isClean: Bool) throws(StorageError) {
        var body = ByteWriter(capacity: 64 << 10)
        body.integer(journalGeneration)
        body.uint16(isClean ? 1 : 0)
        var count = 0
        var segmentBases: [(log: PartitionLog, base: Int64)] = []
        for log in logs {
            guard let entry = log.state.withLock({ $0.isDeleted ? nil : $0.checkpoint }) else { continue }
            Checkpoint.encodeEntry(
                TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex), entry, to: &body)
            count += 1
            segmentBases.append((log, entry.segmentBase))
        }
        let bytes = Checkpoint.seal(body, count: count, isClean: isClean)
        // A start would not read it. The journal keeps what it would have told.
        guard bytes.count <= Checkpoint.maxBytes else {
            throw StorageError(
                .tooLarge(actual: Int64(bytes.count), limit: Checkpoint.maxBytes), .write,
                path: Path.join(folder, Checkpoint.fileName))
        }
        try fileSystem.writeAtomically(Path.join(folder, Checkpoint.fileName), bytes)
        // Both before anything is given up that the one before knew of.
        try fileSystem.writeAtomically(Path.join(folder, Checkpoint.copyName), bytes)
        for (log, base) in segmentBases { log.state.withLock { $0.checkpointedSegmentBase = base } }
    }

    // MARK: The maintaining thread

    func runMaintenance() {
        while true {
            let isTimed = isRoundDueSoon
            isMaintenanceTimed.store(isTimed, ordering: .sequentiallyConsistent)
            maintenanceSignal.wait(timeoutMs: isTimed ? options.writeBehindMs : Self.retentionCheckMs)
            if threads.withLock({ $0.stopping }) { return }
            maintain(nowMs: Self.wallClockMs())
            pool.decay()
        }
    }

    /// Something is to be done, or tried again, at the next second. A checkpoint that was put off is: until a start's first
    /// one the journal takes no batches.
    var isRoundDueSoon: Bool {
        isMaintenanceWanted || isFull.load(ordering: .relaxed) || needsCheckpoint.load(ordering: .relaxed)
            || registry.withLock { !$0.faulted.isEmpty }
    }

    /// Something is in memory that should not stay there: batches on their way to their segments, or free blocks after a
    /// burst.
    var isMaintenanceWanted: Bool {
        tailBytes.load(ordering: .relaxed) > 0 || pool.keptBytes > Self.keptWhenIdle
    }

    /// Free blocks, in bytes, that are not worth a wake a second.
    static let keptWhenIdle = 4 << 20

    static func wallClockMs() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    /// Starts the committing, the maintaining and the cleaning thread.
    public func start() {
        threads.withLock { threads in
            precondition(!threads.running, "started twice")
            threads.running = true
            writerPool.withLock { $0 = WriterPool() }
            threads.handles = [
                Thread(name: "commit") { [self] in runCommitter() },
                Thread(name: "maintenance") { [self] in runMaintenance() },
                Thread(name: "cleaner") { [self] in runCleaner() },
            ]
        }
    }

    /// Commits what is queued, makes a checkpoint, ends the threads. The next start has nothing to scan.
    public func stop() throws(StorageError) {
        let handles = threads.withLock { threads in
            threads.stopping = true
            defer { threads.handles = [] }
            return threads.handles
        }
        commitSignal.raise()
        maintenanceSignal.raise()
        cleanerSignal.raise()
        for handle in handles { handle.join() }
        writerPool.withLock { writerPool in
            writerPool?.stop()
            writerPool = nil
        }
        commitPending()
        if !isOffline {
            try maintenance.withLock { state throws(StorageError) in
                state.nowMs = Self.wallClockMs()
                try storeQuarantines()
                try checkpointLocked(&state, isClean: true)
            }
            for log in logs { try log.tryTrimAll() }
        }
        registry.withLock { registry in
            registry.lock?.release()
            registry.lock = nil
        }
    }
}

extension PartitionLog.State {
    /// What a checkpoint would say of everything appended so far.
    var checkpointEntry: Checkpoint.Entry {
        let active = segments[segments.count - 1]
        return Checkpoint.Entry(
            logStartOffset: logStartOffset, endOffset: logEndOffset, segmentBase: active.baseOffset,
            position: active.size, mayHaveGaps: mayHaveGaps, epochs: epochs, producers: producers)
    }
}
