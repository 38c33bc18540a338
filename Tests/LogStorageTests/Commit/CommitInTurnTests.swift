import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// What an event loop commits itself at the end of its turn, and what it leaves to the committing thread: it must not make a
/// journal file, 64 MiB of zeros, while its connections wait.
@Suite struct CommitInTurnTests {
    /// A machine that is busy makes commits slow, which is a reason of its own to leave them.
    private func takeCommitsForQuick(_ store: TestStore) {
        for _ in 0..<200 { store.store.commits.times.record(1, bytes: 1) }
    }

    /// Ends a turn with a log start alone in the queue, which has no bytes and needs the journal all the same.
    private func expectLeftToTheCommittingThread(_ store: TestStore) throws {
        takeCommitsForQuick(store)
        _ = try store.log.deleteRecords(before: Offset(1)).get()
        let calls = store.fileSystem.callCount
        store.store.commitInTurn()
        #expect(store.fileSystem.callCount == calls, "the loop has called the file system")
        #expect(store.store.wantsCommit)
        #expect(store.store.commits.signal.take(), "the committing thread is woken")
        // Which does it.
        #expect(store.store.commitPending())
        try store.crash()
        #expect(store.log.logStartOffset == Offset(1))
    }

    /// A log start is journaled even while a put-off first checkpoint leaves batches no room in the journal.
    @Test func aLogStartBeforeTheFirstCheckpointMakesNoFile() throws {
        let store = try TestStore()
        for _ in 0..<3 { store.append() }
        store.store.commitPending()
        try store.crash(keeping: .nothing) { disk in
            disk.inject(Fault(.fail(errno: EMFILE), on: .open, pathContains: "/checkpoint.tmp", times: .max))
        }
        #expect(store.store.statistics.checkpoints.load(ordering: .relaxed) == 0)
        try expectLeftToTheCommittingThread(store)
    }

    @Test func aLogStartWithoutAFileInUseMakesNone() throws {
        let store = try TestStore()
        // A long run needs no journal.
        store.append(count: 3, size: 6000)
        store.store.commitPending()
        #expect(store.store.commits.journal?.fileCount == 0)
        try expectLeftToTheCommittingThread(store)
    }

    /// Log starts take room in the journal like any other entry.
    @Test func moreLogStartsThanTheFileTakesAreLeft() throws {
        let store = try TestStore()
        for _ in 0..<3 { store.append() }
        store.store.commitPending()
        let room = try #require(store.store.commits.journal).roomAtOnce
        for _ in 0...room / JournalFormat.entryHeaderSize {
            _ = store.store.commits.queue.add(logStart: 0, of: store.log, truncations: 0)
        }
        try expectLeftToTheCommittingThread(store)
    }

    @Test func beforeRecoveryNothingIsCommitted() throws {
        let store = try LogStore(fileSystem: SimulatedFileSystem(), folder: "/data", options: TestStore.options)
        let log = store.addPartition(
            topicID: TestStore.topicID, topicName: "t", partitionIndex: 0, settings: TestStore.settings,
            leadership: .leader(in: LeaderEpoch(0)))
        _ = store.commits.queue.add(logStart: 1, of: log, truncations: 0)
        store.commitInTurn()
        #expect(store.wantsCommit)
        #expect(store.commits.signal.take())
    }

    @Test func whatTheFileInUseTakesIsCommittedByTheLoop() throws {
        let store = try TestStore()
        for _ in 0..<3 { store.append() }
        store.store.commitPending()
        let (_, ticket) = try store.log.deleteRecords(before: Offset(1)).get()
        takeCommitsForQuick(store)
        store.store.commitInTurn()
        #expect(store.store.durableTicket == ticket)
        #expect(!store.store.commits.signal.take())
    }
}
