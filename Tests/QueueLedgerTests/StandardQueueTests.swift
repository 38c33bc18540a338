import KafkaModel
import QueueLedger
import Testing

/// The rules of standard queues, one by one. Source: SQS API reference and developer guide; each test names its page.
@Suite struct StandardQueueTests {
    // MARK: Visibility

    /// "Amazon SQS visibility timeout": nobody else receives a message in flight; it is there again after its timeout.
    @Test func aMessageIsHiddenUntilItsTimeoutEnds() {
        var queue = LedgerDriver()
        queue.send()
        let first = queue.receive(visibilityMs: 30_000)
        #expect(queue.receive().isEmpty)
        #expect(queue.ledger.nextDeadline == queue.nowMs + 30_000)
        queue.pass(29_999)
        #expect(queue.receive().isEmpty)
        queue.pass(1)
        let second = queue.receive()
        #expect(second.offsets == [0] && second[0].receiveCount == 2)
        #expect(second[0].receipt != first[0].receipt)
        #expect(second[0].firstReceivedMs == first[0].firstReceivedMs)
    }

    /// ChangeMessageVisibility: the timeout counts from the call on; 0 makes the message visible at once.
    @Test func visibilityIsChangedFromNowOn() {
        var queue = LedgerDriver()
        queue.send()
        let given = queue.receive(visibilityMs: 30_000)
        queue.pass(20_000)
        #expect(queue.changeVisibility(given, to: 30_000) == [.done])
        queue.pass(29_999)
        #expect(queue.counters.inFlight == 1)
        #expect(queue.changeVisibility(given, to: 0) == [.done])
        #expect(queue.receive().offsets == [0])
    }

    /// ChangeMessageVisibility: no more than 12 hours from the receive on.
    @Test func visibilityEndsTwelveHoursAfterTheReceive() {
        var queue = LedgerDriver()
        queue.send()
        let given = queue.receive(visibilityMs: 43_200_000)
        queue.pass(1_000)
        #expect(queue.changeVisibility(given, to: 43_200_000) == [.beyondLimit])
        #expect(queue.changeVisibility(given, to: 43_199_000) == [.done])
        #expect(queue.ledger.nextDeadline == queue.nowMs + 43_199_000)
    }

    /// ChangeMessageVisibility: MessageNotInflight.
    @Test func onlyALeaseCanBeChanged() {
        var queue = LedgerDriver()
        queue.send(2)
        let given = queue.receive()
        _ = queue.acknowledge(given)
        #expect(queue.changeVisibility(given, to: 1_000) == [.notInFlight])
        let other = queue.receive()
        queue.pass(30_000)
        #expect(queue.changeVisibility(other, to: 1_000) == [.notInFlight])
    }

    // MARK: Deletion

    /// DeleteMessage: also after the timeout, while nobody else has received it.
    @Test func theNewestReceiptDeletesAfterItsTimeout() {
        var queue = LedgerDriver()
        queue.send()
        let given = queue.receive()
        queue.pass(30_000)
        #expect(queue.acknowledge(given) == [.done])
        #expect(queue.counters.live == 0)
    }

    /// DeleteMessage: "if you use an old receipt handle the request will succeed, but the message might not be
    /// deleted".
    @Test func anOldReceiptSucceedsWithoutEffect() {
        var queue = LedgerDriver()
        queue.send()
        let old = queue.receive()
        queue.pass(30_000)
        let new = queue.receive()
        #expect(queue.acknowledge(old) == [.noEffect])
        #expect(queue.counters.inFlight == 1)
        #expect(queue.acknowledge(new) == [.done])
        #expect(queue.acknowledge(new) == [.noEffect], "deleting again succeeds")
    }

    /// DeleteMessageBatch: each entry has its own result; one that is named twice succeeds twice.
    @Test func aBatchIsAnsweredOneByOne() {
        var queue = LedgerDriver()
        queue.send(3)
        var given = queue.receive(3)
        given.append(given[0])
        var unknown = given[1]
        unknown.receipt.offset = Offset(77)
        given.append(unknown)
        #expect(queue.acknowledge(given) == [.done, .done, .done, .done, .unknown])
        #expect(queue.counters.ended == 3)
        #expect(queue.log.count == 2, "a receive and a batch of deletions are a record each")
    }

