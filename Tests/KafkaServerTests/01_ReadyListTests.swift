import BrokerCore
import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import StorageIO
import Testing

@testable import KafkaServer
@testable import LogStorage

/// A session's ready list: what a fetch looks at, what makes a partition ready, and who lets go of what.
@Suite struct ReadyListTests {
    private static let forever: Int32 = 600_000

    private func wanted(_ partitions: Int32, _ topic: String = "orders") -> [WireClient.Wanted] {
        (0..<partitions).map { WireClient.Wanted(topic: topic, partition: $0) }
    }

    /// Begins a session over the first partitions of `orders`, which it makes.
    private func begin(_ client: WireClient, _ partitions: Int32) throws -> Int32 {
        try client.createTopic("orders", partitions: partitions)
        let reply = try client.call(WireClient.fetchRequest(wanted(partitions), epoch: 0), version: 12)
        #expect(reply.responses.flatMap(\.partitions).count == Int(partitions))
        try #require(reply.sessionID > 0)
        return reply.sessionID
    }

    private func next(
        _ client: WireClient, _ id: Int32, _ epoch: Int32, _ changed: [WireClient.Wanted] = [], version: Int16 = 12
    ) throws -> FetchResponse {
        try client.call(WireClient.fetchRequest(changed, sessionID: id, epoch: epoch), version: version)
    }

    private func logs(_ broker: TestBroker, _ topic: String = "orders") throws -> [PartitionLog] {
        try #require(broker.broker.catalog.topic(named: topic)).partitions
    }

    private func watched(_ broker: TestBroker) throws -> Int {
        try logs(broker).reduce(0) { $0 + $1.state.withLock { $0.waiters.count } }
    }

    private func heldLogs(_ broker: TestBroker, _ session: Int32) -> Int? {
        broker.withSession(session) { _, session in session.entries.count { $0.log != nil } }
    }

    private func told(_ reply: FetchResponse) -> [Int32] { reply.responses.flatMap(\.partitions).map(\.partitionIndex) }

    // MARK: What a fetch costs

