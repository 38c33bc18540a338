import BrokerTestKit
import ByteBuffers
import KafkaModel
import Testing

@testable import LogStorage

/// The flushed offset and the high watermark: one node moves them together, replicas hold the second back.
@Suite struct WatermarkTests {
    private func flushedOffset(_ store: TestStore) -> Int64 { store.log.state.withLock { $0.flushedOffset } }
    private func position(_ store: TestStore) -> Int64 { store.log.state.withLock { $0.watermarkPosition } }

    @Test func withoutReplicasItFollowsTheFlushedOffset() throws {
        let store = try TestStore()
        for _ in 0..<3 { store.append() }
        #expect(flushedOffset(store) == 0 && store.log.highWatermark == Offset(0))
        store.store.commitPending()
        #expect(flushedOffset(store) == 3 && store.log.highWatermark == Offset(3))
        #expect(position(store) == store.log.sizeInBytes)
    }

    /// What is on this node's disk alone is not shown, and nobody is told of it.
    @Test func aHeldOneMovesOnlyWhenItIsTold() throws {
        let store = try TestStore()
        let heard = HeardCommits()
        store.store.observe(heard)
        store.log.holdHighWatermark()
        var slot: Int32 = -1
        _ = store.log.watch(ReadWaiter(loop: 0, id: 7), slot: &slot, step: 1)
        let receipts = (0..<3).map { _ in store.append(count: 2) }
        store.store.commitPending()
        #expect(store.store.durableTicket == receipts[2].ticket && flushedOffset(store) == 6)
        #expect(store.log.highWatermark == Offset(0) && position(store) == 0)
        #expect(try store.read(from: 0).isEmpty)
        #expect(heard.woken.isEmpty)

        // Within the second batch: the first is all that is wholly below.
        store.log.advanceHighWatermark(to: Offset(3))
        #expect(store.log.highWatermark == Offset(2) && position(store) == store.log.sizeInBytes / 3)
        #expect(try store.read(from: 0) == [0...1])
        #expect(heard.woken.map(\.id) == [7])

        store.log.advanceHighWatermark(to: Offset(100))
        #expect(store.log.highWatermark == Offset(6) && position(store) == store.log.sizeInBytes)
        store.log.advanceHighWatermark(to: Offset(1))
        #expect(store.log.highWatermark == Offset(6), "never back")
    }

    /// A follower hears of its leader's high watermark before its own disk is done.
    @Test func whatIsAllowedBeforeItIsFlushedIsSeenOnceItIs() {
        let log = Steps()
        log.hold()
        #expect(!log.advance(10))
        #expect(log.flush(6) && log.seen == 6 && log.position == 1)
        #expect(log.flush(10) && log.seen == 10)
        #expect(!log.flush(11) && log.seen == 10)
        #expect(log.advance(11) && log.seen == 11 && log.position == 3)
    }

    @Test func commitsAboveAHeldOneAreJoinedAtTheLimit() {
        let log = Steps()
        log.hold()
        let most = Int64(LogProgress.maxFlushedAbove)
        for offset in 1...most + 10 { _ = log.flush(offset) }
        #expect(log.advance(most - 1) && log.seen == most - 1)
        // The last ones are one step.
        #expect(!log.advance(most + 9) && log.seen == most - 1)
        #expect(log.advance(most + 10) && log.seen == most + 10)
        #expect(log.position == most + 10)
    }

    /// A partition that is opened again while replicas hold it back.
    @Test func aHeldOneIsNotMovedByAReset() {
        let log = Steps()
        _ = log.flush(3)
        log.hold()
        _ = log.flush(8)
        log.reset(to: 8)
        #expect((log.flushed, log.seen) == (8, 3))
        #expect(log.advance(8) && log.seen == 8)
        log.reset(to: 5)
        #expect((log.flushed, log.seen) == (5, 5))
        #expect(!log.flush(7) && log.seen == 5)
        // What the leader has allowed meanwhile.
        #expect(log.advance(20) && log.seen == 7)
        log.reset(to: 12)
        #expect((log.flushed, log.seen) == (12, 12))
    }

    @Test func aReleasedOneFollowsAgain() throws {
        let store = try TestStore()
        store.log.holdHighWatermark()
        store.append()
        store.store.commitPending()
        #expect(store.log.highWatermark == Offset(0))
        store.log.releaseHighWatermark()
        #expect(store.log.highWatermark == Offset(1))
        store.append()
        store.store.commitPending()
        #expect(store.log.highWatermark == Offset(2) && position(store) == store.log.sizeInBytes)
    }

    /// A later failover may take back what is above it.
    @Test func retentionAndDeleteRecordsStayBelowAHeldOne() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 300
        settings.retentionMs = 1000
        let store = try TestStore(settings: settings)
        store.log.holdHighWatermark()
        for _ in 0..<8 { store.append() }
        try store.checkpoint()
        try #require(store.log.segmentCount > 3)
        store.log.advanceHighWatermark(to: Offset(4))
        #expect(store.log.enforceRetention(nowMs: TestStore.now + 60_000))
        #expect(store.log.logStartOffset.rawValue > 0 && store.log.logStartOffset.rawValue <= 4)
        guard case .failure(let refusal) = store.log.deleteRecords(before: Offset(5)) else {
            Issue.record("records above the high watermark were deleted")
            return
        }
        #expect(refusal.code == .offsetOutOfRange)
    }

    /// The cleaner takes only what every reader may have seen.
    @Test func compactionStaysBelowAHeldOne() throws {
        var settings = TestStore.settings
        settings.segmentBytes = 300
        let store = try TestStore(settings: settings)
        store.log.holdHighWatermark()
        for _ in 0..<8 { store.append() }
        try store.checkpoint()
        #expect(store.log.state.withLock { store.log.closedSegments($0).isEmpty })
        store.log.releaseHighWatermark()
        #expect(store.log.state.withLock { !store.log.closedSegments($0).isEmpty })
    }
}

/// A log's progress, whose steps can stand in an expectation.
private final class Steps {
    private var progress = LogProgress()

    var seen: Int64 { progress.highWatermark }
    var flushed: Int64 { progress.flushedOffset }
    var position: Int64 { progress.watermarkPosition }

    func hold() { progress.holdHighWatermark() }
    func reset(to offset: Int64) { progress.reset(to: offset) }
    func advance(_ offset: Int64) -> Bool { progress.advanceHighWatermark(to: offset) }
    /// A commit of one byte.
    func flush(_ offset: Int64) -> Bool { progress.flushed(to: offset, bytes: 1) }
}
