import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO
import Testing

@testable import LogStorage

/// To make a journal file is 64 MiB of writing: no commit is to wait for it as long as somebody else can do it before.
@Suite struct SpareJournalFileTests {
    private func journal(_ store: LogStore) throws -> Journal { try #require(store.commits.journal) }

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
        let store = try LogStore(fileSystem: disk, folder: "/data", options: .small(), pool: ChunkPool())
        let log = store.addPartition(
            topicID: TestStore.topicID, topicName: "t", partitionIndex: 0, settings: .small,
            leadership: .leader(in: LeaderEpoch(0)))
        _ = try store.recover(nowMs: TestStore.now)
        try store.checkpoint()
        let bytes = TestBatch(count: 1, valueSize: 4000).bytes()
        let commit: @Sendable () -> Void = {
            let slice = bytes.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            _ = log.append(slice, origin: .broker, nowMs: TestStore.now)
            store.commitPending()
        }
        let journal = try journal(store)
        commit()
        while !journal.wantsFile { commit() }
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
