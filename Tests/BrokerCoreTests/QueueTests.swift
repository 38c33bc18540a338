import BrokerTestKit
import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import Synchronization
import Telemetry
import Testing

@testable import BrokerCore

/// Queues as their callers see them, on a broker whose commits and clock are the test's.
@Suite struct QueueTests {
    @Test func aMessageIsReceivedOnceAndEndsByItsHandle() throws {
        let node = try QueueNode()
        try node.create("orders")
        let sent = try node.send(["a", "b", "c"], to: "orders")
        let received = try node.receive("orders")
        #expect(received.map(\.text) == ["a", "b", "c"])
        #expect(received.map(\.id) == sent.map(\.id))
        #expect(received.map(\.receiveCount) == [1, 1, 1])
        #expect(try node.receive("orders").isEmpty)
        #expect(try node.acknowledge(Array(received.prefix(2)), "orders") == [.settled(.done), .settled(.done)])
        let counts = try node.counts("orders")
        #expect(counts.visible == 0 && counts.inFlight == 1)
        // The lease of the third ends.
        node.pass(30_000)
        let again = try node.receive("orders")
        #expect(again.map(\.text) == ["c"] && again[0].receiveCount == 2)
    }

    @Test func howMessagesComeAndGoIsTold() throws {
        let node = try QueueNode()
        try node.create("orders", partitions: 2)
        func flow() throws -> QueueFlow { try node.queues.flow(of: "orders").answer.get() }
        #expect(try flow() == QueueFlow())
        for _ in 0..<20 {
            try node.send(["a", "b", "c", "d"], to: "orders")
            let received = try node.receive("orders", 2)
            node.pass(250)
            try node.acknowledge(received, "orders")
            node.commit()
            node.pass(750)
        }
        let found = try flow()
        #expect(found.arrivedPerSecond.map { abs($0 - 4) < 0.5 } == true, "\(found)")
        #expect(found.acknowledgedPerSecond.map { abs($0 - 2) < 0.3 } == true, "\(found)")
        #expect(found.work.count == 40 && found.work.meanMs == 250 && found.counts.visible == 40)
        #expect(throws: QueueRefusal.self) { try node.queues.flow(of: "nobody").answer.get() }
        // A restart begins anew.
        try node.node.restart()
        node.turn()
        #expect(try flow().arrivedPerSecond == nil)
        #expect(try flow().work.count == 0 && flow().counts.visible == 40)
    }

    @Test func whatIsNotCommittedIsNotReceived() throws {
        let node = try QueueNode()
        try node.create("orders")
        let outcome = node.queues.send([QueueMessage(body: [1])], to: "orders")
        #expect(!outcome.commits.isEmpty)
        #expect(try node.receive("orders").isEmpty)
        node.commit()
        #expect(try node.receive("orders").count == 1)
    }

    @Test func aRecordOfAnyProducerIsAMessage() throws {
        let node = try QueueNode()
        try node.create("orders")
        try node.node.append(node.log("orders"), count: 3)
        node.commit()
        #expect(try node.receive("orders").map(\.offset) == [0, 1, 2].map { Offset($0) })
    }

    @Test func anExistingTopicBecomesAQueueWithItsRecords() throws {
        let node = try QueueNode()
        let topic = try node.broker.createTopic("q.old", partitions: 2).get()
        try node.node.append(topic.partitions[1], count: 2)
        node.commit()
        try node.create("old", partitions: 7)
        #expect(node.queues.queue(named: "old")?.partitionCount == 2)
        #expect(try node.receive("old").count == 2)
    }

    @Test func aRestartKeepsLeasesAndEnds() throws {
        let node = try QueueNode()
        try node.create("orders") { $0.maxReceives = 5 }
        try node.send(["a", "b", "c"], to: "orders")
        let received = try node.receive("orders", 2)
        try node.acknowledge([received[0]], "orders")
        node.commit()
        try node.node.restart()
        node.turn()
        let counts = try node.counts("orders")
        #expect(counts.visible == 1 && counts.inFlight == 1)
        // A handle is as good as before.
        #expect(try node.acknowledge([received[1]], "orders") == [.settled(.done)])
        #expect(try node.receive("orders").map(\.text) == ["c"])
        node.pass(30_000)
        #expect(try node.receive("orders").map(\.text) == ["c"])
    }

