import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// Indexes, old segments, padding, quarantines and compaction: what their files refuse is done later, and stops nothing.
@Suite struct BackgroundFaultTests {
    private let now = TestStore.now

    private func compacted() throws -> TestStore {
        var settings = TestStore.settings
        settings.segmentBytes = 400
        settings.isCompacted = true
        settings.deletesByRetention = false
        settings.minCleanableDirtyRatio = 0
        let store = try TestStore(settings: settings)
        for number in 0..<24 {
            _ = store.append(TestBatch([TestRecord(key: "k\(number % 3)", String(repeating: ".", count: 90))]))
        }
        try store.checkpoint()
        try #require(store.log.segmentCount > 3)
        return store
    }

    /// The newest value of each key, and how many records there are.
    private func newest(_ store: TestStore) throws -> [String: Int64] {
        var found: [String: Int64] = [:]
        for record in try CompactionTests.records(of: store.log) { found[record.key] = record.offset }
        return found
    }

    @Test(arguments: [
        (StorageError.Operation.open, ".index"), (.write, ".index"), (.rename, ".index"), (.remove, ".log"),
        (.open, "quarantine"), (.rename, "quarantine"), (.truncate, ".log"),
    ])
    func whatBackgroundWorkMeetsWaits(_ operation: StorageError.Operation, _ part: String) throws {
        var options = TestStore.options
        options.direct = true
        var settings = TestStore.settings
        settings.segmentBytes = 20_000
        settings.retentionBytes = 30_000
        let store = try TestStore(options: options, settings: settings)
        store.fileSystem.inject(Fault(.fail(errno: EACCES), on: operation, pathContains: part, times: .max))
        for _ in 0..<6 {
            // Past the page cache, so that closed segments have padding to be cut.
            store.append(size: 9000)
            store.store.commitPending()
        }
        store.log.recordDamage([
            DamagedRange(
                segmentBase: 4, startPosition: 0, endPosition: 100, baseOffset: 4, endOffset: 5, reason: "a test")
        ])
        store.store.maintain(nowMs: now)
        try store.checkpoint()
        _ = store.log.enforceRetention(nowMs: now)
        try store.checkpoint()
        #expect(!store.store.isOffline)
        try store.store.stop()
        store.fileSystem.removeFaults()
        try store.reopen()
        #expect(store.log.quarantine.damaged.count == (part == "quarantine" ? 0 : 1))
        store.append()
        store.store.maintain(nowMs: now + 5000)
        try store.checkpoint()
        #expect(store.files.count { $0.hasSuffix(".log") } == store.log.segmentCount)
        try store.crash()
        #expect(store.log.highWatermark == Offset(7) && !store.store.isOffline)
    }

    @Test func oldSegmentsThatCannotBeRemovedGoWithTheNextCheckpoint() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 400
        settings.retentionBytes = 500
        let store = try TestStore(settings: settings)
        for _ in 0..<12 { store.append() }
        try store.checkpoint()
        store.fileSystem.inject(Fault(.fail(errno: EACCES), on: .remove, pathContains: ".log", times: 1))
        #expect(store.log.enforceRetention(nowMs: now))
        try store.checkpoint()
        #expect(store.files.count { $0.hasSuffix(".log") } > store.log.segmentCount)
        try store.checkpoint()
        #expect(store.files.count { $0.hasSuffix(".log") } == store.log.segmentCount)
    }

    @Test(arguments: [
        (StorageError.Operation.open, ".cleaned"), (.write, ".cleaned"), (.truncate, ".cleaned"), (.open, "/cleaner"),
        (.rename, ".cleaned"), (.list, "/t-0."), (.remove, ".log"), (.remove, ".index"), (.rename, ".swap"),
        (.exists, ".cleaned"), (.exists, ".swap"),
    ])
    func anExchangeThatFailsHalfwayGoesOn(_ operation: StorageError.Operation, _ part: String) throws {
        for crashes in [true, false] {
            let store = try compacted()
            let before = try newest(store)
            store.fileSystem.inject(Fault(.fail(errno: EACCES), on: operation, pathContains: part, times: 2))
            store.store.clean(nowMs: now)
            #expect(!store.store.isOffline)
            #expect(try newest(store) == before, "\(operation) of \(part)")
            _ = store.append(TestBatch([TestRecord(key: "k9", "x")]), nowMs: now)
            try store.checkpoint()
            if crashes {
                try store.crash()
            } else {
                store.fileSystem.removeFaults()
                for round in 1...3 as ClosedRange<Int64> { store.store.clean(nowMs: now + round * 60_000) }
                #expect(!store.files.contains { $0.hasSuffix(".cleaned") || $0.hasSuffix(".swap") })
                #expect(store.files.count { $0.hasSuffix(".log") } == store.log.segmentCount)
                try store.crash(keeping: .everything)
            }
            #expect(try newest(store).filter { $0.key != "k9" } == before, "\(operation) of \(part)")
            #expect(store.summary.damage.isEmpty)
        }
    }

    /// Retention waits for a compacted segment's name, so that is given to it even where nothing is compacted any more.
    @Test(arguments: [EMFILE, ENOMEM])
    func anExchangeIsFinishedWithoutAnotherPass(_ errno: Int32) throws {
        let store = try compacted()
        store.fileSystem.inject(Fault(.fail(errno: errno), on: .rename, pathContains: ".cleaned", times: .max))
        store.store.clean(nowMs: now)
        #expect(store.log.state.withLock { $0.segments.contains(where: \.isInstalling) })
        var settings = store.settings
        settings.isCompacted = false
        settings.deletesByRetention = true
        settings.retentionMs = 1000
        store.log.apply(settings)
        store.store.clean(nowMs: now + 60_000)
        #expect(!store.log.enforceRetention(nowMs: now + 60_000), "still without a name")
        store.fileSystem.removeFaults()
        #expect(store.store.clean(nowMs: now + 120_000) == 0)
        #expect(store.log.enforceRetention(nowMs: now + 120_000))
        #expect(store.log.logStartOffset == Offset(24))
        #expect(!store.files.contains { $0.hasSuffix(".cleaned") || $0.hasSuffix(".swap") })
    }

    /// The process died between an exchange's name and the sync of it: the name is on disk before the old files go.
    @Test func aNameThatOnlyTheCacheHasIsSyncedBeforeTheOldFilesGo() throws {
        let store = try compacted()
        let before = try newest(store)
        store.fileSystem.inject(Fault(.fail(errno: EACCES), on: .syncDirectory, pathContains: "/t-0.", times: .max))
        store.store.clean(nowMs: now)
        try #require(store.files.contains { $0.hasSuffix(".swap") })
        try store.kill { $0.removeFaults() }
        let calls = store.fileSystem.operations.filter { $0.path.contains("/t-0.") }
        let synced = try #require(calls.firstIndex { $0.operation == .syncDirectory && $0.path == store.folder })
        let removed = try #require(calls.firstIndex { $0.operation == .remove && $0.path.hasSuffix(".log") })
        #expect(synced < removed)
        try store.crash(keeping: .nothing)
        #expect(try newest(store) == before)
    }
}
