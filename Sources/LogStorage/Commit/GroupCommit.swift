import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization
import Telemetry

/// Group commit: makes everything that is queued durable with as few writes and syncs as possible, then lets readers see it
/// and tells of it.
///
/// ```
/// queue ──► take ──► journal: the short runs of all partitions, one write and sync ──┐
///                └─► segments: each long run written through, syncs side by side ────┴─► publish: flushed offsets,
///                                                                                      ticket, observer
/// ```
/// Only one commit is made at a time, by whichever thread holds `committer`: the committing thread, or an event loop at the
/// end of its turn. That lock is held while the disk works, so loops only try it. Everything else here is atomic, or has a
/// lock of its own that is held for a look at it: `queue`, `observer` (never while it is called), `writerPool`.
///
/// What a partition's own file refuses goes to the journal instead (GroupCommit+Stuck.swift); what the full disk refuses is
/// held and tried again (GroupCommit+Hold.swift); what else fails takes the store offline.
final class GroupCommit: StorePart {
    /// What belongs to the thread that makes a commit.
    struct Committer {
        /// Emptied arrays, kept for their memory.
        var spare = CommitBatch()
        /// Nil before recovery.
        var journal: Journal?
        /// A commit that the full disk did not take; it is tried again.
        var held: CommitBatch?
        var writtenThroughSinceCheckpoint: Int64 = 0
        /// `Journal.bytesWritten` at the last checkpoint.
        var journalBytesAtCheckpoint: Int64 = 0
        /// Partitions with an open direct handle, the one written last at the end.
        var directLogs: [PartitionLog] = []
    }

    let parts: StoreParts
    let times: CommitTimes
    let queue = CommitQueue()
    /// Wakes the committing thread.
    let signal = Signal()

    let committer = Lock(Committer())
    /// The newest commit that is on disk and published.
    private let durable = Atomic<UInt64>(0)
    private let observer = Lock<(any CommitObserver)?>(nil)
    /// A commit waits for space.
    private let isHeld = Atomic<Bool>(false)
    /// Segments can be written past the page cache.
    private let isDirect = Atomic<Bool>(false)
    /// Partitions with appends that commits have left out.
    private let stuck = Atomic<Int>(0)
    /// Only there while the store's threads run; a test's commits are made by its own thread alone.
    private let writerPool = Lock<WriterPool?>(nil)

    init(_ parts: StoreParts) {
        self.parts = parts
        times = CommitTimes(statistics: parts.statistics, histogram: parts.metrics.commit)
    }

    func observe(_ observer: any CommitObserver) { self.observer.withLock { $0 = observer } }

    /// Everything with a ticket at or below this is on disk.
    var durableTicket: UInt64 { durable.load(ordering: .acquiring) }

    /// Queues an append for the next commit and gives that commit's ticket. Called under the partition's lock.
    func enqueue(_ append: QueuedAppend) -> UInt64 {
        memory.add(append.slice.count)
        return queue.add(append)
    }

    // MARK: Who commits

    /// Something was appended that nobody commits yet. While a commit waits for space, the committing thread alone tries it
    /// again, every `heldRetryMs`.
    var isWanted: Bool { !queue.isEmpty && !isHolding }

    /// Commits everything that is queued; gives whether there was something.
    @discardableResult
    func commitPending() -> Bool {
        committer.withLock { commit(&$0, atMost: .max) }
    }

    /// Lets the committing thread commit what is queued. Does not wait.
    func kick() {
        if isWanted { signal.raise() }
    }

    /// Commits on this thread when small commits are quick, and hands over to the committing thread otherwise.
    func commitInTurn() {
        guard isWanted else { return }
        if times.areQuick {
            let isDone = committer.withLockIfAvailable { commit(&$0, atMost: CommitTimes.inlineBytes) }
            // What came from another loop meanwhile is left to the committing thread, as is all while it is at work.
            if isDone == true, queue.isEmpty { return }
        }
        signal.raise()
    }

