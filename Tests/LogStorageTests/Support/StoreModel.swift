import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO

@testable import LogStorage

/// A store on a simulated disk beside a plain model of what it must hold: random operations, failed syncs, power cuts and
/// kills at any call, one after the other, and after each restart every promise checked.
final class StoreModel {
    struct Batch {
        let baseOffset: Int64
        let count: Int32
        /// The records section as it was written; what is read must be equal.
        let records: [UInt8]
        let producer: ProducerBatch?
        /// Key and value of each record: what compaction goes by.
        let contents: [TestRecord]
        let appendedMs: Int64
        var lastOffset: Int64 { baseOffset + Int64(count) - 1 }
    }

    struct Partition {
        let topicID: TopicID
        let index: Int32
        let settings: LogSettings
        var log: PartitionLog
        /// Everything appended and not known to be lost, in order.
        var batches: [Batch] = []
        /// Exclusive: all below was acknowledged.
        var acknowledgedEnd: Int64 = 0
        /// Log start that was acknowledged, and the largest that was asked for.
        var acknowledgedStart: Int64 = 0
        var askedStart: Int64 = 0
        /// Appends and log starts that wait for their ticket: exclusive end or start.
        var waitingEnds: [(ticket: UInt64, end: Int64)] = []
        var waitingStarts: [(ticket: UInt64, start: Int64)] = []
        var nextSequence: [Int64: Int32] = [:]
        var logEnd: Int64 { batches.last.map { $0.lastOffset + 1 } ?? floor }
        /// Log end when `batches` is empty.
        var floor: Int64 = 0
        /// Exclusive: from here on nothing can have been compacted yet.
        var compactedEnd: Int64 = 0
        /// What was seen last of what may only grow.
        var seenHighWatermark: Int64 = 0
        var seenStart: Int64 = 0
        /// Its start moves by itself.
        var hasRetention: Bool { settings.retentionBytes >= 0 }
    }

    /// How a store ends.
    enum End: Equatable {
        case inOrder
        /// The process dies, the page cache survives.
        case killed
        case powerCut
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    var random: SeededRandom
    var fileSystem: SimulatedFileSystem
    var store: LogStore!
    var partitions: [Partition] = []
    var nowMs: Int64 = 1_700_000_000_000
    var options: LogStoreOptions
    private(set) var crashes = 0
    private(set) var kills = 0
    /// Now and then a start finds a full disk.
    private let isCramped: Bool
    private var failures = HeardCommits()

    init(seed: UInt64, withoutSync: Bool = false, trustingCache: Bool = false) throws {
        random = SeededRandom(seed: seed)
        fileSystem = SimulatedFileSystem(seed: random.next())
        fileSystem.supportsDirect = random.chance(0.7)
        options = .small()
        options.writeThroughRunBytes = 3 << 10
        options.checkpointBytes = 64 << 10
        options.tailBudgetBytes = 16 << 10
        options.direct = random.chance(0.8)
        options.cacheBytes = random.number(in: 0...48 << 10)
        options.windowBytes = random.number(in: 0...192 << 10)
        options.unsafeWithoutSync = withoutSync
        options.unsafeTrustsCache = trustingCache
        options.producerExpirationMs = Self.expirationMs
        // Now and then a pass has to end before it has seen all keys.
        options.cleanerMapBytes = random.chance(0.5) ? 16 << 20 : OffsetMap.slotBytes * 7
        isCramped = random.chance(0.5)
        store = try LogStore(fileSystem: fileSystem, folder: "/data", options: options)
        store.observe(failures)
        for index in 0..<random.number(in: 1...4) { partitions.append(newPartition(Int32(index))) }
        _ = try store.recover(nowMs: nowMs)
    }

    static let expirationMs: Int64 = 15_000
    static let keys = 6

    private func newPartition(_ index: Int32) -> Partition {
        var settings = LogSettings()
        settings.segmentBytes = 24 << 10
        settings.segmentMs = 20_000
        settings.indexIntervalBytes = 512
        settings.maxBatchBytes = 1 << 20
        settings.retentionMs = -1
        if random.chance(0.5) {
            settings.isCompacted = true
            settings.deletesByRetention = false
            settings.segmentBytes = 8 << 10
            settings.minCleanableDirtyRatio = 0
            settings.deleteRetentionMs = 3000
        }
        if random.chance(0.3) {
            settings.deletesByRetention = true
            settings.retentionBytes = 40 << 10
        }
        let id = TopicID.random(using: &random)
        return Partition(topicID: id, index: index, settings: settings, log: open(id, index, settings))
    }

    private func open(_ id: TopicID, _ index: Int32, _ settings: LogSettings) -> PartitionLog {
        store.addPartition(
            topicID: id, topicName: "t\(index)", partitionIndex: index, settings: settings,
            leadership: .leader(in: LeaderEpoch(0)))
    }

    // MARK: Operations

