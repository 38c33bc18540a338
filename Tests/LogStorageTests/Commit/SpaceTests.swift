import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// A full disk costs nothing that was acknowledged, and is over when there is room again.
@Suite struct SpaceTests {
    private func options(reserve: Int64) -> LogStoreOptions {
        var options = TestStore.options
        options.reserveBytes = reserve
        return options
    }

    private func refusal(_ store: TestStore, origin: PartitionLog.Origin = .client) -> AppendRefusal? {
        let slice = TestBatch(count: 1, valueSize: 50).bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        guard case .failure(let refusal) = store.log.append(slice, origin: origin, nowMs: TestStore.now) else {
            return nil
        }
        return refusal
    }

    @Test func belowTheReserveOnlyClientsAppendsAreRefused() throws {
        let disk = SimulatedFileSystem()
        let store = try TestStore(disk, options: options(reserve: 256 << 10))
        store.append()
        store.store.commitPending()
        disk.capacity = disk.usedBytes + (200 << 10)
        store.store.maintain(nowMs: TestStore.now)
        let refused = try #require(refusal(store))
        #expect(refused.code == .kafkaStorageError && refused.isDiskFull)
        let free = try disk.freeBytes("/data").free
        #expect(refused.message.contains("\(free) bytes free, less than the reserve of \(256 << 10) bytes"))
        // The broker's own records, reads and deletes go on.
        #expect(refusal(store, origin: .broker) == nil)
        store.store.commitPending()
        #expect(try store.readAll() == [0, 1])
        _ = try store.log.deleteRecords(before: Offset(1)).get()
        store.store.commitPending()
        #expect(store.log.logStartOffset == Offset(1))
        // Above the reserve, with an eighth to spare, it goes on by itself.
        disk.capacity = disk.usedBytes + (280 << 10)
        store.store.maintain(nowMs: TestStore.now + 2000)
        #expect(refusal(store) != nil)
        disk.capacity = nil
        store.store.maintain(nowMs: TestStore.now + 4000)
        #expect(refusal(store) == nil)
    }

    /// Between two looks by the clock a fast writer could use up everything: bytes count, too.
    @Test func theReserveIsKeptWithoutTheClock() throws {
        let disk = SimulatedFileSystem()
        let reserve: Int64 = 8 << 20
        let store = try TestStore(disk, options: options(reserve: reserve))
        disk.capacity = disk.usedBytes + (24 << 20)
        store.store.maintain(nowMs: TestStore.now)
        var written: Int64 = 0
        while refusal(store) == nil, written < 64 << 20 {
            store.append(count: 1, size: 512 << 10)
            store.store.commitPending()
            written += 512 << 10
        }
        let free = try disk.freeBytes("/data").free
        // What was committed since the last look, and the journal, may lie below it.
        #expect(free > reserve / 2, "\(free) bytes are left of a reserve of \(reserve)")
        #expect(!store.store.isOffline)
    }

    /// Write behind will take that room, and nobody gives it back.
    @Test func whatOnlyTheJournalHoldsCountsAsUsed() throws {
        let disk = SimulatedFileSystem()
        let reserve: Int64 = 256 << 10
        let store = try TestStore(disk, options: options(reserve: reserve))
        // No more than the journal takes: what does not fit into it is written to the segment at once.
        for _ in 0..<40 {
            store.append(size: 900)
            store.store.commitPending()
        }
        let owed = Int64(store.store.memory.unsettledBytes)
        #expect(owed > 36_000)
        disk.capacity = disk.usedBytes + reserve + owed / 2
        store.store.diskSpace.check()
        let refused = try #require(refusal(store))
        #expect(refused.message.contains("\(owed) of them for what only the journal has"))
        // The segments have it, and as much is free as before: the same answer.
        store.store.maintain(nowMs: TestStore.now + 2000)
        #expect(store.store.memory.unsettledBytes == 0)
        #expect(try disk.freeBytes("/data").free < reserve)
        #expect(refusal(store) != nil)
    }

    /// Batches that a start takes from the journal are counted like those that are appended.
    @Test func whatARecoveryTookIsCountedOnce() throws {
        let store = try TestStore()
        for _ in 0..<5 {
            store.append()
            store.store.commitPending()
        }
        try store.crash()
        #expect(store.store.memory.unsettledBytes == 0)
        // On a disk without room they stay where they are; more than a page, the last of which has room.
        store.append(size: 6000)
        store.store.commitPending()
        try store.crash { $0.capacity = $0.usedBytes }
        #expect(store.store.memory.unsettledBytes > 0)
    }

