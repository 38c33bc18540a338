import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// What one partition's files refuse concerns that partition alone: the rows of the table in the article on faults.
@Suite struct PartitionFaultTests {
    private let now = TestStore.now
    /// A part of every path of the partition that fails.
    private static let own = "/t-0."

    /// The partition that fails (`log` of the store) and one beside it.
    private struct Pair {
        let store: TestStore
        var other: PartitionLog

        init(_ disk: SimulatedFileSystem = SimulatedFileSystem(), options: LogStoreOptions = TestStore.options) throws {
            store = try TestStore(disk, options: options, neighbours: ["u"])
            other = store.neighbours[0]
        }

        var log: PartitionLog { store.log }
        var disk: SimulatedFileSystem { store.fileSystem }

        mutating func crash(_ damage: (SimulatedFileSystem) -> Void = { _ in }) throws {
            try store.crash { damage($0) }
            other = store.neighbours[0]
        }

        func append(to log: PartitionLog, size: Int = 100) -> Result<AppendReceipt, AppendRefusal> {
            let slice = TestBatch(count: 1, valueSize: size).bytes().withUnsafeBytes {
                ChunkPool.shared.slice(copying: $0)
            }
            return log.append(slice, origin: .client, nowMs: TestStore.now)
        }

        /// Appends to both and commits.
        func appendBoth(_ count: Int = 1) throws {
            for _ in 0..<count {
                _ = try append(to: log).get()
                _ = try append(to: other).get()
                store.store.commitPending()
            }
        }

        func end(_ log: PartitionLog) throws -> Int64? {
            var end: Int64?
            var offset = log.logStartOffset
            while let next = try log.read(from: offset, maxBytes: 1 << 20).get().endOffset {
                (end, offset) = (next.rawValue, next)
            }
            return end
        }

        /// The other partition writes, and checkpoints are made, until every journal file has been used again.
        func useUpJournal() throws {
            for _ in 0..<12 {
                for _ in 0..<8 {
                    _ = try append(to: other, size: 3000).get()
                    store.store.commitPending()
                }
                try store.store.checkpoint()
            }
        }
    }

    private static let ownFailures: [(StorageError.Operation, Int32)] = [
        (.createDirectory, ENAMETOOLONG), (.createDirectory, EACCES), (.createDirectory, EROFS),
        (.open, EACCES), (.open, ENOENT), (.open, ENOTDIR), (.open, EIO), (.open, EPERM), (.open, ELOOP),
        (.write, EIO), (.write, EFBIG), (.write, EPERM),
    ]

    @Test(arguments: ownFailures.indices)
    func whatWriteBehindMeetsStaysInTheJournal(_ row: Int) throws {
        let (operation, errno) = Self.ownFailures[row]
        var pair = try Pair()
        pair.disk.inject(Fault(.fail(errno: errno), on: operation, pathContains: Self.own, times: .max))
        try pair.appendBoth(3)
        pair.store.store.maintain(nowMs: now)
        #expect(!pair.store.store.isOffline)
        #expect(pair.store.store.faults.map(\.partition) == ["t-0"])
        // It alone is refused, with the reason.
        guard case .failure(let refusal) = pair.append(to: pair.log) else {
            Issue.record("taken")
            return
        }
        #expect(refusal.code == .kafkaStorageError)
        #expect(refusal.message.contains("t-0") && refusal.message.contains("errno \(errno)"))
        #expect(try pair.end(pair.log) == 3, "what was taken is readable")
        try pair.useUpJournal()
        #expect(try pair.end(pair.log) == 3)
        // The power fails; what the journal let go of long ago was carried.
        try pair.crash()
        #expect(try pair.end(pair.log) == 3)
        #expect(pair.store.summary.damage.isEmpty && pair.store.store.faults.isEmpty)
        _ = try pair.append(to: pair.log).get()
    }

    @Test func itGoesOnByItselfWhenTheCauseIsGone() throws {
        var pair = try Pair()
        pair.disk.inject(Fault(.fail(errno: EACCES), on: .open, pathContains: Self.own, times: .max))
        try pair.appendBoth(2)
        pair.store.store.maintain(nowMs: now)
        #expect(pair.store.store.faults.count == 1)
        let calls = pair.disk.callCount
        pair.store.store.requests.add(.writeBehind)
        pair.store.store.maintain(nowMs: now + PartitionFault.retryMs - 1)
        #expect(!pair.disk.operations.contains { $0.index >= calls && $0.path.contains(Self.own) }, "not due yet")
        pair.disk.removeFaults()
        pair.store.store.maintain(nowMs: now + 2 * PartitionFault.retryMs)
        #expect(pair.store.store.faults.isEmpty)
        try pair.appendBoth(2)
        try pair.store.checkpoint()
        try pair.crash()
        #expect(try pair.end(pair.log) == 4)
    }

