import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO
import Testing

@testable import LogStorage

/// Old records go by time, by size and by DeleteRecords (KIP-107); what has gone stays gone.
@Suite struct RetentionTests {
    private let now = TestStore.now

    /// Six batches of one record, two to a segment, ten milliseconds apart, in their files.
    private func log(_ change: (inout LogSettings) -> Void) throws -> TestStore {
        var settings = TestStore.settings
        settings.segmentBytes = 400
        change(&settings)
        let store = try TestStore(settings: settings)
        for number in 0..<6 { store.append(timestamp: now + Int64(number) * 10) }
        try store.checkpoint()
        try #require(store.log.segmentCount == 3)
        return store
    }

    /// Records without a timestamp are as old as their file, as in Kafka.
    @Test func recordsWithoutATimeGoByTheirFilesTime() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 400
        settings.retentionMs = 1000
        let disk = SimulatedFileSystem()
        let store = try TestStore(disk, settings: settings)
        for number in 0..<6 as Range<Int64> {
            disk.wallClockMs = now + number * 10
            store.append(timestamp: -1, nowMs: now + number * 10)
            store.store.commitPending()
            try store.log.writeBehind(with: nil)
        }
        try store.checkpoint()
        try #require(store.log.segmentCount == 3)
        #expect(!store.log.enforceRetention(nowMs: now + 1010))
        // After a crash the file still tells.
        try store.crash()
        #expect(store.log.enforceRetention(nowMs: now + 1011))
        #expect(store.log.logStartOffset == Offset(2))
        #expect(store.log.enforceRetention(nowMs: now + 1051))
        #expect(store.log.logStartOffset == Offset(6), "the active segment, too")
        // A file that does not tell its time keeps its records.
        store.append(timestamp: -1, nowMs: now)
        try store.checkpoint()
        store.fileSystem.inject(Fault(.fail(errno: 13), on: .size, pathContains: ".log", times: .max))
        #expect(!store.log.enforceRetention(nowMs: now + 1_000_000))
    }

    /// A segment that was looked at while it was active gets more records before it is closed.
    @Test func aLaterRecordWithoutATimeKeepsItsSegment() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 400
        settings.retentionMs = 60_000
        let disk = SimulatedFileSystem()
        let store = try TestStore(disk, settings: settings)
        func put(_ count: Int, at time: Int64) throws {
            disk.wallClockMs = time
            for _ in 0..<count { store.append(timestamp: -1, nowMs: time) }
            try store.checkpoint()
        }
        try put(1, at: now)
        #expect(!store.log.enforceRetention(nowMs: now))
        try put(2, at: now + 59_000)
        try #require(store.log.segmentCount == 2)
        #expect(!store.log.enforceRetention(nowMs: now + 61_000))
        #expect(store.log.logStartOffset == Offset(0))
        #expect(store.log.enforceRetention(nowMs: now + 119_001))
    }

    /// The record comes while the file is asked for its time.
    @Test func aTimeThatWasOvertakenByAnAppendDoesNotStand() throws {
        let disk = SimulatedFileSystem()
        disk.wallClockMs = now
        var settings = TestStore.settings
        settings.retentionMs = 60_000
        let (store, log, files) = try hooked(disk, settings)
        @Sendable func put() {
            let slice = {
                var batch = TestBatch(count: 1)
                batch.baseTimestamp = -1
                return batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            }()
            _ = log.append(slice, origin: .client, nowMs: TestStore.now)
            store.commitPending()
        }
        put()
        try store.checkpoint()
        files.before(.size, ".log") {
            disk.wallClockMs = TestStore.now + 59_000
            put()
        }
        #expect(!log.enforceRetention(nowMs: now))
        #expect(files.hasRun)
        try store.checkpoint()
        #expect(!log.enforceRetention(nowMs: now + 61_000))
        #expect(log.logStartOffset == Offset(0))
    }

    /// Of two segments that compaction joins one has told its time, and the other one, which is younger, has not.
    @Test func compactionKeepsTheTimeOfTheYoungest() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 400
        settings.retentionMs = 60_000
        settings.isCompacted = true
        settings.minCleanableDirtyRatio = 0
        let disk = SimulatedFileSystem()
        let store = try TestStore(disk, settings: settings)
        func put(_ keys: [String], at time: Int64) throws {
            disk.wallClockMs = time
            for key in keys {
                var batch = TestBatch([TestRecord(key: key, String(repeating: ".", count: 90))])
                batch.baseTimestamp = -1
                _ = store.append(batch, nowMs: time)
            }
            try store.checkpoint()
        }
        try put(["a", "b"], at: now)
        #expect(!store.log.enforceRetention(nowMs: now))
        try put(["a", "c", "d"], at: now + 59_000)
        try #require(store.log.segmentCount == 3)
        settings.segmentBytes = 4000
        store.log.apply(settings)
        #expect(store.store.clean(nowMs: now + 59_000) == 1)
        try #require(store.log.segmentCount == 2)
        #expect(!store.log.enforceRetention(nowMs: now + 61_000))
        #expect(store.log.logStartOffset == Offset(0))
    }

    // MARK: Readers beside it

    /// A store on a file system with a hook, opened on what `disk` has.
    private func hooked(
        _ disk: SimulatedFileSystem, _ settings: LogSettings
    ) throws -> (store: LogStore, log: PartitionLog, files: HookedFileSystem) {
        let files = HookedFileSystem(disk)
        let store = try LogStore(fileSystem: files, folder: "/data", options: TestStore.options)
        let log = store.addPartition(
            topicID: TestStore.topicID, topicName: "t", partitionIndex: 0, settings: settings,
            leadership: .leader(in: LeaderEpoch(0)))
        _ = try store.recover(nowMs: now)
        return (store, log, files)
    }

    /// Three segments in their files; the first two go as soon as retention looks.
    private func expiring() throws -> (store: LogStore, log: PartitionLog, files: HookedFileSystem) {
        let first = try log { $0.retentionBytes = 100 }
        try first.store.stop()
        var settings = first.settings
        settings.retentionBytes = 100
        return try hooked(first.fileSystem, settings)
    }

    /// Retention takes the segment away between a reader's plan and its open.
    @Test func aReaderThatComesTooLateIsOutOfRange() throws {
        let (store, log, files) = try expiring()
        files.before(.open, "00000000000000000000.log") {
            _ = log.enforceRetention(nowMs: TestStore.now)
            try! store.checkpoint()
        }
        let result = log.read(from: Offset(0), maxBytes: 1)
        #expect(files.hasRun)
        guard case .failure(.outOfRange(let start, _)) = result else {
            Issue.record("\(result)")
            return
        }
        #expect(start == Offset(4))
    }

    /// One whose plan is older opens the file again just before its name goes: it is not kept open.
    @Test(arguments: [false, true])
    func aFileThatGoesIsNotKeptOpen(isDeletion: Bool) throws {
        let (store, log, files) = try expiring()
        let segment = log.state.withLock { $0.segments[0] }
        let reader = Lock<(any StorageFile)?>(nil)
        files.before(.remove, isDeletion ? log.folderName : "00000000000000000000.log") {
            let file = try! segment.openFile(store.handles, in: "/data/partitions/\(log.folderName)", create: false)
            reader.withLock { $0 = file }
        }
        if isDeletion {
            try store.removePartition(log)
        } else {
            #expect(log.enforceRetention(nowMs: now))
            try store.checkpoint()
        }
        #expect(files.hasRun && reader.withLock { $0 != nil })
        #expect(segment.openedFile == nil)
        if isDeletion { #expect(store.handles.count == 0) }
    }

    private var logs: (TestStore) -> [String] { { $0.files.filter { $0.hasSuffix(".log") } } }

    /// `segment.ms` counts between records' timestamps, not from the clock: a copy of an old log does not get a segment a
    /// batch.
    @Test func recordsOfLongAgoShareASegment() throws {
        var settings = TestStore.settings
        settings.segmentMs = 1000
        let store = try TestStore(settings: settings)
        let then = now - 1_000_000
        for number in 0..<5 { store.append(timestamp: then + Int64(number) * 200, nowMs: now) }
        #expect(store.log.segmentCount == 1)
        store.append(timestamp: then + 1001, nowMs: now)
        #expect(store.log.segmentCount == 2)
        // Out of order, within the newer segment.
        store.append(timestamp: then, nowMs: now)
        #expect(store.log.segmentCount == 2)
    }

    @Test func segmentsWhoseNewestRecordIsTooOldGo() throws {
        let store = try log { $0.retentionMs = 1000 }
        // The first segment's newest record is of now + 10.
        #expect(!store.log.enforceRetention(nowMs: now + 1010))
        #expect(store.log.enforceRetention(nowMs: now + 1011))
        #expect(store.log.logStartOffset == Offset(2))
        // Its files go with the checkpoint that has forgotten it.
        #expect(logs(store).count == 3)
        try store.checkpoint()
        #expect(logs(store) == ["00000000000000000002.log", "00000000000000000004.log"])
        for _ in 0..<2 {
            #expect(try store.readAll() == [2, 3, 4, 5])
            try store.crash()
        }
    }

    @Test func theActiveSegmentGoesWhenAllOfItIsTooOld() throws {
        let store = try log { $0.retentionMs = 1000 }
        #expect(store.log.enforceRetention(nowMs: now + 2000))
        #expect(store.log.logStartOffset == Offset(6))
        try store.checkpoint()
        try store.crash()
        #expect(store.log.logStartOffset == Offset(6))
        #expect(store.append(timestamp: now + 2000).baseOffset == Offset(6))
    }

    @Test func theLogIsHeldToItsSizeFromAbove() throws {
        let store = try log { $0.retentionBytes = 500 }
        #expect(store.log.enforceRetention(nowMs: now))
        // Without another segment it would be smaller than the limit.
        #expect(store.log.logStartOffset == Offset(2))
        #expect(store.log.sizeInBytes >= 500)
        #expect(!store.log.enforceRetention(nowMs: now))
    }

    @Test func withoutALimitEverythingStays() throws {
        let store = try log { _ in }
        #expect(!store.log.enforceRetention(nowMs: now + (1 << 50)))
        let kept = try log { settings in
            settings.retentionMs = 1
            settings.retentionBytes = 1
            settings.deletesByRetention = false
        }
        #expect(!kept.log.enforceRetention(nowMs: now + (1 << 50)))
    }

    @Test func deletedRecordsAreNotReadAgain() throws {
        let store = try log { _ in }
        let (start, ticket) = try store.log.deleteRecords(before: Offset(3)).get()
        #expect(start == Offset(3))
        store.store.commitPending()
        #expect(store.store.durableTicket == ticket)
        for _ in 0..<2 {
            #expect(store.log.logStartOffset == Offset(3))
            guard case .failure(.outOfRange) = store.log.read(from: Offset(2), maxBytes: 1) else {
                Issue.record("offset 2 is still there")
                return
            }
            #expect(try store.readAll() == [3, 4, 5])
            try store.crash()
        }
        // Whole segments below the start go: with the next start, or the next round of retention.
        #expect(logs(store) == ["00000000000000000002.log", "00000000000000000004.log"])
        #expect(try store.readAll() == [3, 4, 5])
    }

    /// A segment that was written behind and is not synced, taken out before a long run is made durable behind it.
    @Test func whatFollowsASegmentTakenOutSurvivesAPowerCutBeforeTheCheckpoint() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 2000
        let store = try TestStore(settings: settings)
        store.append(size: 1500)
        store.store.commitPending()
        try store.log.writeBehind(with: nil)
        _ = try store.log.deleteRecords(before: Offset(1)).get()
        store.store.commitPending()
        let receipt = store.append(size: 9000)
        #expect(store.log.enforceRetention(nowMs: now))
        store.store.commitPending()
        #expect(store.store.durableTicket == receipt.ticket)
        try store.crash()
        #expect(try store.readAll() == [1])
    }

    @Test func wholeSegmentsBelowTheStartGoWithRetention() throws {
        let store = try log { _ in }
        _ = try store.log.deleteRecords(before: Offset(3)).get()
        store.store.commitPending()
        #expect(store.log.enforceRetention(nowMs: now))
        try store.checkpoint()
        #expect(logs(store) == ["00000000000000000002.log", "00000000000000000004.log"])
        #expect(try store.readAll() == [3, 4, 5])
    }

    @Test func deletionIsHeldToTheHighWatermark() throws {
        let store = try log { _ in }
        store.append()
        for offset: Int64 in [7, .max, -2] {
            guard case .failure(let refusal) = store.log.deleteRecords(before: Offset(offset)) else {
                Issue.record("\(offset) was taken")
                continue
            }
            #expect(refusal.code == .offsetOutOfRange)
        }
        // -1 is all of it.
        #expect(try store.log.deleteRecords(before: Offset(-1)).get().logStartOffset == Offset(6))
        // Never back.
        #expect(try store.log.deleteRecords(before: Offset(2)).get().logStartOffset == Offset(6))
    }

    @Test func aBatchIsDeletedInPart() throws {
        let store = try TestStore()
        store.append(count: 5)
        store.store.commitPending()
        _ = try store.log.deleteRecords(before: Offset(3)).get()
        store.store.commitPending()
        try store.crash()
        // The batch is given whole; its reader skips what it did not ask for.
        #expect(try store.read(from: 3) == [0...4])
        #expect(try store.readAll() == [3, 4])
    }
}
