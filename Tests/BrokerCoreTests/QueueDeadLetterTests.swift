import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import LogStorage
import QueueLedger
import RecordFormat
import StorageIO
import Testing

@testable import BrokerCore

/// Dead letters, and their way back, where something is in the way.
@Suite struct QueueDeadLetterTests {
    /// A node with queues whose dead letters go to `dead`.
    private func node(_ names: [String] = ["orders"]) throws -> QueueNode {
        let node = try QueueNode()
        try node.create("dead")
        for name in names { try node.create(name) { ($0.deadLetterQueue, $0.maxReceives) = ("dead", 10) } }
        return node
    }

    private func reject(_ messages: [ReceivedMessage], _ name: String, _ node: QueueNode) throws {
        _ = try node.queues.reject(messages.map(\.handle), in: name).answer.get()
        node.commit()
    }

    /// Sends texts to a queue, and makes dead letters of them.
    private func lose(_ texts: [String], of name: String, _ node: QueueNode) throws {
        try node.send(texts, to: name)
        try reject(node.receive(name), name, node)
        node.turn()
    }

    private func limitBatches(of name: String, to bytes: Int, _ node: QueueNode) throws {
        let topic = try #require(node.broker.catalog.topic(named: "q." + name))
        var overrides = topic.settings.overrides
        overrides["max.message.bytes"] = String(bytes)
        #expect(node.broker.alterSettings(topic, overrides, validateOnly: false) == nil)
    }

    // MARK: There

    @Test func aLetterThatIsTooLargeLosesItsBodyAndHoldsUpNoOthers() throws {
        let node = try node()
        try limitBatches(of: "dead", to: 2000, node)
        try lose(["a", String(repeating: "x", count: 5000), "b"], of: "orders", node)
        for _ in 0..<3 { node.pass(1000) }
        #expect(try node.counts("orders").ending == 0)
        let dead = try node.receive("dead")
        #expect(dead.map(\.text) == ["a", "", "b"])
        #expect(dead.map { $0.deadLetter?.omittedBytes } == [nil, 5000, nil])
        #expect(dead.map { $0.deadLetter?.offset } == [0, 1, 2].map { Offset($0) })
    }

    /// With less room than the headers of one take, of those that have keys.
    @Test func aLetterThatIsRefusedRepeatsNoOthers() throws {
        let node = try node()
        try limitBatches(of: "dead", to: 500, node)
        try node.send(["a"], to: "orders")
        var keyed = QueueMessage(body: Array("k".utf8))
        keyed.key = Array("key".utf8)
        _ = try node.queues.send([keyed], to: "orders").answer[0].get()
        node.commit()
        try node.send(["b"], to: "orders")
        try reject(node.receive("orders"), "orders", node)
        node.turn()
        #expect(try node.counts("dead").visible == 2)
        for _ in 0..<4 { node.pass(1000) }
        #expect(try node.counts("dead").visible == 2)
        #expect(try node.counts("orders").ending == 1)
        try limitBatches(of: "dead", to: 5000, node)
        node.pass(1000)
        #expect(try node.receive("dead").map(\.text) == ["a", "b", "k"])
        #expect(try node.counts("orders").ending == 0)
    }

    @Test func lettersOfOneQueueHaveSomeOfATurnAndNoMore() throws {
        let node = try node()
        for _ in 0..<2 {
            try node.send((0..<1000).map { "\($0)" }, to: "orders")
            try reject(node.receive("orders", 1000), "orders", node)
        }
        let next = node.turn()
        let left = try node.counts("orders").ending
        #expect(left > 0 && left < 2000)
        // The rest is not put off.
        #expect(next <= node.clock.now)
        for _ in 0..<4 { node.turn() }
        #expect(try node.counts("orders").ending == 0)
        #expect(try node.counts("dead").visible == 2000)
    }

    /// More of them than one append takes.
    @Test func lettersThatAreRefusedHoldUpNoneBehindThem() throws {
        let node = try node()
        try limitBatches(of: "dead", to: 500, node)
        var keyed = QueueMessage(body: Array("k".utf8))
        keyed.key = Array("key".utf8)
        for result in node.queues.send(Array(repeating: keyed, count: 300), to: "orders").answer {
            _ = try result.get()
        }
        node.commit()
        try node.send(["a", "b"], to: "orders")
        try reject(node.receive("orders", 1000), "orders", node)
        node.turn()
        for _ in 0..<3 { node.pass(1000) }
        #expect(try node.receive("dead").map(\.text) == ["a", "b"])
        #expect(try node.counts("orders").ending == 300)
    }