    @Test func aPowerCutForgetsALeaseAndNoAcknowledgement() throws {
        let node = try QueueNode()
        try node.create("orders")
        try node.send(["a", "b"], to: "orders")
        let first = try node.receive("orders", 1)
        try node.acknowledge(first, "orders")
        node.commit()
        let second = try node.receive("orders", 1)
        #expect(second.map(\.text) == ["b"])
        try node.node.crash()
        node.turn()
        #expect(try node.receive("orders").map(\.text) == ["b"])
        // Its first receipt is an old one.
        #expect(try node.acknowledge(second, "orders") == [.settled(.noEffect)])
    }

    @Test func aDelayCountsForItsMessageAndForItsQueue() throws {
        let node = try QueueNode()
        try node.create("orders")
        try node.create("later") { $0.delayMs = 5000 }
        try node.send(["a"], to: "orders", delayMs: 60_000)
        try node.send(["b"], to: "orders")
        try node.send(["c"], to: "later")
        #expect(try node.receive("orders").map(\.text) == ["b"])
        #expect(try node.receive("later").isEmpty)
        #expect(try node.counts("later").delayed == 1)
        node.pass(5100)
        #expect(try node.receive("later").map(\.text) == ["c"])
        // It survives a restart, as it stands in the record.
        node.commit()
        try node.node.restart()
        node.turn()
        #expect(try node.counts("orders").delayed == 1)
        node.pass(55_000)
        #expect(try node.receive("orders").map(\.text).contains("a"))
    }

    @Test func bytesOfAReceiveAreBounded() throws {
        let node = try QueueNode()
        try node.create("orders")
        try node.send((0..<4).map { "\($0)" + String(repeating: "x", count: 999) }, to: "orders")
        let received = try node.receive("orders") { $0.maxBytes = 2500 }
        #expect(received.count == 2)
        // The others were not handed over, and this delivery does not count.
        let rest = try node.receive("orders")
        #expect(rest.map(\.receiveCount) == [1, 1])
        // The first one comes however large it is.
        try node.acknowledge(received + rest, "orders")
        try node.send([String(repeating: "y", count: 5000)], to: "orders")
        #expect(try node.receive("orders") { $0.maxBytes = 10 }.count == 1)
    }

    @Test func whatAReceiverIsToldOfAMessageCountsAmongItsBytes() throws {
        let node = try QueueNode()
        try node.create("line.fifo") { $0.order = .fifo }
        let name = { (text: String) in text + String(repeating: "n", count: 127) }
        try node.send(["a", "b", "c"], to: "line.fifo", group: name("g"), id: name)
        // A body, its group as key and as such, and its id: 385 bytes each.
        #expect(try node.receive("line.fifo") { $0.maxBytes = 800 }.map(\.text) == ["a", "b"])
    }

    @Test func anAttemptThatIsMadeAgainGivesWhatItGaveAndNotWhatHadNoRoom() throws {
        let node = try QueueNode()
        try node.create("line.fifo") { $0.order = .fifo }
        try node.send(["a", "b", "c"], to: "line.fifo", group: "g", id: { $0 })
        let first = try node.receive("line.fifo") { ($0.maxBytes, $0.attemptID) = (1, "try") }
        #expect(first.map(\.text) == ["a"])
        let again = try node.receive("line.fifo") { ($0.maxBytes, $0.attemptID) = (1, "try") }
        #expect(again.map(\.handle) == first.map(\.handle))
    }

    @Test func handlesOfOthersAreInvalid() throws {
        let node = try QueueNode()
        try node.create("orders")
        try node.create("other")
        try node.send(["a"], to: "orders")
        let received = try node.receive("orders")
        #expect(try node.acknowledge(received, "other") == [.invalidHandle])
        #expect(try node.queues.acknowledge(["nonsense"], in: "orders").answer.get() == [.invalidHandle])
        #expect(throws: QueueRefusal.self) { try node.queues.acknowledge([], in: "none").answer.get() }
    }

    @Test func visibilityAndReleaseChangeWhenAMessageComesAgain() throws {
        let node = try QueueNode()
        try node.create("orders") { $0.backoffMs = [2000, 7000] }
        try node.send(["a"], to: "orders")
        var received = try node.receive("orders")
        _ = try node.queues.changeVisibility([(received[0].handle, 0)], in: "orders").answer.get()
        received = try node.receive("orders")
        #expect(received.count == 1)
        _ = try node.queues.release([(received[0].handle, nil)], in: "orders").answer.get()
        #expect(try node.counts("orders").delayed == 1)
        node.pass(6999)
        #expect(try node.receive("orders").isEmpty)
        node.pass(1)
        received = try node.receive("orders")
        _ = try node.queues.changeVisibility([(received[0].handle, 90_000)], in: "orders").answer.get()
        node.pass(89_000)
        #expect(try node.receive("orders").isEmpty)
        let wrong = node.queues.changeVisibility([(received[0].handle, 43_200_001)], in: "orders").answer
        #expect(throws: QueueRefusal.self) { try wrong.get() }
    }

