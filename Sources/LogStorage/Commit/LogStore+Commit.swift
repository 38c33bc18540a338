import ByteBuffers
import Glibc
import KafkaModel
import StorageIO
import Synchronization
import Telemetry

/// Group commit: everything queued becomes durable with as few writes and syncs as possible, then it is published.
extension LogStore {
    /// Commits what is queued, if anything is: one sequential write and sync for the small runs of all partitions, one
    /// write and sync per partition with a long run. Gives whether there was something.
    ///
    /// What arrives meanwhile forms the next commit. On the first failure the store goes offline and none of this commit
    /// is acknowledged.
    @discardableResult
    public func commitPending() -> Bool {
        committer.withLock { commit(&$0, atMost: .max) }
    }

    /// Ends a round of appends: the committing thread commits them. Does not wait.
    public func kick() {
        if wantsCommit { commitSignal.raise() }
    }

    /// Something was appended that nobody commits yet. While a commit waits for space, the committing thread alone tries it
    /// again, every `heldRetryMs`.
    public var wantsCommit: Bool {
        hasQueued.load(ordering: .relaxed) && !isHolding.load(ordering: .relaxed)
    }

    /// Ends a round of appends: what is queued is committed by this very thread when that is quick as a rule, by the
    /// committing thread otherwise. For an event loop's work at the end of a turn (`TurnWork`), which may wait for the disk:
    /// the loop is relieved of it then.
    ///
    /// Handing over costs two wakes of sleeping threads, which is more than a small commit on a good disk.
    public func commitInTurn() {
        guard wantsCommit else { return }
        if smallCommitNanoseconds.load(ordering: .relaxed) < Self.quickCommitNanoseconds {
            let isDone = committer.withLockIfAvailable { commit(&$0, atMost: Self.inlineBytes) }
            // What came from another loop meanwhile is left to the committing thread, as is all while it is at work.
            if isDone == true, !hasQueued.load(ordering: .relaxed) { return }
        }
        commitSignal.raise()
    }

    /// Largest commit, in bytes, that an event loop makes itself.
    static let inlineBytes = 128 << 10
    /// Small commits that take longer than this on average are left to the committing thread: what waits for a disk anyway
    /// does not feel its wakes, and the loop is not held up. One that takes long against the average costs the loop's other
    /// connections what `LoopRelief` needs to see it.
    static let quickCommitNanoseconds = 400_000

    /// Commits what is queued if it is no more than `limit` bytes and, when there is a limit, the journal has room for
    /// it at once. Gives whether it did.
    private func commit(_ committer: inout Committer, atMost limit: Int) -> Bool {
        // One that waits for space comes first, and not on an event loop.
        if committer.held != nil { return limit == .max ? retryHeld(&committer) : false }
        let taken = queue.withLock { queue -> Queue? in
            guard !queue.appends.isEmpty || !queue.logStarts.isEmpty, queue.bytes <= limit else { return nil }
            if limit != .max,
                committer.journal?.hasRoomAtOnce(payload: queue.bytes, entries: queue.appends.count) != true
            {
                return nil
            }
            var taken = committer.spare
            committer.spare = Queue()
            taken.isPartlyFailed = false
            taken.ticket = queue.ticket
            taken.bytes = queue.bytes
            swap(&taken.appends, &queue.appends)
            swap(&taken.logStarts, &queue.logStarts)
            queue.ticket += 1
            queue.bytes = 0
            hasQueued.store(false, ordering: .relaxed)
            return taken
        }
        guard var commit = taken else { return false }
        if isOffline { return true }
        checkSpace(before: commit, committer.journal)
        let start = monotonicNanoseconds()
        do throws(StorageError) {
            let writtenThrough = try write(&commit, &committer)
            recordDuration(monotonicNanoseconds() - start, bytes: commit.bytes)
            publish(commit, writtenThrough: writtenThrough)
        } catch {
            if hold(commit, &committer, error) { return false }
            goOffline(error, ticket: commit.ticket)
        }
        commit.appends.removeAll(keepingCapacity: commit.appends.count <= 16_384)
        commit.logStarts.removeAll()
        committer.spare = commit
        requestMaintenance(&committer)
        return true
    }

    private func recordDuration(_ nanoseconds: Int, bytes: Int) {
        statistics.commitNanoseconds.add(nanoseconds, ordering: .relaxed)
        if nanoseconds >= Int(Self.longCommitMs) * 1_000_000 {
            lastLongCommit.store(Int64(monotonicNanoseconds() / 1_000_000), ordering: .relaxed)
        }
        metrics.commit.observe(nanoseconds)
        guard bytes <= Self.inlineBytes else { return }
        let average = smallCommitNanoseconds.load(ordering: .relaxed)
        smallCommitNanoseconds.store(average + (nanoseconds - average) / 8, ordering: .relaxed)
    }

