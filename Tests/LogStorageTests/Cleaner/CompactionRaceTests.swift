import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// Readers that find a segment exchanged between two of their steps.
@Suite struct CompactionRaceTests {
    /// A log of two closed segments with stored indexes and an active one, opened anew through the hook.
    private func opened() throws -> (store: LogStore, log: PartitionLog, files: HookedFileSystem) {
        var settings = TestStore.settings
        settings.isCompacted = true
        settings.deletesByRetention = false
        settings.segmentBytes = 4000
        settings.minCleanableDirtyRatio = 0
        let first = try TestStore(settings: settings)
        for number in 0..<60 as Range<Int64> {
            var batch = TestBatch([TestRecord(key: "k\(number % 7)", String(repeating: ".", count: 80))])
            batch.baseTimestamp = TestStore.now + number
            _ = first.append(batch, nowMs: TestStore.now + number)
        }
        try #require(first.log.segmentCount == 3)
        try first.store.stop()
        let files = HookedFileSystem(first.fileSystem)
        let store = try LogStore(fileSystem: files, folder: "/data", options: TestStore.options)
        let log = store.addPartition(
            topicID: TestStore.topicID, topicName: "t", partitionIndex: 0, settings: settings,
            leadership: .leader(in: LeaderEpoch(0)))
        _ = try store.recover(nowMs: TestStore.now)
        return (store, log, files)
    }

    @Test(arguments: [".index", ".log"], [Int.max, 1])
    func aFetchGetsWhatIsThereNow(_ suffix: String, fileFrom: Int) throws {
        let (store, log, files) = try opened()
        // Late in the second segment: the new index, or the new file, has something else there.
        let wanted = log.state.withLock { $0.segments[1].baseOffset } + 9
        files.before(.open, suffix) { store.clean(nowMs: TestStore.now + 1000) }
        let fetched = try log.read(from: Offset(wanted), maxBytes: 1, fileFrom: fileFrom).get().loaded()
        #expect(files.hasRun)
        #expect(store.statistics.cleanerRuns.load(ordering: .relaxed) == 1)
        let header = RecordBatchHeader(unchecked: try #require(fetched.first).pointer)
        let all = try CompactionTests.records(of: log)
        #expect(header.baseOffset.rawValue == all.first { $0.offset >= wanted }?.offset)
        // The header is a view of the slice's memory.
        withExtendedLifetime(fetched) {}
    }

    /// The second segment's index is gone when it is to be read, as a compaction has put both segments into one. Its aborted
    /// transactions are in the new one: whoever is not told of them would show their records.
    @Test func abortedTransactionsOfAMergedSegmentAreTold() throws {
        var settings = TestStore.settings
        settings.isCompacted = true
        settings.deletesByRetention = false
        settings.segmentBytes = 4000
        settings.minCleanableDirtyRatio = 0
        settings.deleteRetentionMs = 1 << 40
        let first = try TestStore(settings: settings)
        for number in 0..<60 as Range<Int64> {
            let records = [TestRecord(key: "k\(number % 7)", String(repeating: ".", count: 80))]
            if number % 6 == 4 {
                var batch = first.batch(of: number)
                batch.records = records
                _ = first.append(batch)
                try first.end(number, isCommit: false)
            } else {
                _ = first.append(TestBatch(records))
            }
        }
        try #require(first.log.segmentCount >= 3)
        try first.store.stop()
        let files = HookedFileSystem(first.fileSystem)
        let store = try LogStore(fileSystem: files, folder: "/data", options: TestStore.options)
        let log = store.addPartition(
            topicID: TestStore.topicID, topicName: "t", partitionIndex: 0, settings: settings,
            leadership: .leader(in: LeaderEpoch(0)))
        _ = try store.recover(nowMs: TestStore.now)
        let (from, end) = (Offset(0), log.highWatermark)
        let expected = try log.abortedTransactions(from: from, to: end).get()
        let second = log.state.withLock { $0.segments[1] }
        #expect(expected.count == 10 && second.index.abortedCount > 0 && !second.index.isInMemory)
        files.before(.open, second.indexName) { store.clean(nowMs: TestStore.now + 1000) }
        #expect(try log.abortedTransactions(from: from, to: end).get() == expected)
        #expect(files.hasRun && second.isRetired.load(ordering: .acquiring))
        #expect(store.statistics.cleanerRuns.load(ordering: .relaxed) == 1)
    }

    @Test func aLookUpByTimeFindsWhatIsThereNow() throws {
        let (store, log, files) = try opened()
        let wanted = log.state.withLock { $0.segments[1].baseOffset } + 9
        files.before(.open, ".index") { store.clean(nowMs: TestStore.now + 1000) }
        let found = try log.firstOffset(notBefore: TestStore.now + wanted).get()
        #expect(files.hasRun)
        let all = try CompactionTests.records(of: log)
        #expect(found?.offset.rawValue == all.first { $0.offset >= wanted }?.offset)
    }
}