    @Test func purgingEndsWhatWasSentBefore() throws {
        let node = try QueueNode()
        try node.create("orders", partitions: 2)
        for number in 0..<6 { try node.send(["\(number)"], to: "orders") }
        let received = try node.receive("orders", 2)
        #expect(node.queues.purge("orders").answer == nil)
        node.commit()
        try node.send(["new"], to: "orders")
        #expect(try node.receive("orders").map(\.text) == ["new"])
        #expect(try node.acknowledge(received, "orders") == [.settled(.noEffect), .settled(.noEffect)])
        try node.node.crash()
        node.turn()
        node.pass(30_000)
        #expect(try node.receive("orders").map(\.text) == ["new"])
    }

    @Test func whatIsOlderThanTheRetentionIsGone() throws {
        let node = try QueueNode()
        try node.create("orders") { $0.retentionMs = 60_000 }
        try node.send(["old"], to: "orders")
        node.clock.pass(50_000)
        try node.send(["new"], to: "orders")
        _ = try node.counts("orders")
        node.clock.pass(20_000)
        node.queues.expireMessages()
        #expect(try node.receive("orders").map(\.text) == ["new"])
    }

    @Test func aLookGoesOnWhereTheLastOneEnded() throws {
        let node = try QueueNode()
        try node.create("orders", partitions: 2)
        for _ in 0..<2 { try node.send((0..<9).map { "\($0)" }, to: "orders") }
        let held = try node.receive("orders", 4)
        try node.acknowledge(Array(held.prefix(2)), "orders")
        var (seen, place) = ([String](), QueueCoordinator.Place?.none)
        repeat {
            let look = try node.queues.browse("orders", after: place, limit: 5).get()
            #expect(look.messages.count <= 5)
            seen += look.messages.map { "\($0.message.partitionIndex)/\($0.message.text)" }
            place = look.next
        } while place != nil
        let ended = Set(held.prefix(2).map { "\($0.partitionIndex)/\($0.text)" })
        let all = (0..<2).flatMap { partition in (0..<9).map { "\(partition)/\($0)" } }
        #expect(seen == all.filter { !ended.contains($0) })
    }

    @Test func aLookEndsBehindTheMessageThatFillsIt() throws {
        let node = try QueueNode()
        try node.create("orders")
        for _ in 0..<6 { try node.send([String(repeating: "x", count: 1_000_000)], to: "orders") }
        let look = try node.queues.browse("orders", after: nil, limit: 100).get()
        #expect(look.messages.count == 5)
        let rest = try node.queues.browse("orders", after: look.next, limit: 100).get()
        #expect(rest.messages.map(\.message.offset) == [Offset(5)] && rest.next == nil)
    }

    @Test func recordsThatAreNoMessagesEndUnseen() throws {
        let node = try QueueNode()
        try node.create("orders")
        let log = try node.log("orders")
        for isCommit in [false, true] {
            var batch = TestBatch(count: isCommit ? 2 : 40)
            (batch.producerID, batch.producerEpoch, batch.baseSequence) = (7, 0, isCommit ? 40 : 0)
            batch.isTransactional = true
            let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            let verification = log.verification(of: ProducerID(7), ProducerEpoch(0), isVersion2: false)
            guard case .ask(let verified) = verification else { throw QueueNode.Missing() }
            _ = try log.append(slice, origin: .client, nowMs: node.clock.now, verified: verified).get()
            _ = try node.broker.endTransaction(
                in: log,
                TransactionMarker(
                    producerID: ProducerID(7), epoch: ProducerEpoch(0), isCommit: isCommit, coordinatorEpoch: 0,
                    isVersion2: false)
            ).get()
            node.commit()
        }
        // Forty of an aborted transaction and a marker, two of a committed one and a marker. One ends with all that are behind it.
        #expect(try node.receive("orders", 1).map(\.offset) == [Offset(41)])
        #expect(try node.counts("orders").visible == 2)
        node.pass(30_000)
        #expect(try node.receive("orders").map(\.offset) == [41, 42].map { Offset($0) })
        #expect(try node.receive("orders").isEmpty)
        #expect(try node.counts("orders").visible == 0)
    }

    // MARK: FIFO

