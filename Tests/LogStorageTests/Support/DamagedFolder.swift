import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

@testable import LogStorage

/// A small data folder with three partitions, and what must be in it: closed segments, their indexes, a checkpoint, and
/// commits that only the journal or only a segment holds. Tests damage it while it is stopped and look what is served.
final class DamagedFolder {
    struct Written {
        let baseOffset: Int64
        let lastOffset: Int64
        let records: [UInt8]
    }

    /// What a look at every partition found.
    struct Look {
        var readable = 0
        /// Acknowledged records that are not readable: all of them must be reported.
        var missing = 0
        var reported = true
        var faults: [String] = []
    }

    static let partitions = 3
    private(set) var stopped: SimulatedFileSystem
    private(set) var written: [[Written]] = Array(repeating: [], count: partitions)
    private(set) var fileSystem: SimulatedFileSystem
    private(set) var store: LogStore!
    private(set) var logs: [PartitionLog] = []
    private(set) var summary = RecoverySummary()

    static var options: LogStoreOptions {
        var options = TestStore.options
        options.writeThroughRunBytes = 4 << 10
        return options
    }

    static var settings: LogSettings {
        var settings = TestStore.settings
        settings.segmentBytes = 3 << 10
        return settings
    }

    /// `isClean`: stopped in order; otherwise killed with commits in the journal. `truncations`: how often the logs are
    /// said to have been truncated before.
    /// `hasTransactions`: one is open at the end, and one was aborted behind the checkpoint.
    init(isClean: Bool, seed: UInt64 = 1, truncations: UInt32 = 0, hasTransactions: Bool = false) throws {
        fileSystem = SimulatedFileSystem(seed: seed)
        stopped = fileSystem
        try open(fileSystem)
        for log in logs { log.state.withLock { $0.truncations = truncations } }
        for round in 0..<24 {
            for place in 0..<Self.partitions where round % (place + 1) == 0 {
                append(to: place, count: 1 + round % 3, size: 90 + round * 7)
            }
            // One long run, which is written through to its segment.
            if round % 8 == 5 { append(to: 1, count: 4, size: 1200) }
            if hasTransactions {
                if round == 10 { begin(5) }
                if round == 12 { begin(6) }
                if round == 18 { abort(5) }
            }
            store.commitPending()
            if round == 15 { try store.checkpoint() }
            if round == 19 { for log in logs { try log.writeBehind(with: nil) } }
        }
        if isClean { try store.stop() }
        stopped = fileSystem
    }

    private func begin(_ producer: Int64) {
        var batch = TestBatch(count: 2, valueSize: 60)
        (batch.producerID, batch.producerEpoch, batch.baseSequence, batch.isTransactional) = (producer, 0, 0, true)
        append(batch.bytes(), to: 0, origin: .client)
    }

    private func abort(_ producer: Int64) {
        let end = logs[0].logEndOffset.rawValue
        _ = logs[0].endTransaction(
            TransactionMarker(
                producerID: ProducerID(producer), epoch: ProducerEpoch(0), isCommit: false, coordinatorEpoch: 3,
                isVersion2: false), nowMs: TestStore.now)
        let marker = logs[0].state.withLock { Array($0.tail[$0.tail.count - 1].slice.bytes) }
        written[0].append(
            Written(baseOffset: end, lastOffset: end, records: Array(marker[RecordBatchHeader.size...])))
    }

    /// A folder that something else made.
    init(opening disk: SimulatedFileSystem) throws {
        fileSystem = disk
        stopped = disk
        try open(disk)
    }

    private func append(to place: Int, count: Int, size: Int) {
        append(TestBatch(count: count, valueSize: size).bytes(), to: place, origin: .client)
    }