    /// A partition that may not look for its letters yet costs the thread nothing until it may.
    @Test func whoWaitsForAnothersSearchIsNotAskedBefore() throws {
        let node = try node()
        try node.send(["a"], to: "orders")
        try reject(node.receive("orders"), "orders", node)
        try node.node.restart()
        let other = TopicPartition(topicID: TopicID(high: 1, low: 2), partitionIndex: 0)
        node.queues.agenda.withLock { agenda in
            agenda.search = DeadLetterSearch(partition: other, target: other.topicID, generation: 0, letters: [])
        }
        #expect(node.turn() > node.clock.now)
        #expect(node.turn() > node.clock.now)
        #expect(try node.counts("orders").ending == 1)
        node.queues.agenda.withLock { $0.search = nil }
        node.turn()
        #expect(try node.counts("orders").ending == 0)
        #expect(try node.receive("dead").map(\.text) == ["a"])
    }

    // MARK: And back

    /// Appends a letter that no move takes: it says that it comes from a queue whose dead letters these are not.
    private func forge(_ node: QueueNode) throws {
        let forged = TestBatch([
            TestRecord(
                value: Array("forged".utf8),
                headers: [
                    (QueueHeader.originQueue, "secret"), (QueueHeader.originPartition, "0"),
                    (QueueHeader.originOffset, "0"),
                ].map { TestRecord.Header($0.0, Array($0.1.utf8)) })
        ])
        let slice = forged.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        _ = try node.log("dead").append(slice, origin: .client, nowMs: node.clock.now).get()
        node.commit()
    }

    /// Leases of what stays end on the way: the thread had no time for them.
    @Test func aMoveThatLastsLongEndsWhenAllIsMovedAndLosesNothing() throws {
        let node = try QueueNode()
        // Without dead letters of its own: what is delivered twice ends.
        try node.create("dead") { $0.maxReceives = 2 }
        try node.create("orders") { ($0.deadLetterQueue, $0.maxReceives) = ("dead", 10) }
        try forge(node)
        try lose((0..<6).map { "\($0)" }, of: "orders", node)
        _ = try node.queues.startMove(from: "dead", to: nil, perSecond: 1).get()
        for _ in 0..<20 {
            node.pass(61_000)
            node.turn()
        }
        let move = try #require(node.queues.moves(from: "dead").first)
        #expect(move.state == .completed && move.moved == 6)
        #expect(try Set(node.receive("orders").map(\.text)) == Set((0..<6).map { "\($0)" }))
        let left = try node.receive("dead")
        #expect(left.map(\.text) == ["forged"] && left.map(\.receiveCount) == [1])
    }

    @Test func leasesOfWhatStaysLastAsLongAsTheMove() throws {
        let node = try node()
        try forge(node)
        try lose((0..<6).map { "\($0)" }, of: "orders", node)
        _ = try node.queues.startMove(from: "dead", to: nil, perSecond: 1).get()
        node.turn()
        for _ in 0..<3 {
            node.pass(25_000)
            node.pass(25_000)
            #expect(try node.counts("dead").inFlight == 1)
        }
    }

    /// Nobody knows for longer than its lease whether a letter is on disk where it goes.
    @Test(arguments: [false, true]) func aLetterWhoseMoveIsUnclearIsMovedOnce(_ isFIFO: Bool) throws {
        // A commit of two frames, of four partitions: the failure of a whole one would be final.
        let node = try QueueNode { $0.store.writeThroughRunBytes = 15 << 10 }
        let (dead, orders) = isFIFO ? ("dead.fifo", "orders.fifo") : ("dead", "orders")
        func order(_ settings: inout QueueSettings) {
            settings.order = isFIFO ? .fifo : .fair
            if isFIFO { settings.deduplicationScope = .messageGroup }
        }
        try node.create(dead, partitions: 4) { order(&$0) }
        try node.create(orders, partitions: 4) { settings in
            order(&settings)
            (settings.deadLetterQueue, settings.maxReceives) = (dead, 10)
        }
        let texts = (0..<8).map { "\($0)" + String(repeating: "x", count: 3000) }
        for text in texts {
            try node.send(
                [text], to: orders, group: String(text.prefix(1)), id: isFIFO ? { String($0.prefix(1)) } : nil)
        }
        try reject(node.receive(orders), orders, node)
        node.turn()
        _ = try node.queues.startMove(from: dead, to: nil, perSecond: nil).get()
        node.commit()
        node.node.fileSystem.inject(
            Fault(.failHalfway(errno: ENOMEM), on: .write, pathContains: "/journal/", times: 2))
        node.turn()
        #expect(node.broker.store.isHoldingCommit)
        for _ in 0..<8 { node.pass(61_000) }
        #expect(node.queues.moves(from: dead).map(\.state) == [.completed])
        #expect(node.queues.moves(from: dead).map(\.moved) == [8])
        #expect(try node.counts(orders).visible == 8 && node.counts(dead).visible == 0)
    }