    /// Commits what is queued if it is no more than `limit` bytes; returns whether it did.
    ///
    /// With a limit an event loop asks. It commits only what the journal file in use takes: to make a file is 64 MiB of
    /// writing, and before recovery there is no journal at all.
    private func commit(_ committer: inout Committer, atMost limit: Int) -> Bool {
        // One that waits for space comes first, and not on an event loop.
        if committer.held != nil { return limit == .max ? retryHeld(&committer) : false }
        let room = limit == .max ? Int.max : committer.journal?.roomAtOnce ?? 0
        let taken = queue.take(&committer.spare) { bytes, entries in
            bytes <= limit && bytes + entries * JournalFormat.entryHeaderSize <= room
        }
        guard var commit = taken else { return false }
        if availability.isOffline { return true }
        if let room = diskSpace.use(commit.bytes) {
            // A new journal file must not take the reserve.
            committer.journal?.mayGrow.store(room > options.journalFileBytes, ordering: .relaxed)
        }
        let start = Int(MonotonicClock.nanoseconds)
        do throws(StorageError) {
            let writtenThrough = try write(&commit, &committer)
            let end = Int(MonotonicClock.nanoseconds)
            times.record(end - start, bytes: commit.bytes)
            StallTrace.note(
                .commit, from: Int64(start), to: Int64(end), bytes: commit.bytes, count: commit.appends.count)
            publish(commit, writtenThrough: writtenThrough)
        } catch {
            if hold(commit, &committer, error) { return false }
            fail(error, from: commit.ticket)
        }
        commit.empty()
        committer.spare = commit
        requestMaintenance(&committer)
        return true
    }

    // MARK: What follows a commit

    /// Lets readers see the commit, and tells of it.
    func publish(_ commit: CommitBatch, writtenThrough: [(log: PartitionLog, lastOffset: Int64)]) {
        for (log, lastOffset) in writtenThrough { log.settle(through: lastOffset) }
        var woken: [ReadWaiter] = []
        // By places, not elements: a copy of an element would retain the log and the chunk.
        for place in commit.appends.indices {
            commit.appends[place].log.advanceFlushedOffset(
                through: commit.appends[place].lastOffset, bytes: commit.appends[place].slice.count, &woken)
        }
        // After what is on disk can be seen (`PartitionLog.isFlushed`), and before the ticket can.
        if commit.isPartlyFailed {
            observer.withLock { $0 }?.commitFailed(from: commit.ticket, through: commit.ticket, woken: woken)
            woken = []
        }
        durable.store(commit.ticket, ordering: .releasing)
        statistics.commits.add(1, ordering: .relaxed)
        statistics.committedAppends.add(commit.appends.count, ordering: .relaxed)
        observer.withLock { $0 }?.committed(through: commit.ticket, woken: woken)
    }

    /// Wakes readers whose partition has changed otherwise than by a commit.
    func tell(_ waiters: [ReadWaiter]) {
        if waiters.isEmpty { return }
        observer.withLock { $0 }?.committed(through: durableTicket, woken: waiters)
    }

    /// Takes the store offline: appends with `ticket` and later ones will never be acknowledged.
    func fail(_ error: StorageError, from ticket: UInt64) {
        availability.goOffline(error)
        observer.withLock { $0 }?.commitFailed(from: ticket, through: .max, woken: [])
    }

    /// Takes the store offline because of something else than a commit.
    func fail(_ error: StorageError) { fail(error, from: durableTicket + 1) }

    private func requestMaintenance(_ committer: inout Committer) {
        guard let journal = committer.journal else { return }
        if journal.wantsFile, requests.add(.journalFile) { requests.wake() }
        let journaled = journal.bytesWritten - committer.journalBytesAtCheckpoint
        if journaled >= options.journalFileBytes || committer.writtenThroughSinceCheckpoint >= options.checkpointBytes {
            committer.journalBytesAtCheckpoint = journal.bytesWritten
            committer.writtenThroughSinceCheckpoint = 0
            requests.raise(.checkpoint)
        } else if memory.unsettledBytes > options.tailBudgetBytes
            || pool.outstandingBytes > options.tailBudgetBytes * 4
        {
            requests.raise(.writeBehind)
        } else if !requests.isWaitTimed, memory.isMaintenanceWanted {
            requests.wake()
        }
    }

