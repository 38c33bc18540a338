import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import LogStorage

/// Whoever invents producer ids costs a bounded amount of memory and checkpoint, and the start always works.
@Suite struct ProducerLimitTests {
    private let now = TestStore.now

    private func options(_ limit: Int) -> LogStoreOptions {
        var options = TestStore.options
        options.maxProducerStates = limit
        return options
    }

    private func append(_ log: PartitionLog, producer: Int64, sequence: Int32 = 0, nowMs: Int64) throws {
        var batch = TestBatch(count: 1)
        batch.baseTimestamp = nowMs
        (batch.producerID, batch.producerEpoch, batch.baseSequence) = (producer, 0, sequence)
        let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        _ = try log.append(slice, origin: .client, nowMs: nowMs).get()
    }

    /// Appends a batch that begins its producer's transaction; gives why it is refused.
    private func append(
        _ batch: TestBatch, to log: PartitionLog, _ origin: PartitionLog.Origin, nowMs: Int64
    ) throws -> ErrorCode? {
        var batch = batch
        batch.baseTimestamp = nowMs
        let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        let asked = log.verification(of: ProducerID(batch.producerID), ProducerEpoch(0), isVersion2: false)
        guard case .ask(let verified) = asked else { return .unknownServerError }
        switch log.append(slice, origin: origin, nowMs: nowMs, verified: verified) {
        case .success: return nil
        case .failure(let refusal): return refusal.code
        }
    }

    private func known(_ store: TestStore) -> Int {
        ([store.log] + store.neighbours).reduce(0) { $0 + $1.producerCount }
    }

    @Test func theLongestSilentOfAllPartitionsGo() throws {
        let store = try TestStore(options: options(64), neighbours: ["a", "b", "c"])
        let logs = [store.log] + store.neighbours
        var most = 0
        for number in 0..<600 as Range<Int64> {
            // One that writes steadily, with a retry's memory to lose.
            if number % 10 == 0 { try append(logs[0], producer: 1, sequence: Int32(number / 10), nowMs: now + number) }
            try append(logs[Int(number % 4)], producer: 1000 + number, nowMs: now + number)
            most = max(most, known(store))
            if number % 50 == 49 {
                store.store.commitPending()
                store.store.maintain(nowMs: now + number)
                #expect(known(store) <= 64)
            }
            #expect(store.store.producerLimit.count == known(store))
        }
        // Between two rounds of maintenance an eighth more, and one for each partition.
        #expect(most <= ProducerLimit.hardLimit(64) + logs.count)
        #expect(logs[0].state.withLock { $0.producers.entries[1] } != nil)
        #expect(logs[0].state.withLock { $0.producers.entries[1000] } == nil)
        try store.crash()
        #expect(known(store) <= 64)
    }

    @Test func thoseOfOneMillisecondGoInPart() throws {
        let store = try TestStore(options: options(64), neighbours: ["a"])
        for number in 0..<66 as Range<Int64> { try append(store.log, producer: number, nowMs: now) }
        store.store.producerLimit.enforce(on: store.store.logs)
        #expect(known(store) == 56)
    }

    /// A coordinator that was told that there is room has taken the batch into its state: the append does not refuse it for what
    /// others have begun meanwhile.
    @Test func aCoordinatorsBatchIsLetInOnce() throws {
        let store = try TestStore(options: options(8), neighbours: ["a"])
        let (log, other) = (store.log, store.neighbours[0])
        for number in 0..<3 as Range<Int64> {
            #expect(try append(store.batch(of: number), to: other, .client, nowMs: now) == nil)
        }
        guard case .ask(let verified) = log.verification(of: ProducerID(100), ProducerEpoch(0), isVersion2: true) else {
            Issue.record("nothing to ask")
            return
        }
        #expect(log.transactionProblem(of: ProducerID(100), ProducerEpoch(0), verified) == nil)
        #expect(try append(store.batch(of: 3), to: other, .client, nowMs: now) == nil)
        #expect(log.transactionProblem(of: ProducerID(100), ProducerEpoch(0), verified) == .notEnoughReplicas)
        var batch = store.batch(of: 100)
        batch.baseSequence = -1
        #expect(try append(batch, to: log, .broker, nowMs: now) == nil)
        #expect(try append(store.batch(of: 101), to: log, .client, nowMs: now) == .notEnoughReplicas)
        #expect(store.store.producerLimit.openCount == 5)
    }

