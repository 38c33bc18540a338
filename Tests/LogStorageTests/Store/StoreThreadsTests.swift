import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import Testing

@testable import LogStorage

/// The store's threads, and what they keep alive.
@Suite struct StoreThreadsTests {
    private final class Observer: CommitObserver {
        let signal = Signal()
        func committed(through ticket: UInt64, woken: [ReadWaiter]) { signal.raise() }
        func commitFailed(from first: UInt64, through last: UInt64, woken: [ReadWaiter]) {}
    }

    /// Starts a store and lets go of it; who holds a partition goes on appending.
    private func abandoned(_ observer: Observer) throws -> (log: PartitionLog, store: () -> LogStore?) {
        let store = try LogStore(
            fileSystem: SimulatedFileSystem(), folder: "/data", options: TestStore.options, pool: ChunkPool())
        store.observe(observer)
        let log = store.addPartition(
            topicID: TestStore.topicID, topicName: "t", partitionIndex: 0, settings: TestStore.settings,
            leadership: .leader(in: LeaderEpoch(0)))
        _ = try store.recover(nowMs: TestStore.now)
        store.start()
        return (log, { [weak store] in store })
    }

    @Test func aStartedStoreLivesUntilItIsStopped() throws {
        let observer = Observer()
        let (log, store) = try abandoned(observer)
        #expect(store() != nil)
        guard store() != nil else { return }
        let slice = TestBatch(count: 1).bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        _ = try log.append(slice, origin: .client, nowMs: TestStore.now).get()
        log.commits.kick()
        observer.signal.wait()
        #expect(log.highWatermark == Offset(1))
        try store()?.stop()
        #expect(store() == nil, "and no longer")
    }
}
