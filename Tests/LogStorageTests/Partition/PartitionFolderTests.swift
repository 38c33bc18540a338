import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO
import Testing

@testable import LogStorage

/// Names of partitions' folders: every legal topic has one that a file system takes, and none changes.
@Suite struct PartitionFolderTests {
    private let id = TopicID(high: 3, low: 4)

    private func topic(_ length: Int) -> String { String(repeating: "n", count: length) }

    private func add(_ name: String, index: Int32 = 0, to store: LogStore) -> PartitionLog {
        store.addPartition(
            topicID: id, topicName: name, partitionIndex: index, settings: TestStore.settings,
            leadership: .leader(in: LeaderEpoch(0)))
    }

    private func append(to log: PartitionLog) -> Bool {
        let slice = TestBatch(count: 1).bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        if case .success = log.append(slice, origin: .client, nowMs: TestStore.now) { return true }
        return false
    }

    @Test func aNameIsCutOnlyWhereTheWholeWouldNotFit() {
        #expect(PartitionFolder.name("t", 7, id) == "t-7.\(id)")
        #expect(PartitionFolder.name(topic(230), 0, id) == "\(topic(230))-0.\(id)")
        #expect(PartitionFolder.name(topic(230), 10, id) == "\(topic(229))-10.\(id)")
        for length in 231...TopicName.maxLength {
            let name = PartitionFolder.name(topic(length), 199_999, id)
            #expect(name.utf8.count == PartitionFolder.maxNameBytes)
            #expect(name.hasSuffix("-199999.\(id)"))
        }
        #expect(
            PartitionFolder.name(topic(249), 0, id) != PartitionFolder.name(topic(249), 0, TopicID(high: 3, low: 5)))
    }

    @Test func theLongestTopicIsWrittenFoundAgainAndDeleted() throws {
        let disk = SimulatedFileSystem()
        let names = [topic(231), topic(TopicName.maxLength)]
        for name in names {
            var store = try TestStore(disk)
            var log = add(name, to: store.store)
            for _ in 0..<3 {
                #expect(append(to: log))
                store.append()
                store.store.commitPending()
            }
            try store.checkpoint()
            store.store.maintain(nowMs: TestStore.now)
            #expect(!store.store.isOffline && store.store.refusal == nil)
            try store.store.stop()

            // As at a broker's start: the catalog's partitions are there before the recovery.
            let again = try LogStore(fileSystem: disk, folder: "/data", options: TestStore.options)
            log = add(name, to: again)
            #expect(try again.recover(nowMs: TestStore.now).damage.isEmpty)
            #expect(log.highWatermark == Offset(3) && log.name == "\(name)-0")
            let records = try log.read(from: Offset(0), maxBytes: 1 << 20).get()
            #expect(records.endOffset == Offset(3))
            again.removeFolders(except: [])
            #expect(try disk.exists("/data/partitions/\(log.folderName)"))
            try again.removePartition(log)
            #expect(try !disk.exists("/data/partitions/\(log.folderName)"))
            try again.stop()
            store = try TestStore(disk)
            try store.store.stop()
        }
    }

    /// Folders made before long names were cut have the topic's whole name.
    @Test func aFolderWithTheFullNameIsOpened() throws {
        let disk = SimulatedFileSystem()
        let store = try TestStore(disk)
        for _ in 0..<3 { store.append() }
        try store.checkpoint()
        try store.store.stop()
        let long = topic(230)
        let old = "/data/partitions/\(long)-0.\(TestStore.topicID)"
        try disk.rename(store.folder, to: old)
        let again = try LogStore(fileSystem: disk, folder: "/data", options: TestStore.options)
        let log = again.addPartition(
            topicID: TestStore.topicID, topicName: long, partitionIndex: 0, settings: TestStore.settings,
            leadership: .leader(in: LeaderEpoch(0)))
        #expect(try again.recover(nowMs: TestStore.now).damage.isEmpty)
        #expect(log.highWatermark == Offset(3))
        #expect(try log.read(from: Offset(0), maxBytes: 1 << 20).get().endOffset == Offset(3))
        again.removeFolders(except: [log.folderName])
        #expect(try disk.exists(old))
    }
}