    /// A consumer of 2,000 partitions and a record at a time: each fetch looks at the partition that was read and the one
    /// that has grown, and no log but theirs is asked for anything.
    @Test func aFetchLooksAtWhatIsReadyAlone() throws {
        let broker = try TestBroker()
        let (reader, writer) = (try broker.client(), try broker.client())
        let id = try begin(reader, 2000)
        #expect(told(try next(reader, id, 1)).isEmpty)
        #expect(try watched(broker) == 2000)
        func looks() throws -> Int {
            try logs(broker).reduce(0) { $0 + $1.state.withLock { $0.waiters.looks } }
        }
        let before = (broker.looks(of: id), try looks())
        var read: [WireClient.Wanted] = []
        var ends: [Int32: Int64] = [:]
        for epoch in Int32(2)..<102 {
            let partition = epoch * 997 % 2000
            let asked = try reader.send(
                WireClient.fetchRequest(read, maxWaitMs: Self.forever, sessionID: id, epoch: epoch), version: 12)
            try waitUntil { broker.parkedFetches == 1 }
            try writer.append("orders", count: 1, partition: partition)
            let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: asked)
            #expect(told(reply) == [partition])
            ends[partition, default: 0] += 1
            read = [.init(topic: "orders", partition: partition, offset: ends[partition]!)]
        }
        #expect(broker.looks(of: id) - before.0 <= 3 * 100)
        #expect(try looks() - before.1 <= 3 * 100)
        // The first wait ended an idle partition's rest; all others rest still, each registered once.
        #expect(try watched(broker) >= 1999)
    }

    /// What rests costs a commit nothing but its first: a session that asks no more is told once.
    @Test func aSilentSessionIsToldOnceAPartition() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let id = try begin(client, 2)
        #expect(told(try next(client, id, 1)).isEmpty)
        try client.append("orders", count: 1, partition: 1)
        #expect(try watched(broker) == 1)
        let looks = try logs(broker)[1].state.withLock { $0.waiters.looks }
        for _ in 0..<20 { try client.append("orders", count: 1, partition: 1) }
        #expect(try logs(broker)[1].state.withLock { $0.waiters.looks } == looks)
        #expect(told(try next(client, id, 2)) == [1])
    }

    // MARK: What makes a partition ready

    /// The producer was told, so the next fetch has the record, whoever's loop has what was told.
    @Test(arguments: [1, 2]) func anAcknowledgedRecordIsInTheNextFetch(loops: Int) throws {
        let broker = try TestBroker { $0.loops = loops }
        let (reader, writer) = (try broker.client(), try broker.client())
        let id = try begin(reader, 50)
        var read: [WireClient.Wanted] = []
        var ends: [Int32: Int64] = [:]
        for epoch in Int32(1)...400 {
            let partition = epoch * 7 % 50
            try writer.append("orders", count: 1, partition: partition)
            ends[partition, default: 0] += 1
            #expect(told(try next(reader, id, epoch, read)) == [partition])
            read = [.init(topic: "orders", partition: partition, offset: ends[partition]!)]
        }
    }

    @Test func aStartThatMovesIsTold() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let id = try begin(client, 2)
        try client.append("orders", count: 3, partition: 1)
        let end = [WireClient.Wanted(topic: "orders", partition: 1, offset: 3)]
        #expect(told(try next(client, id, 1, end)) == [1])
        #expect(told(try next(client, id, 2)).isEmpty)
        #expect(try client.deleteRecords("orders", before: 2, partition: 1).code == .none)
        let reply = try next(client, id, 3)
        #expect(told(reply) == [1])
        #expect(reply.responses[0].partitions[0].logStartOffset == 2)
        #expect(told(try next(client, id, 4)).isEmpty)
    }

    @Test func leadershipThatGoesAndComesIsTold() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let id = try begin(client, 3)
        #expect(told(try next(client, id, 1)).isEmpty)
        let log = try logs(broker)[1]
        #expect(broker.broker.resign(leaderOf: log, for: LeaderEpoch(1)))
        for epoch in Int32(2)...3 {
            let partitions = try next(client, id, epoch).responses.flatMap(\.partitions)
            #expect(partitions.map(\.partitionIndex) == [1] && partitions[0].code == .notLeaderOrFollower)
        }
        #expect(broker.broker.become(leaderOf: log, in: LeaderEpoch(2)))
        #expect(try next(client, id, 4).responses.flatMap(\.partitions).map(\.code) == [ErrorCode.none])
        #expect(told(try next(client, id, 5)).isEmpty)
    }

    /// A new epoch of the same leader fences those who name the old one, also while they wait.
    @Test(arguments: [false, true]) func aNewEpochIsTold(whileItWaits: Bool) throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 2)
        let asked = (Int32(0)..<2).map { WireClient.Wanted(topic: "orders", partition: $0, leaderEpoch: 0) }
        let id = try client.call(WireClient.fetchRequest(asked, epoch: 0), version: 12).sessionID
        #expect(told(try next(client, id, 1)).isEmpty)
        var correlation: Int32?
        if whileItWaits {
            correlation = try client.send(
                WireClient.fetchRequest([], maxWaitMs: Self.forever, sessionID: id, epoch: 2), version: 12)
            try waitUntil { broker.parkedFetches == 1 }
        }
        #expect(broker.broker.become(leaderOf: try logs(broker)[1], in: LeaderEpoch(1)))
        let reply =
            try correlation.map { try client.receive(FetchResponse.self, version: 12, correlationID: $0) }
            ?? next(client, id, 2)
        #expect(told(reply) == [1])
        #expect(reply.responses[0].partitions[0].code == .fencedLeaderEpoch)
    }

    @Test func aTopicThatIsRecreatedUnderItsNameIsFoundAgain() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let id = try begin(client, 2)
        try client.append("orders", count: 1, partition: 0)
        let end = [WireClient.Wanted(topic: "orders", partition: 0, offset: 1)]
        #expect(told(try next(client, id, 1, end)) == [0])
        #expect(told(try next(client, id, 2)).isEmpty)
        #expect(try client.deleteTopic("orders") == .none)
        let gone = try next(client, id, 3).responses.flatMap(\.partitions)
        #expect(gone.map(\.code) == [.unknownTopicOrPartition, .unknownTopicOrPartition])
        try client.createTopic("orders", partitions: 2)
        let back = try next(client, id, 4).responses.flatMap(\.partitions)
        #expect(back.map(\.code) == [.offsetOutOfRange, ErrorCode.none])
        try client.append("orders", count: 1, partition: 1)
        #expect(Set(told(try next(client, id, 5))) == [0, 1])
    }

    /// A walk sees at once that a topic is gone, and so does a session: files go one partition after the other, by syncs.
    @Test func aDeletionIsToldOfAllPartitionsBeforeTheFirstFileGoes() throws {
        let disk = StallingFileSystem(SimulatedFileSystem())
        let broker = try TestBroker(stalling: disk)
        defer { disk.release() }
        let (client, other) = (try broker.client(), try broker.client())
        let id = try begin(client, 3)
        try client.append("orders", count: 1)
        try broker.broker.store.checkpoint()
        let end = [WireClient.Wanted(topic: "orders", offset: 1)]
        #expect(told(try next(client, id, 1, end)) == [0])
        #expect(told(try next(client, id, 2)).isEmpty)
        disk.stall([.remove], pathContains: "/partitions/orders-0")
        var state = DeleteTopicsRequest.DeleteTopicState()
        state.name = "orders"
        var delete = DeleteTopicsRequest()
        delete.topics = [state]
        let deleted = try other.send(delete, version: 6)
        try waitUntil { disk.waitingCalls > 0 }
        let reply = try next(client, id, 3).responses.flatMap(\.partitions)
        #expect(reply.map(\.partitionIndex) == [0, 1, 2])
        #expect(reply.allSatisfy { $0.code == .unknownTopicOrPartition })
        disk.release()
        let removed = try other.receive(DeleteTopicsResponse.self, version: 6, correlationID: deleted)
        #expect(removed.responses.first?.errorCode == 0)
    }

    /// Without a session, too, by a loop or by workers: its client would wait for what it may not read.
    @Test(arguments: [Int32(2), 1500]) func aNewEpochEndsAWaitWithoutASession(partitions: Int32) throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: partitions)
        let asked = (0..<partitions).map { WireClient.Wanted(topic: "orders", partition: $0, leaderEpoch: 0) }
        let correlation = try client.send(WireClient.fetchRequest(asked, maxWaitMs: Self.forever), version: 12)
        try waitUntil { try broker.parkedFetches == 1 && watched(broker) == Int(partitions) }
        #expect(broker.broker.become(leaderOf: try logs(broker)[1], in: LeaderEpoch(1)))
        let reply = try client.receive(FetchResponse.self, version: 12, correlationID: correlation)
        let refused = reply.responses.flatMap(\.partitions).filter { $0.code != .none }
        #expect(refused.map(\.partitionIndex) == [1] && refused.map(\.code) == [.fencedLeaderEpoch])
    }

    /// What has happened between the look and the rest is seen; who takes a waiter back, be it the one of an older time, makes
    /// the partition ready.
    @Test func aPartitionRestsOnlyWhileItsLogTellsOfIt() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders")
        let log = try logs(broker)[0]
        let session = FetchSession(id: 1)
        session.update(
            FetchSession.Entry(
                key: .init(topicID: .zero, topicName: Array("orders".utf8), partitionIndex: 0), fetchOffset: 0,
                maxBytes: 100, currentLeaderEpoch: -1))
        func look(position: Int64, logStart: Int64 = 0) -> Bool {
            let item = FetchPlan.Item(
                topicName: [], sessionSlot: 0, topicID: .zero, partitionIndex: 0, log: log, error: .none,
                fetchOffset: 0,
                maxBytes: 100, currentLeaderEpoch: -1, room: 100, position: position)
            session.rest(item, logStart: logStart)
            session.rotate([])
            return session.readyCount == 0
        }
        #expect(look(position: 0))
        #expect(try watched(broker) == 1)
        session.release(0)
        #expect(session.readyCount == 1 && session.takeReady() == [0])
        #expect(try watched(broker) == 0)
        try client.append("orders", count: 1)
        #expect(!look(position: 0))
        #expect(try client.deleteRecords("orders", before: 1).code == .none)
        #expect(!look(position: log.state.withLock { $0.watermarkPosition }))
        #expect(look(position: log.state.withLock { $0.watermarkPosition }, logStart: 1))
        // A slot that is gone, and one that never was.
        session.forget(.init(topicID: .zero, topicName: Array("orders".utf8), partitionIndex: 0))
        session.endChanges()
        #expect(try watched(broker) == 0)
        for slot: Int32 in [0, 7] {
            session.release(slot)
            session.mark(slot)
        }
        #expect(session.readyCount == 0)
    }

    // MARK: What is told meanwhile

    /// A worker has the session while its partitions tell of something, as it does for a moment whenever a fetch is long.
    @Test func whatIsToldWhileASessionIsAwayIsActedOn() throws {
        let broker = try TestBroker()
        let (client, writer) = (try broker.client(), try broker.client())
        let id = try begin(client, 3)
        let asked = try client.send(
            WireClient.fetchRequest([], maxWaitMs: Self.forever, sessionID: id, epoch: 1), version: 12)
        try waitUntil { broker.parkedFetches == 1 }
        broker.withSession(id) { _, session in session.isAway = true }
        try writer.append("orders", count: 1, partition: 2)
        try waitUntil { broker.withSession(id) { _, session in session.toldAway.count } == 1 }
        #expect(broker.parkedFetches == 1 && !client.hasInput)
        broker.withSession(id) { loop, session in
            loop.takeBack(session)
            loop.actOnTold()
        }
        #expect(told(try client.receive(FetchResponse.self, version: 12, correlationID: asked)) == [2])
    }

    /// A session over partitions from 1 on, which rest, and a record in partition 0 that is on the disk alone.
    private func beginBesideAColdPartition(_ broker: TestBroker, _ client: WireClient, _ partitions: Int32) throws
        -> Int32
    {
        try client.createTopic("orders", partitions: partitions)
        try client.append("orders", count: 1, valueSize: 100)
        // Nobody follows it, so it leaves memory.
        try broker.broker.store.checkpoint()
        let asked = (1..<partitions).map { WireClient.Wanted(topic: "orders", partition: $0) }
        let id = try client.call(WireClient.fetchRequest(asked, epoch: 0), version: 12).sessionID
        #expect(told(try next(client, id, 1)).isEmpty)
        return id
    }

    /// What partitions tell while a worker reads from the disk is not enough for the minimum either, so the fetch waits; the next
    /// record makes it enough.
    @Test func whatIsToldDuringAReadOfTheDiskCountsForTheWait() throws {
        let disk = StallingFileSystem(SimulatedFileSystem())
        let broker = try TestBroker(stalling: disk)
        defer { disk.release() }
        let (client, writer) = (try broker.client(), try broker.client())
        let id = try beginBesideAColdPartition(broker, client, 2)
        disk.stall([.read], pathContains: "/partitions/orders")
        let asked = try client.send(
            WireClient.fetchRequest(
                wanted(1), maxWaitMs: Self.forever, minBytes: 2000, sessionID: id, epoch: 2), version: 12)
        try waitUntil { disk.waitingCalls > 0 }
        #expect(broker.withSession(id) { _, session in session.isBeingRead } == true)
        try writer.append("orders", count: 1, valueSize: 100, partition: 1)
        try waitUntil { broker.withSession(id) { _, session in session.toldAway.count } == 1 }
        disk.release()
        try waitUntil { broker.parkedFetches == 1 }
        #expect(!client.hasInput)
        try writer.append("orders", count: 1, valueSize: 2000, partition: 1)
        let reply = try client.receive(FetchResponse.self, version: 12, correlationID: asked)
        #expect(Set(told(reply)) == [0, 1])
    }

    /// Another connection goes on with the session meanwhile: what was told is the next fetch's.
    @Test func whatIsToldDuringAReadThatIsGivenUpIsTheNextFetchs() throws {
        let disk = StallingFileSystem(SimulatedFileSystem())
        let broker = try TestBroker(stalling: disk)
        defer { disk.release() }
        let (client, second, writer) = (try broker.client(), try broker.client(), try broker.client())
        let id = try beginBesideAColdPartition(broker, client, 3)
        disk.stall([.read], pathContains: "/partitions/orders")
        let asked = try client.send(WireClient.fetchRequest(wanted(1), sessionID: id, epoch: 2), version: 12)
        try waitUntil { disk.waitingCalls > 0 }
        try writer.append("orders", count: 1, partition: 1)
        try waitUntil { broker.withSession(id) { _, session in session.toldAway.count } == 1 }
        let again = try second.send(WireClient.fetchRequest([], sessionID: id, epoch: 3), version: 12)
        try waitUntil { broker.withSession(id) { _, session in session.toldAway.isEmpty } == true }
        disk.release()
        let refused = try client.receive(FetchResponse.self, version: 12, correlationID: asked)
        #expect(refused.code == .invalidFetchSessionEpoch)
        let reply = try second.receive(FetchResponse.self, version: 12, correlationID: again)
        #expect(Set(told(reply)) == [0, 1])
        #expect(try writer.deleteTopic("orders") == .none)
        try waitUntil { heldLogs(broker, id) == 0 }
    }

    // MARK: Two connections

    /// Its client has given up the connection on which a fetch still waits.
    @Test func whoGoesOnWithASessionEndsTheFetchThatWaitsWithIt() throws {
        let broker = try TestBroker()
        let (first, second, writer) = (try broker.client(), try broker.client(), try broker.client())
        let id = try begin(first, 3)
        let asked = try first.send(
            WireClient.fetchRequest([], maxWaitMs: Self.forever, sessionID: id, epoch: 1), version: 12)
        try waitUntil { broker.parkedFetches == 1 }
        let again = try second.send(
            WireClient.fetchRequest([], maxWaitMs: Self.forever, sessionID: id, epoch: 2), version: 12)
        let refused = try first.receive(FetchResponse.self, version: 12, correlationID: asked)
        #expect(refused.code == .invalidFetchSessionEpoch && refused.responses.isEmpty)
        try waitUntil { broker.parkedFetches == 1 }
        try writer.append("orders", count: 1, partition: 2)
        let reply = try second.receive(FetchResponse.self, version: 12, correlationID: again)
        #expect(told(reply) == [2])
    }

    @Test func aFetchWhoseSessionIsEndedIsAnswered() throws {
        let broker = try TestBroker()
        let (first, second) = (try broker.client(), try broker.client())
        let id = try begin(first, 3)
        let asked = try first.send(
            WireClient.fetchRequest([], maxWaitMs: Self.forever, sessionID: id, epoch: 1), version: 12)
        try waitUntil { broker.parkedFetches == 1 }
        _ = try second.call(WireClient.fetchRequest(wanted(1), sessionID: id, epoch: -1), version: 12)
        let reply = try first.receive(FetchResponse.self, version: 12, correlationID: asked)
        #expect(reply.code == .none && reply.responses.isEmpty)
        #expect(try next(first, id, 2).code == .fetchSessionIDNotFound)
        #expect(try watched(broker) == 0)
    }

    // MARK: Who lets go

    @Test(arguments: [Int32(3), 1500]) func logsForgetASessionThatEnds(partitions: Int32) throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let id = try begin(client, partitions)
        #expect(told(try next(client, id, 1)).isEmpty)
        #expect(try watched(broker) == Int(partitions))
        _ = try client.call(WireClient.fetchRequest(wanted(1), sessionID: id, epoch: -1), version: 12)
        try waitUntil { try watched(broker) == 0 }
        #expect(broker.server.sessionShare.bytes == 0)
    }

    @Test func aForgottenPartitionIsWatchedNoMore() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let id = try begin(client, 4)
        #expect(told(try next(client, id, 1)).isEmpty)
        var request = WireClient.fetchRequest([], sessionID: id, epoch: 2)
        request.forgottenTopicsData = [FetchRequest.ForgottenTopic()]
        request.forgottenTopicsData[0].topic = "orders"
        request.forgottenTopicsData[0].partitions = [1, 2]
        #expect(told(try client.call(request, version: 12)).isEmpty)
        #expect(try watched(broker) == 2)
        // Its slot is another's, which is not taken for it.
        try client.createTopic("more")
        #expect(try next(client, id, 3, wanted(1, "more")).responses.map(\.topic) == ["more"])
        try client.append("orders", count: 1, partition: 1)
        #expect(told(try next(client, id, 4)).isEmpty)
        try client.append("more", count: 1)
        #expect(try next(client, id, 5).responses.map(\.topic) == ["more"])
    }

    /// A session whose client asks no more keeps no deleted log: at rest, or where its last fetch got records after a wait, at
    /// whose end that partition, or another, was found to have enough.
    @Test(arguments: 0...2) func aSilentSessionLetsADeletedLogGo(grown: Int32) throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let id = try begin(client, 2)
        #expect(told(try next(client, id, 1)).isEmpty)
        if grown > 0 {
            let asked = try client.send(
                WireClient.fetchRequest(
                    [.init(topic: "orders", partition: 0), .init(topic: "orders", partition: 1)],
                    maxWaitMs: Self.forever, sessionID: id, epoch: 2), version: 12)
            try waitUntil { broker.parkedFetches == 1 }
            let writer = try broker.client()
            try writer.append("orders", count: 1, partition: grown - 1)
            let reply = try client.receive(FetchResponse.self, version: 12, correlationID: asked)
            #expect(told(reply) == [grown - 1])
        }
        #expect(heldLogs(broker, id) == 2)
        let other = try broker.client()
        #expect(try other.deleteTopic("orders") == .none)
        try waitUntil { heldLogs(broker, id) == 0 }
        #expect(broker.fetchSessions == 1)
    }

    /// A wait that its client gives up leaves the session as it was: nothing is told that was not sent.
    @Test func aFullFetchThatNobodyReceivesHasToldNothing() throws {
        let broker = try TestBroker()
        let (first, second) = (try broker.client(), try broker.client())
        try first.createTopic("orders", partitions: 2)
        try first.send(WireClient.fetchRequest(wanted(2), maxWaitMs: Self.forever, epoch: 0), version: 12)
        try waitUntil { broker.parkedFetches == 1 }
        let id = broker.sessionIDs[0]
        first.reset()
        try waitUntil { broker.parkedFetches == 0 }
        #expect(told(try next(second, id, 1)) == [0, 1])
        #expect(told(try next(second, id, 2)).isEmpty)
    }
}
