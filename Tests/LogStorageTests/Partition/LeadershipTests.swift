import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import Testing

@testable import LogStorage

/// Who may append: the value's rules, and what a log does by them.
@Suite struct LeadershipTests {
    private func epoch(_ value: Int32) -> LeaderEpoch { LeaderEpoch(value) }

    private func expect(
        _ outcome: Bool, _ leadership: inout Leadership, _ change: (inout Leadership) -> Bool,
        at location: SourceLocation = #_sourceLocation
    ) {
        let changed = change(&leadership)
        #expect(changed == outcome, sourceLocation: location)
    }

    // MARK: The value

    @Test func epochsOnlyGrow() {
        var leadership = Leadership.follower(in: epoch(3))
        expect(false, &leadership) { $0.become(leaderIn: epoch(2)) }
        #expect(leadership == .follower(in: epoch(3)))
        expect(true, &leadership) { $0.become(leaderIn: epoch(4)) }
        #expect(leadership == .leader(in: epoch(4)))
        // An order that comes late ends nothing.
        expect(false, &leadership) { $0.resign(for: epoch(3)) }
        #expect(leadership == .leader(in: epoch(4)))
        expect(true, &leadership) { $0.resign(for: epoch(5)) }
        #expect(leadership == .follower(in: epoch(5)))
    }

    @Test func aNodeAloneGoesOnWhereItWas() {
        var leadership = Leadership.leader(in: epoch(4))
        expect(true, &leadership) { $0.resign(for: epoch(4)) }
        expect(true, &leadership) { $0.become(leaderIn: epoch(4)) }
        #expect(leadership == .leader(in: epoch(4)))
    }

    // MARK: The log

    private func refusal(_ store: TestStore) -> ErrorCode? {
        let slice = TestBatch(count: 1).bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        guard case .failure(let refusal) = store.log.append(slice, origin: .client, nowMs: TestStore.now) else {
            return nil
        }
        return refusal.code
    }

    private func isReadable(_ store: TestStore) -> Bool {
        if case .success = store.log.read(from: Offset(0), maxBytes: 1 << 20) { return true }
        return false
    }

    @Test func aLogThatIsNotLedTakesNothingAndAnswersNoReader() throws {
        let store = try TestStore()
        store.append(count: 3)
        store.store.commitPending()
        #expect(isReadable(store))
        #expect(store.log.resign(for: epoch(1)))
        #expect(refusal(store) == .notLeaderOrFollower)
        #expect(!isReadable(store))
        guard case .failure(let refused) = store.log.deleteRecords(before: Offset(1)) else {
            Issue.record("records were deleted by who does not lead")
            return
        }
        #expect(refused.code == .notLeaderOrFollower)
        #expect(store.log.logStartOffset == Offset(0))
        #expect(store.log.leadershipProblem(currentLeaderEpoch: -1) == .notLeaderOrFollower)
        #expect(store.log.leadershipProblem(currentLeaderEpoch: 0) == .fencedLeaderEpoch)
        #expect(store.log.leadershipProblem(currentLeaderEpoch: 2) == .unknownLeaderEpoch)
        // Refused, and nothing has changed: the first one was of an epoch that has ended.
        #expect(!store.log.become(leaderIn: epoch(0)))
        #expect(store.log.become(leaderIn: epoch(2)))
        #expect(isReadable(store))
        #expect(store.log.leadershipProblem(currentLeaderEpoch: 2) == nil)
    }

    /// What was appended before goes to disk; what follows carries the new epoch, also after a start.
    @Test func batchesCarryTheEpochTheyWereAppendedBy() throws {
        let store = try TestStore()
        store.append(count: 3)
        #expect(store.log.resign(for: epoch(1)))
        store.store.commitPending()
        #expect(store.log.highWatermark == Offset(3))
        #expect(store.log.become(leaderIn: epoch(2)))
        store.append(count: 2)
        store.store.commitPending()
        for _ in 0..<2 {
            #expect(store.log.endOffset(ofEpoch: 0) == (0, 3))
            #expect(store.log.endOffset(ofEpoch: 1) == (0, 3))
            #expect(store.log.endOffset(ofEpoch: 2) == (2, 5))
            #expect(store.log.leaderEpoch == epoch(2))
            try store.restart()
        }
    }

    @Test func waitingReadersAreToldOfAResignation() throws {
        let store = try TestStore()
        let observer = HeardCommits()
        store.store.observe(observer)
        var slot: Int32 = -1
        #expect(!store.log.watch(ReadWaiter(loop: 0, id: 7), slot: &slot, step: 1).isGone)
        // Of a new epoch, too; what is known already and old news wake nobody.
        #expect(store.log.become(leaderIn: epoch(3)))
        #expect(observer.woken.map(\.id) == [7])
        #expect(store.log.watch(ReadWaiter(loop: 0, id: 7), slot: &slot, step: 1).leaderEpoch == epoch(3))
        #expect(store.log.become(leaderIn: epoch(3)))
        #expect(!store.log.resign(for: epoch(2)))
        #expect(observer.woken.map(\.id) == [7])
        #expect(store.log.resign(for: epoch(4)))
        #expect(observer.woken.map(\.id) == [7, 7])
        slot = -1
        #expect(store.log.watch(ReadWaiter(loop: 0, id: 8), slot: &slot, step: 1).isGone)
        #expect(slot == -1)
        #expect(store.log.state.withLock { $0.waiters.count } == 0)
    }
}