    @Test func aGroupIsReceivedInOrderByOneAtATime() throws {
        let node = try QueueNode()
        try node.create("line.fifo") { $0.order = .fifo }
        try node.send(["a1", "a2"], to: "line.fifo", group: "a", id: { $0 })
        try node.send(["b1"], to: "line.fifo", group: "b", id: { $0 })
        let first = try node.receive("line.fifo", 1)
        #expect(first.map(\.text) == ["a1"] && first[0].groupID == "a" && first[0].deduplicationID == "a1")
        #expect(try node.receive("line.fifo").map(\.text) == ["b1"])
        try node.acknowledge(first, "line.fifo")
        #expect(try node.receive("line.fifo").map(\.text) == ["a2"])
    }

    @Test func anIDCountsForFiveMinutesWhateverBecameOfItsMessage() throws {
        let node = try QueueNode()
        try node.create("line.fifo") { $0.order = .fifo }
        let first = try node.send(["a"], to: "line.fifo", group: "g", id: { $0 })
        let again = try node.send(["a"], to: "line.fifo", group: "g", id: { $0 })
        #expect(again == first.map { SentMessage(id: $0.id, partitionIndex: 0, offset: $0.offset, isDuplicate: true) })
        try node.acknowledge(node.receive("line.fifo"), "line.fifo")
        node.commit()
        try node.node.restart()
        node.turn()
        #expect(try node.send(["a"], to: "line.fifo", group: "g", id: { $0 })[0].isDuplicate)
        // Twice in one call.
        let twice = try node.send(["b", "b"], to: "line.fifo", group: "g", id: { $0 })
        #expect(twice.map(\.isDuplicate) == [false, true] && twice[0].offset == twice[1].offset)
        node.pass(300_000)
        #expect(try !node.send(["a"], to: "line.fifo", group: "g", id: { $0 })[0].isDuplicate)
        #expect(try node.counts("line.fifo").visible == 2)
    }

    @Test func aFIFOQueueAsksForGroupAndID() throws {
        let node = try QueueNode()
        try node.create("line.fifo") { $0.order = .fifo }
        try node.create("content.fifo") { ($0.order, $0.deduplicatesByContent) = (.fifo, true) }
        #expect(throws: QueueRefusal.self) { try node.send(["a"], to: "line.fifo") }
        #expect(throws: QueueRefusal.self) { try node.send(["a"], to: "line.fifo", group: "g") }
        #expect(throws: QueueRefusal.self) { try node.send(["a"], to: "line.fifo", group: "g", id: { $0 }, delayMs: 1) }
        try node.send(["a"], to: "content.fifo", group: "g")
        #expect(try node.send(["a"], to: "content.fifo", group: "g")[0].isDuplicate)
    }

    @Test func aFairQueueServesEachGroup() throws {
        let node = try QueueNode()
        try node.create("shared") { $0.order = .fair }
        try node.send((0..<20).map { "loud\($0)" }, to: "shared", group: "loud")
        try node.send(["quiet"], to: "shared", group: "quiet")
        #expect(try node.receive("shared", 4).map(\.text).contains("quiet"))
    }

    // MARK: Dead letters

    private func nodeWithDeadLetters(_ maxReceives: Int) throws -> QueueNode {
        let node = try QueueNode()
        try node.create("dead")
        try node.create("orders") { ($0.deadLetterQueue, $0.maxReceives) = ("dead", maxReceives) }
        return node
    }

    @Test func aMessageThatFailsTooOftenBecomesADeadLetterAtOnce() throws {
        let node = try nodeWithDeadLetters(2)
        try node.send(["bad"], to: "orders")
        for _ in 0..<2 {
            #expect(try node.receive("orders", visibilityMs: 1000).count == 1)
            node.pass(1000)
        }
        #expect(try node.receive("orders").isEmpty)
        let dead = try node.receive("dead")
        #expect(dead.map(\.text) == ["bad"])
        let origin = try #require(dead.first?.deadLetter)
        #expect(origin.queue == "orders" && origin.offset == .zero && origin.reason == "max_receives")
        #expect(origin.receiveCount == 2)
        #expect(try node.counts("orders").ending == 0)
    }

    @Test func aRejectedMessageIsADeadLetterOrEnds() throws {
        let node = try nodeWithDeadLetters(10)
        try node.create("plain")
        for name in ["orders", "plain"] {
            try node.send(["bad"], to: name)
            let handles = try node.receive(name).map(\.handle)
            _ = try node.queues.reject(handles, in: name).answer.get()
            node.commit()
            node.turn()
        }
        #expect(try node.receive("dead").map(\.deadLetter?.reason) == ["rejected"])
        let counts = try node.counts("plain")
        #expect(counts.visible + counts.inFlight + counts.ending == 0)
    }

