import BrokerTestKit
import ByteBuffers
import KafkaModel
import Testing

@testable import LogStorage

/// Producers that are silent for `producer.id.expiration.ms` are forgotten, and stay forgotten after a crash.
@Suite struct ProducerExpiryTests {
    private let now = TestStore.now

    private func store() throws -> TestStore {
        var options = TestStore.options
        options.producerExpirationMs = 1000
        return try TestStore(options: options)
    }

    private func append(_ store: TestStore, producer: Int64, sequence: Int32, timestamp: Int64, nowMs: Int64) {
        var batch = TestBatch(count: 1)
        batch.baseTimestamp = timestamp
        (batch.producerID, batch.producerEpoch, batch.baseSequence) = (producer, 0, sequence)
        _ = store.append(batch, nowMs: nowMs)
        store.store.commitPending()
    }

    private func known(_ store: TestStore) -> [Int64] {
        store.log.state.withLock { $0.producers.entries.keys.sorted() }
    }

    @Test func maintenanceForgetsTheSilentAndNotTheLiving() throws {
        let store = try store()
        append(store, producer: 1, sequence: 0, timestamp: now, nowMs: now)
        store.store.maintain(nowMs: now + 500)
        #expect(known(store) == [1])
        let later = now + LogStoreOptions().retentionCheckMs + 500
        append(store, producer: 2, sequence: 0, timestamp: now, nowMs: later - 1000)
        store.store.maintain(nowMs: later)
        #expect(known(store) == [2])
        // The checkpoint that came with it does not know the first either, and its records are still there.
        try store.crash()
        #expect(known(store) == [2])
        #expect(try store.readAll() == [0, 1])
    }

    /// A client may send records of long ago: what counts is when they came, and of a replay nobody knows that.
    @Test func aReplayedBatchCountsAsSeenAtTheStart() throws {
        let store = try store()
        append(store, producer: 1, sequence: 0, timestamp: now - 1_000_000, nowMs: now)
        try store.crash()
        #expect(known(store) == [1])
        store.store.maintain(nowMs: now + 1000)
        #expect(known(store) == [1])
        store.store.maintain(nowMs: now + LogStoreOptions().retentionCheckMs + 1000)
        #expect(known(store) == [])
    }

    /// A checkpoint of the time before still knows who was forgotten: the start forgets them again.
    @Test func aStartForgetsByTheSameRule() throws {
        let store = try store()
        append(store, producer: 1, sequence: 0, timestamp: now - 5000, nowMs: now - 1001)
        append(store, producer: 2, sequence: 0, timestamp: now - 5000, nowMs: now - 1000)
        try store.checkpoint()
        #expect(known(store) == [1, 2])
        try store.crash()
        #expect(known(store) == [2])
    }
}
