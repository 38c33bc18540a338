import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import StorageIO
import Synchronization
import Testing

@testable import BrokerCore

/// Whatever is in a queue's log, and whatever the disk does: no call and no turn of the thread goes on for ever.
@Suite struct QueueProgressTests {
    /// Appends batches of about 1 MB each to a transaction that is open then.
    private func append(_ count: Int, to log: PartitionLog, _ node: QueueNode) throws {
        for place in 0..<count {
            var batch = TestBatch(count: 1, valueSize: 1_000_000)
            (batch.producerID, batch.producerEpoch, batch.baseSequence) = (7, 0, Int32(place))
            batch.isTransactional = true
            let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            switch log.verification(of: ProducerID(7), ProducerEpoch(0), isVersion2: false) {
            case .ask(let verified):
                _ = try log.append(slice, origin: .client, nowMs: node.clock.now, verified: verified).get()
            default: _ = try log.append(slice, origin: .client, nowMs: node.clock.now).get()
            }
            node.commit()
        }
    }

    private func abort(in log: PartitionLog, _ node: QueueNode) throws {
        let marker = TransactionMarker(
            producerID: ProducerID(7), epoch: ProducerEpoch(0), isCommit: false, coordinatorEpoch: 0, isVersion2: false)
        _ = try node.broker.endTransaction(in: log, marker).get()
        node.commit()
    }

    enum Reader: CaseIterable {
        case fifo
        /// A queue whose messages all have a delay.
        case delayed
        /// A ledger that was loaded while the transaction was open.
        case loadedMeanwhile
    }

