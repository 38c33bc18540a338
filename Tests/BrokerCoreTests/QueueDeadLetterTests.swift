import BrokerTestKit
import ByteBuffers
import Glibc
import JobLedger
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

    // MARK: The breaker

    @Test func aQueueThatLosesItsMessagesIsPausedForAMinute() throws {
        let node = try QueueNode()
        try node.create("dead")
        try node.create("orders") { settings in
            (settings.deadLetterQueue, settings.maxReceives, settings.deadLetterBreaker) = ("dead", 10, 50)
        }
        try node.send((0..<60).map { "\($0)" }, to: "orders")
        try node.acknowledge(node.receive("orders", 9), "orders")
        // As many as were acknowledged, and no more: then too few, then enough.
        try reject(node.receive("orders", 9), "orders", node)
        #expect(try node.counts("orders").pausedMs == 0)
        let held = try node.receive("orders", 1)
        try reject(node.receive("orders", 1), "orders", node)
        #expect(try node.counts("orders").pausedMs == 60_000)
        #expect(try node.receive("orders").isEmpty && node.counts("orders").visible == 40)
        // What was received before ends, dead letters go where they go, and sends are taken.
        #expect(try node.acknowledge(held, "orders") == [.settled(.done)])
        node.turn()
        #expect(try node.counts("dead").visible == 10)
        try node.send(["new"], to: "orders")
        // Who waits is served when it is over.
        let answer = QueueNode.Answer<QueueReceiveReply>()
        var request = QueueReceive()
        request.waitMs = 20_000
        node.pass(45_000)
        node.queues.receive(request, from: "orders") { answer.set($0.answer) }
        node.pass(14_999)
        #expect(answer.now == nil)
        node.pass(1)
        #expect(eventually { answer.now != nil })
        guard case .messages(let messages)? = answer.now else { return #expect(Bool(false), "refused") }
        #expect(messages.count == 1)
        // It counts anew.
        try reject(node.receive("orders", 9), "orders", node)
        #expect(try node.counts("orders").pausedMs == 0)
    }

    @Test func whoeverChangesAQueueEndsItsPause() throws {
        let node = try QueueNode()
        try node.create("orders") { ($0.maxReceives, $0.deadLetterBreaker) = (10, 1) }
        try node.send((0..<11).map { "\($0)" }, to: "orders")
        try reject(node.receive("orders", 10), "orders", node)
        #expect(try node.receive("orders").isEmpty)
        _ = try node.queues.alterQueue("orders") { _, _ in }.get()
        #expect(try node.receive("orders").count == 1)
        // It is kept, and a restart begins open.
        try node.node.restart()
        #expect(node.queues.queue(named: "orders")?.settings.deadLetterBreaker == 1)
        for wrong in [0, 100] {
            #expect(throws: QueueRefusal.self) {
                try node.queues.alterQueue("orders") { settings, _ in settings.deadLetterBreaker = wrong }.get()
            }
        }
    }

    /// Those of a minute ago are forgotten.
    @Test func aBreakerLooksAtTheLastMinuteAlone() {
        let breaker = QueueBreaker()
        for second in Int64(0)..<200 {
            #expect(breaker.note(acknowledged: 0, lost: second % 10 == 0 ? 1 : 0, percent: 10, second * 1000) == nil)
        }
        let pause = breaker.note(acknowledged: 0, lost: 10, percent: 10, 200_000)
        #expect(pause?.lost == 15 && pause?.all == 15)
        #expect(breaker.note(acknowledged: 0, lost: 100, percent: 10, 259_999) == nil)
        #expect(breaker.pauseMs(259_999) == 1 && breaker.pauseMs(260_000) == 0)
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
        _ = try node.move("dead", perSecond: 1)
        for _ in 0..<20 {
            node.pass(61_000)
            node.turn()
        }
        let move = try #require(try node.moves("dead").first)
        #expect(move.state == .completed && move.moved == 6)
        #expect(try Set(node.receive("orders").map(\.text)) == Set((0..<6).map { "\($0)" }))
        let left = try node.receive("dead")
        #expect(left.map(\.text) == ["forged"] && left.map(\.receiveCount) == [1])
    }

    @Test func leasesOfWhatStaysLastAsLongAsTheMove() throws {
        let node = try node()
        try forge(node)
        try lose((0..<6).map { "\($0)" }, of: "orders", node)
        _ = try node.move("dead", perSecond: 1)
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
        _ = try node.move(dead)
        node.commit()
        node.node.fileSystem.inject(
            Fault(.failHalfway(errno: ENOMEM), on: .write, pathContains: "/journal/", times: 2))
        node.turn()
        #expect(node.broker.store.isHoldingCommit)
        for _ in 0..<8 { node.pass(61_000) }
        #expect(try node.moves(dead).map(\.state) == [.completed])
        #expect(try node.moves(dead).map(\.moved) == [8])
        #expect(try node.counts(orders).visible == 8 && node.counts(dead).visible == 0)
    }

    @Test func aMoveBackGoesWhereTheLettersMayBeFromAndNowhereElse() throws {
        let node = try node()
        try node.create("secret")
        try lose(["a"], of: "orders", node)
        // What a producer may write who may write to the dead letters, and to nothing else.
        try forge(node)
        _ = try node.move("dead")
        for _ in 0..<4 { node.turn() }
        #expect(try node.counts("secret").visible == 0)
        #expect(try node.receive("orders").map(\.text) == ["a"])
        let move = try #require(try node.moves("dead").first)
        #expect(move.state == .completed && move.moved == 1)
        // It was given back, and that it was looked at is no delivery.
        let left = try node.receive("dead")
        #expect(left.map(\.text) == ["forged"] && left.map(\.receiveCount) == [1])
    }

    @Test func lettersOfAQueueThatIsGoneStayAndTheOthersGoBack() throws {
        let node = try node(["orders", "gone"])
        try lose(["a", "b"], of: "orders", node)
        try lose(["c"], of: "gone", node)
        let move = try node.move("dead")
        #expect(move.expected == 3)
        #expect(node.queues.deleteQueue("gone") == nil)
        for _ in 0..<4 { node.turn() }
        let after = try #require(try node.moves("dead").first)
        #expect(after.state == .completed && after.moved == 2)
        #expect(try Set(node.receive("orders").map(\.text)) == ["a", "b"])
        #expect(try node.receive("dead").map(\.text) == ["c"])
    }

    @Test func aLetterThatIsTooLargeForWhereItGoesStaysAndTheOthersGo() throws {
        let node = try node()
        try node.create("narrow")
        try limitBatches(of: "narrow", to: 2000, node)
        try lose(["a", String(repeating: "x", count: 5000), "b"], of: "orders", node)
        _ = try node.move("dead", to: "narrow")
        for _ in 0..<4 { node.turn() }
        let after = try #require(try node.moves("dead").first)
        #expect(after.state == .completed && after.moved == 2)
        #expect(try Set(node.receive("narrow").map(\.text)) == ["a", "b"])
        #expect(try node.receive("dead").map(\.body.count) == [5000])
    }

    @Test func aMoveToAQueueThatIsGoneFailsAndGivesBackWhatItHeld() throws {
        let node = try node()
        try node.create("other")
        try lose(["a"], of: "orders", node)
        _ = try node.move("dead", to: "other")
        #expect(node.queues.deleteQueue("other") == nil)
        node.turn()
        let after = try #require(try node.moves("dead").first)
        #expect(after.state == .failed && after.moved == 0)
        #expect(try node.receive("dead").map(\.receiveCount) == [1])
    }

    @Test func aMoveThatIsToEndEndsAtOnceAndNotWhenItIsDue() throws {
        let node = try node()
        try lose(["a", "b", "c"], of: "orders", node)
        let move = try node.move("dead", perSecond: 1)
        node.turn()
        #expect(try node.moves("dead").map(\.moved) == [1])
        #expect(node.queues.cancelMove(move.id)?.state == .cancelling)
        let next = node.turn()
        #expect(try node.moves("dead").map(\.state) == [.cancelled])
        #expect(next > node.clock.now)
        #expect(try node.counts("dead").visible == 2)
    }

    @Test func aQueueThatIsDeletedEndsItsMoves() throws {
        let node = try node()
        try lose(["a"], of: "orders", node)
        let move = try node.move("dead")
        #expect(node.queues.deleteQueue("dead") == nil)
        node.turn()
        #expect(node.queues.moves.withLock { $0.bySource.isEmpty })
        let job = try node.broker.jobs.job(#require(JobID(move.id)))
        #expect(job.state == .failed && job.reason == "there is no queue dead", "\(job)")
        // Another one of its name has none of them.
        node.pass(1000)
        try node.create("dead")
        #expect(try node.moves("dead").isEmpty)
    }

    /// At once: before the move, which waits for its next second, has been looked at.
    @Test func aQueueThatIsMadeAgainHasNoneOfTheMovesBefore() throws {
        let node = try node()
        try lose(["a", "b", "c"], of: "orders", node)
        let move = try node.move("dead", perSecond: 1)
        node.turn()
        #expect(node.queues.deleteQueue("dead") == nil)
        try node.create("dead")
        try node.send(["x", "y", "z"], to: "dead")
        for _ in 0..<5 {
            node.pass(1000)
            node.turn()
        }
        let job = try node.broker.jobs.job(#require(JobID(move.id)))
        #expect(job.state == .failed && job.reason?.contains("dead") == true, "\(job)")
        #expect(try Set(node.receive("dead").map(\.text)) == ["x", "y", "z"])
    }

    @Test func lettersGoBackToNoQueueThatNobodyWasAskedFor() throws {
        let node = try node()
        try lose(["a"], of: "orders", node)
        try node.move("dead") { $0.origins = [] }
        for _ in 0..<3 { node.turn() }
        let move = try #require(try node.moves("dead").first)
        #expect(move.state == .completed && move.moved == 0 && move.stayed == 1, "\(move)")
    }

    @Test func whatBodiesHaveIsFoundInTheMiddleOfItsLikes() throws {
        let node = try node()
        try node.send(["a"], to: "orders")
        var message = try #require(node.receive("orders").first)
        func has(_ body: String, _ wanted: String) -> Bool {
            var selection = MessageSelection()
            selection.contains = Array(wanted.utf8)
            message.body = Array(body.utf8)
            return selection.selects(message)
        }
        var random = SeededRandom(seed: 4)
        for _ in 0..<2_000 {
            func word(_ most: Int) -> String {
                String((0..<Int.random(in: 1...most, using: &random)).map { _ in "ab".randomElement(using: &random)! })
            }
            let (body, wanted) = (word(24), word(6))
            #expect(has(body, wanted) == body.contains(wanted), "\(wanted) in \(body)")
        }
    }

    // MARK: As jobs

    @Test(arguments: [false, true]) func aMoveThatAStopHasEndedSaysSo(_ isCrash: Bool) throws {
        let node = try node()
        try lose(["a", "b", "c"], of: "orders", node)
        let move = try node.move("dead", perSecond: 1) { $0.owner = "ann" }
        node.turn()
        node.commit()
        if isCrash { try node.node.crash() } else { try node.node.restart() }
        let after = try #require(try node.moves("dead").first)
        #expect(after.id == move.id && after.state == .failed && after.moved == 1 && after.expected == 3)
        #expect(after.failure?.contains("server stopped") == true && after.perSecond == 1)
        #expect(try node.broker.jobs.job(#require(JobID(move.id))).owner == "ann")
        // What it held comes again, and another move takes the rest.
        node.pass(60_001)
        try node.move("dead")
        for _ in 0..<3 { node.turn() }
        #expect(try node.moves("dead").map(\.state) == [.completed, .failed])
        #expect(try Set(node.receive("orders").map(\.text)) == ["a", "b", "c"])
    }

    @Test func aMoveEndsAsAJobDoes() throws {
        let node = try node()
        try lose(["a", "b", "c"], of: "orders", node)
        let move = try node.move("dead", perSecond: 1)
        node.turn()
        #expect(node.broker.jobs.cancel(try #require(JobID(move.id))) == nil)
        node.pass(1000)
        let job = try node.broker.jobs.job(#require(JobID(move.id)))
        #expect(job.state == .cancelled && job.kind == .redrive && job.progress.accepted == 1, "\(job)")
        #expect(try node.counts("dead").visible == 2)
    }

    /// The end is told when the log of jobs takes it: until then the move is not over.
    @Test func anEndThatCannotBeToldIsToldLater() throws {
        let node = try node()
        try lose(["a"], of: "orders", node)
        try node.move("dead")
        let log = try #require(node.broker.catalog.topic(named: Topic.jobsTopicName)).partitions[0]
        node.broker.jobs.unload(log)
        for _ in 0..<3 { node.turn() }
        #expect(throws: QueueRefusal.self) { try node.moves("dead") }
        #expect(node.queues.moves.withLock { $0.bySource.count } == 1)
        node.commit()
        node.broker.jobs.load(log)
        node.pass(1000)
        #expect(try node.moves("dead").map(\.state) == [.completed])
        #expect(node.queues.moves.withLock { $0.bySource.isEmpty })
    }

    // MARK: Some of them

    @Test func whatIsMeantIsMovedAndTheRestStays() throws {
        let node = try node(["orders", "bills"])
        try lose(["a1", "a2", "b1"], of: "orders", node)
        try lose(["a3", "b2"], of: "bills", node)
        func move(_ change: (inout QueueMoveOrder) -> Void) throws -> QueueMove {
            // The newest is known by its time.
            node.pass(1)
            try node.move("dead", change)
            for _ in 0..<4 { node.turn() }
            return try #require(try node.moves("dead").first)
        }
        var done = try move { ($0.selection.queue, $0.selection.contains) = ("orders", Array("a".utf8)) }
        #expect(done.state == .completed && done.moved == 2 && done.stayed == 3)
        #expect(try node.receive("orders").map(\.text) == ["a1", "a2"])
        #expect(try node.counts("bills").visible == 0 && node.counts("dead").visible == 3)
        done = try move { $0.selection.reason = "max_receives" }
        #expect(done.moved == 0 && done.stayed == 3)
        let ids = try node.queues.browse("dead", after: nil, limit: 10).get().messages
        let wanted = try #require(ids.first { $0.message.text == "b2" }).message.id
        done = try move { $0.selection.ids = [ExactString(wanted)] }
        #expect(done.moved == 1)
        #expect(try node.receive("bills").map(\.text) == ["b2"])
        done = try move { $0.most = 1 }
        #expect(done.state == .completed && done.moved == 1)
        #expect(try node.counts("dead").visible == 1 && node.counts("dead").inFlight == 0)
    }

    @Test func whatIsMovedMayBeAnother() throws {
        let node = try node()
        var message = QueueMessage(body: Array("wrong".utf8))
        message.headers = ["kept", "dropped", "changed"].map { RecordHeader(key: $0, value: Array("old".utf8)) }
        _ = try node.queues.send([message], to: "orders").answer[0].get()
        node.commit()
        try reject(node.receive("orders"), "orders", node)
        node.turn()
        #expect(throws: QueueRefusal.self) { try node.move("dead") { $0.edit.set = ["queue.group": []] } }
        try node.move("dead") { order in
            order.edit.set = ["changed": Array("new".utf8), "added": []]
            order.edit.removed = ["dropped"]
            order.edit.body = Array("right".utf8)
        }
        for _ in 0..<3 { node.turn() }
        let back = try #require(try node.receive("orders").first)
        #expect(back.text == "right")
        let headers = back.headers.map { "\($0.key)=\(String(decoding: $0.value ?? [], as: UTF8.self))" }
        #expect(headers == ["kept=old", "added=", "changed=new"])
    }

    @Test func aLetterThatCameBackAsOftenAsItMayStays() throws {
        let node = try node()
        try lose(["a"], of: "orders", node)
        for round in 1...3 {
            node.pass(1)
            try node.move("dead") { $0.maxRedrives = 2 }
            for _ in 0..<3 { node.turn() }
            #expect(try node.moves("dead").first?.moved == (round < 3 ? 1 : 0))
            if round == 3 { break }
            try reject(node.receive("orders"), "orders", node)
            node.turn()
        }
        #expect(try node.counts("dead").visible == 1)
        for wrong in [0, 11] {
            #expect(throws: QueueRefusal.self) { try node.move("dead") { $0.maxRedrives = wrong } }
        }
    }

    @Test func aRehearsalSaysWhatAMoveWouldDoAndDoesNothing() throws {
        let node = try node()
        try forge(node)
        try lose(["a1", "a2", "b"], of: "orders", node)
        var order = QueueMoveOrder(from: "dead")
        var told = try node.queues.rehearseMove(order).get()
        #expect(told.moving == 3 && told.staying == 1 && told.others == 0 && told.isWhole)
        order.selection.contains = Array("a".utf8)
        order.most = 1
        told = try node.queues.rehearseMove(order).get()
        #expect(told.moving == 1 && told.staying == 1 && told.others == 2 && told.ids.count == 1)
        #expect(try node.counts("dead").visible == 4 && node.moves("dead").isEmpty)
        #expect(throws: QueueRefusal.self) { try node.queues.rehearseMove(QueueMoveOrder(from: "orders")).get() }
    }

    @Test func aLookShowsWhatIsMeantPageByPage() throws {
        let node = try node()
        try node.create("many", partitions: 2)
        for part in 0..<6 {
            try node.send((0..<500).map { $0 % 100 == 7 ? "x\(part)" : "other" }, to: "many")
        }
        var selection = MessageSelection()
        selection.contains = Array("x".utf8)
        var (found, place, pages) = ([String](), QueueCoordinator.Place?.none, 0)
        repeat {
            let page = try node.queues.browse("many", after: place, limit: 4, selection).get()
            #expect(page.messages.count <= 4)
            found += page.messages.map(\.message.text)
            (place, pages) = (page.next, pages + 1)
        } while place != nil && pages < 100
        #expect(found.sorted() == (0..<6).flatMap { part in (0..<5).map { _ in "x\(part)" } }.sorted())
        #expect(pages == 8)
        selection.contains = []
        #expect(throws: QueueRefusal.self) { try node.queues.browse("many", after: nil, limit: 4, selection).get() }
    }
}
