import BrokerTestKit
import ByteBuffers
import KafkaModel
import Testing

@testable import LogStorage

/// Who waits for the high watermark: the heap alone, and what a partition tells.
@Suite struct WaiterTests {
    private func waiter(_ id: Int) -> ReadWaiter { ReadWaiter(loop: 0, id: UInt64(id)) }

    /// Random registering, moving, leaving and telling beside a plain list.
    @Test(arguments: 1...20) func theHeapTellsWhoIsDueAndNobodyElse(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var heap = WaiterHeap()
        var thresholds: [Int: Int64] = [:]
        var slots: [Int: Int32] = [:]
        var position: Int64 = 0
        for _ in 0..<2000 {
            let id = Int.random(in: 0..<60, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0, 1:
                let threshold = position + Int64.random(in: 1...500, using: &random)
                slots[id] = heap.set(waiter(id), threshold: threshold, slot: slots[id] ?? -1)
                thresholds[id] = threshold
            case 2:
                heap.remove(waiter(id), slot: slots[id] ?? -1)
                thresholds[id] = nil
            default:
                position += Int64.random(in: 0...60, using: &random)
                var told: Set<UInt64> = []
                while let next = heap.next(reached: position) { #expect(told.insert(next.id).inserted) }
                let due = thresholds.filter { $0.value <= position }.keys
                #expect(told == Set(due.map { UInt64($0) }))
                for id in due { thresholds[id] = nil }
            }
            #expect(heap.count == thresholds.count)
        }
        #expect(Set(heap.removeAll().map(\.id)) == Set(thresholds.keys.map { UInt64($0) }))
        #expect(heap.isEmpty)
    }

    @Test func aCommitCostsTheSameHoweverManyWaitForMore() throws {
        func looks(waiters: Int) throws -> Int {
            let store = try TestStore()
            for id in 0..<waiters {
                var slot: Int32 = -1
                _ = store.log.watch(waiter(id), slot: &slot, step: 1 << 30)
            }
            let before = store.log.state.withLock { $0.waiters.looks }
            for _ in 0..<100 {
                store.append()
                store.store.commitPending()
            }
            return store.log.state.withLock { $0.waiters.looks } - before
        }
        #expect(try looks(waiters: 1) == 100)
        #expect(try looks(waiters: 10_000) == 100)
    }

    @Test func aWaiterThatRegistersAgainStandsThereOnce() throws {
        let store = try TestStore()
        var slot: Int32 = -1
        for step in Int64(1)...100 { _ = store.log.watch(waiter(1), slot: &slot, step: step * 1000) }
        #expect(store.log.state.withLock { $0.waiters.count } == 1)
        store.log.forget(waiter(1), slot: slot)
        #expect(store.log.state.withLock { $0.waiters.isEmpty })
        // Its place is another's: the first has nothing to say there any more.
        var other: Int32 = -1
        _ = store.log.watch(waiter(2), slot: &other, step: 1)
        #expect(other == slot)
        store.log.forget(waiter(1), slot: slot)
        #expect(store.log.state.withLock { $0.waiters.count } == 1)
    }

    @Test func whatIsNotFlushedIsNotGrowth() throws {
        let store = try TestStore()
        let observer = Told()
        store.store.observe(observer)
        var slot: Int32 = -1
        let before = store.log.watch(waiter(1), slot: &slot, step: 1)
        store.append(size: 500)
        #expect(store.log.watch(waiter(1), slot: &slot, step: 1).position == before.position)
        #expect(observer.ids == [])
        store.store.commitPending()
        #expect(observer.ids == [1])
        let grown = store.log.watch(waiter(1), slot: &slot, step: 1 << 20).position - before.position
        #expect(grown == store.log.sizeInBytes)
        store.append(size: 500)
        store.store.commitPending()
        #expect(observer.ids == [1])
    }

    /// One that waits for less than two batches of a commit bring is told once.
    @Test func aWaiterIsToldOnceACommit() throws {
        let store = try TestStore()
        let observer = Told()
        store.store.observe(observer)
        var slot: Int32 = -1
        _ = store.log.watch(waiter(1), slot: &slot, step: 1)
        for _ in 0..<5 { store.append() }
        store.store.commitPending()
        #expect(observer.ids == [1])
    }

    @Test func aStartThatMovesAndADeletionAreTold() throws {
        let store = try TestStore()
        let observer = Told()
        store.store.observe(observer)
        for _ in 0..<3 { store.append() }
        store.store.commitPending()
        var slot: Int32 = -1
        _ = store.log.watch(waiter(1), slot: &slot, step: .max)
        _ = store.log.deleteRecords(before: Offset(2))
        #expect(observer.ids == [1])
        let mark = store.log.watch(waiter(1), slot: &slot, step: .max)
        #expect(mark.logStartOffset.rawValue == 2)
        #expect(!mark.isGone)
        try store.store.removePartition(store.log)
        #expect(observer.ids == [1, 1])
        #expect(store.log.watch(waiter(1), slot: &slot, step: 1).isGone)
        #expect(store.log.state.withLock { $0.waiters.isEmpty })
    }

    /// Whoever has enough waits for no growth, but holds the log, and so is told when that goes.
    @Test func whoHasEnoughIsToldOfADeletionAlone() throws {
        let store = try TestStore()
        let observer = Told()
        store.store.observe(observer)
        store.append()
        store.store.commitPending()
        let position = store.log.state.withLock { $0.watermarkPosition }
        var slot: Int32 = -1
        #expect(store.log.watch(waiter(1), slot: &slot, step: 1, enough: position).position == position)
        #expect(store.log.state.withLock { !$0.waiters.isEmpty && !$0.waiters.awaitsGrowth })
        store.append()
        store.store.commitPending()
        #expect(observer.ids.isEmpty)
        try store.store.removePartition(store.log)
        #expect(observer.ids == [1])
    }

    @Test func retentionTellsThoseWhoWait() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 1 << 10
        settings.retentionBytes = 2 << 10
        let store = try TestStore(settings: settings)
        let observer = Told()
        store.store.observe(observer)
        for _ in 0..<40 { store.append() }
        try store.checkpoint()
        var slot: Int32 = -1
        _ = store.log.watch(waiter(1), slot: &slot, step: .max)
        #expect(store.log.enforceRetention(nowMs: TestStore.now))
        #expect(observer.ids == [1])
    }