    /// A commit that takes this long or longer is one that clients feel.
    public static let longCommitMs: Int64 = 1000

    /// When the last such commit ended, in milliseconds of the monotonic clock; nil when there was none.
    public var lastLongCommitMs: Int64? {
        let time = lastLongCommit.load(ordering: .relaxed)
        return time == .min ? nil : time
    }

    /// Makes a commit durable; gives the partitions that were written through, with their last offset. Takes out of the
    /// commit what some partition's own files did not take, where the journal cannot either.
    func write(
        _ commit: inout Queue, _ committer: inout Committer
    ) throws(StorageError) -> [(log: PartitionLog, lastOffset: Int64)] {
        guard let journal = committer.journal else { preconditionFailure("commit before recovery") }
        if stuck.load(ordering: .relaxed) > 0 { leaveOutStuck(&commit) }
        let bytes = commit.bytes
        statistics.committedBytes.add(bytes, ordering: .relaxed)

        let hasRoom = journal.hasRoom(payload: bytes, entries: commit.appends.count)
        var writtenThrough: [ObjectIdentifier: (log: PartitionLog, lastOffset: Int64, bytes: Int)] = [:]
        if !hasRoom || bytes >= options.writeThroughRunBytes {
            for append in commit.appends {
                let key = ObjectIdentifier(append.log)
                writtenThrough[key] = (
                    append.log, append.lastOffset, (writtenThrough[key]?.bytes ?? 0) + append.slice.count
                )
            }
            if hasRoom { writtenThrough = writtenThrough.filter { $0.value.bytes >= options.writeThroughRunBytes } }
        }
        for append in commit.appends where writtenThrough.isEmpty || writtenThrough[ObjectIdentifier(append.log)] == nil
        {
            let partition = TopicPartition(topicID: append.log.topicID, partitionIndex: append.log.partitionIndex)
            try journal.add(.batch, partition, value: append.baseOffset, bytes: append.slice.bytes)
        }
        for (log, offset) in commit.logStarts {
            let partition = TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex)
            try journal.add(
                .logStart, partition, value: offset, bytes: UnsafeRawBufferPointer(start: nil, count: 0))
        }
        let before = journal.bytesWritten
        try timed(metrics.journalSync) { () throws(StorageError) in
            try journal.commit(sync: !options.unsafeWithoutSync)
        }
        statistics.journalBytes.add(Int(journal.bytesWritten - before), ordering: .relaxed)
        let refused = try writeThrough(Array(writtenThrough.values), &committer)
        for (log, error) in refused {
            writtenThrough[ObjectIdentifier(log)] = nil
            try journalInstead(log, error, &commit, journal)
        }
        return writtenThrough.values.map { ($0.log, $0.lastOffset) }
    }

    /// Writes each run to its segment, a bounded number of files at a time. Gives the partitions whose own files did not
    /// take theirs.
    private func writeThrough(
        _ runs: [(log: PartitionLog, lastOffset: Int64, bytes: Int)], _ committer: inout Committer
    ) throws(StorageError) -> [(log: PartitionLog, error: StorageError)] {
        var refused: [(log: PartitionLog, error: StorageError)] = []
        let most = max(1, handles.limit / 4)
        for start in stride(from: 0, to: runs.count, by: most) {
            refused += try writeThrough(runs[start..<min(start + most, runs.count)], &committer)
        }
        return refused
    }

    private func writeThrough(
        _ runs: ArraySlice<(log: PartitionLog, lastOffset: Int64, bytes: Int)>, _ committer: inout Committer
    ) throws(StorageError) -> [(log: PartitionLog, error: StorageError)] {
        let runs = Array(runs)
        var writers: [DirectWriter?] = []
        for (log, _, bytes) in runs {
            writers.append(bytes >= options.writeThroughRunBytes ? directWriter(for: log, &committer) : nil)
            committer.writtenThroughSinceCheckpoint += Int64(bytes)
            statistics.writtenThroughBytes.add(bytes, ordering: .relaxed)
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
        let mostDirect = min(Self.maxDirectLogs, handles.limit / 4)
        while committer.directLogs.count > mostDirect { committer.directLogs.removeFirst().closeDirect() }
        // All writes come before the first sync: one commit of the file system's journal serves them all.
        try timed(metrics.segmentSync) { () throws(StorageError) in
            guard runs.count >= Self.syncAllFrom, !options.unsafeWithoutSync else {
                return try forEach(of: runs.count) { (index) throws(StorageError) in try runs[index].log.flush()
                }
            }
            let before = runs.map { ($0.log, $0.log.unsyncedSegments()) }
            try fileSystem.syncAll(folder)
            for (log, segments) in before { log.markSynced(segments) }
        }
        return failures.withLock { $0 }
    }

    /// Calls `body` for 0 ..< `count`, side by side when the store's threads run. The first error is thrown when all calls
    /// have ended: none is under way any more then.
    private func forEach(
        of count: Int, _ body: @escaping @Sendable (Int) throws(StorageError) -> Void
    ) throws(StorageError) {
        guard count > 1, let writerPool = writerPool.withLock({ $0 }) else {
            for index in 0..<count { try body(index) }
            return
        }
        let failure = Lock<StorageError?>(nil)
        writerPool.run(count) { index in
            if failure.withLock({ $0 != nil }) { return }
            do throws(StorageError) { try body(index) } catch { failure.withLock { $0 = $0 ?? error } }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// The writer past the page cache, nil where the file system has none. Notes who has a handle open.
    private func directWriter(for log: PartitionLog, _ committer: inout Committer) -> DirectWriter? {
        guard let writer = directWriter else { return nil }
        committer.directLogs.removeAll { $0 === log }
        committer.directLogs.append(log)
        return writer
    }

    /// What writes long runs past the page cache, so that their bytes are not copied into pages that are written back and
    /// dropped; nil where the file system cannot.
    var directWriter: DirectWriter? { isDirect.load(ordering: .relaxed) ? DirectWriter(pool: pool) : nil }

    /// Partitions whose direct handle (and one block of memory) stays open between commits; beyond it those that were
    /// written longest ago are closed.
    static let maxDirectLogs = 64

    /// Notes what `settle` keeps, and lets go of the oldest beyond the budget. Called without a partition's state lock.
    func cache(_ entry: EvictionQueue.Entry) {
        pool.noteCached(entry.bytes)
        evictionQueue.withLock { $0.add(entry) }
        while let oldest = evictionQueue.withLock({ $0.next(over: options.cacheBytes) }) {
            oldest.log.evict(through: oldest.lastOffset)
            pool.noteCached(-oldest.bytes)
        }
    }

    /// Lets readers see the commit, and tells of it.
    func publish(_ commit: Queue, writtenThrough: [(log: PartitionLog, lastOffset: Int64)]) {
        if commit.isPartlyFailed {
            observer.withLock { $0 }?.commitFailed(from: commit.ticket, through: commit.ticket)
        }
        for (log, lastOffset) in writtenThrough { log.settle(through: lastOffset) }
        var woken: [ReadWaiter] = []
        for append in commit.appends {
            append.log.advanceFlushedOffset(through: append.lastOffset, bytes: append.slice.count, &woken)
        }
        durable.store(commit.ticket, ordering: .releasing)
        statistics.commits.add(1, ordering: .relaxed)
        statistics.committedAppends.add(commit.appends.count, ordering: .relaxed)
        observer.withLock { $0 }?.committed(through: commit.ticket, woken: woken)
    }

    private func requestMaintenance(_ committer: inout Committer) {
        guard let journal = committer.journal else { return }
        let journaled = journal.bytesWritten - committer.journalBytesAtCheckpoint
        if journaled >= options.journalFileBytes || committer.writtenThroughSinceCheckpoint >= options.checkpointBytes {
            committer.journalBytesAtCheckpoint = journal.bytesWritten
            committer.writtenThroughSinceCheckpoint = 0
            needsCheckpoint.store(true, ordering: .releasing)
            maintenanceSignal.raise()
        } else if tailBytes.load(ordering: .relaxed) > options.tailBudgetBytes
            || pool.outstandingBytes > options.tailBudgetBytes * 4
        {
            needsWriteBehind.store(true, ordering: .releasing)
            maintenanceSignal.raise()
        } else if !isMaintenanceTimed.load(ordering: .relaxed), isMaintenanceWanted {
            maintenanceSignal.raise()
        }
    }

    /// The first journal file of a new data folder, 64 MiB of zeros: made while the broker begins to serve. A commit that
    /// comes meanwhile waits for it.
    func makeFirstJournalFile() {
        committer.withLock { committer in
            guard let journal = committer.journal, journal.fileCount == 0, journal.mayGrow.load(ordering: .relaxed)
            else { return }
            do throws(StorageError) {
                try journal.makeFile()
            } catch {
                if error.isNoSpace { journal.mayGrow.store(false, ordering: .relaxed) }
                backgroundFailed(error)
            }
        }
    }

    /// Runs the committing thread's loop until `stop`.
    func runCommitter() {
        makeFirstJournalFile()
        while true {
            if !commitPending() {
                if threads.withLock({ $0.stopping }) { return }
                if isHolding.load(ordering: .relaxed) {
                    commitSignal.wait(timeoutMs: Self.heldRetryMs)
                } else {
                    commitSignal.wait()
                }
            }
        }
    }

    func monotonicNanoseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
}
