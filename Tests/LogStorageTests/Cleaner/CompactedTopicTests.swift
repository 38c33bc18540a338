import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import Testing

@testable import LogStorage

/// What a compacted topic asks of its records at the door, and when its segments are closed.
@Suite struct CompactedTopicTests {
    private func store() throws -> TestStore {
        var settings = TestStore.settings
        settings.isCompacted = true
        return try TestStore(settings: settings)
    }

    private func append(
        _ keys: [String?], to store: TestStore, origin: PartitionLog.Origin = .client,
        compression: Compression = .none
    ) throws -> Result<AppendReceipt, AppendRefusal> {
        var builder = RecordBatchBuilder()
        for key in keys {
            builder.append(key: key.map { Array($0.utf8) }, value: [1, 2, 3], timestampMs: TestStore.now)
        }
        var batch = try builder.finish(.init(compression: compression))
        batch = ChunkPool.shared.slice(copying: batch.bytes)
        return store.log.append(batch, origin: origin, nowMs: TestStore.now)
    }

    @Test(arguments: Compression.allCases)
    func aRecordWithoutKeyIsRefusedInKafkasWords(_ compression: Compression) throws {
        let store = try store()
        guard case .failure(let refusal) = try append(["a", nil], to: store, compression: compression) else {
            Issue.record("it was taken")
            return
        }
        let message = "Compacted topic cannot accept message without key in topic partition t-0"
        #expect(refusal.code == .invalidRecord)
        #expect(refusal.recordErrors == [.init(index: 1, message: message)])
        #expect(
            refusal.message
                == "One or more records have been rejected due to 1 record errors in total, and only showing the first "
                + "three errors at most: [RecordError(batchIndex=1, message='\(message)')]")
        #expect(store.log.logEndOffset == .zero)
        #expect(try append(["a", "b"], to: store, compression: compression).get().lastOffset == Offset(1))
    }

    /// librdkafka sends the records that are not listed again (its test 0011).
    @Test func allKeylessRecordsAreListedAndThreeSpeltOut() throws {
        let store = try store()
        guard case .failure(let refusal) = try append([nil, nil, nil, nil, "a"], to: store) else {
            Issue.record("it was taken")
            return
        }
        #expect(refusal.recordErrors.map(\.index) == [0, 1, 2, 3])
        #expect(refusal.recordErrors.map { $0.message == nil } == [false, false, false, true])
        #expect(refusal.message.contains("due to 4 record errors"))
        #expect(refusal.message.ranges(of: "RecordError(").count == 3)
    }

    @Test func theListOfKeylessRecordsEnds() throws {
        let store = try store()
        let keys = [String?](repeating: nil, count: PartitionLog.maxRecordErrors + 1)
        guard case .failure(let refusal) = try append(keys, to: store) else {
            Issue.record("it was taken")
            return
        }
        #expect(refusal.recordErrors.count == PartitionLog.maxRecordErrors)
        #expect(refusal.message.contains("due to \(keys.count) record errors"))
    }

    @Test func theRuleComesAndGoesWithThePolicy() throws {
        let store = try store()
        var settings = store.log.settings
        settings.isCompacted = false
        store.log.apply(settings)
        #expect(try append([nil], to: store).get().baseOffset == .zero)
        settings.isCompacted = true
        store.log.apply(settings)
        guard case .failure = try append([nil], to: store) else {
            Issue.record("it was taken")
            return
        }
    }

    @Test func aSegmentIsClosedInTimeToBeCompacted() throws {
        let store = try store()
        var settings = store.log.settings
        settings.maxCompactionLagMs = 1000
        store.log.apply(settings)
        func append(after time: Int64) {
            var batch = TestBatch([TestRecord(key: "k", "v")])
            batch.baseTimestamp = TestStore.now + time
            _ = store.append(batch, nowMs: batch.baseTimestamp)
        }
        append(after: 0)
        append(after: 1000)
        #expect(store.log.segmentCount == 1)
        append(after: 1001)
        #expect(store.log.segmentCount == 2)
    }

    @Test func jitterClosesASegmentEarlierButNotMuch() throws {
        var settings = TestStore.settings
        settings.segmentMs = 10_000
        settings.segmentJitterMs = 4000
        let store = try TestStore(settings: settings)
        for time in [0, 5999] as [Int64] { store.append(timestamp: TestStore.now + time) }
        #expect(store.log.segmentCount == 1)
        store.append(timestamp: TestStore.now + 10_000)
        #expect(store.log.segmentCount == 2)
    }
}