    private func append(_ bytes: [UInt8], to place: Int, origin: PartitionLog.Origin) {
        let slice = bytes.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        // The coordinator knows of every transaction here.
        let verified = TransactionGuard(logEndOffset: .max, isVersion2: false)
        guard
            case .success(let receipt) = logs[place].append(
                slice, origin: origin, nowMs: TestStore.now, verified: verified)
        else { preconditionFailure("refused") }
        written[place].append(
            Written(
                baseOffset: receipt.baseOffset.rawValue, lastOffset: receipt.lastOffset.rawValue,
                records: Array(bytes[RecordBatchHeader.size...])))
    }

    /// Opens a copy of the stopped folder that `damage` was done to.
    func reopen(_ damage: (SimulatedFileSystem) throws -> Void) throws {
        fileSystem = stopped.crash(keeping: .everything, seed: 1)
        try damage(fileSystem)
        try open(fileSystem)
    }

    /// Kills the broker and starts it again on what it left.
    func restart() throws {
        try open(fileSystem.crash(keeping: .everything, seed: 2))
    }

    private func open(_ disk: SimulatedFileSystem) throws {
        fileSystem = disk
        store = try LogStore(fileSystem: disk, folder: "/data", options: Self.options)
        logs = (0..<Self.partitions).map { place in
            store.addPartition(
                topicID: TopicID(high: 9, low: UInt64(place)), topicName: "t\(place)", partitionIndex: 0,
                settings: Self.settings, leadership: .leader(in: LeaderEpoch(0)))
        }
        summary = try store.recover()
    }

    /// A batch appended now, at the offset given to it; nil when it is refused.
    func append(to place: Int) -> Int64? {
        let slice = TestBatch(count: 1).bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        guard case .success(let receipt) = logs[place].append(slice, origin: .client, nowMs: TestStore.now) else {
            return nil
        }
        store.commitPending()
        return receipt.baseOffset.rawValue
    }

    /// All files of the folder, by path.
    func files(in folder: String = "/data") throws -> [String] {
        try stopped.list(folder).flatMap { name -> [String] in
            let path = Path.join(folder, name)
            return stopped.isDirectory(path) ? try files(in: path) : [path]
        }
    }

    func folder(_ place: Int) -> String { "/data/partitions/\(logs[place].folderName)" }

    // MARK: Looking

    /// Reads every acknowledged record of every partition, each batch from its own offset.
    func look() -> Look {
        var look = Look()
        for place in 0..<Self.partitions { self.look(place, &look) }
        return look
    }

    private func look(_ place: Int, _ look: inout Look) {
        let log = logs[place]
        for batch in written[place] {
            switch log.read(from: Offset(batch.baseOffset), maxBytes: 1) {
            case .success(let records):
                guard let slice = records.slices.first else {
                    look.missing += 1
                    if !isReported(place, batch.baseOffset) {
                        look.reported = false
                        look.faults.append("partition \(place): \(batch.baseOffset) is silently missing")
                    }
                    continue
                }
                let header = RecordBatchHeader(unchecked: slice.pointer)
                guard header.baseOffset.rawValue == batch.baseOffset, header.lastOffset.rawValue == batch.lastOffset,
                    header.partitionLeaderEpoch.rawValue == 0, header.totalSize == slice.count,
                    header.computedCRC() == header.crc, header.recordsBytes.elementsEqual(batch.records)
                else {
                    look.faults.append("partition \(place): another batch at \(batch.baseOffset)")
                    continue
                }
                look.readable += 1
            case .failure(let refusal):
                look.missing += 1
                if !isReported(place, batch.baseOffset) {
                    look.reported = false
                    look.faults.append("partition \(place): \(batch.baseOffset): \(refusal), and not reported")
                }
            }
        }
    }

    private func isReported(_ place: Int, _ offset: Int64) -> Bool {
        let quarantine = logs[place].quarantine
        if quarantine.damaged.contains(where: { $0.baseOffset <= offset && offset < $0.endOffset }) { return true }
        if quarantine.endReason != nil, offset >= logs[place].logEndOffset.rawValue { return true }
        // The journal's last commit: torn and damaged look alike, and both are told of.
        return offset >= logs[place].logEndOffset.rawValue && summary.notices.contains { $0.contains("is not whole") }
    }
}