    /// The journal stays as small as it is while a partition fails for long.
    @Test func whatIsCarriedDoesNotMakeTheJournalGrow() throws {
        let pair = try Pair()
        pair.disk.inject(Fault(.fail(errno: EACCES), on: .open, pathContains: Self.own, times: .max))
        try pair.appendBoth(40)
        pair.store.store.maintain(nowMs: now)
        for _ in 0..<5 { try pair.useUpJournal() }
        let files = try pair.disk.list("/data/journal").count
        #expect(files <= 2 * Journal.maxFiles)
        #expect(try pair.end(pair.log) == 40)
    }

    /// Records that DeleteRecords removed do not come back with the carried ones.
    @Test func theLogsStartIsCarried() throws {
        var pair = try Pair()
        pair.disk.inject(Fault(.fail(errno: EACCES), on: .open, pathContains: Self.own, times: .max))
        try pair.appendBoth(5)
        pair.store.store.maintain(nowMs: now)
        _ = try pair.log.deleteRecords(before: Offset(3)).get()
        pair.store.store.commitPending()
        try pair.useUpJournal()
        try pair.crash()
        #expect(pair.log.logStartOffset == Offset(3))
        #expect(try pair.end(pair.log) == 5)
    }

    /// What write behind had put into the segment before it failed is synced, as the journal lets it go.
    @Test func whatIsInTheSegmentAlreadyIsSynced() throws {
        var pair = try Pair()
        try pair.appendBoth(3)
        pair.store.store.maintain(nowMs: now)
        pair.disk.inject(Fault(.fail(errno: EIO), on: .write, pathContains: Self.own, times: .max))
        try pair.appendBoth(3)
        try pair.useUpJournal()
        #expect(pair.store.store.faults.count == 1)
        try pair.crash()
        #expect(try pair.end(pair.log) == 6)
    }

    // MARK: Written through

    @Test func aLongRunWhoseFileFailsGoesThroughTheJournal() throws {
        var pair = try Pair()
        pair.disk.inject(Fault(.fail(errno: EMFILE), on: .open, pathContains: Self.own, times: .max))
        let receipt = try pair.append(to: pair.log, size: 9000).get()
        pair.store.store.commitPending()
        #expect(pair.store.store.durableTicket == receipt.ticket)
        #expect(try pair.end(pair.log) == 1)
        try pair.crash()
        #expect(try pair.end(pair.log) == 1)
    }

