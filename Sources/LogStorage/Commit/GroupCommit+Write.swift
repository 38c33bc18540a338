import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization
import Telemetry

/// From a commit's batches to the disk. <doc:OneJournalTwoRoads> has why there are two ways.
extension GroupCommit {
    /// A partition's batches of one commit that are written through to its segment.
    struct Run {
        let log: PartitionLog
        var lastOffset: Int64
        var bytes: Int
    }

    /// Makes a commit durable; gives the partitions that were written through, with their last offset. Takes out of the
    /// commit what some partition's own files did not take, where the journal cannot either.
    func write(
        _ commit: inout CommitBatch, _ committer: inout Committer
    ) throws(StorageError) -> [(log: PartitionLog, lastOffset: Int64)] {
        guard let journal = committer.journal else { preconditionFailure("commit before recovery") }
        if stuckCount > 0 { leaveOutStuck(&commit) }
        statistics.committedBytes.add(commit.bytes, ordering: .relaxed)
        let hasRoom = journal.hasRoom(payload: commit.bytes, entries: commit.appends.count)
        var runs: [ObjectIdentifier: Run] = [:]
        // A short commit, the usual case, has no long run.
        if !hasRoom || commit.bytes >= options.writeThroughRunBytes {
            runs = self.runs(of: commit, from: hasRoom ? options.writeThroughRunBytes : 0)
        }
        try writeJournal(commit, except: runs, journal)
        let refused = try writeThrough(Array(runs.values), &committer)
        for (log, error) in refused {
            runs[ObjectIdentifier(log)] = nil
            try journalInstead(log, error, &commit, journal)
        }
        return runs.values.map { ($0.log, $0.lastOffset) }
    }

    /// The commit's runs of at least `minBytes`.
    private func runs(of commit: CommitBatch, from minBytes: Int) -> [ObjectIdentifier: Run] {
        var runs: [ObjectIdentifier: Run] = [:]
        for append in commit.appends {
            let key = ObjectIdentifier(append.log)
            runs[key] = Run(
                log: append.log, lastOffset: append.lastOffset, bytes: (runs[key]?.bytes ?? 0) + append.slice.count)
        }
        return minBytes == 0 ? runs : runs.filter { $0.value.bytes >= minBytes }
    }

    /// Writes and syncs the journal's part of a commit. Inlined: handing over what is in an `inout` costs a copy's retains.
    @inline(__always)
    private func writeJournal(
        _ commit: CommitBatch, except runs: [ObjectIdentifier: Run], _ journal: Journal
    ) throws(StorageError) {
        for place in commit.appends.indices
        where runs.isEmpty || runs[ObjectIdentifier(commit.appends[place].log)] == nil {
            try journal.add(
                .batch, commit.appends[place].log.topicPartition, value: commit.appends[place].baseOffset,
                truncations: commit.appends[place].truncations, bytes: commit.appends[place].slice.bytes)
        }
        for (log, offset, truncations) in commit.logStarts {
            try journal.add(
                .logStart, log.topicPartition, value: offset, truncations: truncations,
                bytes: UnsafeRawBufferPointer(start: nil, count: 0))
        }
        let before = journal.bytesWritten
        try timed(metrics.journalSync, .journalSync, count: commit.appends.count) { () throws(StorageError) in
            try journal.commit(sync: !options.unsafeWithoutSync)
        }
        statistics.journalBytes.add(Int(journal.bytesWritten - before), ordering: .relaxed)
    }

    /// Writes each run to its segment and syncs it, a bounded number of files at a time. Gives the partitions whose own
    /// files did not take theirs.
    private func writeThrough(
        _ runs: [Run], _ committer: inout Committer
    ) throws(StorageError) -> [(log: PartitionLog, error: StorageError)] {
        var refused: [(log: PartitionLog, error: StorageError)] = []
        let most = max(1, handles.limit / 4)
        for start in stride(from: 0, to: runs.count, by: most) {
            refused += try writeGroup(Array(runs[start..<min(start + most, runs.count)]), &committer)
        }
        return refused
    }

    private func writeGroup(
        _ runs: [Run], _ committer: inout Committer
    ) throws(StorageError) -> [(log: PartitionLog, error: StorageError)] {
        var writers: [DirectWriter?] = []
        for run in runs {
            writers.append(
                run.bytes >= options.writeThroughRunBytes ? directWriter(for: run.log, &committer) : nil)
            committer.writtenThroughSinceCheckpoint += Int64(run.bytes)
            statistics.writtenThroughBytes.add(run.bytes, ordering: .relaxed)
        }
        let chosen = writers
        let failures = Lock<[(log: PartitionLog, error: StorageError)]>([])
        try forEach(of: runs.count) { (index) throws(StorageError) in
            let run = runs[index]
            do throws(StorageError) {
                try run.log.writeThrough(upTo: run.lastOffset, with: chosen[index])
            } catch {
                // What the device does not take may have cost what was there before.
                let isSpoilt = error.operation == .write && error.isDeviceFailure
                guard error.reach == .partition, !isSpoilt else { throw error }
                failures.withLock { $0.append((run.log, error)) }
            }
        }
        closeOldestDirect(&committer)
        // All writes come before the first sync: one commit of the file system's journal serves them all.
        try timed(metrics.segmentSync, .segmentSync, count: runs.count) { () throws(StorageError) in try sync(runs) }
        return failures.withLock { $0 }
    }

    private func sync(_ runs: [Run]) throws(StorageError) {
        guard runs.count >= Maintenance.syncAllFrom, !options.unsafeWithoutSync else {
            return try forEach(of: runs.count) { (index) throws(StorageError) in try runs[index].log.flush() }
        }
        let before = runs.map { ($0.log, $0.log.unsyncedSegments()) }
        try fileSystem.syncAll(folder)
        for (log, segments) in before { log.markSynced(segments) }
    }

    /// The writer past the page cache, nil where the file system has none. The partition keeps its direct handle open for
    /// the next commit.
    private func directWriter(for log: PartitionLog, _ committer: inout Committer) -> DirectWriter? {
        guard let writer = directWriter else { return nil }
        committer.directLogs.removeAll { $0 === log }
        committer.directLogs.append(log)
        return writer
    }

    /// Partitions whose direct handle (and one block of memory) stays open between commits; beyond it those that were
    /// written longest ago are closed.
    static let maxDirectLogs = 64

    private func closeOldestDirect(_ committer: inout Committer) {
        let most = min(Self.maxDirectLogs, handles.limit / 4)
        while committer.directLogs.count > most { committer.directLogs.removeFirst().closeDirect() }
    }
}