    func step() throws {
        nowMs += Int64(random.below(200))
        if !fileSystem.isHalted, random.chance(0.02) {
            fileSystem.haltAtCall(fileSystem.callCount + random.number(in: 1...40))
        }
        if random.chance(0.005) { injectFailure() }
        if fileSystem.capacity != nil, random.chance(0.1) { fileSystem.capacity = nil }
        // Clean pages may go at any time.
        if random.chance(0.02) { fileSystem.dropCaches() }
        switch random.below(100) {
        case 0..<52: append(isLong: false)
        case 52..<62: append(isLong: true)
        case 62..<79: store.commitPending()
        case 79..<85:
            nowMs += 1500
            store.maintain(nowMs: nowMs)
        case 85..<88:
            do { try store.checkpoint() } catch { store.commits.backgroundFailed(error) }
        case 88..<92: compact()
        case 92: _ = partitions[random.below(partitions.count)].log.enforceRetention(nowMs: nowMs)
        case 93:
            partitions[random.below(partitions.count)].log.expireProducers(silentSince: nowMs - Self.expirationMs)
        case 94: if random.chance(0.3) { recreate() }
        case 95: deleteRecords()
        case 96..<98:
            do { try verify() } catch  where fileSystem.isHalted {}
        default: try restart(random.chance(0.2) ? .inOrder : randomDeath())
        }
        settle()
        try verifyProgress()
        if fileSystem.isHalted || store.isOffline { try restart(randomDeath()) }
    }

    private func randomDeath() -> End { random.chance(0.5) ? .killed : .powerCut }

    /// One of the next syncs fails, and what it was to write is lost while it reads as written.
    private func injectFailure() {
        let operation = random.pick([StorageError.Operation.sync, .sync, .sync, .syncAll, .syncDirectory])
        fileSystem.inject(Fault(.fail(errno: EIO), on: operation, skipping: random.below(6)))
    }

    private func compact() {
        for place in partitions.indices where partitions[place].settings.isCompacted {
            // A round makes a checkpoint when it needs one: all but the active segment may go.
            let active = partitions[place].log.state.withLock { $0.segments[$0.segments.count - 1].baseOffset }
            partitions[place].compactedEnd = max(partitions[place].compactedEnd, active)
        }
        store.clean(nowMs: nowMs)
    }

    /// A topic is deleted, and one of the same name made.
    private func recreate() {
        let place = random.below(partitions.count)
        // Its files may be left when the disk fails; the next start removes them.
        try? store.removePartition(partitions[place].log)
        partitions[place] = newPartition(partitions[place].index)
    }

    private func append(isLong: Bool) {
        let place = random.below(partitions.count)
        let count = random.number(in: 1...4)
        let size = isLong ? random.number(in: 1000...9000) : random.number(in: 1...200)
        let isCompacted = partitions[place].settings.isCompacted
        let contents = (0..<count).map { _ in
            TestRecord(
                key: isCompacted ? [UInt8(random.below(Self.keys))] : nil,
                value: isCompacted && random.chance(0.2) ? nil : random.bytes(size))
        }
        var batch = TestBatch(contents)
        batch.baseTimestamp = nowMs
        var producer: ProducerBatch?
        if random.chance(0.5) {
            let id = Int64(random.below(3))
            let sequence = partitions[place].nextSequence[id] ?? 0
            batch.producerID = id
            batch.producerEpoch = 0
            batch.baseSequence = sequence
            producer = ProducerBatch(
                producerID: id, producerEpoch: 0, baseSequence: sequence,
                lastSequence: sequence + Int32(count) - 1)
        }
        let bytes = batch.bytes()
        let slice = bytes.withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        // The broker's own records are taken on a full disk, too.
        let origin: PartitionLog.Origin = random.chance(0.2) ? .broker : .client
        guard case .success(let receipt) = partitions[place].log.append(slice, origin: origin, nowMs: nowMs) else {
            return
        }
        precondition(
            receipt.baseOffset.rawValue == partitions[place].logEnd, "offset \(receipt.baseOffset) given twice")
        if let producer { partitions[place].nextSequence[producer.producerID] = producer.lastSequence + 1 }
        partitions[place].batches.append(
            Batch(
                baseOffset: receipt.baseOffset.rawValue, count: Int32(count),
                records: Array(bytes[RecordBatchHeader.size...]), producer: producer, contents: contents,
                appendedMs: nowMs))
        partitions[place].waitingEnds.append((receipt.ticket, receipt.lastOffset.rawValue + 1))
    }

    private func deleteRecords() {
        let place = random.below(partitions.count)
        let offsets = partitions[place].log.offsets
        guard offsets.highWatermark > offsets.logStart else { return }
        let span = Int(offsets.highWatermark - offsets.logStart)
        let target = offsets.logStart + Int64(random.number(in: 1...span))
        guard case .success(let (start, ticket)) = partitions[place].log.deleteRecords(before: target) else { return }
        partitions[place].askedStart = max(partitions[place].askedStart, start.rawValue)
        partitions[place].waitingStarts.append((ticket, start.rawValue))
    }

