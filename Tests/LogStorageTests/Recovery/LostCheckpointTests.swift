import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Testing

@testable import LogStorage

/// A checkpoint that is gone, or was lost while a partition could not be opened: nothing that it promised is cut or removed
/// for want of it.
@Suite struct LostCheckpointTests {
    private let now = TestStore.now
    private static let names = [Checkpoint.fileName, Checkpoint.copyName]

    /// A log of segments between which offsets are missing, as compaction leaves them.
    private func gappy(segmentBytes: Int64 = 400) throws -> TestStore {
        var settings = TestStore.settings
        settings.segmentBytes = segmentBytes
        settings.isCompacted = true
        settings.deletesByRetention = false
        settings.minCleanableDirtyRatio = 0
        let store = try TestStore(settings: settings)
        for number in 0..<12 {
            for key in ["own\(number)", "all"] {
                _ = store.append(TestBatch([TestRecord(key: key, String(repeating: ".", count: 90))]))
            }
        }
        try store.checkpoint()
        #expect(store.store.clean(nowMs: now) == 1)
        try store.checkpoint()
        try #require(Int64(store.log.segmentCount) > 2400 / segmentBytes)
        try #require(try offsets(store).count < 16)
        return store
    }

    private func offsets(_ store: TestStore) throws -> [Int64] {
        try CompactionTests.records(of: store.log).map(\.offset)
    }

    @Test func aFolderWithoutItsCheckpointsIsNotTakenForANewOne() throws {
        let store = try gappy()
        let before = try offsets(store)
        try store.store.stop()
        for name in Self.names { try store.fileSystem.remove("/data/\(name)") }
        try store.reopen()
        #expect(store.summary.notices.contains { $0.contains("the checkpoints are gone") })
        #expect(try offsets(store) == before)
        try store.crash()
        #expect(try offsets(store) == before && store.summary.damage.isEmpty)
    }

    @Test func aNewFolderHasLostNothing() throws {
        let store = try TestStore()
        #expect(store.summary.notices.isEmpty)
        store.append()
        store.store.commitPending()
        try store.crash()
        #expect(store.summary.notices.isEmpty)
    }

    /// Segments must not stand in a folder that has no checkpoint yet, so the first one is not put off.
    @Test func aNewFolderGetsItsCheckpointOrNoBroker() throws {
        let disk = SimulatedFileSystem()
        disk.inject(Fault(.fail(errno: ENOSPC), on: .write, pathContains: "/data/checkpoint", times: .max))
        #expect(storageError { _ = try TestStore(disk) }?.errno == ENOSPC)
        disk.removeFaults()
        _ = try TestStore(disk)
    }

    /// It is opened later by the same process, or by the next one; either knows that a promise was lost.
    @Test(arguments: [false, true])
    func aPartitionThatWasSetAsideMeanwhileIsRebuiltToo(byTheNextProcess: Bool) throws {
        let store = try gappy()
        let before = try offsets(store)
        _ = store.append(TestBatch([TestRecord(key: "journaled", "x")]), nowMs: now)
        store.store.commitPending()
        try store.crash { disk in
            for name in Self.names { disk.flipBit("/data/\(name)", at: 30) }
            disk.inject(Fault(.fail(errno: EACCES), on: .list, pathContains: "/t-0.", times: .max))
        }
        #expect(store.store.faults.count == 1)
        try store.store.checkpoint()
        if byTheNextProcess {
            try store.crash()
        } else {
            store.fileSystem.removeFaults()
            store.store.maintain(nowMs: now + 2 * PartitionLog.reopenMs)
        }
        #expect(store.store.faults.isEmpty)
        #expect(try offsets(store) == before + [24])
        try store.checkpoint()
        try store.crash()
        #expect(try offsets(store) == before + [24] && store.summary.damage.isEmpty)
        #expect(store.log.state.withLock { $0.checkpoint?.isLost } == false)
    }

    /// The mark holds for `millrace log verify`, too: offsets that compaction left out are no damage.
    @Test func whatIsSetAsideIsLookedAtAsItWillBeOpened() throws {
        // Several batches a segment: the gaps are within them.
        let store = try gappy(segmentBytes: 1200)
        try store.crash { disk in
            for name in Self.names { disk.flipBit("/data/\(name)", at: 30) }
            disk.inject(Fault(.fail(errno: EACCES), on: .list, pathContains: "/t-0.", times: .max))
        }
        try store.store.checkpoint()
        store.fileSystem.removeFaults()
        let inspection = try LogInspection(store.fileSystem, dataFolder: "/data")
        #expect(inspection.notices.isEmpty && !inspection.vouches(for: store.folder))
        let found = try inspection.segments(of: store.folder) { _, _, _ in }
        #expect(found.count == store.files.count { $0.hasSuffix(".log") } && found.allSatisfy(\.places.isEmpty))
    }
}