    @Test func aCrashBetweenMoveAndRecordMovesNothingTwice() throws {
        let node = try nodeWithDeadLetters(1)
        try node.send(["a", "b", "c"], to: "orders")
        #expect(try node.receive("orders", visibilityMs: 1000).count == 3)
        node.commit()
        node.clock.pass(1000)
        // At each call of the disk in turn.
        for call in 0..<40 {
            node.node.fileSystem.haltAtCall(node.node.fileSystem.callCount + call)
            node.turn()
            try node.node.crash()
            node.turn()
            node.turn()
            let counts = try node.counts("dead")
            #expect(counts.visible == 3, "halted at call \(call)")
            #expect(try node.counts("orders").ending == 0)
            if counts.visible != 3 { return }
        }
    }

    @Test func deadLettersGoBackToWhereTheyWere() throws {
        let node = try nodeWithDeadLetters(10)
        try node.send(["a", "b"], to: "orders")
        _ = try node.queues.reject(node.receive("orders").map(\.handle), in: "orders").answer.get()
        node.commit()
        node.turn()
        #expect(try node.counts("dead").visible == 2)
        #expect(node.queues.deadLetterSources(of: "dead") == ["orders"])
        let move = try node.move("dead")
        #expect(move.expected == 2)
        #expect(throws: QueueRefusal.self) { try node.move("dead") }
        for _ in 0..<3 { node.turn() }
        #expect(try node.moves("dead").map(\.state) == [.completed])
        #expect(try node.moves("dead").map(\.moved) == [2])
        #expect(try node.counts("dead").visible == 0)
        #expect(try Set(node.receive("orders").map(\.text)) == ["a", "b"])
        #expect(node.queues.cancelMove(move.id) == nil)
        #expect(throws: QueueRefusal.self) { try node.move("orders") }
    }

    // MARK: What cannot be read

    /// A batch whose CRC is right: three records, of which `readable` are as they are to be.
    private func brokenBatch(readable: Int) -> [UInt8] {
        var bytes = TestBatch(["x", "y", "z"].map { TestRecord($0) }).bytes()
        if readable == 0 {
            // Packed by gzip, as its attributes say.
            bytes[22] |= 1
        } else {
            // Each of them has 8 bytes; this one says that it has more than there are.
            bytes[61 + 8 * readable] = 0x7e
        }
        var crc = bytes[21...].withUnsafeBytes { testCRC32C($0) }
        for place in (17..<21).reversed() { (bytes[place], crc) = (UInt8(truncatingIfNeeded: crc), crc >> 8) }
        return bytes
    }

    @Test(arguments: [(DeliveryOrder.standard, 0), (.standard, 2), (.fair, 0), (.fifo, 0), (.fifo, 1)])
    func whatCannotBeReadHoldsUpNothing(order: DeliveryOrder, readable: Int) throws {
        let node = try QueueNode()
        try node.create("orders") { $0.order = order }
        let broken = brokenBatch(readable: readable).withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        _ = try node.log("orders").append(broken, origin: .client, nowMs: node.clock.now).get()
        node.commit()
        let isFIFO = order == .fifo
        try node.send(["a", "b"], to: "orders", group: isFIFO ? "g" : nil, id: isFIFO ? { $0 } : nil)
        // One after the other: what follows a message that is none goes with it.
        var received: [ReceivedMessage] = []
        for _ in 0..<4 {
            let some = try node.receive("orders", 1)
            try node.acknowledge(some, "orders")
            received += some
        }
        #expect(received.map(\.text) == Array(["x", "y"].prefix(readable)) + ["a", "b"])
        #expect(node.queues.unreadableMessages.value == UInt64(3 - readable))
        node.commit()
        #expect(try node.counts("orders").visible == 0 && node.counts("orders").inFlight == 0)
        // And it stays so.
        try node.node.restart()
        #expect(try node.receive("orders").isEmpty && node.counts("orders").visible == 0)
    }

    // MARK: Memory