    /// More of it than one turn of a ledger reads.
    @Test(arguments: Reader.allCases) func aLongAbortedTransactionIsPassedOver(_ reader: Reader) throws {
        let node = try QueueNode()
        let name = reader == .fifo ? "line.fifo" : "orders"
        try node.create(name) { settings in
            if reader == .fifo { settings.order = .fifo }
            if reader == .delayed { settings.delayMs = 1000 }
        }
        let log = try node.log(name)
        if reader != .loadedMeanwhile { #expect(try node.receive(name).isEmpty) }
        try append(18, to: log, node)
        if reader == .loadedMeanwhile { #expect(try node.receive(name).isEmpty) }
        try abort(in: log, node)
        try node.send(["a"], to: name, group: reader == .fifo ? "g" : nil, id: reader == .fifo ? { $0 } : nil)
        node.pass(1000)
        // What a standard queue is told unread counts until it is read: the marker.
        #expect(try node.counts(name).visible == (reader == .loadedMeanwhile ? 2 : 1))
        #expect(try node.queues.browse(name, after: nil, limit: 10).get().messages.map(\.message.text) == ["a"])
        #expect(try node.receive(name).map(\.text) == ["a"])
    }

    @Test func anEarlierTimeIsKeptWhenALaterOneIsTold() {
        let id = TopicPartition(topicID: TopicID(high: 1, low: 2), partitionIndex: 0)
        var agenda = QueueCoordinator.Agenda()
        _ = agenda.add(QueueDue(atMs: 100, subject: .ledger(id)))
        _ = agenda.add(QueueDue(atMs: 200, subject: .ledger(id)))
        #expect(agenda.takeDue(150, steadyMs: 0)?.atMs == 100)
        #expect(agenda.takeDue(300, steadyMs: 0) == nil)
        _ = agenda.add(QueueDue(atMs: 400, subject: .ledger(id)))
        _ = agenda.add(QueueDue(atMs: 300, subject: .ledger(id)))
        #expect(agenda.takeDue(300, steadyMs: 0)?.atMs == 300)
    }

    /// Ids that a producer writes with times out of order leave nothing that is due and does not go.
    @Test func idsWithTimesOutOfOrderEndEachInItsTime() throws {
        let node = try QueueNode()
        try node.create("line.fifo") { $0.order = .fifo }
        for (id, ago) in [("late", Int64(0)), ("early", 200_000)] {
            var batch = TestBatch([
                TestRecord(
                    key: Array("g".utf8), value: Array(id.utf8),
                    headers: [TestRecord.Header(QueueHeader.deduplication, Array(id.utf8))])
            ])
            batch.baseTimestamp = node.clock.now - ago
            let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
            _ = try node.log("line.fifo").append(slice, origin: .client, nowMs: node.clock.now).get()
            node.commit()
        }
        try node.acknowledge(node.receive("line.fifo"), "line.fifo")
        node.clock.pass(150_000)
        #expect(node.turn() > node.clock.now)
        let again = try node.send(["late", "early"], to: "line.fifo", group: "g", id: { $0 })
        #expect(again.map(\.isDuplicate) == [true, false])
    }

    /// What a full disk does not take is not waited for: receives that wait have ends.
    @Test func aDiskThatTakesNothingDoesNotHoldTheThread() throws {
        // A commit of two frames, of four partitions: the failure of a whole one would be final.
        let node = try QueueNode { $0.store.writeThroughRunBytes = 15 << 10 }
        let texts = (0..<8).map { "\($0)" + String(repeating: "x", count: 3000) }
        try node.create("dead", partitions: 4) { $0.order = .fair }
        try node.create("orders") { ($0.order, $0.deadLetterQueue, $0.maxReceives) = (.fair, "dead", 10) }
        for text in texts { try node.send([text], to: "orders", group: String(text.prefix(1))) }
        _ = try node.queues.reject(node.receive("orders").map(\.handle), in: "orders").answer.get()
        node.commit()
        node.node.fileSystem.inject(
            Fault(.failHalfway(errno: ENOMEM), on: .write, pathContains: "/journal/", times: 3))
        node.turn()
        #expect(node.broker.store.isHoldingCommit)
        #expect(try node.counts("orders").ending == 8)
        for _ in 0..<6 { node.pass(1000) }
        #expect(!node.broker.store.isHoldingCommit)
        #expect(try node.counts("orders").ending == 0)
        // Each once, though nobody knew for a time whether they were moved.
        #expect(try node.receive("dead").map(\.text).sorted() == texts)
    }

    /// What ledgers keep that nobody uses does not make the memory full for ever.
    @Test func whoWasTurnedAwayByAFullMemoryIsServedWhenIdleLedgersGiveTheirsBack() throws {
        let node = try QueueNode()
        try node.create("busy")
        try node.create("idle")
        try node.send((0..<500).map { "\($0)" }, to: "idle")
        try node.acknowledge(node.receive("idle", 1000), "idle")
        node.commit()
        try node.send(["a"], to: "busy")
        node.queues.memoryLimit.store(2000, ordering: .relaxed)
        #expect(node.queues.isFull)
        let answer = QueueNode.Answer<QueueReceiveReply>()
        var request = QueueReceive()
        request.waitMs = 20_000
        node.queues.receive(request, from: "busy") { answer.set($0.answer) }
        #expect(eventually { node.queues.isTurnedAway.load(ordering: .relaxed) })
        #expect(answer.now == nil)
        // The thread does both, each in its time.
        #expect(
            eventually {
                node.queues.expireMessages()
                node.turn()
                return answer.now != nil
            })
        guard case .messages(let messages)? = answer.now else { throw QueueNode.Missing() }
        #expect(messages.map(\.text) == ["a"])
    }

    /// A worker does not stand in a lock while somebody else reads what a ledger is told of.
    @Test func whoFindsALoadingUnderWayIsRefusedOrComesLater() throws {
        let node = try QueueNode()
        try node.create("orders")
        try node.create("other")
        try node.send(["a"], to: "orders")
        try node.send(["b"], to: "other")
        let loadings = try #require(node.queues.directory.byName[ExactString("orders")]).loadings
        #expect(loadings.begin(0))
        #expect(throws: QueueRefusal.self) { try node.receive("orders") }
        #expect(try node.receive("other").map(\.text) == ["b"])
        let answer = QueueNode.Answer<QueueReceiveReply>()
        var request = QueueReceive()
        request.waitMs = 20_000
        node.queues.receive(request, from: "orders") { answer.set($0.answer) }
        #expect(answer.now == nil)
        loadings.end(0)
        #expect(
            eventually {
                node.pass(100)
                return answer.now != nil
            })
        guard case .messages(let messages)? = answer.now else { throw QueueNode.Missing() }
        #expect(messages.map(\.text) == ["a"])
    }

    /// Two messages with megabytes between them that are leased already.
    @Test func whatNobodyAsksForIsNotReadBetweenTwoMessages() throws {
        let node = try QueueNode()
        try node.create("orders")
        let texts = (0..<24).map { _ in String(repeating: "x", count: 300_000) }
        for text in texts { try node.send([text], to: "orders") }
        let log = try node.log("orders")
        let statistics = node.broker.store.statistics
        func reads() -> Int {
            statistics.memoryReads.load(ordering: .relaxed) + statistics.fileReads.load(ordering: .relaxed)
        }
        let before = reads()
        var records = RecordIterator()
        var (looked, found) = (0, [Offset]())
        let wanted = [0, 1, 23].map { Offset($0) }
        try QueueWalk(log: log).visit(wanted, &records, looked: &looked) { record in
            found.append(record.offset)
            return true
        }
        #expect(found == wanted && looked == 3)
        #expect(reads() - before <= 3)
    }
}
