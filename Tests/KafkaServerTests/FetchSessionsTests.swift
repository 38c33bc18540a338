import KafkaModel
import KafkaWire
import Testing

@testable import KafkaServer

/// Who keeps a session, who makes room, and what changes cost, with a clock of the test's own.
@Suite struct FetchSessionsTests {
    private static let minute: Int64 = 60_000_000_000

    private func entry(_ index: Int, topic: String = "t") -> FetchSession.Entry {
        FetchSession.Entry(
            key: .init(topicID: .zero, topicName: Array(topic.utf8), partitionIndex: Int32(index)), fetchOffset: 0,
            maxBytes: 1, currentLeaderEpoch: -1)
    }

    private func create(
        _ sessions: FetchSessions, _ partitions: Int, isPrivileged: Bool = false, now: Int64
    ) -> FetchSession? {
        let bytes = partitions * FetchSession.bytes(of: 1)
        guard let session = sessions.create(partitions: partitions, bytes: bytes, isPrivileged: isPrivileged, now: now)
        else { return nil }
        for index in 0..<partitions { session.update(entry(index)) }
        #expect(sessions.settle(session, now: now) == .goesOn)
        return session
    }

    /// The partitions that are ready, in the order of serving; nothing in these tests rests.
    private func order(_ session: FetchSession) -> [Int32] {
        session.takeReady().map { session.entries[Int($0)].key.partitionIndex }
    }

    // MARK: Room

    /// What a session has forgotten costs as much as before, for its tables do not shrink; what comes anew takes those places;
    /// and a session that has forgotten all ends.
    @Test func slotsArePaidForUntilTheSessionIsEmpty() throws {
        let share = FetchShare(limit: 1 << 20)
        let sessions = FetchSessions(slots: 1, loop: 0, share: share)
        let session = try #require(create(sessions, 1000, now: 0))
        #expect(share.bytes == 1000 * FetchSession.bytes(of: 1))
        for index in 1..<1000 { session.forget(entry(index).key) }
        #expect(sessions.settle(session, now: 0) == .goesOn)
        #expect(share.bytes == 1000 * FetchSession.bytesAPartition + 1)
        for index in 1000..<1999 { session.update(entry(index)) }
        #expect(sessions.settle(session, now: 0) == .goesOn)
        #expect(share.bytes == 1000 * FetchSession.bytes(of: 1) && session.entries.count == 1000)
        for index in [0] + Array(1000..<1999) { session.forget(entry(index).key) }
        #expect(sessions.settle(session, now: 0) == .isEmpty)
        #expect(share.bytes == 0 && sessions.count == 0)
    }

    @Test func theSilentMakeRoomAfterTwoMinutes() throws {
        let sessions = FetchSessions(slots: 2, loop: 0, share: FetchShare(limit: 1 << 20))
        let first = try #require(create(sessions, 5, now: 0))
        let second = try #require(create(sessions, 5, now: 0))
        #expect(create(sessions, 5, now: Self.minute) == nil)
        #expect(sessions.session(first.id, now: 2 * Self.minute) != nil)
        #expect(create(sessions, 1, now: 3 * Self.minute) != nil)
        #expect(sessions.session(second.id, now: 3 * Self.minute) == nil)
        #expect(sessions.session(first.id, now: 3 * Self.minute) != nil)
    }