    @Test func aCommitThatFindsNoSpaceWaitsForIt() throws {
        let disk = SimulatedFileSystem()
        let store = try TestStore(disk)
        store.append()
        try store.checkpoint()
        disk.capacity = disk.usedBytes
        let receipt = store.append(count: 4, size: 6000)
        #expect(!store.store.commitPending())
        #expect(!store.store.isOffline)
        #expect(store.store.durableTicket < receipt.ticket, "not acknowledged")
        #expect(refusal(store)?.isDiskFull == true)
        #expect(try store.readAll() == [0])
        #expect(!store.store.commitPending(), "still no room")
        disk.capacity = nil
        #expect(store.store.commitPending())
        #expect(store.store.durableTicket >= receipt.ticket)
        #expect(try store.readAll() == [0, 1, 2, 3, 4])
        store.store.maintain(nowMs: TestStore.now)
        #expect(refusal(store) == nil)
        try store.crash()
        #expect(try store.readAll() == [0, 1, 2, 3, 4])
    }

    @Test func writeBehindAndCheckpointsWaitForSpace() throws {
        let disk = SimulatedFileSystem()
        let store = try TestStore(disk)
        for _ in 0..<5 {
            store.append()
            store.store.commitPending()
        }
        disk.capacity = disk.usedBytes
        store.store.maintain(nowMs: TestStore.now)
        store.store.requests.add(.checkpoint)
        store.store.maintain(nowMs: TestStore.now + 5000)
        #expect(!store.store.isOffline)
        #expect(try store.readAll() == [0, 1, 2, 3, 4])
        disk.capacity = nil
        store.store.maintain(nowMs: TestStore.now + 10_000)
        #expect(refusal(store) == nil)
        try store.crash()
        #expect(try store.readAll() == [0, 1, 2, 3, 4])
    }

    @Test func aBrokerStartsOnAFullDisk() throws {
        let disk = SimulatedFileSystem()
        let store = try TestStore(disk)
        for _ in 0..<5 {
            store.append()
            store.store.commitPending()
        }
        // Two starts in a row on a disk without a free byte: the second still has what the first could not store.
        for _ in 0..<2 {
            try store.crash { $0.capacity = $0.usedBytes }
            #expect(try store.readAll() == [0, 1, 2, 3, 4])
            #expect(store.summary.notices.contains { $0.contains("the disk is full") })
            #expect(refusal(store)?.isDiskFull == true)
        }
        store.fileSystem.capacity = nil
        store.store.maintain(nowMs: TestStore.now)
        #expect(refusal(store) == nil)
        store.store.commitPending()
        try store.restart()
        #expect(store.summary.wasClean)
        #expect(try store.readAll() == [0, 1, 2, 3, 4, 5])
    }

    /// Compaction asks for a checkpoint first, which the full disk does not take.
    @Test func aFullDiskEndsARoundOfCompactionAndNothingElse() throws {
        var settings = TestStore.settings
        settings.isCompacted = true
        settings.deletesByRetention = false
        settings.segmentBytes = 600
        settings.minCleanableDirtyRatio = 0
        let disk = SimulatedFileSystem()
        let store = try TestStore(disk, settings: settings)
        // Few enough that no checkpoint is due yet.
        for number in 0..<10 {
            _ = store.append(TestBatch([TestRecord(key: "k\(number % 3)", String(repeating: ".", count: 200))]))
            store.store.commitPending()
        }
        store.store.maintain(nowMs: TestStore.now)
        disk.capacity = disk.usedBytes
        #expect(store.store.clean(nowMs: TestStore.now + 1000) == 0)
        #expect(!store.store.isOffline)
        #expect(store.store.fullness != nil)
        #expect(try store.readAll().count == 10)
        disk.capacity = nil
        store.store.maintain(nowMs: TestStore.now + 2000)
        #expect(store.store.clean(nowMs: TestStore.now + 3000) == 1)
        #expect(try store.readAll().count < 10)
    }

    /// A new data folder on a full disk gets its journal when there is room.
    @Test func theFirstJournalFileWaitsForRoom() throws {
        let disk = SimulatedFileSystem()
        let store = try TestStore(disk, options: options(reserve: 0))
        disk.capacity = disk.usedBytes
        store.store.commits.makeJournalFile()
        #expect(!store.store.isOffline)
        #expect(store.store.fullness != nil)
        disk.capacity = nil
        store.store.maintain(nowMs: TestStore.now)
        store.append()
        store.store.commitPending()
        #expect(try store.readAll() == [0])
    }

    /// Only the committing thread tries a held commit again: the end of an event loop's turn does not.
    @Test func theEndOfATurnDoesNotTryAHeldCommit() throws {
        let disk = SimulatedFileSystem()
        let store = try TestStore(disk, options: options(reserve: 0))
        disk.capacity = disk.usedBytes
        for _ in 0..<3 { store.append(size: 9000) }
        store.store.commitInTurn()
        #expect(store.store.commits.signal.take())
        store.store.commitPending()
        #expect(store.store.durableTicket == 0)
        let calls = disk.callCount
        for _ in 0..<10 { store.store.commitInTurn() }
        #expect(disk.callCount == calls)
        #expect(!store.store.commits.signal.take())
        disk.capacity = nil
        store.store.commitPending()
        #expect(try store.readAll() == [0, 1, 2])
    }
}
