import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// What is found out about a partition after it was deleted is told to nobody: it would stand on the store's lists for ever.
@Suite struct DeletedPartitionTests {
    private let now = TestStore.now
    private static let own = "/t-0."

    private let error = StorageError(.io(errno: EACCES), .open, path: "/data")
    private let damage = DamagedRange(
        segmentBase: 0, startPosition: 0, endPosition: 10, baseOffset: 0, endOffset: 1, reason: "a test")

    private func expectNothing(_ store: LogStore, _ log: PartitionLog) {
        #expect(store.faults.isEmpty && store.damage.isEmpty)
        #expect(store.registry.faulted.isEmpty && store.registry.damaged.isEmpty)
        #expect(!store.registry.dirty.contains { $0 === log })
        #expect(store.commits.stuckCount == 0)
        #expect(store.memory.unsettledBytes == 0)
        #expect(store.producerLimit.count == 0)
        #expect(store.handles.count == 0)
    }

    @Test func itDoesNotGetOnAListAgain() throws {
        let store = try TestStore()
        store.append()
        try store.checkpoint()
        try store.store.removePartition(store.log)
        store.log.recordFault(error, nowMs: now)
        store.log.becomeStuck(error, nowMs: now)
        store.log.recordDamage([damage])
        store.log.quarantineEnd("a test")
        store.log.markDirty()
        try store.log.reopen(nowMs: now + 60_000)
        expectNothing(store.store, store.log)
        guard case .failure(let refusal) = store.log.deleteRecords(before: Offset(-1)) else {
            Issue.record("records of a deleted partition were deleted")
            return
        }
        #expect(refusal.code == .unknownTopicOrPartition)
        try store.store.stop()
    }

    /// Nor is it kept for what readers may have wanted of it.
    @Test func nobodyKeepsItForItsReaders() throws {
        let fileSystem = SimulatedFileSystem()
        var options = TestStore.options
        options.cacheBytes = 1 << 20
        let store = try LogStore(fileSystem: fileSystem, folder: "/data", options: options, pool: ChunkPool())
        weak var deleted: PartitionLog?
        do {
            let log = store.addPartition(
                topicID: TestStore.topicID, topicName: "t", partitionIndex: 0, settings: TestStore.settings,
                leadership: .leader(in: LeaderEpoch(0)))
            _ = try store.recover(nowMs: now)
            deleted = log
            // Somebody follows it, so its records stay in memory when their file has them.
            _ = try log.read(from: Offset(0), maxBytes: 1 << 20).get()
            let slice = TestBatch(count: 1).bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            _ = try log.append(slice, origin: .client, nowMs: now).get()
            store.commitPending()
            try store.checkpoint()
            #expect(log.state.withLock { $0.tail.count } == 1)
            try store.removePartition(log)
        }
        #expect(deleted == nil)
        try store.stop()
    }

    /// A store on a disk that waits on demand.
    private func stalling(
        _ disk: SimulatedFileSystem
    ) throws -> (store: LogStore, log: PartitionLog, files: StallingFileSystem) {
        let files = StallingFileSystem(disk)
        let store = try LogStore(fileSystem: files, folder: "/data", options: TestStore.options)
        let log = store.addPartition(
            topicID: TestStore.topicID, topicName: "t", partitionIndex: 0, settings: TestStore.settings,
            leadership: .leader(in: LeaderEpoch(0)))
        _ = try store.recover(nowMs: now)
        return (store, log, files)
    }

    /// Lets `background` come to a call that waits, deletes the partition meanwhile, and ends both.
    private func deleteDuring(
        _ operation: StorageError.Operation, _ store: LogStore, _ log: PartitionLog, _ files: StallingFileSystem,
        _ disk: SimulatedFileSystem, _ background: @escaping @Sendable () -> Void
    ) {
        files.stall([operation], pathContains: Self.own)
        let worker = Thread(name: "worker") { background() }
        while files.waitingCalls == 0 { sched_yield() }
        let deletion = Thread(name: "deletion") { try? store.removePartition(log) }
        while log.state.withLock({ !$0.isDeleted }) { sched_yield() }
        // A deletion that does not wait for the other has the time to end.
        for _ in 0..<100 where (try? disk.exists("/data/partitions/\(log.folderName)")) == true { usleep(1000) }
        files.release()
        worker.join()
        deletion.join()
    }

    @Test func aStuckOneIsCountedOffOnce() throws {
        let disk = SimulatedFileSystem()
        let (store, log, files) = try stalling(disk)
        disk.inject(Fault(.fail(errno: EACCES), on: .createDirectory, pathContains: Self.own, times: .max))
        let slice = TestBatch(count: 1, valueSize: 40_000).bytes().withUnsafeBytes {
            ChunkPool.shared.slice(copying: $0)
        }
        _ = try log.append(slice, origin: .client, nowMs: now).get()
        store.commitPending()
        try #require(store.commits.stuckCount == 1)
        disk.removeFaults()
        let now = now
        deleteDuring(.write, store, log, files, disk) { store.maintain(nowMs: now + 2000) }
        expectNothing(store, log)
    }

    @Test(arguments: [false, true])
    func oneThatIsBeingOpenedAgainGoesWithWhatWasFound(hasJournaled: Bool) throws {
        let first = try TestStore()
        var batch = TestBatch(count: 1)
        (batch.producerID, batch.producerEpoch, batch.baseSequence) = (7, 0, 0)
        _ = first.append(batch)
        try first.checkpoint()
        if hasJournaled {
            first.append()
            first.store.commitPending()
        }
        let disk = first.fileSystem.crash(keeping: .nothing)
        disk.inject(Fault(.fail(errno: EACCES), on: .list, pathContains: Self.own, times: .max))
        let (store, log, files) = try stalling(disk)
        try #require(store.faults.count == 1)
        disk.removeFaults()
        let now = now
        deleteDuring(.list, store, log, files, disk) { store.maintain(nowMs: now + 60_000) }
        expectNothing(store, log)
    }
}