    // MARK: State that other parts ask for

    /// A commit waits for space; the committing thread tries it again.
    var isHolding: Bool { isHeld.load(ordering: .relaxed) }
    func setHolding(_ isHolding: Bool) { isHeld.store(isHolding, ordering: .sequentiallyConsistent) }

    /// Partitions with appends that commits have left out.
    var stuckCount: Int { stuck.load(ordering: .relaxed) }
    func countStuck(_ change: Int) { stuck.add(change, ordering: .sequentiallyConsistent) }

    /// What recovery found out: from now on commits can be made.
    func begin(_ journal: Journal, isDirect: Bool) {
        committer.withLock { $0.journal = journal }
        self.isDirect.store(isDirect, ordering: .relaxed)
    }

    /// The journal; nil before recovery. Waits for a commit that is being made.
    var journal: Journal? { committer.withLock { $0.journal } }

    /// What writes long runs past the page cache, so that their bytes are not copied into pages that are written back and
    /// dropped; nil where the file system cannot.
    var directWriter: DirectWriter? { isDirect.load(ordering: .relaxed) ? DirectWriter(pool: pool) : nil }

    /// Starts, or ends, the threads that write several partitions' long runs side by side.
    func startWriters() { writerPool.withLock { $0 = WriterPool() } }

    func stopWriters() {
        writerPool.withLock { pool in
            pool?.stop()
            pool = nil
        }
    }

    /// Calls `body` for 0 ..< `count`, side by side when the store's threads run. The first error is thrown when all calls
    /// have ended: none is under way any more then.
    func forEach(
        of count: Int, _ body: @escaping @Sendable (Int) throws(StorageError) -> Void
    ) throws(StorageError) {
        guard count > 1, let writers = writerPool.withLock({ $0 }) else {
            for index in 0..<count { try body(index) }
            return
        }
        let failure = Lock<StorageError?>(nil)
        writers.run(count) { index in
            if failure.withLock({ $0 != nil }) { return }
            do throws(StorageError) { try body(index) } catch { failure.withLock { $0 = $0 ?? error } }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    // MARK: The committing thread

    /// Commits what is queued, whenever that is wanted, until `isStopping`.
    func run(until isStopping: () -> Bool) {
        makeJournalFile()
        while true {
            if !commitPending() {
                if isStopping() { return }
                signal.wait(timeoutMs: isHolding ? Self.heldRetryMs : nil)
            }
        }
    }

    /// Makes the first journal file of a new data folder, 64 MiB of zeros, while the broker begins to serve, or the next one
    /// before a commit needs it. A commit that needs it meanwhile waits for it.
    ///
    /// What a commit does not need yet refuses nobody: it is not made of the reserve, and where there is no room for it, or no
    /// descriptor, it waits for the next checkpoint.
    func makeJournalFile() {
        guard let journal, journal.fileCount == 0 || journal.wantsFile else { return }
        if let room = diskSpace.check() { journal.mayGrow.store(room > options.journalFileBytes, ordering: .relaxed) }
        guard journal.mayGrow.load(ordering: .relaxed) else { return }
        do throws(StorageError) {
            try journal.makeFileAhead(isPaced: journal.fileCount > 0) { threads.isStopping }
        } catch {
            guard error.isNoSpace || error.isNotNow, error.reach != .folder else { return backgroundFailed(error) }
            journal.putOffMaking()
            Log.warning("no journal file was made ahead", "reason", error)
        }
        // What commits may write before the next look has become less.
        diskSpace.check()
    }
}
