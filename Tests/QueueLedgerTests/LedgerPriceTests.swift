import KafkaModel
import Testing

@testable import QueueLedger

/// What a ledger costs in memory, counted by its buffers, and in steps.
@Suite struct LedgerPriceTests {
    @Test func aMillionInFlightCostBelowAHundredBytesEach() {
        var settings = LedgerSettings(maxInFlight: 1_000_000)
        settings.maxReceives = 3
        var queue = LedgerDriver(settings)
        let count = 1_000_000
        queue.ledger.arrive(OffsetRange(.zero, Offset(Int64(count - 1))), nowMs: queue.nowMs)
        var worst = 0
        while queue.counters.visible > 0 {
            let step = queue.ledger.receive(
                ReceiveRequest(maxMessages: 4_000, visibilityMs: 30_000), nowMs: queue.nowMs)
            queue.ledger.apply(step)
            let inFlight = queue.counters.inFlight
            if inFlight >= 100_000 { worst = max(worst, queue.ledger.memoryBytes / inFlight) }
        }
        #expect(queue.counters.inFlight == count)
        #expect(worst < 100, "\(worst) bytes a message, at its worst moment")
        #expect(queue.ledger.memoryBytes / count < 100)
    }

    @Test func whatWasNeverReceivedCostsNothing() {
        var queue = LedgerDriver()
        let before = queue.ledger.memoryBytes
        for index in 0..<1_000 {
            let first = Int64(index) * 1_000_000
            queue.ledger.arrive(OffsetRange(Offset(first), Offset(first + 999_999)), nowMs: queue.nowMs)
        }
        #expect(queue.counters.visible == 1_000_000_000)
        #expect(queue.ledger.memoryBytes - before < 1_000)
        #expect(queue.ledger.nextDeadline == nil, "and nothing is to be done for it")
    }

    /// Memory that a burst took is given back, and what is left keeps its place.
    @Test func tablesShrinkWhenMostIsGone() {
        var queue = LedgerDriver(LedgerSettings(order: .fair))
        for index in 0..<40_000 { queue.send(group: UInt64(index % 7)) }
        var given: [LeasedMessage] = []
        for _ in 0..<10 { given += queue.receive(4_000, visibilityMs: 60_000) }
        let full = queue.ledger.memoryBytes
        _ = queue.acknowledge(given.filter { $0.receipt.offset.rawValue % 100 != 0 })
        #expect(queue.counters.live == 400)
        #expect(queue.ledger.memoryBytes < full / 8)
        #expect(queue.ledger.faults() == [])
        queue.pass(60_000)
        #expect(queue.receive(4_000).count == 400)
    }

    /// A table that a call keeps, as it is small, is much where many ledgers have one.
    @Test(arguments: [DeliveryOrder.standard, .fair, .fifo]) func anIdleLedgerGivesItsTablesBack(
        _ order: DeliveryOrder
    ) {
        var queue = LedgerDriver(LedgerSettings(order: order))
        let empty = queue.ledger.memoryBytes
        for number in 0..<2000 {
            queue.send(delayMs: number % 2 == 0 && order != .fifo ? Int64(number) : 0, group: UInt64(number))
            queue.ledger.noteSent(
                NameDigest(high: 3, low: UInt64(number)), at: Offset(Int64(number)), sentMs: queue.nowMs)
        }
        queue.pass(2000)
        var given = queue.receive(2000, visibilityMs: 10_000)
        #expect(given.count == 2000)
        // A few stay, with their groups and in their order.
        _ = queue.acknowledge(given.filter { $0.receipt.offset.rawValue % 500 != 0 })
        // Ids go 1,024 at a time.
        for _ in 0..<2 { queue.pass(LedgerSettings.deduplicationMs) }
        let before = queue.ledger.memoryBytes
        queue.ledger.shrink(nowMs: queue.nowMs)
        #expect(queue.ledger.memoryBytes < before / 4)
        #expect(queue.ledger.faults() == [])
        given = queue.receive(10)
        #expect(Set(given.map(\.receipt.offset)) == Set([0, 500, 1000, 1500].map { Offset($0) }))
        _ = queue.acknowledge(given)
        // What was observed of it is told of for two minutes.
        queue.ledger.shrink(nowMs: queue.nowMs + 2 * FlowMeter.windowMs)
        #expect(queue.ledger.memoryBytes <= empty)
        queue.send(3, group: 5)
        #expect(queue.receive(3).count == 3)
        #expect(queue.ledger.faults() == [])
    }

    /// A crowd of leases that end at once does not hold up a call; each is ended for whoever asks.
    @Test func aCrowdOfDeadlinesIsWorkedOffByCalls() {
        var queue = LedgerDriver()
        queue.send(5_000)
        var given: [LeasedMessage] = []
        for _ in 0..<5 { given += queue.receive(1_000) }
        queue.nowMs += 30_000
        queue.perform { $0.advance(nowMs: $1) }
        #expect(queue.counters.inFlight == 5_000 - DeliveryLedger.maxDue)
        #expect(queue.changeVisibility([given[4_999]], to: 1_000) == [.notInFlight])
        while let deadline = queue.ledger.nextDeadline, deadline <= queue.nowMs {
            queue.perform { $0.advance(nowMs: $1) }
        }
        #expect(queue.counters.visible == 5_000 && queue.counters.inFlight == 0)
    }

    /// What comes and goes behind a message that is delayed leaves nothing behind.
    @Test func aDelayedMessageInFrontKeepsNoStateOfOthers() {
        var queue = LedgerDriver()
        queue.send(delayMs: 900_000)
        for _ in 0..<5_000 {
            queue.send()
            #expect(queue.acknowledge(queue.receive()) == [.done])
        }
        #expect(queue.counters.live == 1)
        #expect(queue.ledger.memoryBytes < 20_000, "\(queue.ledger.memoryBytes) bytes")
        queue.pass(900_000)
        #expect(queue.receive(10).offsets == [0])
        #expect(queue.ledger.faults() == [])
    }

    /// Each message with a delay of its own is a run of the backlog.
    @Test func aCrowdOfDelaysIsWorkedOffByCalls() {
        var queue = LedgerDriver()
        for index in 0..<3_000 { queue.send(delayMs: 1_000 + Int64(index % 2)) }
        queue.nowMs += 2_000
        queue.perform { $0.advance(nowMs: $1) }
        #expect(queue.counters.visible == DeliveryLedger.maxDue)
        #expect(queue.ledger.nextDeadline.map { $0 <= queue.nowMs } == true)
        while let deadline = queue.ledger.nextDeadline, deadline <= queue.nowMs {
            queue.perform { $0.advance(nowMs: $1) }
        }
        #expect(queue.counters.visible == 3_000 && queue.counters.delayed == 0)
    }

    /// A receive and its acknowledgement take a few bytes of the log.
    @Test func recordsAreSmall() {
        var queue = LedgerDriver()
        queue.send(100_000)
        for _ in 0..<50 { _ = queue.receive(1_000) }
        queue.log = []
        let given = queue.receive(10)
        _ = queue.acknowledge(given)
        let bytes = queue.log.map(\.value.count)
        #expect(bytes.reduce(0, +) < 60, "\(bytes) bytes for ten messages")
    }
}
