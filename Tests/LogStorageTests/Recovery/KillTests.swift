import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// A process dies and the page cache survives it: what the next one finds is not on disk yet, and must be before anything
/// is given up for it. Each test ends with a power cut that keeps nothing but what was synced.
@Suite struct KillTests {
    /// A batch in its segment and in the journal, neither the segment nor its name synced.
    private func storeWithUnsyncedSegment(_ options: LogStoreOptions = TestStore.options) throws -> TestStore {
        let store = try TestStore(options: options)
        for _ in 0..<5 {
            store.append()
            store.store.commitPending()
        }
        store.store.maintain(nowMs: TestStore.now + 2000)
        #expect(!store.fileSystem.isSynced(store.path("00000000000000000000.log")))
        return store
    }

    @Test func aSegmentAndItsNameAreSyncedBeforeACheckpointPromisesThem() throws {
        let store = try storeWithUnsyncedSegment()
        try store.kill()
        try store.crash(keeping: .nothing)
        #expect(store.summary.damage.isEmpty)
        #expect(try store.readAll() == Array(0..<5))
    }

    @Test func aRecoveryThatTrustsTheCacheLosesThem() throws {
        var options = TestStore.options
        options.unsafeTrustsCache = true
        let store = try storeWithUnsyncedSegment(options)
        try store.kill()
        try store.crash(keeping: .nothing)
        #expect(store.summary.damage.count == 1)
    }

    @Test func whatAFailedSyncDroppedIsWrittenAgain() throws {
        for seed in UInt64(1)...10 {
            let store = try TestStore(SimulatedFileSystem(seed: seed))
            for _ in 0..<20 {
                store.append(size: 700)
                store.store.commitPending()
            }
            store.fileSystem.inject(Fault(.fail(errno: EIO), on: .sync, pathContains: ".log"))
            #expect(storageError { try store.store.checkpoint() } != nil)
            try store.kill()
            // The kernel may drop clean pages now, and takes those of the failed sync for clean.
            store.fileSystem.dropCaches()
            #expect(try store.readAll() == Array(0..<20))
            try store.crash(keeping: .nothing)
            #expect(store.summary.damage.isEmpty)
            #expect(try store.readAll() == Array(0..<20))
        }
    }

    /// The handle that heard of the failed sync may be closed and opened again; the new one hears of nothing.
    @Test func afterAFailedSyncNoCheckpointIsMade() throws {
        let store = try storeWithUnsyncedSegment()
        let checkpoint = store.fileSystem.contents("/data/checkpoint")
        store.fileSystem.inject(Fault(.fail(errno: EIO), on: .sync, pathContains: ".log"))
        store.store.requests.add(.checkpoint)
        store.store.maintain(nowMs: TestStore.now + 4000)
        #expect(store.store.isOffline)
        store.log.state.withLock { state in for segment in state.segments { segment.closeFile() } }
        #expect(storageError { try store.store.checkpoint() } != nil)
        store.fileSystem.dropCaches()
        _ = store.log.read(from: Offset(0), maxBytes: 1)
        store.store.maintain(nowMs: TestStore.now + 400_000)
        #expect(store.fileSystem.contents("/data/checkpoint") == checkpoint)
        try store.kill()
        #expect(store.summary.damage.isEmpty)
        #expect(try store.readAll() == Array(0..<5))
    }

    /// Folders, the journal's first file, the checkpoint, a segment: wherever the first process dies, what the second
    /// acknowledges stays.
    @Test func aKillAtAnyCallLeavesNothingForTheNextProcessToRelyOn() throws {
        for call in 0... {
            let disk = SimulatedFileSystem(seed: 7)
            disk.haltAtCall(call)
            if let first = try? TestStore(disk) {
                first.append()
                first.store.commitPending()
                first.store.maintain(nowMs: TestStore.now + 2000)
                try? first.store.checkpoint()
            }
            let store = try TestStore(disk.kill())
            let end = store.log.logEndOffset.rawValue
            store.append()
            store.store.commitPending()
            try store.crash(keeping: .nothing)
            #expect(store.summary.damage.isEmpty, "killed at call \(call)")
            #expect(try store.readAll() == Array(0...end), "killed at call \(call)")
            if !disk.isHalted { break }
        }
    }

