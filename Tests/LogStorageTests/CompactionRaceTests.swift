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
    /// Passes every call on, and runs `hook` before a file of that kind is opened for reading, once.
    private final class HookedFileSystem: FileSystem {
        private let inner: SimulatedFileSystem
        private let hook = Lock<(suffix: String, run: @Sendable () -> Void)?>(nil)

        init(_ inner: SimulatedFileSystem) { self.inner = inner }

        func beforeReading(_ suffix: String, _ run: @escaping @Sendable () -> Void) {
            hook.withLock { $0 = (suffix, run) }
        }

        var hasRun: Bool { hook.withLock { $0 == nil } }

        func open(_ path: String, _ mode: OpenMode, direct: Bool) throws(StorageError) -> any StorageFile {
            let due = hook.withLock { hook -> (@Sendable () -> Void)? in
                guard let waiting = hook, mode != .readWrite(create: true), path.hasSuffix(waiting.suffix) else {
                    return nil
                }
                hook = nil
                return waiting.run
            }
            due?()
            return try inner.open(path, mode, direct: direct)
        }

        func rename(_ from: String, to: String) throws(StorageError) { try inner.rename(from, to: to) }
        func remove(_ path: String) throws(StorageError) { try inner.remove(path) }
        func removeTree(_ path: String) throws(StorageError) { try inner.removeTree(path) }
        func createDirectory(_ path: String) throws(StorageError) { try inner.createDirectory(path) }
        func syncDirectory(_ path: String) throws(StorageError) { try inner.syncDirectory(path) }
        func list(_ path: String) throws(StorageError) -> [String] { try inner.list(path) }
        func exists(_ path: String) -> Bool { inner.exists(path) }
        func isDirectory(_ path: String) -> Bool { inner.isDirectory(path) }
        func size(_ path: String) throws(StorageError) -> Int64 { try inner.size(path) }
        func modifiedMs(_ path: String) throws(StorageError) -> Int64 { try inner.modifiedMs(path) }
        func lock(_ path: String) throws(StorageError) -> any FileLock { try inner.lock(path) }
        func freeBytes(_ path: String) throws(StorageError) -> (free: Int64, total: Int64) {
            try inner.freeBytes(path)
        }
        func supportsDirect(_ path: String) -> Bool { inner.supportsDirect(path) }
        func syncAll(_ path: String) throws(StorageError) { try inner.syncAll(path) }
    }

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
            leaderEpoch: LeaderEpoch(0))
        _ = try store.recover(nowMs: TestStore.now)
        return (store, log, files)
    }

    @Test(arguments: [".index", ".log"], [Int.max, 1])
    func aFetchGetsWhatIsThereNow(_ suffix: String, fileFrom: Int) throws {
        let (store, log, files) = try opened()
        // Late in the second segment: the new index, or the new file, has something else there.
        let wanted = log.state.withLock { $0.segments[1].baseOffset } + 9
        files.beforeReading(suffix) { store.clean(nowMs: TestStore.now + 1000) }
        let fetched = try log.read(from: Offset(wanted), maxBytes: 1, fileFrom: fileFrom).get().loaded()
        #expect(files.hasRun)
        #expect(store.statistics.cleanerRuns.load(ordering: .relaxed) == 1)
        let header = RecordBatchHeader(unchecked: try #require(fetched.first).pointer)
        let all = try CompactionTests.records(of: log)
        #expect(header.baseOffset.rawValue == all.first { $0.offset >= wanted }?.offset)
        // The header is a view of the slice's memory.
        withExtendedLifetime(fetched) {}
    }

    @Test func aLookUpByTimeFindsWhatIsThereNow() throws {
        let (store, log, files) = try opened()
        let wanted = log.state.withLock { $0.segments[1].baseOffset } + 9
        files.beforeReading(".index") { store.clean(nowMs: TestStore.now + 1000) }
        let found = try log.firstOffset(notBefore: TestStore.now + wanted).get()
        #expect(files.hasRun)
        let all = try CompactionTests.records(of: log)
        #expect(found?.offset.rawValue == all.first { $0.offset >= wanted }?.offset)
    }
}