    /// A read says whether the limit or the log's end ended it.
    @Test(arguments: [false, true]) func aReadTellsWhatTheLimitCutOff(fromFile: Bool) throws {
        let store = try TestStore()
        for _ in 0..<4 { store.append(size: 1000) }
        if fromFile { try store.checkpoint() } else { store.store.commitPending() }
        let size = Int(store.log.sizeInBytes) / 4
        func isCut(_ maxBytes: Int, _ atLeastOne: Bool = true) throws -> Bool {
            try store.log.read(from: Offset(0), maxBytes: maxBytes, atLeastOne: atLeastOne).get().isCut
        }
        #expect(try !isCut(4 * size))
        #expect(try isCut(4 * size - 1))
        #expect(try isCut(1))
        #expect(try isCut(0, false))
        #expect(try !store.log.read(from: Offset(4), maxBytes: 0).get().isCut)
        let read = try store.log.read(from: Offset(4), maxBytes: 10).get()
        #expect(read.watermarkPosition == 4 * Int64(size))
    }
}

/// The waiters that were told, in their order.
private final class Told: CommitObserver {
    private let told = Lock<[UInt64]>([])
    var ids: [UInt64] { told.withLock { $0 } }
    func committed(through ticket: UInt64, woken: [ReadWaiter]) {
        told.withLock { $0 += woken.map(\.id) }
    }
    func commitFailed(from first: UInt64, through last: UInt64, woken: [ReadWaiter]) {}
}