    /// Producers whose transaction is open cannot be forgotten: they have half of the room, in all partitions together.
    @Test func openTransactionsHaveALimitOfAllPartitions() throws {
        let store = try TestStore(options: options(64), neighbours: ["a", "b", "c"])
        let logs = [store.log] + store.neighbours
        func begin(_ producer: Int64, in log: PartitionLog, nowMs: Int64) throws -> ErrorCode? {
            try append(store.batch(of: producer), to: log, .client, nowMs: nowMs)
        }
        for number in 0..<32 as Range<Int64> { #expect(try begin(number, in: logs[Int(number % 4)], nowMs: now) == nil) }
        #expect(store.store.producerLimit.openCount == 32)
        for log in logs {
            #expect(try begin(100, in: log, nowMs: now) == .notEnoughReplicas)
            // Offsets of a group are no way around.
            guard case .ask(let verified) = log.verification(of: ProducerID(100), ProducerEpoch(0), isVersion2: true) else {
                Issue.record("nothing to ask")
                return
            }
            #expect(log.transactionProblem(of: ProducerID(100), ProducerEpoch(0), verified) == .notEnoughReplicas)
        }
        // What is open goes on, and so do producers without transactions, however many there are.
        #expect(store.refusal(of: store.batch(of: 0, sequence: 1)) == nil)
        var most = 0
        for number in 0..<300 as Range<Int64> {
            try append(logs[Int(number % 4)], producer: 1000 + number, nowMs: now + 1 + number)
            most = max(most, known(store))
            if number % 50 == 49 {
                store.store.commitPending()
                store.store.maintain(nowMs: now + number)
                #expect(known(store) <= 64)
            }
        }
        #expect(most <= ProducerLimit.hardLimit(64) + logs.count)
        #expect(store.store.producerLimit.openCount == 32)
        try store.end(0, isCommit: false)
        #expect(store.store.producerLimit.openCount == 31)
        #expect(try begin(100, in: logs[1], nowMs: now + 1000) == nil)
        #expect(try begin(101, in: logs[1], nowMs: now + 1000) == .notEnoughReplicas)
        // A start counts what the folder brings along, and a deleted partition frees what it held.
        store.store.commitPending()
        try store.crash()
        #expect(store.store.producerLimit.openCount == 32)
        let ofNeighbour = store.neighbours[1].state.withLock { $0.producers.ongoing.openCount }
        try store.store.removePartition(store.neighbours[1])
        #expect(store.store.producerLimit.openCount == 32 - ofNeighbour)
        #expect(ofNeighbour > 0 && store.refusal(of: store.batch(of: 102), TransactionGuard(logEndOffset: .max, isVersion2: false)) == nil)
    }

    /// What an entry is said to cost, by its size in memory.
    @Test func whatAStateCostsIsWhatIsSaid() {
        let entry = MemoryLayout<Int64>.stride + MemoryLayout<ProducerStates.Entry>.stride
        #expect(entry == 64)
        // Of a window: the array's header, and room for two batches or for eight; malloc's own word.
        let window = (least: 32 + 2 * MemoryLayout<ProducerStates.Batch>.stride, most: 32 + 8 * MemoryLayout<ProducerStates.Batch>.stride)
        let least = entry * 4 / 3 + window.least
        let most = entry * 8 / 3 + window.most
        #expect((145...155).contains(least) && (325...335).contains(most))
        #expect(ProducerLimit.maxStates * most <= 87_000_000)
    }

    /// A folder of a release that bounded nothing.
    @Test func aStartForgetsWhatIsTooMuch() throws {
        let store = try TestStore(options: options(1000), neighbours: ["a"])
        for number in 0..<500 as Range<Int64> { try append(store.log, producer: number, nowMs: now + number) }
        try store.checkpoint()
        store.options.maxProducerStates = 100
        try store.crash()
        #expect(known(store) <= 100)
        #expect(store.log.state.withLock { $0.producers.entries[499] } != nil)
    }

    @Test func aDeletedPartitionCountsNoMore() throws {
        let store = try TestStore(options: options(64), neighbours: ["a"])
        for number in 0..<40 as Range<Int64> { try append(store.neighbours[0], producer: number, nowMs: now) }
        try append(store.log, producer: 1, nowMs: now)
        try store.store.removePartition(store.neighbours[0])
        #expect(store.store.producerLimit.count == 1)
    }

    /// A checkpoint that is too large to be read is damage, which a start survives.
    @Test func aCheckpointThatIsTooLargeDoesNotStopTheStart() throws {
        let store = try TestStore()
        for _ in 0..<3 { store.append() }
        try store.checkpoint()
        try store.crash { disk in
            for name in [Checkpoint.fileName, Checkpoint.copyName] {
                guard let file = try? disk.open("/data/\(name)", .readWrite(create: false)) else { continue }
                try? file.truncate(to: Int64(Checkpoint.maxBytes) + 1)
                file.close()
            }
        }
        #expect(try store.readAll() == [0, 1, 2])
        #expect(store.summary.notices.count { $0.contains("at most \(Checkpoint.maxBytes)") } == 2)
    }

    /// A partition that is set aside when its states are counted already has none any more, until it is opened.
    @Test func whatIsSetAsideIsNotCounted() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 500
        let store = try TestStore(settings: settings, neighbours: ["a"])
        for producer in 0..<20 as Range<Int64> {
            try append(store.log, producer: producer, nowMs: now)
            try append(store.neighbours[0], producer: producer, nowMs: now)
        }
        store.store.commitPending()
        try store.log.writeBehind(with: nil)
        let bases = store.files.compactMap(Segment.baseOffset(ofLogName:)).sorted()
        // The segments behind a torn one have to go, once the journal was read.
        try store.kill { disk in
            let path = store.path(Segment.name(bases[1], ".log"))
            let file = try! disk.open(path, .readWrite(create: false))
            try! file.truncate(to: try! file.size() - 10)
            disk.inject(Fault(.fail(errno: EACCES), on: .remove, pathContains: "/t-0.", times: .max))
        }
        #expect(store.store.faults.map(\.partition) == ["t-0"])
        #expect(store.store.producerLimit.count == known(store) && known(store) == 20)
        store.fileSystem.removeFaults()
        store.store.maintain(nowMs: now + 2 * PartitionLog.reopenMs)
        #expect(store.store.faults.isEmpty)
        #expect(store.store.producerLimit.count == known(store) && known(store) == 40)
    }
}