    @Test func aFullMemoryHoldsUpNothingThatHasState() throws {
        let node = try QueueNode()
        try node.create("orders")
        try node.create("shared") { $0.order = .fair }
        try node.send(["a", "b"], to: "orders")
        try node.send(["c"], to: "shared", group: "c")
        let first = try node.receive("orders", 1)
        _ = try node.counts("shared")
        node.queues.memoryLimit.store(0, ordering: .relaxed)
        // What was never received stays so.
        #expect(throws: QueueRefusal.self) { try node.receive("orders") }
        // What is sorted by its group, or was given out before, comes.
        #expect(try node.receive("shared").map(\.text) == ["c"])
        _ = try node.queues.release([(first[0].handle, 0)], in: "orders").answer.get()
        #expect(try node.receive("orders").map(\.text) == ["a"])
        // What comes now is not sorted, and has no delay of its own.
        try node.send(["d"], to: "shared", group: "d")
        #expect(throws: QueueRefusal.self) { try node.receive("shared") }
        #expect(throws: QueueRefusal.self) { try node.send(["e"], to: "orders", delayMs: 1000) }
        node.queues.memoryLimit.store(1 << 30, ordering: .relaxed)
        #expect(try node.receive("shared").map(\.text) == ["d"])
        #expect(try node.receive("orders").map(\.text) == ["b"])
    }

    @Test func aProducersDeDuplicationIDCountsWithAndWithoutARestart() throws {
        for restarts in [false, true] {
            let node = try QueueNode()
            try node.create("line.fifo") { $0.order = .fifo }
            let batch = TestBatch([
                TestRecord(
                    key: Array("g".utf8), value: Array("a".utf8),
                    headers: [TestRecord.Header(QueueHeader.deduplication, Array("one".utf8))])
            ])
            let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            _ = try node.log("line.fifo").append(slice, origin: .client, nowMs: node.clock.now).get()
            node.commit()
            #expect(try node.receive("line.fifo").map(\.text) == ["a"])
            if restarts {
                node.commit()
                try node.node.restart()
                node.turn()
            }
            let again = try node.send(["a"], to: "line.fifo", group: "g", id: { _ in "one" })
            #expect(again.map(\.isDuplicate) == [true] && again.map(\.offset) == [.zero])
        }
    }

    // MARK: Waiting

    @Test func aReceiveWaitsForAMessage() throws {
        let node = try QueueNode()
        try node.create("orders")
        node.broker.store.observe(QueueObserver(node.queues))
        let answer = QueueNode.Answer<QueueReceiveReply>()
        var request = QueueReceive()
        request.waitMs = 20_000
        node.queues.receive(request, from: "orders") { answer.set($0.answer) }
        #expect(eventually { node.queues.isWatching("orders") })
        #expect(answer.now == nil)
        try node.send(["a"], to: "orders")
        #expect(eventually { answer.now != nil })
        guard case .messages(let messages)? = answer.now else { throw QueueNode.Missing() }
        #expect(messages.map(\.text) == ["a"])
    }

    @Test func aReceiveWaitsForALeaseThatEnds() throws {
        let node = try QueueNode()
        try node.create("orders")
        try node.send(["a"], to: "orders")
        let held = try node.receive("orders", visibilityMs: 5000)
        let answers = (0..<2).map { _ in QueueNode.Answer<QueueReceiveReply>() }
        for answer in answers {
            var request = QueueReceive()
            request.waitMs = 20_000
            node.queues.receive(request, from: "orders") { answer.set($0.answer) }
        }
        node.pass(5000)
        #expect(eventually { answers[0].now != nil })
        guard case .messages(let messages)? = answers[0].now else { throw QueueNode.Missing() }
        #expect(messages.map(\.text) == ["a"] && messages[0].receiveCount == 2)
        #expect(try node.acknowledge(held, "orders") == [.settled(.noEffect)])
        // The other's time is over.
        #expect(answers[1].now == nil)
        node.pass(15_000)
        #expect(eventually { answers[1].now != nil })
    }

    /// A node with a receive that waits for 20 seconds, and what becomes of it.
    private func waiting() throws -> (node: QueueNode, answer: QueueNode.Answer<QueueReceiveReply>) {
        let node = try QueueNode()
        try node.create("orders")
        let answer = QueueNode.Answer<QueueReceiveReply>()
        var request = QueueReceive()
        request.waitMs = 20_000
        node.queues.receive(request, from: "orders") { answer.set($0.answer) }
        return (node, answer)
    }

    @Test func aWaitIsAsLongAsItIsWhoeverSetsTheClock() throws {
        let (node, answer) = try waiting()
        // No worker is at it any more, nor will be.
        let queue = try #require(node.queues.directory.byName["orders"])
        #expect(eventually { queue.waiters.beginServing() })
        node.clock.set(by: 3_600_000)
        node.pass(19_000)
        #expect(answer.now == nil)
        node.clock.set(by: -7_200_000)
        node.pass(1000)
        #expect(answer.now != nil)
    }