    // MARK: Delays

    /// "Amazon SQS delay queues", "Amazon SQS message timers": each message has its own, and does not hold others back.
    @Test func delaysEndOneByOne() {
        var queue = LedgerDriver()
        queue.send(delayMs: 5_000)
        queue.send(delayMs: 1_000)
        queue.send()
        #expect(queue.counters.visible == 1 && queue.counters.delayed == 2)
        #expect(queue.receive(10).offsets == [2])
        #expect(queue.ledger.nextDeadline == queue.nowMs + 1_000)
        queue.pass(1_000)
        #expect(queue.receive(10).offsets == [1])
        queue.pass(4_000)
        #expect(queue.receive(10).offsets == [0])
    }

    /// A negative acknowledgement waits by the queue's backoff for the number of deliveries, or as the receiver says.
    @Test func backoffGrowsWithTheDeliveries() {
        var settings = LedgerSettings()
        settings.backoffMs = [1_000, 7_000]
        var queue = LedgerDriver(settings)
        queue.send()
        for delay in [1_000, 7_000, 7_000] as [Int64] {
            #expect(queue.release(queue.receive()) == [.done])
            #expect(queue.counters.delayed == 1 && queue.counters.inFlight == 0)
            #expect(queue.ledger.nextDeadline == queue.nowMs + delay)
            queue.pass(delay)
        }
        #expect(queue.release(queue.receive(), delayMs: 0) == [.done])
        #expect(queue.receive().map(\.receiveCount) == [5])
    }

    // MARK: Limits

    /// SQS quotas, "Messages per queue (in flight)": OverLimit.
    @Test func tooManyInFlightIsOverTheLimit() {
        var queue = LedgerDriver(LedgerSettings(maxInFlight: 3))
        queue.send(5)
        let given = queue.receive(10)
        #expect(given.count == 3)
        #expect(queue.tryReceive() == .overLimit)
        #expect(!queue.ledger.hasDeliverable)
        _ = queue.acknowledge([given[0]])
        #expect(queue.receive(10).count == 1)
        #expect(LedgerSettings().maxInFlight == 120_000)
    }

    // MARK: Dead letters

    /// "Using dead-letter queues": when the receive count reaches maxReceiveCount, the message is moved, and is
    /// received no more.
    @Test func theLastDeliverySendsAMessageToTheDeadLetters() {
        var queue = LedgerDriver(LedgerSettings(maxReceives: 2, maxInFlight: 1))
        queue.send(2)
        let first = queue.receive()
        _ = queue.changeVisibility(first, to: 0)
        // The other one and this one take turns.
        while queue.counters.ending == 0 {
            _ = queue.receive()
            queue.pass(30_000)
        }
        let letters = queue.ledger.deadLetters(max: 10)
        #expect(letters.count == 1)
        #expect(letters[0].receiveCount == 2 && letters[0].reason == .maxReceives)
        #expect(letters[0].firstReceivedMs == first[0].firstReceivedMs)
        #expect(queue.ledger.hasDeliverable, "one that waits for its move counts for no limit")
        queue.perform { ledger, _ in ledger.confirmDeadLetters([letters[0].offset, letters[0].offset, Offset(99)]) }
        #expect(queue.counters.ending == 0 && queue.counters.ended == 1)
    }

    /// What is named to the caller is named again until it is confirmed, also after a restart: the move is made once by
    /// its id.
    @Test func aMoveIsNamedAgainAfterARestart() throws {
        var queue = LedgerDriver(LedgerSettings(maxReceives: 5))
        queue.send(2)
        #expect(queue.reject(queue.receive(2)) == [.done, .done])
        let letters = queue.ledger.deadLetters(max: 10)
        #expect(letters.map(\.reason) == [.rejected, .rejected])
        #expect(queue.ledger.deadLetters(max: 1) == Array(letters.prefix(1)))
        let loaded = try queue.loaded()
        #expect(loaded.deadLetters(max: 10) == letters)
        #expect(queue.receive(10).isEmpty)
    }

    // MARK: Purge and retention

