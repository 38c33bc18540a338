import ByteBuffers
import Glibc
import KafkaModel
import StorageIO
import Synchronization
import Telemetry

/// Checkpoints: everything up to some moment is put into the segments and synced, a file says so, and the journal lets go of
/// what it has of before.
extension Maintenance {
    /// Makes a checkpoint now.
    func checkpoint() throws(StorageError) {
        try state.withLock { state throws(StorageError) in try makeCheckpoint(&state) }
    }

    /// Makes the checkpoint of an orderly stop: nothing comes after it, so the next start has nothing to scan.
    func checkpointAtStop() throws(StorageError) {
        try state.withLock { state throws(StorageError) in
            state.nowMs = WallClock.milliseconds
            try storeQuarantines()
            try makeCheckpoint(&state, isClean: true)
        }
        for log in registry.all { try log.tryTrimAll() }
    }

    func makeCheckpoint(_ state: inout State, isClean: Bool = false) throws(StorageError) {
        guard let journal = commits.journal else { preconditionFailure("checkpoint before recovery") }
        // Read before the snapshots: what these generations hold had been appended by then.
        let generation = journal.fullGenerations
        let dirty = registry.takeDirty()
        let began = MonotonicClock.nanoseconds
        defer { StallTrace.note(.checkpoint, from: began, to: MonotonicClock.nanoseconds, count: dirty.count) }
        do throws(StorageError) {
            try checkpoint(of: dirty, journal, generation, isClean: isClean, &state)
        } catch {
            // The next attempt is to see them again.
            for log in dirty { log.markDirty() }
            throw error
        }
    }

    /// What a checkpoint is going to say of a partition.
    private struct Snapshot {
        let log: PartitionLog
        let entry: Checkpoint.Entry
        /// Segments that retention took out before: their files go after the checkpoint.
        let obsolete: [Segment]
    }

    private func checkpoint(
        of dirty: [PartitionLog], _ journal: Journal, _ generation: UInt64, isClean: Bool, _ state: inout State
    ) throws(StorageError) {
        let (snapshots, ticket) = takeSnapshots(of: dirty)
        // The snapshots may be ahead of the commits: what they tell of must be durable before they are.
        try waitForCommit(ticket)
        let kept = try writeBehind(snapshots.map { ($0.log, $0.entry.endOffset) }, nowMs: state.nowMs)
        // Those that fail keep what the last checkpoint says of them, and stay on the list for the next one.
        let failing = snapshots.map(\.log).filter { !kept.contains(ObjectIdentifier($0)) }
        for log in failing { log.markDirty() }
        try commits.carry(failing + registry.faulted.filter { $0.unavailability != nil }, to: journal)
        // All of them: of a failing one, too, the journal lets go what its segments have.
        if !dirty.isEmpty {
            try timed(metrics.segmentSync, .segmentSync, count: dirty.count) { () throws(StorageError) in
                try syncSegments(of: dirty)
            }
        }
        let stored = snapshots.filter { kept.contains(ObjectIdentifier($0.log)) }
        for snapshot in stored {
            try snapshot.log.tryStoreIndexes()
            snapshot.log.state.withLock { $0.checkpoint = snapshot.entry }
        }
        // A sync that failed meanwhile, by whomever, may have lost what a later sync of the same file does not tell of.
        try availability.refuseWhenOffline()
        let isWhole = !registry.hasFaulted
        try storeDamagedFrames(&state)
        try writeCheckpoint(journalGeneration: generation, isClean: isClean && isWhole)
        journal.recycle(through: generation)
        for snapshot in stored where !snapshot.obsolete.isEmpty {
            try snapshot.log.tryRemoveObsolete(snapshot.obsolete)
        }
        statistics.checkpoints.add(1, ordering: .relaxed)
    }

    /// What partitions hold now, and the newest ticket of what that tells of.
    private func takeSnapshots(of logs: [PartitionLog]) -> ([Snapshot], ticket: UInt64) {
        var snapshots: [Snapshot] = []
        var ticket: UInt64 = 0
        for log in logs {
            log.state.withLock { state in
                state.isDirty = false
                ticket = max(ticket, state.lastTicket)
                snapshots.append(Snapshot(log: log, entry: state.checkpointEntry, obsolete: state.obsolete))
            }
        }
        return (snapshots, ticket)
    }

    private func waitForCommit(_ ticket: UInt64) throws(StorageError) {
        while commits.durableTicket < ticket {
            try availability.refuseWhenOffline()
            if !commits.commitPending(), commits.isHolding {
                throw StorageError(.io(errno: diskSpace.isFull ? ENOSPC : EAGAIN), .write, path: folder)
            }
        }
    }

    /// Keeps what is damaged of the journal, before a checkpoint lets its files be used again. Not before: the disk may be
    /// full, and the next start finds it where it is.
    private func storeDamagedFrames(_ state: inout State) throws(StorageError) {
        for (path, bytes) in state.damagedFrames { try fileSystem.writeAtomically(path, bytes) }
        state.damagedFrames = []
    }

    private func writeCheckpoint(journalGeneration: UInt64, isClean: Bool) throws(StorageError) {
        var body = ByteWriter(capacity: 64 << 10)
        body.integer(journalGeneration)
        body.uint16(isClean ? 1 : 0)
        var count = 0
        var segmentBases: [(log: PartitionLog, base: Int64)] = []
        for log in registry.all {
            guard let entry = log.state.withLock({ $0.isDeleted ? nil : $0.checkpoint }) else { continue }
            Checkpoint.encodeEntry(log.topicPartition, entry, to: &body)
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
}

extension PartitionLog.State {
    /// What a checkpoint would say of everything appended so far.
    var checkpointEntry: Checkpoint.Entry {
        let active = segments[segments.count - 1]
        return Checkpoint.Entry(
            logStartOffset: logStartOffset, endOffset: logEndOffset, segmentBase: active.baseOffset,
            position: active.size, truncations: truncations, mayHaveGaps: mayHaveGaps,
            epochs: epochs, producers: producers)
    }
}