    @Test func whoCannotBeServedJustNowIsPutOffOnce() {
        let waiters = QueueWaiters()
        _ = waiters.add(QueueWaiters.Waiter(request: QueueReceive()) { _ in })
        #expect(waiters.beginServing())
        #expect(waiters.putOff())
        #expect(waiters.beginServing())
        #expect(!waiters.putOff())
        waiters.resumeServing()
        #expect(waiters.beginServing())
        #expect(waiters.putOff())
    }

    @Test func aWaitThatIsEndedTakesNothingAndHoldsNoPlace() throws {
        let node = try QueueNode()
        try node.create("orders")
        node.broker.store.observe(QueueObserver(node.queues))
        let answers = (0..<2).map { _ in QueueNode.Answer<QueueReceiveReply>() }
        var request = QueueReceive()
        request.waitMs = 20_000
        let (gone, other) = (answers[0], answers[1])
        let endFirst: (@Sendable () -> Void)? = node.queues.receive(request, from: "orders") { gone.set($0.answer) }
        let endOther: (@Sendable () -> Void)? = node.queues.receive(request, from: "orders") { other.set($0.answer) }
        #expect(node.queues.agenda.withLock { $0.waiters } == 2)
        endFirst?()
        #expect(node.queues.agenda.withLock { $0.waiters } == 1)
        try node.send(["a"], to: "orders")
        #expect(eventually { answers[1].now != nil })
        guard case .messages(let messages)? = answers[1].now else { throw QueueNode.Missing() }
        #expect(messages.map(\.text) == ["a"] && messages[0].receiveCount == 1)
        // Once more, and after its answer, it does nothing.
        endFirst?()
        endOther?()
        #expect(node.queues.agenda.withLock { $0.waiters } == 0)
        node.pass(20_000)
        #expect(answers[0].now == nil)
        // What is answered at once leaves nothing to end.
        try node.send(["b"], to: "orders")
        let isWaiting = node.queues.receive(request, from: "orders") { _ in } != nil
        #expect(!isWaiting)
    }

    @Test func whoWaitsIsToldThatTheQueueIsGone() throws {
        let (node, answer) = try waiting()
        #expect(node.queues.deleteQueue("orders") == nil)
        #expect(eventually { answer.now != nil })
        guard case .refused(let refusal)? = answer.now else { throw QueueNode.Missing() }
        #expect(refusal.kind == .notFound)
    }

    // MARK: Queues

    @Test func queuesSurviveARestartAndAreListed() throws {
        let node = try QueueNode()
        try node.create("b") { ($0.visibilityMs, $0.attributes) = (7000, ["Policy": "{}"]) }
        try node.create("a", partitions: 3)
        try node.create("c") { ($0.deadLetterQueue, $0.maxReceives, $0.backoffMs) = ("a", 4, [1, 2]) }
        let before = node.queues.queues(prefix: "", after: nil, limit: 10)
        #expect(before.map(\.name) == ["a", "b", "c"])
        try node.node.restart()
        #expect(node.queues.queues(prefix: "", after: nil, limit: 10) == before)
        #expect(node.queues.queues(prefix: "", after: "a", limit: 1).map(\.name) == ["b"])
        #expect(node.queues.queues(prefix: "c", after: nil, limit: 10).map(\.name) == ["c"])
        #expect(node.queues.queue(named: "b")?.settings.attributes == ["Policy": "{}"])
    }

