import ByteBuffers
import KafkaModel
import Testing

@testable import QueueLedger

/// What a ledger does at each of its limits, and what its callers may ask beside.
@Suite struct LedgerLimitTests {
    @Test func atTheLimitOfStateNothingIsGivenOutForTheFirstTime() {
        var settings = LedgerSettings()
        settings.maxSlots = 4
        var queue = LedgerDriver(settings)
        queue.send(10)
        let first = queue.receive(10)
        #expect(first.count == 4)
        _ = queue.release(first, delayMs: 60_000)
        #expect(queue.counters.delayed == 4)
        #expect(!queue.ledger.hasDeliverable)
        #expect(queue.receive(10).isEmpty)
        // What has state goes on, and its end makes room.
        queue.nowMs += 60_000
        let again = queue.receive(10)
        #expect(again.map(\.receipt.offset).sorted() == first.map(\.receipt.offset))
        _ = queue.acknowledge(Array(again.prefix(3)))
        #expect(queue.ledger.hasDeliverable)
        #expect(queue.receive(10).map(\.receipt.offset) == [4, 5, 6].map { Offset($0) })
        #expect(queue.ledger.faults() == [])
    }

    @Test func withoutRoomForMoreStateWhatHasSomeIsGivenOut() {
        var queue = LedgerDriver()
        queue.send(4)
        var request = ReceiveRequest(maxMessages: 10, visibilityMs: 30_000)
        request.takesNew = false
        let full = request
        #expect(queue.perform { ledger, now in ledger.receive(full, nowMs: now) } == .overLimit)
        #expect(queue.ledger.hasDeliverable && !queue.ledger.hasDeliverable(takesNew: false))
        _ = queue.release(queue.receive(2), delayMs: 0)
        #expect(queue.ledger.hasDeliverable(takesNew: false))
        guard case .messages(let again) = queue.perform({ ledger, now in ledger.receive(full, nowMs: now) }) else {
            Issue.record("nothing was given out again")
            return
        }
        #expect(again.map(\.receipt.offset) == [0, 1].map { Offset($0) })
        // With none left nothing waits for room.
        _ = queue.acknowledge(again + queue.receive(2))
        #expect(queue.perform { ledger, now in ledger.receive(full, nowMs: now) } == .messages([]))
        #expect(queue.ledger.faults() == [])
    }

    @Test func idsBeyondTheLimitTakeThePlaceOfTheOldest() {
        var window = DeduplicationWindow()
        let most = LedgerSettings.maxDeduplicationIDs
        for number in 0...most { window.note(NameDigest(high: 1, low: UInt64(number)), offset: Int64(number), atMs: 5) }
        #expect(window.count == most)
        #expect(window.original(of: NameDigest(high: 1, low: 0), nowMs: 6) == nil)
        #expect(window.original(of: NameDigest(high: 1, low: 1), nowMs: 6) == 1)
        #expect(window.original(of: NameDigest(high: 1, low: UInt64(most)), nowMs: 6) == Int64(most))
    }

    /// Clocks are set back, and producers write times of their own.
    @Test func idsWhoseTimesAreOutOfOrderAreForgottenEachInItsTime() throws {
        var queue = LedgerDriver(LedgerSettings(order: .fifo))
        let (late, early) = (NameDigest(high: 1, low: 1), NameDigest(high: 1, low: 2))
        let startMs = queue.nowMs
        queue.ledger.noteSent(late, at: .zero, sentMs: startMs)
        queue.ledger.noteSent(early, at: Offset(1), sentMs: startMs - 200_000)
        queue.nowMs = startMs + 100_000
        queue.perform { ledger, now in ledger.advance(nowMs: now) }
        #expect(try #require(queue.ledger.nextDeadline) > queue.nowMs)
        #expect(queue.ledger.original(of: early, nowMs: queue.nowMs) == nil)
        #expect(queue.ledger.original(of: late, nowMs: queue.nowMs) == .zero)
        queue.nowMs = startMs + 300_000
        queue.perform { ledger, now in ledger.advance(nowMs: now) }
        #expect(queue.ledger.nextDeadline == nil)
    }

    @Test func attemptsOfAClockThatIsSetBackAreForgottenEachInItsTime() throws {
        var queue = LedgerDriver(LedgerSettings(order: .fifo))
        queue.send(group: 1)
        queue.send(group: 2)
        let startMs = queue.nowMs
        let first = queue.receive(1, attempt: 1)
        queue.nowMs = startMs - 200_000
        let second = queue.receive(1, attempt: 2)
        #expect(queue.acknowledge(first + second) == [.done, .done])
        queue.nowMs = startMs + 100_000
        queue.perform { ledger, now in ledger.advance(nowMs: now) }
        #expect(try #require(queue.ledger.nextDeadline) > queue.nowMs)
        queue.nowMs = startMs + 300_000
        queue.perform { ledger, now in ledger.advance(nowMs: now) }
        #expect(queue.ledger.nextDeadline == nil)
    }

