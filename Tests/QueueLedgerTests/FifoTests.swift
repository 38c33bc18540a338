import KafkaModel
import QueueLedger
import Testing

/// Message groups of FIFO queues. Source: SQS developer guide, "FIFO queue delivery logic", "Exactly-once processing",
/// and the API reference of ReceiveMessage, DeleteMessage and ChangeMessageVisibility.
@Suite struct FifoTests {
    private static let settings = LedgerSettings(order: .fifo)

    /// "FIFO queue delivery logic": the order within a group is strict.
    @Test func aGroupsMessagesComeInTheirOrder() {
        var queue = LedgerDriver(Self.settings)
        for group in [1, 2, 1, 2, 1] as [UInt64] { queue.send(group: group) }
        let given = queue.receive(10)
        #expect(given.offsets == [0, 2, 4, 1, 3])
    }

    /// "FIFO queue delivery logic": no more messages of the group are returned until those in flight are deleted or
    /// visible.
    @Test func aGroupIsBlockedWhileOneOfItsMessagesIsInFlight() {
        var queue = LedgerDriver(Self.settings)
        queue.send(3, group: 1)
        queue.send(group: 2)
        let first = queue.receive(1)
        #expect(first.offsets == [0])
        let second = queue.receive(10)
        #expect(second.offsets == [3], "the other group is not blocked")
        #expect(queue.receive(10).isEmpty)
        #expect(queue.acknowledge(first) == [.done])
        #expect(queue.receive(10).offsets == [1, 2])
    }

    /// A batch of one group is unblocked when the last of it is settled, and not before.
    @Test func aBatchOfOneGroupIsBlockedAsAWhole() {
        var queue = LedgerDriver(Self.settings)
        queue.send(4, group: 1)
        let batch = queue.receive(2)
        #expect(queue.acknowledge([batch[1]]) == [.done])
        #expect(queue.receive(10).isEmpty)
        #expect(queue.changeVisibility([batch[0]], to: 0) == [.done])
        #expect(queue.receive(10).offsets == [0, 2, 3])
    }

    /// A message sent to a blocked group does not unblock it.
    @Test func newMessagesDoNotUnblockAGroup() {
        var queue = LedgerDriver(Self.settings)
        queue.send(group: 1)
        _ = queue.receive()
        queue.send(group: 1)
        #expect(queue.receive(10).isEmpty)
        queue.pass(30_000)
        #expect(queue.receive(10).offsets == [0, 1])
    }

    /// A head that waits for its backoff holds its group back, or a later message would overtake it.
    @Test func aDelayedHeadHoldsItsGroup() {
        var queue = LedgerDriver(Self.settings)
        queue.send(2, group: 1)
        let head = queue.receive(1)
        #expect(queue.release(head, delayMs: 5_000) == [.done])
        #expect(queue.receive(10).isEmpty)
        #expect(queue.counters.delayed == 1)
        queue.pass(5_000)
        #expect(queue.receive(10).offsets == [0, 1])
    }

    /// "Amazon SQS dead-letter queues": a message moved away lets its group go on, even while the move is under way.
    @Test func aMessageThatEndsLetsItsGroupGoOn() {
        var settings = Self.settings
        settings.maxReceives = 1
        var queue = LedgerDriver(settings)
        queue.send(2, group: 1)
        _ = queue.receive(1)
        queue.pass(30_000)
        #expect(queue.counters.ending == 1)
        #expect(queue.receive(10).offsets == [1])
    }

    /// DeleteMessage and ReceiveMessage: with a FIFO queue the deletion after the visibility timeout fails.
    @Test func anExpiredReceiptDeletesNothing() {
        var queue = LedgerDriver(Self.settings)
        queue.send(group: 1)
        let given = queue.receive()
        queue.pass(30_000)
        #expect(queue.acknowledge(given) == [.expired])
        #expect(queue.changeVisibility(given, to: 1_000) == [.notInFlight])
        #expect(queue.receive().offsets == [0])
    }

    /// Groups take turns: one with a backlog does not keep the others waiting.
    @Test func groupsTakeTurns() {
        var queue = LedgerDriver(Self.settings)
        queue.send(50, group: 1)
        queue.send(group: 2)
        queue.send(group: 3)
        var order: [Int64] = []
        for _ in 0..<3 {
            let given = queue.receive(1)
            order += given.offsets
            _ = queue.acknowledge(given)
        }
        #expect(order == [0, 50, 51])
    }

