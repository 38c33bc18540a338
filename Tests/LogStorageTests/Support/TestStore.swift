import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO
import Testing

@testable import LogStorage

/// A store with one partition on a simulated disk, without threads: commits and checkpoints come when the test says so.
final class TestStore {
    static let now: Int64 = 1_700_000_000_000
    static let topicID = TopicID(high: 1, low: 2)

    private(set) var fileSystem: SimulatedFileSystem
    var options: LogStoreOptions
    var settings: LogSettings
    private(set) var store: LogStore
    private(set) var log: PartitionLog
    /// Partitions of other topics, by the names given.
    private(set) var neighbours: [PartitionLog] = []
    private let neighbourNames: [String]
    private(set) var summary = RecoverySummary()

    static var options: LogStoreOptions { .small() }
    static var settings: LogSettings { .small }

    init(
        _ fileSystem: SimulatedFileSystem = SimulatedFileSystem(), options: LogStoreOptions = TestStore.options,
        settings: LogSettings = TestStore.settings, neighbours names: [String] = []
    ) throws {
        self.fileSystem = fileSystem
        self.options = options
        self.settings = settings
        neighbourNames = names
        (store, log, neighbours, summary) = try Self.open(fileSystem, options, settings, names)
    }

    private static func open(
        _ fileSystem: SimulatedFileSystem, _ options: LogStoreOptions, _ settings: LogSettings, _ names: [String]
    ) throws -> (LogStore, PartitionLog, [PartitionLog], RecoverySummary) {
        // Memory of its own: what other tests leave in the shared pool is no reason for this store to maintain anything.
        let store = try LogStore(fileSystem: fileSystem, folder: "/data", options: options, pool: ChunkPool())
        let log = store.addPartition(
            topicID: topicID, topicName: "t", partitionIndex: 0, settings: settings,
            leadership: .leader(in: LeaderEpoch(0)))
        let neighbours = names.enumerated().map { place, name in
            store.addPartition(
                topicID: TopicID(high: 5, low: UInt64(place)), topicName: name, partitionIndex: 0, settings: settings,
                leadership: .leader(in: LeaderEpoch(0)))
        }
        return (store, log, neighbours, try store.recover(nowMs: now))
    }

    /// Stops in order and starts again on the same disk.
    func restart() throws {
        try store.stop()
        try reopen()
    }

    /// Starts again on the same disk, after a stop.
    func reopen() throws {
        (store, log, neighbours, summary) = try Self.open(fileSystem, options, settings, neighbourNames)
    }

    /// Cuts the power, lets `damage` have the disk, and starts again.
    func crash(
        keeping: SimulatedFileSystem.Keeping = .nothing, _ damage: (SimulatedFileSystem) -> Void = { _ in }
    ) throws {
        fileSystem = fileSystem.crash(keeping: keeping)
        damage(fileSystem)
        try reopen()
    }

    /// Ends the process, lets `then` have the disk with its page cache, and starts again.
    func kill(_ then: (SimulatedFileSystem) -> Void = { _ in }) throws {
        fileSystem = fileSystem.kill()
        then(fileSystem)
        try reopen()
    }

    // MARK: Writing

    /// Appends a batch of records of `size` bytes and does not commit it.
    @discardableResult
    func append(count: Int = 1, size: Int = 100, timestamp: Int64 = TestStore.now, nowMs: Int64? = nil) -> AppendReceipt
    {
        var batch = TestBatch(count: count, valueSize: size)
        batch.baseTimestamp = timestamp
        return append(batch, nowMs: nowMs ?? timestamp)
    }

    func append(_ batch: TestBatch, nowMs: Int64 = TestStore.now) -> AppendReceipt {
        let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        var verified: TransactionGuard?
        if batch.isTransactional {
            // The coordinator says yes to everything.
            let asked = log.verification(
                of: ProducerID(batch.producerID), ProducerEpoch(batch.producerEpoch), isVersion2: false)
            if case .ask(let answer) = asked { verified = answer }
        }
        switch log.append(slice, origin: .client, nowMs: nowMs, verified: verified) {
        case .success(let receipt): return receipt
        case .failure(let refusal): preconditionFailure("\(refusal)")
        }
    }

    /// Everything appended is in the segments and the index files, and the journal is not needed.
    func checkpoint() throws {
        store.commitPending()
        try store.checkpoint()
    }

    // MARK: Looking

    var folder: String { "/data/partitions/\(log.folderName)" }
    func path(_ name: String) -> String { Path.join(folder, name) }
    var files: [String] { ((try? fileSystem.list(folder)) ?? []).sorted() }

    /// First and last offset of each batch that a read gives.
    func read(
        from offset: Int64, maxBytes: Int = 1 << 20, atLeastOne: Bool = true, fileFrom: Int = .max
    ) throws -> [ClosedRange<Int64>] {
        let records = try log.read(
            from: Offset(offset), maxBytes: maxBytes, atLeastOne: atLeastOne, fileFrom: fileFrom
        ).get()
        var found: [ClosedRange<Int64>] = []
        for slice in try records.loaded() {
            var cursor = RecordBatchCursor(slice.bytes)
            while let batch = try cursor.next() { found.append(batch.baseOffset.rawValue...batch.lastOffset.rawValue) }
        }
        #expect(records.endOffset?.rawValue == found.last.map { $0.upperBound + 1 })
        return found
    }

    /// Every offset from the log's start on, read to its end.
    func readAll() throws -> [Int64] {
        var offset = log.logStartOffset.rawValue
        var found: [Int64] = []
        while offset < log.highWatermark.rawValue {
            let batches = try read(from: offset, maxBytes: 4096)
            guard let last = batches.last else { break }
            found += batches.flatMap { Array($0) }.filter { $0 >= offset }
            offset = last.upperBound + 1
        }
        return found
    }
}

func storageError(_ body: () throws -> Void) -> StorageError? {
    do {
        try body()
        return nil
    } catch {
        return error as? StorageError
    }
}

extension FetchedRecords {
    /// What a reader of the socket is given: the slices, or what stands in the file.
    func loaded() throws -> [ByteSlice] {
        guard case .file(let place) = place else { return slices }
        let chunk = ChunkPool.shared.chunk(atLeast: place.count)
        let count = try (place.file as! any StorageFile).read(
            into: UnsafeMutableRawBufferPointer(start: chunk.base, count: place.count), at: place.position)
        return [ByteSlice(chunk: chunk, offset: 0, count: count)]
    }
}
