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