    /// Takes note of what the store's commits have acknowledged.
    private func settle() {
        let durable = store.durableTicket
        recordRetention()
        for place in partitions.indices {
            while let first = partitions[place].waitingEnds.first, first.ticket <= durable {
                // A commit that left out what a partition's files did not take: nobody was told that it is stored.
                if !failures.failed.contains(where: { $0.contains(first.ticket) }) {
                    partitions[place].acknowledgedEnd = max(partitions[place].acknowledgedEnd, first.end)
                }
                partitions[place].waitingEnds.removeFirst()
            }
            while let first = partitions[place].waitingStarts.first, first.ticket <= durable {
                partitions[place].acknowledgedStart = max(partitions[place].acknowledgedStart, first.start)
                partitions[place].waitingStarts.removeFirst()
            }
        }
    }

    /// Retention moves a log's start by itself.
    private func recordRetention() {
        for place in partitions.indices where partitions[place].hasRetention {
            let start = partitions[place].log.logStartOffset.rawValue
            partitions[place].askedStart = max(partitions[place].askedStart, start)
        }
    }

    func restart(_ end: End) throws {
        if end == .inOrder {
            do { try store.stop() } catch { die(randomDeath()) }
            settle()
        } else {
            die(end)
        }
        while true {
            // The disk may be taken away during recovery, too, or fail.
            if random.chance(0.1) { fileSystem.haltAtCall(fileSystem.callCount + random.number(in: 1...60)) }
            if random.chance(0.02) { injectFailure() }
            if isCramped {
                let room = Int64(random.number(in: 0...6) * JournalFormat.block)
                fileSystem.capacity = random.chance(0.4) ? fileSystem.usedBytes + room : nil
            }
            do {
                try reopen()
            } catch {
                guard fileSystem.isHalted || (error as? StorageError)?.errno == EIO else { throw error }
                die(randomDeath())
                continue
            }
            // What is readable now must be durable, and not because of what comes later.
            guard random.chance(0.2) else { return }
            die(randomDeath())
        }
    }

    private func die(_ end: End) {
        crashes += 1
        if end == .killed {
            kills += 1
            fileSystem = fileSystem.kill()
        } else {
            fileSystem = fileSystem.crash(keeping: .random, seed: random.next())
        }
    }

    private func reopen() throws {
        store = try LogStore(fileSystem: fileSystem, folder: "/data", options: options)
        failures = HeardCommits()
        store.observe(failures)
        for place in partitions.indices {
            partitions[place].log = open(
                partitions[place].topicID, partitions[place].index, partitions[place].settings)
            partitions[place].waitingEnds = []
            partitions[place].waitingStarts = []
        }
        let summary = try store.recover(nowMs: nowMs)
        // A disk that only loses what was not synced does no damage, and no tear may be taken for it.
        if let damage = summary.damage.first { throw Failure(description: "damage after a crash: \(damage)") }
        try openAll()
        store.removeFolders(except: Set(partitions.map(\.log.folderName)))
        for place in partitions.indices { try adopt(place) }
        try verify()
    }

    /// Partitions that found no room to be opened, or met a failure, are opened when that is over.
    private func openAll() throws {
        let isMissing = { self.partitions.contains { $0.log.unavailability != nil } }
        // One of the rounds may be a checkpoint's.
        for _ in 0..<4 where isMissing() {
            fileSystem.capacity = nil
            nowMs += PartitionLog.reopenMs
            store.maintain(nowMs: nowMs)
            // The round may have removed what is old.
            recordRetention()
        }
        if store.isOffline || fileSystem.isHalted { throw StorageError(.io(errno: EIO), .write, path: "/data") }
        if isMissing() { throw Failure(description: "not opened: \(store.faults)") }
    }

    /// The restarted log may have lost what was not acknowledged, and nothing else.
    private func adopt(_ place: Int) throws {
        let offsets = partitions[place].log.offsets
        let end = offsets.logEnd.rawValue
        if end < partitions[place].acknowledgedEnd {
            throw Failure(
                description:
                    "partition \(place): log ends at \(end), acknowledged to \(partitions[place].acknowledgedEnd)")
        }
        if end > partitions[place].logEnd {
            throw Failure(description: "partition \(place): log ends at \(end), written to \(partitions[place].logEnd)")
        }
        let start = offsets.logStart.rawValue
        if start < partitions[place].acknowledgedStart || start > partitions[place].askedStart {
            throw Failure(
                description:
                    "partition \(place): log starts at \(start), acknowledged \(partitions[place].acknowledgedStart), "
                    + "asked \(partitions[place].askedStart)")
        }
        let last = partitions[place].logEnd
        partitions[place].batches.removeAll { $0.lastOffset >= end }
        if partitions[place].batches.isEmpty { partitions[place].floor = min(end, last) }
        guard partitions[place].logEnd == end else {
            throw Failure(description: "partition \(place): log ends within a batch, at \(end)")
        }
        // Everything that is there now was replayed from what is on disk: it counts as acknowledged.
        partitions[place].acknowledgedEnd = end
        partitions[place].acknowledgedStart = start
        partitions[place].seenHighWatermark = 0
        partitions[place].seenStart = 0
        var sequences: [Int64: Int32] = [:]
        for batch in partitions[place].batches {
            if let producer = batch.producer { sequences[producer.producerID] = producer.lastSequence + 1 }
        }
        partitions[place].nextSequence = sequences
        try verifyProducers(place)
    }
}
