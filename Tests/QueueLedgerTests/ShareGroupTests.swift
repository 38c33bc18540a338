import KafkaModel
import QueueLedger
import Testing

/// Share groups on the same ledger. Source: KIP-932, KIP-1222.
@Suite struct ShareGroupTests {
    private static func group(limit: Int = 5, window: Int64? = nil) -> LedgerDriver {
        var settings = LedgerSettings(maxReceives: limit, endOfDeliveries: .archive)
        settings.maxWindow = window
        return LedgerDriver(settings)
    }

    private func batch(_ first: Int64, _ last: Int64, _ types: ShareAcknowledgement...) -> ShareBatch {
        ShareBatch(OffsetRange(Offset(first), Offset(last)), types)
    }

    private func acknowledge(_ group: inout LedgerDriver, _ batches: [ShareBatch], owner: UInt32 = 1) -> ShareReply {
        group.perform { $0.acknowledge(batches, owner: owner, lockMs: 30_000, nowMs: $1) }
    }

    @Test func rangesAreSettledByTypeOfEachOffset() throws {
        var group = Self.group()
        group.send(10)
        #expect(group.receive(6, owner: 1).offsets == [0, 1, 2, 3, 4, 5])
        let reply = acknowledge(
            &group, [batch(0, 3, .accept, .release, .reject, .gap), batch(4, 5, .renew)])
        #expect(reply == .done)
        #expect(group.ledger.floor == Offset(1), "the start offset passed what is ended")
        group.pass(1)
        #expect(group.counters.ended == 3 && group.counters.inFlight == 2)
        #expect(group.receive(1, owner: 2).map(\.receiveCount) == [2])
        #expect(try group.loaded().scan() == group.ledger.scan())
    }

    @Test func aRequestIsAllOrNothing() {
        var group = Self.group()
        group.send(4)
        _ = group.receive(2, owner: 1)
        _ = group.receive(2, owner: 2)
        let records = group.log.count
        #expect(acknowledge(&group, [batch(0, 1, .accept), batch(2, 2, .accept)]) == .invalidRecordState)
        #expect(acknowledge(&group, [batch(0, 1, .accept), batch(1, 1, .accept)]) == .invalidRequest)
        #expect(acknowledge(&group, [batch(0, 1, .accept, .accept, .accept)]) == .invalidRequest)
        #expect(group.counters.inFlight == 4 && group.log.count == records)
    }

    @Test func anEndedLockIsNobodys() {
        var group = Self.group()
        group.send(1)
        _ = group.receive(owner: 1)
        group.pass(30_000)
        #expect(acknowledge(&group, [batch(0, 0, .accept)]) == .invalidRecordState)
    }

    @Test func whatTheStartOffsetHasPassedIsSettled() {
        var group = Self.group()
        group.send(3)
        _ = group.receive(2, owner: 1)
        group.perform { ledger, _ in ledger.retain(from: Offset(2)) }
        #expect(acknowledge(&group, [batch(0, 1, .accept)]) == .done)
        #expect(group.counters.live == 1)
    }

    /// The start offset may move into the middle of a range: the rest of it is settled by its own types.
    @Test func whatTheStartOffsetHasNotPassedIsSettledStill() {
        var group = Self.group()
        group.send(4)
        _ = group.receive(4, owner: 1)
        group.perform { ledger, _ in ledger.retain(from: Offset(2)) }
        #expect(acknowledge(&group, [batch(0, 3, .reject, .reject, .release, .accept)]) == .done)
        #expect(group.counters.visible == 1 && group.counters.live == 1)
    }

    @Test func controlRecordsWithinARangeAreGaps() {
        var group = Self.group()
        group.send(1)
        group.sendGap()
        group.send(2)
        #expect(group.receive(2, owner: 1).offsets == [0, 2])
        #expect(acknowledge(&group, [batch(0, 2, .accept, .accept, .accept)]) == .invalidRecordState)
        #expect(acknowledge(&group, [batch(0, 3, .accept, .gap, .accept, .gap)]) == .invalidRecordState)
        #expect(acknowledge(&group, [batch(0, 2, .accept, .gap, .accept)]) == .done)
    }

    @Test func theWindowEndsWhereTheLocksWouldBeTooMany() {
        var group = Self.group(window: 4)
        group.send(10)
        #expect(group.receive(10, owner: 1).offsets == [0, 1, 2, 3])
        #expect(acknowledge(&group, [batch(1, 3, .accept)]) == .done)
        #expect(group.receive(10, owner: 1).isEmpty)
        #expect(!group.ledger.hasDeliverable)
        #expect(acknowledge(&group, [batch(0, 0, .release)]) == .done)
        #expect(group.receive(10, owner: 2).offsets == [0])
        #expect(acknowledge(&group, [batch(0, 0, .accept)], owner: 2) == .done)
        #expect(group.receive(10, owner: 1).offsets == [4, 5, 6, 7])
    }

    @Test func theDeliveryLimitArchives() throws {
        var group = Self.group(limit: 2)
        group.send(1)
        _ = group.receive(owner: 1)
        group.pass(30_000)
        _ = group.receive(owner: 1)
        group.pass(30_000)
        #expect(group.counters.live == 0 && group.counters.ended == 1)
        #expect(group.ledger.floor == Offset(1))
        #expect(try group.loaded().counters.live == 0)
    }

    @Test func messagesAreFinishedByOffsetWhoeverHasThem() throws {
        var group = Self.group(limit: 5)
        group.send(6)
        let own = group.receive(2, owner: 1)
        _ = group.receive(1, owner: 2)
        var held = group.ledger.receipts(of: 1, nowMs: group.nowMs)
        #expect(held == own.map(\.receipt))
        // Leased to one and to another, never received, told by nobody.
        group.perform { ledger, _ in ledger.finish([0, 2, 4, 99].map { Offset($0) }) }
        #expect(group.counters.live == 3 && group.counters.ended == 3)
        held = group.ledger.receipts(of: 1, nowMs: group.nowMs)
        #expect(held.map(\.offset) == [Offset(1)])
        group.perform { ledger, _ in ledger.finish([Offset(0), Offset(2)]) }
        #expect(group.counters.ended == 3)
        #expect(try group.loaded().counters.live == 3)
        group.pass(30_000)
        held = group.ledger.receipts(of: 1, nowMs: group.nowMs)
        #expect(held.isEmpty)
        let rest = group.receive(10, owner: 3).map(\.receipt.offset)
        #expect(Set(rest) == [Offset(1), Offset(3), Offset(5)])
    }

    @Test func whatAClosedSessionNeverDeliveredDoesNotCount() {
        var group = Self.group(limit: 2)
        group.send(2)
        _ = group.receive(1, owner: 1)
        _ = group.receive(1, owner: 2)
        group.perform { $0.releaseAll(of: 1, isUncounted: true, nowMs: $1) }
        group.perform { $0.releaseAll(of: 2, isUncounted: false, nowMs: $1) }
        #expect(group.receive(2, owner: 3).map(\.receiveCount) == [1, 2])
    }
}
