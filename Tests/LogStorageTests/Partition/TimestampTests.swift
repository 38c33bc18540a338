import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import RecordFormat
import StorageIO
import Testing

@testable import LogStorage

/// Offsets by time. Sources: KIP-79, KIP-734.
@Suite struct TimestampTests {
    private let now = TestStore.now

    /// Times, relative: offset 0: 100, 1: 300, 2: 200, 3 and 4 (one batch): 250 and 400, 5: 350; three to a segment.
    private func log(inFile: Bool) throws -> TestStore {
        var settings = TestStore.settings
        settings.segmentBytes = 400
        settings.indexIntervalBytes = 1
        let store = try TestStore(settings: settings)
        for time: Int64 in [100, 300, 200] { store.append(timestamp: now + time) }
        var two = TestBatch(count: 2)
        two.baseTimestamp = now + 250
        two.records[1].timestampDelta = 150
        _ = store.append(two)
        store.append(timestamp: now + 350)
        store.store.commitPending()
        if inFile {
            try store.checkpoint()
            try store.restart()
        }
        return store
    }

    @Test(arguments: [false, true])
    func theFirstRecordNotBeforeATimeIsFound(inFile: Bool) throws {
        let store = try log(inFile: inFile)
        let expected: [(Int64, Int64?)] = [
            (0, 0), (100, 0), (101, 1), (300, 1), (301, 4), (400, 4), (401, nil),
        ]
        for (time, offset) in expected {
            let found = try store.log.firstOffset(notBefore: now + time).get()
            #expect(found?.offset.rawValue == offset, "time \(time)")
            if let found { #expect(found.timestampMs >= now + time) }
        }
    }

    @Test(arguments: [false, true])
    func theLargestTimestampIsFoundWhereItIs(inFile: Bool) throws {
        let store = try log(inFile: inFile)
        let found = try #require(try store.log.offsetOfMaxTimestamp().get())
        #expect(found == PartitionLog.TimestampedOffset(offset: Offset(4), timestampMs: now + 400, leaderEpoch: 0))
    }

    @Test func deletedRecordsAreNotFound() throws {
        let store = try log(inFile: false)
        _ = try store.log.deleteRecords(before: Offset(2)).get()
        store.store.commitPending()
        #expect(try store.log.firstOffset(notBefore: now).get()?.offset == Offset(2))
        #expect(try store.log.firstOffset(notBefore: now + 300).get()?.offset == Offset(4))
    }

    @Test func anEmptyLogHasNoTimes() throws {
        let store = try TestStore()
        #expect(try store.log.firstOffset(notBefore: 0).get() == nil)
        #expect(try store.log.offsetOfMaxTimestamp().get() == nil)
    }

    @Test func logAppendTimeReplacesTheProducers() throws {
        var settings = TestStore.settings
        settings.usesLogAppendTime = true
        let store = try TestStore(settings: settings)
        let receipt = store.append(timestamp: now - 5000, nowMs: now + 7)
        #expect(receipt.logAppendTimeMs == now + 7)
        store.store.commitPending()
        #expect(try store.log.firstOffset(notBefore: now + 7).get()?.timestampMs == now + 7)
        #expect(try store.log.firstOffset(notBefore: now + 8).get() == nil)
    }

    /// In the queue, in the cache, and in the file alone; each time the append's time and not that of the repeat.
    @Test func aRepeatIsToldTheTimeOfItsFirstAppend() throws {
        var settings = TestStore.settings
        settings.usesLogAppendTime = true
        let store = try TestStore(settings: settings)
        func send(_ sequence: Int32, at time: Int64) -> AppendReceipt {
            var batch = TestBatch(count: 2)
            (batch.producerID, batch.producerEpoch, batch.baseSequence) = (7, 0, sequence)
            return store.append(batch, nowMs: time)
        }
        #expect(send(0, at: now + 1).logAppendTimeMs == now + 1)
        #expect(send(2, at: now + 2).logAppendTimeMs == now + 2)
        for (round, isInFile) in [(Int64(3), false), (4, false), (5, true)] {
            if round == 4 { store.store.commitPending() }
            if isInFile {
                try store.checkpoint()
                try store.restart()
            }
            for (sequence, first) in [(Int32(0), now + 1), (2, now + 2)] {
                let repeated = send(sequence, at: now + round * 100)
                #expect(repeated.isDuplicate)
                #expect(repeated.logAppendTimeMs == first, "round \(round)")
            }
        }
        settings.usesLogAppendTime = false
        store.log.apply(settings)
        #expect(send(2, at: now + 900).logAppendTimeMs == -1)
    }

    /// Who appends is an event loop: what is not at hand is not read for it.
    @Test func aRepeatDoesNotWaitForTheDisk() throws {
        var settings = TestStore.settings
        settings.usesLogAppendTime = true
        let disk = StallingFileSystem(SimulatedFileSystem())
        let store = try LogStore(fileSystem: disk, folder: "/data", options: TestStore.options)
        let log = store.addPartition(
            topicID: TestStore.topicID, topicName: "t", partitionIndex: 0, settings: settings,
            leadership: .leader(in: LeaderEpoch(0)))
        _ = try store.recover(nowMs: now)
        @Sendable func send() -> AppendReceipt? {
            var batch = TestBatch(count: 1)
            (batch.producerID, batch.producerEpoch, batch.baseSequence) = (7, 0, 0)
            let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            return try? log.append(slice, origin: .client, nowMs: TestStore.now).get()
        }
        #expect(send()?.logAppendTimeMs == now)
        store.commitPending()
        try store.checkpoint()
        #expect(send()?.logAppendTimeMs == now, "the page cache has it")
        disk.stall([.read], pathContains: ".log")
        let answer = Lock<AppendReceipt?>(nil)
        let loop = Thread(name: "loop") {
            let receipt = send()
            answer.withLock { $0 = receipt }
        }
        while answer.withLock({ $0 == nil }), disk.waitingCalls == 0 { sched_yield() }
        #expect(disk.waitingCalls == 0)
        disk.release()
        loop.join()
        let repeated = try #require(answer.withLock { $0 })
        #expect(repeated.isDuplicate && repeated.logAppendTimeMs == -1)
    }
}