    @Test func aLargerOneTakesThePlaceOfASmallerThatIsTwoMinutesOld() throws {
        let sessions = FetchSessions(slots: 1, loop: 0, share: FetchShare(limit: 1 << 20))
        let first = try #require(create(sessions, 5, now: 0))
        func use(_ now: Int64) { #expect(sessions.session(first.id, now: now) != nil) }
        use(Self.minute)
        #expect(create(sessions, 50, now: Self.minute) == nil)
        use(3 * Self.minute)
        #expect(create(sessions, 5, now: 3 * Self.minute) == nil)
        let larger = try #require(create(sessions, 6, now: 3 * Self.minute))
        #expect(sessions.session(larger.id, now: 5 * Self.minute + 1) != nil)
        // A follower's comes before a consumer's, whatever their sizes, and keeps its place before one.
        let follower = try #require(create(sessions, 1, isPrivileged: true, now: 5 * Self.minute + 1))
        #expect(sessions.session(follower.id, now: 8 * Self.minute) != nil)
        #expect(create(sessions, 500, now: 8 * Self.minute) == nil)
        #expect(create(sessions, 2, isPrivileged: true, now: 8 * Self.minute) != nil)
    }

    @Test func theShareBoundsTheirMemory() throws {
        let share = FetchShare(limit: 100 * FetchSession.bytes(of: 1))
        // Two loops have one share.
        let loops = [0, 1].map { FetchSessions(slots: 1000, loop: $0, share: share) }
        let first = try #require(create(loops[0], 60, now: 0))
        #expect(create(loops[1], 50, now: 0) == nil)
        let second = try #require(create(loops[1], 40, now: 0))
        #expect(share.bytes == share.limit)
        // Growing needs room, too; what is forgotten gives that of its name, and a session that ends all.
        for index in 0..<10 { first.forget(entry(index).key) }
        #expect(loops[0].settle(first, now: 1) == .goesOn)
        #expect(share.bytes == share.limit - 10)
        loops[0].remove(first.id)
        let third = try #require(create(loops[0], 50, now: 1))
        for index in 40..<50 { second.update(entry(index)) }
        #expect(loops[1].settle(second, now: 1) == .goesOn)
        second.update(entry(50))
        #expect(loops[1].settle(second, now: 1) == .hasNoRoom)
        #expect(loops[1].count == 0)
        #expect(share.bytes == 50 * FetchSession.bytes(of: 1))
        loops[0].remove(third.id)
        #expect(share.bytes == 0)
    }

    @Test func aSessionHasAtMostSoManyPartitions() throws {
        let sessions = FetchSessions(slots: 10, loop: 0, share: FetchShare(limit: .max))
        #expect(sessions.create(partitions: FetchSession.maxPartitions + 1, bytes: 1, now: 0) == nil)
        let session = try #require(sessions.create(partitions: 1, bytes: 1, now: 0))
        for index in 0...FetchSession.maxPartitions { session.update(entry(index)) }
        #expect(sessions.settle(session, now: 0) == .hasNoRoom)
        #expect(sessions.count == 0)
    }

    // MARK: Changes

    @Test func forgettingManyPassesOverTheOthersOnce() {
        let session = FetchSession(id: 1)
        for index in 0..<10_000 { session.update(entry(index)) }
        for index in 0..<5_000 { session.forget(entry(index * 2).key) }
        session.endChanges()
        #expect(session.moves == 10_000)
        #expect(order(session) == (0..<5_000).map { Int32($0 * 2 + 1) })
        #expect(session.bytes == 10_000 * FetchSession.bytesAPartition + 5_000)
    }

    @Test func aPlaceIsUsedAgainAndABatchOfChangesKeepsItsOrder() {
        let session = FetchSession(id: 1)
        for index in 0..<4 { session.update(entry(index)) }
        session.forget(entry(1).key)
        session.update(entry(9))
        session.endChanges()
        session.update(entry(8))
        session.update(entry(0))
        session.endChanges()
        #expect(order(session) == [0, 2, 3, 9, 8])
        #expect(session.count == 5)
        for index in [0, 2, 3, 9, 8] { session.forget(entry(index).key) }
        session.endChanges()
        #expect(session.count == 0)
        session.update(entry(5))
        #expect(order(session) == [5] && session.bytes == 5 * FetchSession.bytesAPartition + 1)
    }

    @Test func whoGaveRecordsStandsBehindTheOthers() {
        let session = FetchSession(id: 1)
        for index in 0..<5 { session.update(entry(index)) }
        var slots: [Int32: Int32] = [:]
        for slot in session.takeReady() { slots[session.entries[Int(slot)].key.partitionIndex] = slot }
        session.rotate([slots[0]!, slots[3]!])
        #expect(order(session) == [1, 2, 4, 0, 3])
        session.rotate(order(session).map { slots[$0]! })
        #expect(order(session) == [1, 2, 4, 0, 3])
    }
}
