import ByteBuffers
import Glibc
import KafkaModel
import StorageIO
import Synchronization

/// Group commit: everything queued becomes durable with as few writes and syncs as possible, then it is published.
extension LogStore {
    /// Commits what is queued, if anything is: one sequential write and sync for the small runs of all partitions, one
    /// write and sync per partition with a long run. Gives whether there was something.
    ///
    /// What arrives meanwhile forms the next commit. On the first failure the store goes offline and none of this commit
    /// is acknowledged.
    @discardableResult
    public func commitPending() -> Bool {
        committer.withLock { committer in
            let taken = queue.withLock { queue -> Queue? in
                guard !queue.appends.isEmpty || !queue.logStarts.isEmpty else { return nil }
                var taken = committer.spare
                committer.spare = Queue()
                taken.ticket = queue.ticket
                swap(&taken.appends, &queue.appends)
                swap(&taken.logStarts, &queue.logStarts)
                queue.ticket += 1
                hasQueued.store(false, ordering: .relaxed)
                return taken
            }
            guard var commit = taken else { return false }
            if isOffline { return true }
            let start = monotonicNanoseconds()
            do throws(StorageError) {
                let straight = try write(commit, &committer)
                statistics.commitNanoseconds.add(monotonicNanoseconds() - start, ordering: .relaxed)
                publish(commit, straight: straight)
            } catch {
                goOffline(error, ticket: commit.ticket)
            }
            commit.appends.removeAll(keepingCapacity: commit.appends.count <= 16_384)
            commit.logStarts.removeAll()
            committer.spare = commit
            requestMaintenance(&committer)
            return true
        }
    }

    /// Makes a commit durable; gives the partitions that were written straight, with their last offset.
    private func write(
        _ commit: Queue, _ committer: inout Committer
    ) throws(StorageError) -> [(log: PartitionLog, lastOffset: Int64)] {
        guard let journal = committer.journal else { preconditionFailure("commit before recovery") }
        var bytes = 0
        for append in commit.appends { bytes += append.slice.count }
        statistics.committedBytes.add(bytes, ordering: .relaxed)

        let hasRoom = journal.hasRoom(payload: bytes, entries: commit.appends.count)
        var straight: [ObjectIdentifier: (log: PartitionLog, lastOffset: Int64, bytes: Int)] = [:]
        if !hasRoom || bytes >= options.straightRunBytes {
            for append in commit.appends {
                let key = ObjectIdentifier(append.log)
                straight[key] = (append.log, append.lastOffset, (straight[key]?.bytes ?? 0) + append.slice.count)
            }
            if hasRoom { straight = straight.filter { $0.value.bytes >= options.straightRunBytes } }
        }
        for append in commit.appends where straight.isEmpty || straight[ObjectIdentifier(append.log)] == nil {
            let partition = TopicPartition(topicID: append.log.topicID, partitionIndex: append.log.partitionIndex)
            try journal.add(.batch, partition, value: append.baseOffset, bytes: append.slice.bytes)
        }
        for (log, offset) in commit.logStarts {
            let partition = TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex)
            try journal.add(
                .logStart, partition, value: offset, bytes: UnsafeRawBufferPointer(start: nil, count: 0))
        }
        let before = journal.bytesWritten
        try journal.commit(sync: !options.unsafeWithoutSync)
        statistics.journalBytes.add(Int(journal.bytesWritten - before), ordering: .relaxed)
        for (log, lastOffset, bytes) in straight.values {
            try log.writeStraight(through: lastOffset)
            committer.straightBytesSinceCheckpoint += Int64(bytes)
            statistics.straightBytes.add(bytes, ordering: .relaxed)
        }
        return straight.values.map { ($0.log, $0.lastOffset) }
    }

    /// Lets readers see the commit, and tells of it.
    private func publish(_ commit: Queue, straight: [(log: PartitionLog, lastOffset: Int64)]) {
        for (log, lastOffset) in straight { log.settle(through: lastOffset) }
        var woken: [ReadWaiter] = []
        for append in commit.appends {
            append.log.state.withLock { state in
                state.flushedOffset = append.lastOffset + 1
                if !state.waiters.isEmpty {
                    woken.append(contentsOf: state.waiters)
                    state.waiters.removeAll(keepingCapacity: true)
                }
            }
        }
        durable.store(commit.ticket, ordering: .releasing)
        statistics.commits.add(1, ordering: .relaxed)
        statistics.committedAppends.add(commit.appends.count, ordering: .relaxed)
        observer.withLock { $0 }?.committed(through: commit.ticket, woken: woken)
    }

    private func requestMaintenance(_ committer: inout Committer) {
        guard let journal = committer.journal else { return }
        let journaled = journal.bytesWritten - committer.journalBytesAtCheckpoint
        if journaled >= options.journalFileBytes || committer.straightBytesSinceCheckpoint >= options.checkpointBytes {
            committer.journalBytesAtCheckpoint = journal.bytesWritten
            committer.straightBytesSinceCheckpoint = 0
            needsCheckpoint.store(true, ordering: .releasing)
            maintenanceSignal.raise()
        } else if tailBytes.load(ordering: .relaxed) > options.tailBudgetBytes
            || pool.outstandingBytes > options.tailBudgetBytes * 4
        {
            needsWriteBehind.store(true, ordering: .releasing)
            maintenanceSignal.raise()
        } else if !isMaintenanceTimed.load(ordering: .relaxed), tailBytes.load(ordering: .relaxed) > 0 {
            maintenanceSignal.raise()
        }
    }

    /// Runs the committing thread's loop until `stop`.
    func runCommitter() {
        while true {
            if !commitPending() {
                if threads.withLock({ $0.stopping }) { return }
                commitSignal.wait()
            }
        }
    }

    func monotonicNanoseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
}