    /// A batch larger than a journal frame has no other road: its commit's ticket fails, and nobody else notices.
    @Test func aBatchThatNothingTakesFailsItsTicketAlone() throws {
        for comesBack in [true, false] {
            let flushed = Lock<[Bool]>([])
            var pair = try Pair()
            let logs = [pair.log, pair.other]
            let heard = HeardCommits { flushed.withLock { $0 = logs.map { $0.isFlushed(Offset(1)) } } }
            pair.store.store.observe(heard)
            try pair.appendBoth(1)
            try pair.store.checkpoint()
            pair.log.state.withLock { $0.segments[0].closeFile() }
            pair.disk.inject(Fault(.fail(errno: EACCES), on: .open, pathContains: Self.own, times: .max))
            let large = try pair.append(to: pair.log, size: 40_000).get()
            _ = try pair.append(to: pair.other).get()
            pair.store.store.commitPending()
            #expect(!pair.store.store.isOffline)
            #expect(heard.failed == [large.ticket...large.ticket])
            #expect(
                flushed.withLock { $0 } == [false, true], "who hears of the failure sees what is on disk all the same")
            #expect(pair.log.highWatermark == Offset(1), "nobody sees it")
            #expect(try pair.end(pair.other) == 2)
            #expect(pair.append(to: pair.log).isRefused)
            let next = try pair.append(to: pair.other).get()
            pair.store.store.commitPending()
            #expect(pair.store.store.durableTicket == next.ticket && heard.failed.count == 1)
            try pair.store.checkpoint()
            if comesBack {
                pair.disk.removeFaults()
                pair.store.store.maintain(nowMs: now + 2000)
                #expect(pair.log.highWatermark == Offset(2) && !pair.append(to: pair.log).isRefused)
                pair.store.store.commitPending()
                try pair.crash()
                #expect(try pair.end(pair.log) == 3)
            } else {
                try pair.crash()
                #expect(try pair.end(pair.log) == 1, "it was not acknowledged")
            }
            #expect(pair.store.summary.damage.isEmpty)
            #expect(try pair.end(pair.other) == 3)
        }
    }

    /// An append that was queued behind one that got stuck goes the same way.
    @Test func whatIsQueuedBehindItIsLeftOutToo() throws {
        let heard = HeardCommits()
        var pair = try Pair()
        pair.store.store.observe(heard)
        pair.disk.inject(Fault(.fail(errno: EACCES), on: .createDirectory, pathContains: Self.own, times: .max))
        _ = try pair.append(to: pair.log, size: 40_000).get()
        // The commit takes the queue first; this one comes while it writes.
        let commits = pair.store.store.commits
        var spare = CommitBatch()
        let found = commits.queue.take(&spare) { _, _ in true }
        let taken = try #require(found)
        let second = try pair.append(to: pair.log).get()
        var commit = taken
        try commits.committer.withLock { committer in
            let writtenThrough = try commits.write(&commit, &committer)
            commits.publish(commit, writtenThrough: writtenThrough)
        }
        pair.store.store.commitPending()
        #expect(heard.failed == [taken.ticket...taken.ticket, second.ticket...second.ticket])
        #expect(pair.log.highWatermark == Offset(0))
        try pair.crash()
        #expect(pair.log.highWatermark == Offset(0) && pair.store.summary.damage.isEmpty)
    }

    /// A write behind that began before the commit got stuck ends after it, and worked. What is in memory alone is still
    /// told to nobody: the ticket of a repeat would be one that was published long ago.
    @Test func aRepeatOfWhatIsStuckIsRefused() throws {
        let pair = try Pair()
        try pair.appendBoth(1)
        pair.disk.inject(Fault(.fail(errno: EACCES), on: .createDirectory, pathContains: Self.own, times: .max))
        var batch = TestBatch(count: 1, valueSize: 40_000)
        (batch.producerID, batch.producerEpoch, batch.baseSequence) = (7, 0, 0)
        let slice = { batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) } }
        _ = try pair.log.append(slice(), origin: .client, nowMs: now).get()
        pair.store.store.commitPending()
        pair.log.clearFault()
        #expect(pair.log.append(slice(), origin: .client, nowMs: now).isRefused)
        #expect(pair.store.store.faults.map(\.partition) == ["t-0"])
        pair.disk.removeFaults()
        pair.store.store.maintain(nowMs: now + 2000)
        let repeated = try pair.log.append(slice(), origin: .client, nowMs: now).get()
        #expect(repeated.isDuplicate && repeated.ticket == 0)
        #expect(pair.store.store.faults.isEmpty && pair.log.highWatermark == Offset(2))
    }

    // MARK: What is final

    @Test(arguments: [StorageError.Operation.sync, .write], ["/t-0.", "/journal/"])
    func whatMayHaveLostWrittenDataIsFinal(_ operation: StorageError.Operation, _ path: String) throws {
        var options = TestStore.options
        options.direct = true
        let pair = try Pair(options: options)
        pair.disk.inject(Fault(.fail(errno: EIO), on: operation, pathContains: path, times: .max))
        // A long run for the segment, a short one for the journal.
        _ = try pair.append(to: pair.log, size: 9000).get()
        _ = try pair.append(to: pair.other).get()
        pair.store.store.commitPending()
        #expect(pair.store.store.isOffline)
    }

    // MARK: The start

    private static let startFailures: [(StorageError.Operation, String, Int32)] = [
        (.list, own, EACCES), (.list, own, EIO), (.size, ".log", EACCES), (.open, ".log", EACCES),
        (.open, ".log", EMFILE), (.read, ".log", EIO), (.truncate, ".log", EPERM), (.sync, ".log", EIO),
        (.open, "quarantine", EACCES), (.exists, own, EIO), (.exists, "quarantine", EIO), (.exists, own, ENOMEM),
    ]

    @Test(arguments: startFailures.indices)
    func aPartitionThatCannotBeOpenedIsSetAside(_ row: Int) throws {
        let (operation, part, errno) = Self.startFailures[row]
        var pair = try Pair()
        try pair.appendBoth(3)
        try pair.store.checkpoint()
        // In the segment behind the checkpoint, with a torn end, and in the journal alone.
        try pair.appendBoth(2)
        pair.store.store.maintain(nowMs: now)
        let path = pair.store.path("00000000000000000000.log")
        let file = try pair.disk.open(path, .readWrite(create: false))
        try file.write([1, 2, 3], at: try file.size())
        try file.sync()
        file.close()
        if part == "quarantine" {
            try pair.disk.writeAtomically(pair.store.path("quarantine"), Quarantine().encode())
        }
        try pair.appendBoth(2)
        // The neighbour's files have the same names.
        let place = part == Self.own ? part : "\(pair.store.folder)/" + (part == ".log" ? "0" : part)
        let isOwn = { (disk: SimulatedFileSystem) in
            disk.inject(Fault(.fail(errno: errno), on: operation, pathContains: place, times: .max))
        }
        for _ in 0..<3 {
            try pair.crash(isOwn)
            #expect(pair.store.store.faults.map(\.partition) == ["t-0"])
            #expect(pair.store.summary.faults.count == 1)
            #expect(try pair.end(pair.other) == 7, "its neighbour is served")
            #expect(pair.append(to: pair.log).isRefused && pair.log.unavailability != nil)
            // Refused, and not out of range: a consumer would go back to the log's start.
            for offset in [0, 7, 100] as [Int64] {
                guard case .failure(.storage) = pair.log.read(from: Offset(offset), maxBytes: 1000) else {
                    Issue.record("read at \(offset)")
                    return
                }
            }
        }
        try pair.useUpJournal()
        let written = pair.other.highWatermark.rawValue
        // Tried again while the broker runs, with what the journal had.
        pair.store.store.maintain(nowMs: now + PartitionLog.reopenMs - 1)
        #expect(pair.log.unavailability != nil)
        pair.disk.removeFaults()
        pair.store.store.maintain(nowMs: now + 2 * PartitionLog.reopenMs)
        #expect(pair.store.store.faults.isEmpty)
        #expect(try pair.end(pair.log) == 7)
        _ = try pair.append(to: pair.log).get()
        try pair.store.checkpoint()
        try pair.crash()
        #expect(try pair.end(pair.log) == 8)
        #expect(pair.store.summary.damage.isEmpty && pair.other.highWatermark.rawValue == written)
    }

    /// An orderly stop does not call the folder clean while the journal holds something.
    @Test func aStopWithAFaultKeepsTheJournal() throws {
        let pair = try Pair()
        pair.disk.inject(Fault(.fail(errno: EACCES), on: .open, pathContains: Self.own, times: .max))
        try pair.appendBoth(3)
        try pair.store.store.stop()
        pair.disk.removeFaults()
        try pair.store.reopen()
        #expect(!pair.store.summary.wasClean)
        #expect(try pair.store.readAll() == [0, 1, 2])
    }

    @Test(arguments: [true, false])
    func aPartitionThatFailsCanBeDeleted(_ isUnopened: Bool) throws {
        var pair = try Pair()
        let inject = { (disk: SimulatedFileSystem) in
            disk.inject(
                Fault(.fail(errno: EACCES), on: isUnopened ? .list : .open, pathContains: Self.own, times: .max))
        }
        try pair.appendBoth(3)
        if isUnopened {
            try pair.store.checkpoint()
            try pair.crash(inject)
        } else {
            inject(pair.disk)
            pair.store.store.maintain(nowMs: now)
        }
        #expect(pair.store.store.faults.count == 1)
        // Its folder may be what cannot be read: then it is the next start's.
        _ = storageError { try pair.store.store.removePartition(pair.log) }
        #expect(pair.store.store.faults.isEmpty)
        try pair.useUpJournal()
        #expect(!pair.store.store.isOffline)
        try pair.store.store.stop()
    }
}

extension Result {
    fileprivate var isRefused: Bool { if case .failure = self { true } else { false } }
}

/// What a store tells of its commits.
final class HeardCommits: CommitObserver {
    private let ranges = Lock<[ClosedRange<UInt64>]>([])
    var failed: [ClosedRange<UInt64>] { ranges.withLock { $0 } }

    /// Called when a commit has failed.
    private let whenFailed: @Sendable () -> Void

    init(whenFailed: @escaping @Sendable () -> Void = {}) { self.whenFailed = whenFailed }

    private let waiters = Lock<[ReadWaiter]>([])
    var woken: [ReadWaiter] { waiters.withLock { $0 } }

    func committed(through ticket: UInt64, woken: [ReadWaiter]) { waiters.withLock { $0 += woken } }

    func commitFailed(from first: UInt64, through last: UInt64, woken: [ReadWaiter]) {
        waiters.withLock { $0 += woken }
        ranges.withLock { $0.append(first...last) }
        whenFailed()
    }
}