    /// PurgeQueue: all messages, also those in flight; later ones stay.
    @Test func aPurgeEndsAllThatWereSent() throws {
        var queue = LedgerDriver()
        queue.send(3)
        queue.send(delayMs: 1_000)
        let given = queue.receive(2)
        queue.perform { ledger, _ in ledger.purge() }
        queue.send()
        #expect(queue.counters.live == 1 && queue.counters.ended == 4)
        #expect(queue.acknowledge(given) == [.noEffect, .noEffect])
        queue.pass(60_000)
        #expect(queue.receive(10).offsets == [4])
        #expect(try queue.loaded().scan() == queue.ledger.scan())
    }

    /// SetQueueAttributes, MessageRetentionPeriod: what is older is gone, in whatever state.
    @Test func retentionEndsTheOldest() throws {
        var queue = LedgerDriver()
        queue.send(6)
        let given = queue.receive(2)
        queue.perform { ledger, _ in ledger.retain(from: Offset(4)) }
        #expect(queue.counters.live == 2 && queue.ledger.floor == Offset(4))
        #expect(queue.acknowledge(given) == [.noEffect, .noEffect])
        #expect(queue.receive(10).offsets == [4, 5])
        let before = queue.log.count
        queue.perform { ledger, _ in ledger.retain(from: Offset(2)) }
        #expect(queue.log.count == before, "what is gone needs no record")
        #expect(try queue.loaded().scan() == queue.ledger.scan())
    }

    // MARK: Holds and gaps

    @Test func whatIsHeldIsNotGiven() throws {
        var queue = LedgerDriver()
        queue.ledger.hold(from: Offset(2), nowMs: queue.nowMs)
        queue.send(3)
        queue.send(delayMs: 1_000)
        #expect(queue.counters.visible == 2 && queue.counters.held == 2 && queue.counters.live == 4)
        #expect(queue.receive(10).offsets == [0, 1])
        queue.ledger.hold(from: Offset(3), nowMs: queue.nowMs)
        #expect(queue.receive(10).offsets == [2])
        queue.ledger.hold(from: Offset(100), nowMs: queue.nowMs)
        #expect(queue.counters.held == 0 && queue.counters.delayed == 1)
        queue.pass(1_000)
        #expect(queue.receive(10).offsets == [3])
        #expect(queue.ledger.faults() == [])
    }

    /// Control records, records of aborted transactions and compacted ones are no messages.
    @Test func gapsAreNoMessages() throws {
        var queue = LedgerDriver()
        queue.send(2)
        queue.sendGap()
        queue.send(4)
        #expect(queue.counters.visible == 6)
        #expect(queue.receive(3).offsets == [0, 1, 3])
        queue.perform { ledger, _ in ledger.dropGaps([OffsetRange(Offset(3)), OffsetRange(Offset(5))]) }
        #expect(queue.counters.inFlight == 2 && queue.counters.visible == 2)
        #expect(queue.receive(10).offsets == [4, 6])
        #expect(queue.ledger.faults() == [])
        #expect(try queue.loaded().scan() == queue.ledger.scan())
    }

    // MARK: Fairness

    /// Messages that fail at once do not keep the new ones waiting.
    @Test(arguments: [1, 3]) func redeliveriesAndNewMessagesTakeTurns(_ count: Int) {
        var queue = LedgerDriver()
        queue.send(200)
        _ = queue.release(queue.receive(50), delayMs: 0)
        var new = 0
        for _ in 0..<20 {
            let given = queue.receive(count)
            #expect(given.count == count)
            new += given.offsets.count { $0 >= 50 }
            _ = queue.release(given.filter { $0.receipt.offset.rawValue < 50 }, delayMs: 0)
        }
        #expect(new >= 10 && new <= 20 * count - 10)
    }

    /// "Amazon SQS fair queues": a tenant with a backlog does not make the others wait.
    @Test func noGroupStarvesTheOthers() {
        var queue = LedgerDriver(LedgerSettings(order: .fair))
        queue.send(1_000, group: 1)
        queue.send(3, group: 2)
        queue.send(3, group: 3)
        let given = queue.receive(6)
        let groups = given.offsets.map { queue.messages[Int($0)].group }
        #expect(groups.sorted() == [1, 1, 2, 2, 3, 3])
        // Those that have the most in flight come last.
        queue.send(group: 4)
        #expect(queue.receive(1).offsets == [1_006])
        #expect(queue.ledger.faults() == [])
    }
}
