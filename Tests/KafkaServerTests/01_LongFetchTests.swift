import BrokerCore
import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import Testing

@testable import KafkaServer
@testable import LogStorage

/// Fetches of many partitions: workers do what is long, and the answers are those of a fetch of a few.
@Suite struct LongFetchTests {
    private static let forever: Int32 = 600_000
    /// More than a loop works off.
    private static let partitions = Int32(KafkaServerOptions().maxInlinePartitions + 100)

    /// A broker with a topic of so many partitions, all of them empty.
    private static func rig() throws -> (TestBroker, WireClient) {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: partitions)
        return (broker, client)
    }

    private static func request(
        _ topic: String = "orders", partitions: Int32 = partitions, maxWaitMs: Int32 = 0, minBytes: Int32 = 1,
        sessionID: Int32 = 0, epoch: Int32 = -1
    ) -> FetchRequest {
        var request = WireClient.fetchRequest(
            [.init(topic: topic)], maxWaitMs: maxWaitMs, minBytes: minBytes, sessionID: sessionID, epoch: epoch)
        request.topics[0].partitions = (0..<partitions).map { index in
            var partition = request.topics[0].partitions[0]
            partition.partition = index
            return partition
        }
        return request
    }

    /// The next request of a session, without changes.
    private static func next(_ id: Int32, _ epoch: Int32, maxWaitMs: Int32 = 0, minBytes: Int32 = 1) -> FetchRequest {
        WireClient.fetchRequest([], maxWaitMs: maxWaitMs, minBytes: minBytes, sessionID: id, epoch: epoch)
    }

    private func begun(_ client: WireClient) throws -> Int32 {
        let reply = try client.call(Self.request(epoch: 0), version: 12)
        #expect(reply.code == .none)
        #expect(reply.responses.flatMap(\.partitions).count == Int(Self.partitions))
        try #require(reply.sessionID > 0)
        return reply.sessionID
    }

    /// A record to each partition, so that all are ready.
    private func appendToAll(_ client: WireClient) throws {
        var request = WireClient.produceRequest("orders", TestBatch(count: 1, valueSize: 10).bytes())
        let data = request.topicData[0].partitionData[0]
        request.topicData[0].partitionData = (0..<Self.partitions).map { index in
            var data = data
            data.index = index
            return data
        }
        let reply = try client.call(request, version: 12)
        #expect(reply.responses.flatMap(\.partitionResponses).allSatisfy { $0.code == .none })
    }

    private func busy(_ broker: TestBroker) -> BusyWorkers {
        BusyWorkers(broker.broker.workers.threadCount) { broker.broker.workers.submit($0) }
    }

    private func isIdle(_ broker: TestBroker) throws {
        try waitUntil {
            broker.parkedFetches == 0 && broker.server.parkedShare.bytes == 0
                && broker.server.budget.counts.charged == 0
        }
        let topic = Array("orders".utf8).withUnsafeBytes { broker.broker.catalog.topic(named: $0) }
        try waitUntil { topic?.partitions.allSatisfy { $0.state.withLock { $0.waiters.isEmpty } } ?? false }
    }

    private func told(_ reply: FetchResponse) -> [Int32] { reply.responses.flatMap(\.partitions).map(\.partitionIndex) }

    private func withRecords(_ reply: FetchResponse) -> [Int32] {
        reply.responses.flatMap(\.partitions).filter { !($0.records ?? []).isEmpty }.map(\.partitionIndex)
    }

    // MARK: Who works

    @Test func aLongFrameIsAWorkersAndHoldsUpNobody() throws {
        let broker = try TestBroker()
        let (reader, other) = (try broker.client(), try broker.client())
        try other.createTopic("orders", partitions: 3)
        for partition in Int32(0)..<3 { try other.append("orders", count: 2, partition: partition) }
        let admitted = broker.server.budget.counts.admitted
        let workers = busy(broker)
        defer { workers.release() }
        let id = try reader.send(Self.request(partitions: 5000), version: 12)
        // Behind it on the same connection: in its turn.
        let behind = try reader.send(ApiVersionsRequest(), version: 0)
        try waitUntil { broker.server.budget.counts.admitted == admitted + 1 }
        #expect(try other.fetch("orders", from: 0).records?.isEmpty == false)
        #expect(broker.server.budget.counts.admitted == admitted + 1)
        workers.release()
        let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: id)
        #expect(told(reply) == Array(0..<5000))
        #expect(withRecords(reply) == [0, 1, 2])
        for partition in reply.responses.flatMap(\.partitions).prefix(3) {
            #expect(try FetchTests.batches(partition.records) == [0...1])
        }
        #expect(reply.responses.flatMap(\.partitions).dropFirst(3).allSatisfy { $0.code == .unknownTopicOrPartition })
        #expect(try reader.receive(ApiVersionsResponse.self, version: 0, correlationID: behind).errorCode == 0)
        try isIdle(broker)
    }

    @Test func aShortFetchOfAFewPartitionsIsTheLoops() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 300)
        try client.append("orders", count: 1, partition: 299)
        let workers = busy(broker)
        defer { workers.release() }
        #expect(withRecords(try client.call(Self.request(partitions: 300), version: 12)) == [299])
    }

    @Test func aLongSessionIsAWorkersAndNobodyElsesMeanwhile() throws {
        let (broker, client) = try Self.rig()
        let id = try begun(client)
        #expect(told(try client.call(Self.next(id, 1), version: 12)).isEmpty)
        try appendToAll(client)
        let admitted = broker.server.budget.counts.admitted
        let workers = busy(broker)
        defer { workers.release() }
        let asked = try client.send(Self.next(id, 2), version: 12)
        try waitUntil { broker.server.budget.counts.admitted == admitted + 1 }
        // Another connection with the epoch that comes next.
        let other = try broker.client()
        #expect(try other.call(Self.next(id, 3), version: 12).code == .invalidFetchSessionEpoch)
        workers.release()
        let reply = try client.receive(FetchResponse.self, version: 12, correlationID: asked)
        let all = Array(0..<Self.partitions)
        #expect(reply.sessionID == id && told(reply) == all && withRecords(reply) == all)
        #expect(withRecords(try other.call(Self.next(id, 3), version: 12)) == all)
        try isIdle(broker)
    }

    /// The loop serves a session of any size as long as little of it is ready.
    @Test func whatRestsMakesNoFetchLong() throws {
        let (broker, client) = try Self.rig()
        let id = try begun(client)
        let workers = busy(broker)
        defer { workers.release() }
        try client.append("orders", count: 1, partition: 7)
        #expect(withRecords(try client.call(Self.next(id, 1), version: 12)) == [7])
        #expect(withRecords(try client.call(Self.next(id, 2), version: 12)) == [7])
    }

    /// A full fetch waits in its session. What partitions tell while a worker watches them is acted on when it is back.
    @Test func aLongSessionWaitsFromItsFirstFetchOn() throws {
        var random = SeededRandom(seed: 7)
        let (broker, client) = try Self.rig()
        let writer = try broker.client()
        for round in 0..<6 {
            let asked = try client.send(
                Self.request(maxWaitMs: Self.forever, minBytes: Int32(1 + round % 2 * 150), epoch: 0), version: 12)
            if round > 2 { try waitUntil { broker.parkedFetches == 1 } }
            let grown = Int32.random(in: 0..<Self.partitions, using: &random)
            for _ in 0...round % 2 { try writer.append("orders", count: 1, valueSize: 20, partition: grown) }
            let reply = try client.receive(FetchResponse.self, version: 12, correlationID: asked)
            #expect(told(reply).count == Int(Self.partitions))
            #expect(withRecords(reply) == [grown])
            #expect(try client.deleteTopic("orders") == .none)
            try client.createTopic("orders", partitions: Self.partitions)
        }
    }

    @Test func aSessionThatIsEndedMeanwhileIsToldSo() throws {
        let (broker, client) = try Self.rig()
        let id = try begun(client)
        try appendToAll(client)
        let admitted = broker.server.budget.counts.admitted
        let workers = busy(broker)
        defer { workers.release() }
        let asked = try client.send(Self.next(id, 1), version: 12)
        try waitUntil { broker.server.budget.counts.admitted == admitted + 1 }
        let other = try broker.client()
        #expect(
            try other.call(WireClient.fetchRequest([.init(topic: "orders")], sessionID: id, epoch: -1), version: 12)
                .code == .none)
        #expect(broker.fetchSessions == 0)
        workers.release()
        let reply = try client.receive(FetchResponse.self, version: 12, correlationID: asked)
        #expect(reply.code == .fetchSessionIDNotFound)
        #expect(broker.server.sessionShare.bytes == 0)
        try isIdle(broker)
    }

    @Test func partitionsLeaveALongSession() throws {
        let (broker, client) = try Self.rig()
        let id = try begun(client)
        let before = broker.server.sessionShare.bytes
        var request = Self.next(id, 1)
        request.forgottenTopicsData = [FetchRequest.ForgottenTopic()]
        request.forgottenTopicsData[0].topic = "orders"
        request.forgottenTopicsData[0].partitions = Array(0..<50)
        #expect(told(try client.call(request, version: 12)).isEmpty)
        // Their slots stay, and are paid for.
        #expect(broker.server.sessionShare.bytes == before - 50 * "orders".utf8.count)
        for partition: Int32 in [49, 50] { try client.append("orders", count: 1, partition: partition) }
        #expect(told(try client.call(Self.next(id, 2), version: 12)) == [50])
    }

    @Test func aLongFrameThatIsNoFetchEndsItsConnection() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        var frame = WireClient.frame(Self.request(partitions: 2000), version: 12, correlationID: 1)
        frame.removeLast(3)
        frame.replaceSubrange(0..<4, with: withUnsafeBytes(of: Int32(frame.count - 4).bigEndian, Array.init))
        try client.send(bytes: frame)
        #expect(client.isClosedByBroker())
    }

    // MARK: Waiting

    @Test func growthOfOnePartitionEndsTheWait() throws {
        let (broker, client) = try Self.rig()
        let writer = try broker.client()
        let id = try begun(client)
        for epoch in Int32(1)...3 {
            let partition = 500 + epoch
            // What it has read of the last one's partition; nothing the first time.
            let read = epoch == 1 ? [] : [WireClient.Wanted(topic: "orders", partition: partition - 1, offset: 1)]
            let asked = try client.send(
                WireClient.fetchRequest(read, maxWaitMs: Self.forever, sessionID: id, epoch: epoch), version: 12)
            try waitUntil { broker.parkedFetches == 1 }
            try writer.append("orders", count: 1, partition: partition)
            let reply = try client.receive(FetchResponse.self, version: 12, correlationID: asked)
            #expect(withRecords(reply) == [partition])
        }
        // The session's waiters go with it.
        _ = try client.call(WireClient.fetchRequest([.init(topic: "orders")], sessionID: id, epoch: -1), version: 12)
        try isIdle(broker)
    }

    @Test func growthOfManyIsAddedUp() throws {
        let (broker, client) = try Self.rig()
        let writer = try broker.client()
        let asked = try client.send(Self.request(maxWaitMs: Self.forever, minBytes: 20_000), version: 12)
        try waitUntil { broker.parkedFetches == 1 }
        var produced: Int32 = 0
        while broker.parkedFetches == 1, produced < 1000 {
            try writer.append("orders", count: 1, valueSize: 100, partition: produced)
            produced += 1
        }
        let reply = try client.receive(FetchResponse.self, version: 12, correlationID: asked)
        let bytes = reply.responses.flatMap(\.partitions).reduce(0) { $0 + ($1.records?.count ?? 0) }
        #expect(bytes >= 20_000)
        #expect(told(reply).count == Int(Self.partitions))
        try isIdle(broker)
    }

    @Test func itsTimeEndsTheWait() throws {
        let (broker, client) = try Self.rig()
        let reply = try client.call(Self.request(maxWaitMs: 50), version: 12)
        #expect(told(reply).count == Int(Self.partitions) && withRecords(reply).isEmpty)
        try isIdle(broker)
    }

    @Test(arguments: [false, true]) func theClientsEndEndsTheWait(whileWorkersAreBusy: Bool) throws {
        let (broker, client) = try Self.rig()
        try client.send(Self.request(maxWaitMs: Self.forever), version: 12)
        try waitUntil { broker.parkedFetches == 1 }
        let workers = whileWorkersAreBusy ? busy(broker) : nil
        client.reset()
        try waitUntil { broker.parkedFetches == 0 }
        workers?.release()
        try isIdle(broker)
    }

    @Test func whatHappensWhileItIsWatchedIsNotMissed() throws {
        let (broker, client) = try Self.rig()
        let writer = try broker.client()
        var random = SeededRandom(seed: 8)
        var request = Self.request(maxWaitMs: Self.forever)
        for _ in 0..<20 {
            let asked = try client.send(request, version: 12)
            // At some time between the request's arrival and its wait.
            let partition = Int.random(in: 0..<Int(Self.partitions), using: &random)
            try writer.append("orders", count: 1, partition: Int32(partition))
            let reply = try client.receive(FetchResponse.self, version: 12, correlationID: asked)
            #expect(withRecords(reply) == [Int32(partition)])
            request.topics[0].partitions[partition].fetchOffset += 1
        }
        try isIdle(broker)
    }

    @Test func withoutRoomToWaitItIsAnswered() throws {
        let broker = try TestBroker { $0.server.maxParkedFetchBytes = 1000 }
        let client = try broker.client()
        try client.createTopic("orders", partitions: Self.partitions)
        let reply = try client.call(Self.request(maxWaitMs: Self.forever), version: 12)
        #expect(told(reply).count == Int(Self.partitions))
        try isIdle(broker)
    }
}
