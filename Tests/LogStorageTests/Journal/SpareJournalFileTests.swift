import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// To make a journal file is 64 MiB of writing: no commit is to wait for it as long as somebody else can do it before.
@Suite struct SpareJournalFileTests {
    private func journal(_ store: LogStore) throws -> Journal { try #require(store.commits.journal) }

    /// A store with one partition whose journal wants its second file, and what appends and commits one more record.
    private func nodeThatWantsAFile(
        on fileSystem: any FileSystem, _ options: LogStoreOptions, valueSize: Int
    ) throws -> (LogStore, PartitionLog, Journal, @Sendable () -> Void) {
        let store = try LogStore(fileSystem: fileSystem, folder: "/data", options: options, pool: ChunkPool())
        let log = store.addPartition(
            topicID: TestStore.topicID, topicName: "t", partitionIndex: 0, settings: .small,
            leadership: .leader(in: LeaderEpoch(0)))
        _ = try store.recover(nowMs: TestStore.now)
        try store.checkpoint()
        let bytes = TestBatch(count: 1, valueSize: valueSize).bytes()
        let commit: @Sendable () -> Void = {
            let slice = bytes.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            _ = log.append(slice, origin: .broker, nowMs: TestStore.now)
            store.commitPending()
        }
        let journal = try journal(store)
        commit()
        while !journal.wantsFile { commit() }
        return (store, log, journal, commit)
    }

    @Test func theNextFileIsMadeBeforeACommitNeedsIt() throws {
        let node = try TestStore()
        try node.store.checkpoint()
        let journal = try journal(node.store)
        func commit() {
            node.append(size: 4000)
            node.store.commitPending()
        }
        commit()
        #expect(!journal.wantsFile && journal.fileCount == 1)
        while !journal.wantsFile { commit() }
        #expect(journal.fileCount == 1)
        node.store.maintain(nowMs: TestStore.now)
        #expect(journal.fileCount == 2 && journal.freeFiles == 1 && !journal.wantsFile)
        while journal.freeFiles == 1 {
            let calls = node.fileSystem.callCount
            commit()
            #expect(node.fileSystem.callCount - calls <= 2)
        }
        #expect(journal.fileCount == 2)
        #expect(try node.readAll().count > 8)
    }

    /// A store whose journal wants its second file.
    private func wanting(_ change: (inout LogStoreOptions) -> Void = { _ in }) throws -> (TestStore, Journal) {
        var options = TestStore.options
        change(&options)
        let node = try TestStore(options: options)
        try node.store.checkpoint()
        let journal = try journal(node.store)
        node.append()
        node.store.commitPending()
        while !journal.wantsFile {
            node.append(size: 4000)
            node.store.commitPending()
        }
        return (node, journal)
    }

    @Test(arguments: [(StorageError.Operation.write, ENOSPC), (.open, EMFILE), (.syncDirectory, EMFILE)])
    func oneThatCannotBeMadeRefusesNobodyAndWaitsForACheckpoint(_ operation: StorageError.Operation, _ errno: Int32)
        throws
    {
        let (node, journal) = try wanting()
        let path = operation == .syncDirectory ? "/data/journal" : "2.journal"
        node.fileSystem.inject(Fault(.fail(errno: errno), on: operation, pathContains: path, times: .max))
        node.store.maintain(nowMs: TestStore.now)
        #expect(node.store.refusal == nil && !node.store.isOffline)
        #expect(!journal.wantsFile && journal.freeFiles == 0)
        #expect(try !node.fileSystem.exists("/data/journal/2.journal"))
        // Nobody asks for it at every commit.
        _ = node.store.requests.take(.journalFile)
        node.append()
        node.store.commitPending()
        #expect(!node.store.requests.contains(.journalFile))
        node.fileSystem.removeFaults()
        try node.store.checkpoint()
        #expect(journal.wantsFile)
        node.append()
        node.store.commitPending()
        node.store.maintain(nowMs: TestStore.now)
        #expect(journal.freeFiles == 1)
    }

    @Test func noneIsMadeOfTheReserve() throws {
        let (node, journal) = try wanting { $0.reserveBytes = 256 << 10 }
        let unsettled = Int64(node.store.memory.unsettledBytes)
        let file = node.store.parts.options.journalFileBytes
        node.fileSystem.capacity = node.fileSystem.usedBytes + unsettled + (256 << 10) + file / 2
        node.store.commits.makeJournalFile()
        #expect(journal.fileCount == 1 && !journal.wantsFile)
        #expect(node.store.refusal == nil)
        // What was made counts before the next append is taken.
        node.fileSystem.capacity = node.fileSystem.usedBytes + unsettled + (256 << 10) + file + 8192
        journal.mayGrow.store(true, ordering: .relaxed)
        node.store.commits.makeJournalFile()
        #expect(journal.fileCount == 2)
        #expect(try node.store.diskSpace.freeBytes == Int(node.fileSystem.freeBytes("/data").free))
    }

    @Test func aStopDoesNotWaitForIt() throws {
        let (node, journal) = try wanting()
        try journal.makeFileAhead(isPaced: true) { true }
        #expect(journal.fileCount == 1)
        #expect(try !node.fileSystem.exists("/data/journal/2.journal"))
    }

    @Test func itIsMadeWithoutRestsOnceACommitWaitsForIt() throws {
        let disk = SimulatedFileSystem()
        let stalling = StallingFileSystem(disk)
        var options = LogStoreOptions.small(frameBytes: 1 << 20)
        options.writeThroughRunBytes = 512 << 10
        let (store, log, journal, commit) = try nodeThatWantsAFile(on: stalling, options, valueSize: 400_000)
        stalling.stall([.write], pathContains: "2.journal")
        let maker = Thread(name: "maker") { store.commits.makeJournalFile() }
        while stalling.waitingCalls == 0 { MonotonicClock.sleep(milliseconds: 1) }
        let committer = Thread(name: "committer") { while journal.fileCount == 1 { commit() } }
        while !journal.isAwaited { MonotonicClock.sleep(milliseconds: 1) }
        stalling.release()
        maker.join()
        committer.join()
        let made = disk.operations.filter { $0.operation == .write && $0.path.hasSuffix("2.journal") }
        // The first piece, during which the commit came, and the rest by the megabyte.
        #expect(made.prefix(3).map(\.length) == [128 << 10, 1 << 20, 1 << 20])
        #expect(!store.isOffline && log.highWatermark == log.logEndOffset)
    }

    @Test func noMoreAreMadeThanThereMayBe() throws {
        let node = try TestStore()
        try node.store.checkpoint()
        let journal = try journal(node.store)
        for _ in 0..<200 {
            node.append(size: 4000)
            node.store.commitPending()
            node.store.commits.makeJournalFile()
        }
        #expect(journal.fileCount == Journal.maxFiles && !journal.wantsFile)
    }

    @Test func whoNeedsAFileWaitsForTheOneThatIsBeingMade() throws {
        let disk = StallingFileSystem(SimulatedFileSystem())
        let (store, log, journal, commit) = try nodeThatWantsAFile(on: disk, .small(), valueSize: 4000)
        disk.stall([.write], pathContains: "2.journal")
        let maker = Thread(name: "maker") { store.commits.makeJournalFile() }
        while disk.waitingCalls == 0 { MonotonicClock.sleep(milliseconds: 1) }
        // What fits into the file in use is not held up.
        let before = store.durableTicket
        commit()
        #expect(store.durableTicket > before)
        let committer = Thread(name: "committer") { for _ in 0..<8 { commit() } }
        disk.release()
        maker.join()
        committer.join()
        #expect(journal.fileCount == 2 && !store.isOffline)
        #expect(log.highWatermark == log.logEndOffset)
    }
}