    @Test func aMoveBackGoesWhereTheLettersMayBeFromAndNowhereElse() throws {
        let node = try node()
        try node.create("secret")
        try lose(["a"], of: "orders", node)
        // What a producer may write who may write to the dead letters, and to nothing else.
        try forge(node)
        _ = try node.queues.startMove(from: "dead", to: nil, perSecond: nil).get()
        for _ in 0..<4 { node.turn() }
        #expect(try node.counts("secret").visible == 0)
        #expect(try node.receive("orders").map(\.text) == ["a"])
        let move = try #require(node.queues.moves(from: "dead").first)
        #expect(move.state == .completed && move.moved == 1)
        // It was given back, and that it was looked at is no delivery.
        let left = try node.receive("dead")
        #expect(left.map(\.text) == ["forged"] && left.map(\.receiveCount) == [1])
    }

    @Test func lettersOfAQueueThatIsGoneStayAndTheOthersGoBack() throws {
        let node = try node(["orders", "gone"])
        try lose(["a", "b"], of: "orders", node)
        try lose(["c"], of: "gone", node)
        let move = try node.queues.startMove(from: "dead", to: nil, perSecond: nil).get()
        #expect(move.expected == 3)
        #expect(node.queues.deleteQueue("gone") == nil)
        for _ in 0..<4 { node.turn() }
        let after = try #require(node.queues.moves(from: "dead").first)
        #expect(after.state == .completed && after.moved == 2)
        #expect(try Set(node.receive("orders").map(\.text)) == ["a", "b"])
        #expect(try node.receive("dead").map(\.text) == ["c"])
    }

    @Test func aLetterThatIsTooLargeForWhereItGoesStaysAndTheOthersGo() throws {
        let node = try node()
        try node.create("narrow")
        try limitBatches(of: "narrow", to: 2000, node)
        try lose(["a", String(repeating: "x", count: 5000), "b"], of: "orders", node)
        _ = try node.queues.startMove(from: "dead", to: "narrow", perSecond: nil).get()
        for _ in 0..<4 { node.turn() }
        let after = try #require(node.queues.moves(from: "dead").first)
        #expect(after.state == .completed && after.moved == 2)
        #expect(try Set(node.receive("narrow").map(\.text)) == ["a", "b"])
        #expect(try node.receive("dead").map(\.body.count) == [5000])
    }

    @Test func aMoveToAQueueThatIsGoneFailsAndGivesBackWhatItHeld() throws {
        let node = try node()
        try node.create("other")
        try lose(["a"], of: "orders", node)
        _ = try node.queues.startMove(from: "dead", to: "other", perSecond: nil).get()
        #expect(node.queues.deleteQueue("other") == nil)
        node.turn()
        let after = try #require(node.queues.moves(from: "dead").first)
        #expect(after.state == .failed && after.moved == 0)
        #expect(try node.receive("dead").map(\.receiveCount) == [1])
    }

    @Test func aMoveThatIsToEndEndsAtOnceAndNotWhenItIsDue() throws {
        let node = try node()
        try lose(["a", "b", "c"], of: "orders", node)
        let move = try node.queues.startMove(from: "dead", to: nil, perSecond: 1).get()
        node.turn()
        #expect(node.queues.moves(from: "dead").map(\.moved) == [1])
        #expect(node.queues.cancelMove(move.id)?.state == .cancelling)
        let next = node.turn()
        #expect(node.queues.moves(from: "dead").map(\.state) == [.cancelled])
        #expect(next > node.clock.now)
        #expect(try node.counts("dead").visible == 2)
    }

    @Test func aQueueThatIsDeletedTakesItsMovesAlong() throws {
        let node = try node()
        try lose(["a"], of: "orders", node)
        _ = try node.queues.startMove(from: "dead", to: nil, perSecond: nil).get()
        #expect(node.queues.deleteQueue("dead") == nil)
        #expect(node.queues.moves(from: "dead").isEmpty)
        #expect(node.queues.moves.withLock { $0.running } == 0)
    }
}