    /// Retention's checkpoint has its name, but not durably, when the process dies: the segments that it forgot must stay
    /// until a checkpoint that forgot them is on disk.
    @Test func segmentsStayUntilTheCheckpointThatForgotThemIsDurable() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 4 << 10
        settings.retentionBytes = 8 << 10
        for call in 0... {
            let store = try TestStore(settings: settings)
            for _ in 0..<40 { store.append(size: 500) }
            try store.checkpoint()
            let end = store.log.logEndOffset.rawValue
            store.fileSystem.haltAtCall(store.fileSystem.callCount + call)
            store.store.maintain(nowMs: TestStore.now + 2 * LogStoreOptions().retentionCheckMs)
            let isHalted = store.fileSystem.isHalted
            // The next process dies as soon as it has removed something.
            var next = store.fileSystem.kill()
            next.inject(Fault(.fail(errno: EIO), on: .remove, pathContains: ".log", skipping: 1, times: .max))
            _ = try? TestStore(next, settings: settings)
            next = next.crash(keeping: .nothing)
            let last = try TestStore(next, settings: settings)
            #expect(last.summary.damage.isEmpty, "killed at call \(call)")
            #expect(last.log.logEndOffset.rawValue == end)
            #expect(try last.readAll() == Array(last.log.logStartOffset.rawValue..<end))
            if !isHalted { break }
        }
    }

    @Test func aQuarantineOfADeadProcessIsNotForgotten() throws {
        for call in 0... {
            let store = try TestStore()
            store.append()
            try store.checkpoint()
            store.fileSystem.haltAtCall(store.fileSystem.callCount + call)
            store.log.quarantineEnd("a test")
            store.store.maintain(nowMs: TestStore.now)
            let isHalted = store.fileSystem.isHalted
            try store.kill()
            let isKnown = store.log.quarantine.endReason != nil
            try store.crash(keeping: .nothing)
            #expect((store.log.quarantine.endReason != nil) == isKnown, "killed at call \(call)")
            if !isHalted { break }
        }
    }

    /// The work after a kill goes by what was written since the checkpoint, not by the size of the log.
    @Test func aStartSyncsAndRewritesOnlyWhatLiesBeyondTheCheckpoint() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 4 << 10
        let store = try TestStore(settings: settings)
        for _ in 0..<60 { store.append(size: 500) }
        try store.checkpoint()
        #expect(store.log.segmentCount > 8)
        let before = store.log.sizeInBytes
        store.append(size: 500)
        store.store.commitPending()
        store.store.maintain(nowMs: TestStore.now + 2000)
        let written = store.log.sizeInBytes - before
        try store.kill()
        let syncs = store.fileSystem.operations.filter { $0.operation == .sync && $0.path.hasSuffix(".log") }
        #expect(Set(syncs.map(\.path)).count == 1 && syncs.count <= 2, "\(syncs)")
        #expect(store.summary.rewrittenBytes == written)
        // Nothing is left for a second start.
        try store.kill()
        #expect(store.summary.rewrittenBytes == 0)
    }

    /// A journal of another file size is not removed before its frames are in a checkpoint.
    @Test func aJournalFileOfAnotherSizeStaysUntilItsFramesAreNotNeeded() throws {
        for call in 0... {
            let store = try TestStore()
            store.append()
            store.store.commitPending()
            store.options.journalFileBytes *= 2
            let disk = store.fileSystem.kill()
            disk.haltAtCall(call)
            _ = try? TestStore(disk, options: store.options)
            let last = try TestStore(disk.crash(keeping: .nothing), options: store.options)
            #expect(try last.readAll() == [0], "power cut at call \(call)")
            if !disk.isHalted { break }
        }
    }
}