    @Test func whatHoldsNoMessageIsTold() {
        var queue = LedgerDriver(LedgerSettings(order: .fifo))
        queue.send()
        queue.ledger.arrived(below: Offset(9))
        #expect(queue.ledger.toldEnd == Offset(9) && queue.counters.live == 1)
        _ = queue.acknowledge(queue.receive(1))
        #expect(queue.ledger.floor == Offset(9))
        // What was told is not taken back.
        queue.ledger.arrived(below: Offset(3))
        #expect(queue.ledger.toldEnd == Offset(9))
    }

    @Test func aLedgerTellsWhetherItHasRoomForAnotherID() {
        var queue = LedgerDriver(LedgerSettings(order: .fifo))
        for number in 0..<LedgerSettings.maxDeduplicationIDs {
            queue.ledger.noteSent(NameDigest(high: 1, low: UInt64(number)), at: .zero, sentMs: queue.nowMs)
        }
        #expect(!queue.ledger.hasRoomForID)
        queue.perform { ledger, now in ledger.advance(nowMs: now + LedgerSettings.deduplicationMs) }
        #expect(queue.ledger.hasRoomForID)
    }

    @Test func aBackoffBeyondTwelveHoursIsRefused() throws {
        var settings = LedgerSettings()
        settings.backoffMs = [1000, LedgerSettings.maxVisibilityMs + 1]
        #expect(throws: LedgerRefusal.backoff(LedgerSettings.maxVisibilityMs + 1)) {
            try DeliveryLedger(id: LedgerDriver.id, settings: settings, start: .zero)
        }
        var queue = LedgerDriver()
        #expect(throws: LedgerRefusal.self) { try queue.ledger.change(settings) }
        settings.backoffMs = [LedgerSettings.maxVisibilityMs]
        try queue.ledger.change(settings)
        queue.send(1)
        #expect(queue.release(queue.receive(1), delayMs: nil) == [.done])
        #expect(queue.counters.delayed == 1)
    }

    @Test func moreStateThanARecordMayMakeIsRefused() {
        var settings = LedgerSettings()
        settings.maxIndexed = LedgerSettings.maxSlotsLimit + 1
        #expect(throws: LedgerRefusal.tooMuchState) {
            try DeliveryLedger(id: LedgerDriver.id, settings: settings, start: .zero)
        }
    }

    @Test func aConsumersNameThatNoKeyHoldsIsRefused() throws {
        func made(_ bytes: Int) throws -> DeliveryLedger {
            let id = LedgerID(
                partition: LedgerDriver.id.partition, consumer: ExactString(String(repeating: "n", count: bytes)))
            return try DeliveryLedger(id: id, settings: LedgerSettings(), start: .zero)
        }
        #expect(throws: LedgerRefusal.consumerName(LedgerKey.maxConsumerBytes + 1)) {
            try made(LedgerKey.maxConsumerBytes + 1)
        }
        let longest = try made(LedgerKey.maxConsumerBytes)
        let key = LedgerKey(longest.id, .change, epoch: 0, number: 0)
        #expect(try key.bytes.withUnsafeBytes { try LedgerKey($0) } == key)
    }

    @Test func aPartOfASnapshotWithTooManyPiecesIsRefused() throws {
        var part = SnapshotPart(index: 0, partCount: 1, start: 0)
        part.fresh = (0..<Int64(SnapshotPart.maxPieces)).map { OffsetRange(Offset(3 * $0)) }
        #expect(throws: Never.self) { try part.value(epoch: 1).withUnsafeBytes { try LedgerValue.decode($0) } }
        part.fresh.append(OffsetRange(Offset(1 << 40)))
        #expect(throws: DecodeError.self) { try part.value(epoch: 1).withUnsafeBytes { try LedgerValue.decode($0) } }
    }

    @Test func aSnapshotOfMoreMessagesThanThereMayBeIsRefused() throws {
        var part = SnapshotPart(index: 0, partCount: 1, start: 0)
        let length = Int64(LedgerRecord.maxLeased)
        part.entries = (0...Int64(LedgerSettings.maxSlotsLimit) / length).map { number in
            SnapshotEntry(
                range: OffsetRange(Offset(number * length), Offset((number + 1) * length - 1)), state: .available,
                receives: 1, lease: UInt64(number + 1), firstReceivedMs: 1, deadlineMs: 0, spanMs: 0, owner: 0)
        }
        var ledger = try DeliveryLedger(id: LedgerDriver.id, settings: LedgerSettings(), start: .zero)
        let key = LedgerKey(LedgerDriver.id, .snapshot, epoch: 1, number: 0)
        #expect(throws: DecodeError.self) {
            try part.value(epoch: 1).withUnsafeBytes { try ledger.replay(key, $0) }
        }
    }

    @Test func aLookShowsWhatIsNotEndedAndTakesNothing() {
        var queue = LedgerDriver()
        queue.send(4)
        queue.send(2, delayMs: 500)
        let given = queue.receive(3)
        _ = queue.acknowledge([given[0]])
        _ = queue.release([given[2]], delayMs: 9000)
        let seen = queue.ledger.browse(from: .zero, most: 10)
        #expect(seen.map(\.offset) == [1, 2, 3, 4, 5].map { Offset($0) })
        #expect(seen.map(\.state) == [.inFlight, .delayed, .visible, .delayed, .delayed])
        #expect(seen.map(\.receiveCount) == [1, 1, 0, 0, 0])
        #expect(queue.ledger.browse(from: Offset(2), most: 2).map(\.offset) == [2, 3].map { Offset($0) })
        #expect(queue.ledger.browse(from: Offset(6), most: 2).isEmpty)
        #expect(queue.counters.visible == 1 && queue.counters.inFlight == 1)
    }

    @Test func aLookTakesTheFirstOfManyWhateverTheirSlots() {
        var queue = LedgerDriver()
        queue.send(50)
        let given = queue.receive(50)
        // The first ones' slots are taken by later messages.
        _ = queue.acknowledge(Array(given[..<20]))
        queue.send(20)
        _ = queue.receive(20)
        let offsets = (20..<70).map { Offset($0) }
        for most in [1, 2, 3, 10, 49, 50, 60] {
            #expect(queue.ledger.browse(from: .zero, most: most).map(\.offset) == Array(offsets.prefix(most)))
            let later = queue.ledger.browse(from: Offset(45), most: most).map(\.offset)
            #expect(later == Array(offsets[25...].prefix(most)))
        }
    }

    @Test func aLookThatIsNoDeliveryEndsNothing() {
        var queue = LedgerDriver(LedgerSettings(maxReceives: 2, endOfDeliveries: .archive))
        queue.send()
        _ = queue.release(queue.receive(1), delayMs: 0)
        var look = ReceiveRequest(maxMessages: 1, visibilityMs: 1000)
        look.isCounted = false
        let request = look
        for isGivenBack in [false, true, false] {
            guard case .messages(let seen) = queue.perform({ ledger, now in ledger.receive(request, nowMs: now) })
            else {
                Issue.record("nothing was given out")
                return
            }
            #expect(seen.map(\.receiveCount) == [1])
            if isGivenBack {
                let receipts = seen.map(\.receipt)
                queue.perform { ledger, now in ledger.takeBack(receipts, wasCounted: false, nowMs: now) }
            } else {
                queue.nowMs += 1000
            }
        }
        #expect(queue.receive(1).map(\.receiveCount) == [2])
        #expect(queue.ledger.faults() == [])
    }

    @Test func lettersThatWereRefusedComeBehindTheOthers() {
        var queue = LedgerDriver()
        queue.send(3)
        let receipts = queue.receive(3).map(\.receipt)
        _ = queue.perform { ledger, now in ledger.reject(receipts, nowMs: now) }
        #expect(queue.ledger.deadLetters(max: 2).map(\.offset) == [0, 1].map { Offset($0) })
        queue.ledger.putBack([Offset(0), Offset(1), Offset(7)])
        #expect(queue.ledger.deadLetters(max: 2).map(\.offset) == [2, 0].map { Offset($0) })
        #expect(queue.ledger.faults() == [])
    }

    @Test func whatWasNotHandedOverIsTakenBackUncounted() {
        var queue = LedgerDriver()
        queue.send(3)
        let given = queue.receive(3)
        queue.perform { ledger, now in ledger.takeBack([given[1].receipt, given[2].receipt], nowMs: now) }
        #expect(queue.counters.visible == 2 && queue.counters.inFlight == 1)
        #expect(queue.receive(3).map(\.receiveCount) == [1, 1])
        // An old receipt takes nothing back.
        queue.perform { ledger, now in ledger.takeBack([given[1].receipt], nowMs: now) }
        #expect(queue.counters.inFlight == 3)
    }
}
