import BrokerTestKit
import KafkaModel
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
}
