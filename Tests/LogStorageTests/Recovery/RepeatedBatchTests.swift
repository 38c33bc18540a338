import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Testing

@testable import LogStorage

/// The repeat of an idempotent batch is acknowledged by what is on disk, never by memory or the page cache alone: after a sync
/// that failed, in the process that met it and in the next one.
@Suite struct RepeatedBatchTests {
    private let now = TestStore.now

    /// How a batch becomes durable, and whose sync fails.
    enum Road: CaseIterable {
        case journal, segment

        var valueSize: Int { self == .journal ? 100 : 9000 }
        var path: String { self == .journal ? "/journal/" : "/t-0." }
    }

    private func batch(_ road: Road) -> TestBatch {
        var batch = TestBatch(count: 1, valueSize: road.valueSize)
        (batch.producerID, batch.producerEpoch, batch.baseSequence) = (7, 0, 0)
        return batch
    }

    private func append(_ road: Road, to store: TestStore) -> Result<AppendReceipt, AppendRefusal> {
        let slice = batch(road).bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        return store.log.append(slice, origin: .client, nowMs: now)
    }

    /// A broker with one batch at offset 5 whose sync has failed: nobody was told of it, and readers of the file see it.
    private func failed(_ road: Road, seed: UInt64 = 1) throws -> TestStore {
        let store = try TestStore(SimulatedFileSystem(seed: seed))
        for _ in 0..<5 { store.append() }
        try store.checkpoint()
        let first = try append(road, to: store).get()
        let repeated = try append(road, to: store).get()
        #expect(repeated.isDuplicate && repeated.ticket == first.ticket && first.ticket > 0)
        store.fileSystem.inject(Fault(.fail(errno: EIO), on: .sync, pathContains: road.path))
        store.store.commitPending()
        #expect(store.store.isOffline && store.store.durableTicket < first.ticket)
        return store
    }

    /// Acknowledges the repeat, and cuts the power.
    private func expectDurable(_ road: Road, _ store: TestStore) throws {
        let repeated = try append(road, to: store).get()
        #expect(repeated.isDuplicate && repeated.ticket == 0 && repeated.baseOffset == Offset(5))
        store.fileSystem.dropCaches()
        try store.crash(keeping: .nothing)
        #expect(store.summary.damage.isEmpty)
        #expect(try store.readAll() == Array(0..<6))
    }

    @Test(arguments: Road.allCases) func afterAFailedSyncItIsRefused(_ road: Road) throws {
        let store = try failed(road)
        guard case .failure(let refusal) = append(road, to: store) else {
            Issue.record("acknowledged from memory")
            return
        }
        #expect(refusal.code == .kafkaStorageError)
    }

    @Test(arguments: Road.allCases) func whatTheNextProcessAcknowledgesIsOnDisk(_ road: Road) throws {
        for seed in UInt64(1)...10 {
            let store = try failed(road, seed: seed)
            try store.kill()
            try expectDurable(road, store)
        }
    }

    /// A file system that writes to a new place what is overwritten has no room for it.
    private func fillUp(_ disk: SimulatedFileSystem, _ road: Road) {
        disk.capacity = disk.usedBytes
        disk.inject(Fault(.fail(errno: ENOSPC), on: .write, pathContains: road.path, times: .max))
    }

    @Test func aStartThatCannotMakeTheJournalDurableIsRefused() throws {
        for seed in UInt64(1)...10 {
            let store = try failed(.journal, seed: seed)
            let error = storageError { try store.kill { fillUp($0, .journal) } }
            #expect(error?.kind == .noRoomToRewrite(errno: ENOSPC))
            #expect(error?.description.contains("free space on this file system, then start the broker") == true)
            try store.kill { $0.capacity = nil }
            try expectDurable(.journal, store)
        }
    }

    @Test func aSegmentThatCannotBeMadeDurableIsNotServed() throws {
        for seed in UInt64(1)...10 {
            let store = try failed(.segment, seed: seed)
            try store.kill { fillUp($0, .segment) }
            #expect(store.store.faults.map(\.partition) == ["t-0"])
            guard case .failure = append(.segment, to: store) else {
                Issue.record("acknowledged from the page cache")
                return
            }
            store.fileSystem.capacity = nil
            store.fileSystem.removeFaults()
            store.store.diskSpace.check()
            // First the checkpoint that the start had to put off.
            for round in Int64(2)...3 { store.store.maintain(nowMs: now + round * PartitionLog.reopenMs) }
            #expect(store.store.faults.isEmpty)
            try expectDurable(.segment, store)
        }
    }
}
