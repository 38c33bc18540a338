import BrokerTestKit
import ByteBuffers
import KafkaModel
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// Long runs past the page cache: whole blocks on disk, the same bytes for readers, nothing left of the padding.
@Suite struct DirectWriterTests {
    private func store(cacheBytes: Int = 0, segmentBytes: Int64 = 1 << 30) throws -> TestStore {
        var options = TestStore.options
        options.direct = true
        options.cacheBytes = cacheBytes
        var settings = TestStore.settings
        settings.segmentBytes = segmentBytes
        settings.maxBatchBytes = 8 << 20
        return try TestStore(options: options, settings: settings)
    }

    private func size(_ store: TestStore, _ name: String) throws -> Int64 {
        try store.fileSystem.size(store.path(name))
    }

    private let first = "00000000000000000000.log"

    @Test func aLongRunFillsWholeBlocksAndIsReadAsWritten() throws {
        let store = try store()
        store.append(count: 3, size: 5000)
        store.store.commitPending()
        #expect(store.store.statistics.writtenThroughBytes.load(ordering: .relaxed) > 15_000)
        #expect(try size(store, first) % 4096 == 0)
        #expect(store.log.sizeInBytes < (try size(store, first)))
        #expect(try store.readAll() == [0, 1, 2])
    }

    @Test func runsOfBothKindsFollowOneAnotherInOneSegment() throws {
        let store = try store()
        for round in 0..<12 {
            store.append(count: 2, size: round % 3 == 2 ? 100 : 5000 + round * 37)
            store.store.commitPending()
            if round % 4 == 3 { try store.checkpoint() }
        }
        #expect(try store.readAll() == Array(0..<24))
        try store.crash()
        #expect(try store.readAll() == Array(0..<24))
        #expect(try size(store, first) == store.log.sizeInBytes)
    }

    @Test func aRunLongerThanTheStagingMemoryIsWrittenWhole() throws {
        let store = try store()
        for _ in 0..<3 { store.append(count: 1, size: DirectWriter.stagingBytes - 100) }
        store.append(count: 1, size: 1)
        store.store.commitPending()
        #expect(try store.readAll() == [0, 1, 2, 3])
    }

    @Test func aClosedSegmentHasNoPadding() throws {
        let store = try store(segmentBytes: 30_000)
        for _ in 0..<5 {
            store.append(count: 2, size: 6000)
            store.store.commitPending()
        }
        try store.checkpoint()
        let sizes = store.log.state.withLock { $0.segments.map { ($0.logName, $0.size, $0.isClosed) } }
        #expect(sizes.count > 1)
        for (name, bytes, isClosed) in sizes where isClosed { #expect(try size(store, name) == bytes) }
        try store.crash()
        #expect(store.summary.cutBytes < 4096)
        #expect(try store.readAll() == Array(0..<10))
    }

    @Test func aSegmentClosedByRetentionHasNoPadding() throws {
        let store = try store()
        store.append(count: 2, size: 6000)
        store.store.commitPending()
        _ = store.log.state.withLock { $0.roll(at: $0.logEndOffset) }
        store.append(count: 1, size: 10)
        try store.checkpoint()
        try store.crash()
        #expect(try store.readAll() == [0, 1, 2])
    }

    @Test func aStopLeavesNoPadding() throws {
        let store = try store()
        store.append(count: 2, size: 6000)
        store.store.commitPending()
        try store.restart()
        #expect(store.summary.cutBytes == 0)
        #expect(try size(store, first) == store.log.sizeInBytes)
        #expect(try store.readAll() == [0, 1])
    }

    @Test func whatWasAcknowledgedSurvivesATornRewriteOfItsBlock() throws {
        let store = try store()
        store.append(count: 1, size: 9000)
        store.store.commitPending()
        store.append(count: 1, size: 9000)
        // The second run's write happens, its sync does not.
        store.fileSystem.haltAtCall(store.fileSystem.callCount + 1)
        store.store.commitPending()
        #expect(store.log.highWatermark == Offset(1))
        for seed in 0..<20 as Range<UInt64> {
            let disk = store.fileSystem.crash(keeping: .random, seed: seed)
            let again = try TestStore(disk, options: store.options, settings: store.settings)
            #expect(try again.readAll().prefix(1) == [0])
        }
    }

    /// A checkpoint that began before its topic was deleted goes on to what is no longer there.
    @Test func whatIsLeftOfACheckpointPassesADeletedPartitionOver() throws {
        let store = try store(segmentBytes: 1 << 20)
        for _ in 0..<3 { store.append(count: 1, size: 900_000) }
        store.store.commitPending()
        try store.store.removePartition(store.log)
        #expect(try !store.fileSystem.exists(store.folder))
        try store.log.writeBehind(with: nil)
        try store.log.flush()
        try store.log.storeIndexes()
        try store.log.removeObsolete([])
        try store.log.trimAll()
        store.store.maintain(nowMs: TestStore.now)
        #expect(!store.store.isOffline)
        #expect(try !store.fileSystem.exists(store.folder))
    }

    @Test func readersFindTheNewestBatchesInMemory() throws {
        let store = try store(cacheBytes: 1 << 20)
        _ = try store.log.read(from: .zero, maxBytes: 1).get()
        for _ in 0..<3 {
            store.append(count: 1, size: 9000)
            store.store.commitPending()
        }
        let reads = store.fileSystem.callCount
        #expect(try store.readAll() == [0, 1, 2])
        #expect(store.fileSystem.callCount == reads)
    }

    @Test func theCacheLetsTheOldestGoFirst() throws {
        let store = try store(cacheBytes: 40_000)
        _ = try store.log.read(from: .zero, maxBytes: 1).get()
        for _ in 0..<4 {
            store.append(count: 1, size: 9000)
            store.store.commitPending()
        }
        let kept = store.log.state.withLock { state in (0..<state.tail.count).map { state.tail[$0].baseOffset } }
        #expect(kept.count < 4)
        #expect(kept.last == 3)
        #expect(try store.readAll() == [0, 1, 2, 3])
    }

    /// A reader that has not come while as much was written as the cache holds is not expected.
    @Test func withoutAReaderNothingStaysInMemory() throws {
        let store = try store(cacheBytes: 40_000)
        var kept: Int { store.log.state.withLock { $0.tail.count } }
        func write() {
            store.append(count: 1, size: 9000)
            store.store.commitPending()
        }
        write()
        #expect(kept == 0)
        #expect(try store.readAll() == [0])
        write()
        write()
        #expect(kept == 2)
        for _ in 0..<5 { write() }
        #expect(kept == 0)
        // One that waits is a reader, too.
        var slot: Int32 = -1
        _ = store.log.watch(ReadWaiter(loop: 0, id: 1), slot: &slot, step: 1)
        write()
        #expect(kept == 1)
        #expect(try store.readAll() == [0, 1, 2, 3, 4, 5, 6, 7, 8])
    }
}