    @Test func aQueueIsMadeOnceAndChangedByName() throws {
        let node = try QueueNode()
        try node.create("orders")
        try node.create("orders")
        #expect(throws: QueueRefusal.self) { try node.create("orders") { $0.delayMs = 5 } }
        let changed = try node.queues.alterQueue("orders") { settings, tags in
            settings.visibilityMs = 1000
            settings.retentionMs = 120_000
            tags["team"] = "a"
        }.get()
        #expect(changed.settings.visibilityMs == 1000 && changed.tags == ["team": "a"])
        #expect(try node.log("orders").settings.retentionMs == 120_000)
        try node.send(["a"], to: "orders")
        _ = try node.receive("orders")
        node.pass(1000)
        #expect(try node.receive("orders").count == 1)
        #expect(throws: QueueRefusal.self) {
            try node.queues.alterQueue("orders") {
                $0.order = .fifo; _ = $1
            }.get()
        }
        #expect(throws: QueueRefusal.self) {
            try node.queues.alterQueue("orders") {
                $0.delayMs = -1; _ = $1
            }.get()
        }
    }

    @Test func whatIsNoQueueIsRefused() throws {
        let node = try QueueNode()
        for name in ["", "a b", "a/b", String(repeating: "n", count: 201)] {
            #expect(throws: QueueRefusal.self, "\(name)") { try node.create(name) }
        }
        #expect(throws: QueueRefusal.self) { try node.create("a") { $0.deadLetterQueue = "a" } }
        #expect(throws: QueueRefusal.self) { try node.create("a") { $0.deadLetterQueue = "none" } }
        #expect(throws: QueueRefusal.self) { try node.create("a", partitions: 2) { $0.order = .fifo } }
        #expect(throws: QueueRefusal.self) { try node.create("a") { $0.backoffMs = [43_200_001] } }
        #expect(throws: QueueRefusal.self) { try node.send(["a"], to: "a") }
        #expect(node.queues.queues(prefix: "", after: nil, limit: 10).isEmpty)
        try node.create("a")
        var own = QueueMessage(body: [])
        own.headers = [RecordHeader(key: "queue.group", value: [])]
        var long = QueueMessage(body: [UInt8](repeating: 0, count: 1 << 20))
        long.headers = [RecordHeader(key: "n", value: nil)]
        let results = node.queues.send([own, long, QueueMessage(body: [])], to: "a").answer
        #expect(results.map { if case .success = $0 { true } else { false } } == [false, false, true])
    }

    @Test func aDeletedQueueLeavesNothingToTheNextOfItsName() throws {
        let node = try QueueNode()
        try node.create("orders")
        try node.send(["a", "b"], to: "orders")
        try node.acknowledge(node.receive("orders", 1), "orders")
        node.commit()
        #expect(node.queues.deleteQueue("orders") == nil)
        #expect(node.queues.queue(named: "orders") == nil)
        #expect(node.broker.catalog.topic(named: "q.orders") == nil)
        try node.create("orders")
        try node.send(["c"], to: "orders")
        #expect(try node.receive("orders").map(\.text) == ["c"])
        node.commit()
        try node.node.restart()
        node.turn()
        let counts = try node.counts("orders")
        #expect(counts.inFlight == 1 && counts.visible == 0)
    }

    @Test func theLogOfAFIFOQueueKeepsItsPartitions() throws {
        let node = try QueueNode()
        try node.create("plain")
        try node.create("line.fifo", partitions: 2) { ($0.order, $0.deduplicationScope) = (.fifo, .messageGroup) }
        let topic = { (name: String) in try #require(node.broker.catalog.topic(named: "q." + name)) }
        #expect(node.broker.createPartitions(try topic("plain"), count: 2, validateOnly: false) == nil)
        for validateOnly in [true, false] {
            let refusal = node.broker.createPartitions(try topic("line.fifo"), count: 3, validateOnly: validateOnly)
            #expect(refusal?.code == .invalidRequest)
        }
        #expect(try topic("line.fifo").partitions.count == 2)
        // Nor does a topic become one whose ids count over more partitions than one.
        _ = try node.broker.createTopic("q.wide.fifo", partitions: 2).get()
        #expect(throws: QueueRefusal.self) { try node.create("wide.fifo") { $0.order = .fifo } }
    }

    @Test func aTopicThatIsDeletedTakesItsQueueAlong() throws {
        let node = try QueueNode()
        try node.create("orders")
        #expect(node.broker.deleteTopic(try #require(node.broker.catalog.topic(named: "q.orders"))) == nil)
        #expect(node.queues.queue(named: "orders") == nil)
        try node.node.restart()
        #expect(node.queues.queue(named: "orders") == nil)
    }
}

/// Tells queues of commits, as the Kafka edge does.
final class QueueObserver: CommitObserver {
    private let queues: QueueCoordinator

    init(_ queues: QueueCoordinator) { self.queues = queues }

    func committed(through ticket: UInt64, woken: [ReadWaiter]) { queues.committed(woken) }
    func commitFailed(from first: UInt64, through last: UInt64, woken: [ReadWaiter]) { queues.committed(woken) }
}

extension QueueCoordinator {
    /// Whether somebody waits in the queue, and its logs have been asked to tell of their growth.
    func isWatching(_ name: String) -> Bool {
        guard let queue = directory.byName[ExactString(name)] else { return false }
        return !queue.waiters.isEmpty && queue.waiters.slot(of: 0) >= 0
    }
}