    /// SQS quotas, "Messages per queue (in flight)": a FIFO queue returns no error.
    @Test func aFullFIFOQueueGivesNothingAndNoError() {
        var queue = LedgerDriver(LedgerSettings(order: .fifo, maxInFlight: 1))
        queue.send(group: 1)
        queue.send(group: 2)
        #expect(queue.receive().count == 1)
        #expect(queue.tryReceive() == .messages([]))
        #expect(Self.settings.maxInFlight == 20_000)
    }

    /// "Avoid large message backlogs with the same message group ID": a limited number of messages is looked at, what
    /// is behind them waits, and none is lost.
    @Test func groupsBehindADeepBacklogWaitAndComeInOrder() {
        var settings = Self.settings
        settings.maxIndexed = 8
        var queue = LedgerDriver(settings)
        for index in 0..<100 { queue.send(group: UInt64(index % 3)) }
        #expect(queue.counters.visible == 100)
        var given: [UInt64: [Int64]] = [:]
        for _ in 0..<100 {
            let message = queue.receive(1)
            given[queue.messages[Int(message[0].receipt.offset.rawValue)].group, default: []] += message.offsets
            #expect(queue.acknowledge(message) == [.done])
        }
        #expect(given.values.allSatisfy { $0 == $0.sorted() })
        #expect(given.values.reduce(0) { $0 + $1.count } == 100)
        #expect(queue.counters.live == 0)
    }

    // MARK: Receive attempts

    /// ReceiveMessage, ReceiveRequestAttemptId: the same messages and receipts again, and their visibility timeout
    /// begins anew.
    @Test func theSameAttemptGetsTheSameMessages() {
        var queue = LedgerDriver(Self.settings)
        queue.send(3, group: 1)
        let first = queue.receive(2, attempt: 7)
        queue.pass(20_000)
        let again = queue.receive(2, attempt: 7)
        #expect(again.map(\.receipt) == first.map(\.receipt))
        #expect(again.map(\.receiveCount) == [1, 1])
        queue.pass(20_000)
        #expect(queue.counters.inFlight == 2, "the time began anew")
        #expect(queue.receive(2, attempt: 8).isEmpty)
    }

    /// … "if none of the messages have been modified (deleted or had their visibility changes)", and for five minutes.
    @Test func anAttemptIsOverWhenAMessageWasChanged() {
        var queue = LedgerDriver(Self.settings)
        queue.send(group: 1)
        queue.send(group: 2)
        let first = queue.receive(1, attempt: 7)
        #expect(queue.acknowledge(first) == [.done])
        let next = queue.receive(1, attempt: 7)
        #expect(next.offsets == [1])
        #expect(queue.changeVisibility(next, to: 600_000) == [.done])
        #expect(queue.receive(1, attempt: 7).isEmpty)
        queue.send(group: 3)
        _ = queue.receive(1, visibilityMs: 900_000, attempt: 9)
        queue.pass(300_000)
        #expect(queue.receive(1, attempt: 9).isEmpty)
    }

    // MARK: De-duplication

    /// "Exactly-once processing": five minutes from the first one on, also when it was deleted, and not longer when it
    /// is sent again.
    @Test func anIDIsKnownForFiveMinutesEvenIfItsMessageIsGone() {
        var queue = LedgerDriver(Self.settings)
        let id = NameDigest(high: 1, low: 1)
        queue.send(group: 1)
        queue.ledger.noteSent(id, at: .zero, sentMs: queue.nowMs)
        _ = queue.acknowledge(queue.receive())
        queue.pass(299_999)
        #expect(queue.ledger.original(of: id, nowMs: queue.nowMs) == .zero)
        queue.pass(1)
        #expect(queue.ledger.original(of: id, nowMs: queue.nowMs) == nil)
        #expect(queue.ledger.nextDeadline == nil, "nothing is left to wait for")
    }

    /// The log tells of the last five minutes again when the ledger is loaded.
    @Test func theWindowSurvivesARestart() throws {
        var queue = LedgerDriver(Self.settings)
        queue.send(group: 1)
        _ = queue.acknowledge(queue.receive())
        let id = NameDigest(high: 1, low: 1)
        let sentMs = queue.nowMs
        queue.pass(200_000)
        var loaded = try queue.loaded()
        loaded.noteSent(id, at: .zero, sentMs: sentMs)
        #expect(loaded.original(of: id, nowMs: queue.nowMs) == .zero)
        #expect(loaded.original(of: id, nowMs: queue.nowMs + 100_000) == nil)
        #expect(loaded.counters.live == 0)
    }
}
