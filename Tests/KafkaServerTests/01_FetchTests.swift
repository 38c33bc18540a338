import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import RecordFormat
import Telemetry
import Testing
import Transport

@testable import KafkaServer

@Suite struct FetchTests {
    /// First and last offset of each batch in a reply.
    static func batches(_ records: [UInt8]?) throws -> [ClosedRange<Int64>] {
        try (records ?? []).withUnsafeBytes { raw in
            var cursor = RecordBatchCursor(raw, validator: RecordBatchValidator(origin: .broker))
            var found: [ClosedRange<Int64>] = []
            while let batch = try cursor.next() { found.append(batch.baseOffset.rawValue...batch.lastOffset.rawValue) }
            return found
        }
    }

    private func filled(_ broker: TestBroker) throws -> WireClient {
        let client = try broker.client()
        try client.createTopic("orders")
        for _ in 0..<4 { try client.append("orders", count: 10) }
        return client
    }

    @Test(arguments: Int16(4)...18) func everyVersionGivesTheRecords(version: Int16) throws {
        let client = try TestBroker().client()
        let id = try client.createTopic("orders")
        try client.append("orders", count: 3)
        let wanted = WireClient.Wanted(topic: version < 13 ? "orders" : "", topicID: version < 13 ? .zero : id)
        let reply = try client.call(WireClient.fetchRequest([wanted]), version: version)
        #expect(reply.code == .none)
        let topic = try #require(reply.responses.first)
        #expect(version < 13 ? topic.topic == "orders" : topic.topicID == id)
        let partition = try #require(topic.partitions.first)
        #expect(partition.code == .none)
        #expect(partition.highWatermark == 3)
        #expect(partition.lastStableOffset == 3)
        #expect(try Self.batches(partition.records) == [0...2])
    }

    @Test func anOffsetInsideABatchGivesTheWholeBatch() throws {
        let client = try filled(TestBroker())
        let found = try client.fetch("orders", from: 15)
        #expect(try Self.batches(found.records).first == 10...19)
    }

    @Test func whatIsFetchedIsWhatWasProducedButForOffsetAndEpoch() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        var batch = TestBatch(count: 2)
        try client.append("orders", count: 3)
        #expect(try client.produce("orders", batch.bytes()).code == .none)
        (batch.baseOffset, batch.leaderEpoch) = (3, 0)
        #expect(try client.fetch("orders", from: 3).records == batch.bytes())
    }

    @Test func theFirstBatchIsGivenThoughItIsLargerThanAllowed() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        try client.append("orders", count: 1, valueSize: 5_000)
        try client.append("orders", count: 1, valueSize: 5_000)
        #expect(try Self.batches(client.fetch("orders", from: 0, maxBytes: 1).records) == [0...0])
        var request = WireClient.fetchRequest([WireClient.Wanted(topic: "orders")])
        request.maxBytes = 1
        let reply = try client.call(request, version: 12)
        #expect(try Self.batches(reply.responses[0].partitions[0].records) == [0...0])
    }

    @Test func onlyTheFirstPartitionMayExceedTheLimit() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders", partitions: 2)
        for partition in Int32(0)..<2 { try client.append("orders", count: 1, valueSize: 5_000, partition: partition) }
        var request = WireClient.fetchRequest([
            .init(topic: "orders", partition: 0), .init(topic: "orders", partition: 1),
        ])
        request.maxBytes = 1
        let partitions = try client.call(request, version: 12).responses.flatMap(\.partitions)
        #expect(try partitions.map { try Self.batches($0.records).count } == [1, 0])
        #expect(partitions.map(\.code) == [.none, .none])
        #expect(partitions[1].highWatermark == 1)
    }

    @Test func oneReplyIsCappedByTheBroker() throws {
        let client = try TestBroker { $0.server.maxFetchBytes = 10_000 }.client()
        #expect(KafkaServerOptions().maxFetchBytes == 1 << 20)
        try client.createTopic("orders")
        for _ in 0..<5 { try client.append("orders", count: 1, valueSize: 4_000) }
        // Records may be in memory and on disk in part; a reply holds those of one place.
        let found = try client.fetch("orders", from: 0, maxBytes: 50 << 20)
        #expect((1...2).contains(try Self.batches(found.records).count))
    }

    /// Long runs are written past the page cache, to the middle of a block; large replies are sent from their file.
    @Test func largeRepliesAreSentFromTheFile() throws {
        let folder = try TemporaryFolder()
        let broker = try TestBroker(onDisk: folder("data")) { $0.server.maxFetchBytes = 8 << 20 }
        let client = try broker.client()
        try client.createTopic("orders", partitions: 2)
        var stored: [[UInt8]] = [[], []]
        func append(_ count: Int, size: Int, partition: Int, at offset: Int64) throws {
            var batch = TestBatch(count: count, valueSize: size)
            #expect(try client.produce("orders", batch.bytes(), partition: Int32(partition)).code == .none)
            (batch.baseOffset, batch.leaderEpoch) = (offset, 0)
            stored[partition] += batch.bytes()
        }
        for partition in 0..<2 {
            for (index, size) in [100_000, 83_337, 111_111].enumerated() {
                try append(3, size: size + partition, partition: partition, at: Int64(index * 3))
            }
        }
        // Compared out of `#expect`, which would print them.
        func isSame(_ found: [[UInt8]?], _ wanted: [[UInt8]]) -> Bool { found == wanted }
        let start = TestBatch(count: 3, valueSize: 100_001).bytes().count
        let fromFiles = broker.group.counters.bytesSentFromFiles
        // Twice: checked, and known to be right. Both partitions in one reply, and one from the middle on.
        for round in 1...2 {
            let wanted = (0..<2).map { WireClient.Wanted(topic: "orders", partition: $0, maxBytes: 4 << 20) }
            var request = WireClient.fetchRequest(wanted)
            request.maxBytes = 8 << 20
            let partitions = try client.call(request, version: 12).responses.flatMap(\.partitions)
            let isWhole = isSame(partitions.map(\.records), stored)
            #expect(isWhole, "round \(round)")
            let later = try client.fetch("orders", from: 4, partition: 1, maxBytes: 4 << 20)
            let isEnd = isSame([later.records], [Array(stored[1][start...])])
            #expect(isEnd, "round \(round)")
            #expect(fromFiles.value == round * (stored[0].count + stored[1].count + stored[1].count - start))
        }
        // The newest records, in memory and later in the last block of the file, behind what is sent from there.
        for number in Int64(0)..<3 {
            try append(1, size: 40, partition: 0, at: 9 + number)
            var request = WireClient.fetchRequest(
                [.init(topic: "orders", maxBytes: 4 << 20)], minBytes: Int32(stored[0].count))
            request.maxBytes = 8 << 20
            let found = try client.call(request, version: 12).responses[0].partitions[0].records
            let isAll = isSame([found], [stored[0]])
            #expect(isAll, "record \(number)")
        }
        broker.stop()
    }

    @Test func offsetsOutsideTheLogAreOutOfRange() throws {
        let client = try filled(TestBroker())
        for offset in [Int64(-1), 41, .max, .min] {
            #expect(try client.fetch("orders", from: offset).code == .offsetOutOfRange, "\(offset)")
        }
        let end = try client.fetch("orders", from: 40)
        #expect(end.code == .none)
        #expect((end.records ?? []).isEmpty)
    }

    @Test func readCommittedGetsAnEmptyListOfAbortedTransactions() throws {
        let client = try filled(TestBroker())
        var request = WireClient.fetchRequest([WireClient.Wanted(topic: "orders")])
        request.isolationLevel = 1
        let committed = try client.call(request, version: 12).responses[0].partitions[0]
        #expect(committed.abortedTransactions == [])
        #expect(committed.lastStableOffset == committed.highWatermark)
        request.isolationLevel = 0
        let uncommitted = try client.call(request, version: 12).responses[0].partitions[0]
        #expect(uncommitted.abortedTransactions == nil)
        #expect(uncommitted.lastStableOffset == 40)
    }

    @Test func unknownNamesIDsAndPartitionsAreTold() throws {
        let client = try TestBroker().client()
        let id = try client.createTopic("orders")
        #expect(try client.fetch("missing", from: 0).code == .unknownTopicOrPartition)
        #expect(try client.fetch("orders", from: 0, partition: 9).code == .unknownTopicOrPartition)
        let byID = try client.call(
            WireClient.fetchRequest([
                .init(topicID: TopicID(high: 7, low: 7)), .init(topicID: id, partition: 9),
            ]), version: 13)
        #expect(byID.responses.flatMap(\.partitions).map(\.code) == [.unknownTopicID, .unknownTopicOrPartition])
    }

    @Test func anotherLeaderEpochIsUnknown() throws {
        let client = try filled(TestBroker())
        func code(_ epoch: Int32) throws -> ErrorCode {
            let wanted = WireClient.Wanted(topic: "orders", leaderEpoch: epoch)
            return try client.call(WireClient.fetchRequest([wanted]), version: 12).responses[0].partitions[0].code
        }
        #expect(try code(0) == .none)
        #expect(try code(1) == .unknownLeaderEpoch)
    }

    // MARK: Waiting

    @Test func aProduceWakesAParkedFetch() throws {
        let broker = try TestBroker()
        let reader = try filled(broker)
        let writer = try broker.client()
        let id = try reader.send(
            WireClient.fetchRequest([.init(topic: "orders", offset: 40)], maxWaitMs: 60_000), version: 12)
        try waitUntil { broker.parkedFetches == 1 }
        #expect(!reader.hasInput)
        try writer.append("orders", count: 2)
        let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: id)
        #expect(try Self.batches(reply.responses[0].partitions[0].records) == [40...41])
        #expect(broker.parkedFetches == 0)
    }

    @Test func aFetchWaitsUntilThereAreMinBytes() throws {
        let broker = try TestBroker()
        let reader = try broker.client()
        try reader.createTopic("orders")
        let id = try reader.send(
            WireClient.fetchRequest([.init(topic: "orders")], maxWaitMs: 5_000, minBytes: 3_000), version: 12)
        let writer = try broker.client()
        for _ in 0..<3 { try writer.append("orders", count: 1, valueSize: 1_000) }
        let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: id)
        let found = try Self.batches(reply.responses[0].partitions[0].records)
        #expect(found == [0...0, 1...1, 2...2])
    }

    @Test func maxWaitEndsTheWaitWithWhatThereIs() throws {
        let broker = try TestBroker()
        let reader = try broker.client()
        try reader.createTopic("orders")
        try reader.append("orders", count: 1)
        let reply = try reader.call(
            WireClient.fetchRequest([.init(topic: "orders")], maxWaitMs: 20, minBytes: 1 << 20), version: 12)
        #expect(try Self.batches(reply.responses[0].partitions[0].records) == [0...0])
    }

    @Test func anErrorEndsTheWaitAtOnce() throws {
        let client = try filled(TestBroker())
        let reply = try client.call(
            WireClient.fetchRequest(
                [.init(topic: "orders", offset: 40), .init(topic: "missing")], maxWaitMs: 600_000), version: 12)
        #expect(reply.responses.flatMap(\.partitions).map(\.code) == [.none, .unknownTopicOrPartition])
    }

    @Test(arguments: [Int16(12), 13]) func deletingTheTopicEndsTheWait(version: Int16) throws {
        let broker = try TestBroker()
        let reader = try broker.client()
        let topicID = try reader.createTopic("orders")
        let wanted = WireClient.Wanted(topic: version < 13 ? "orders" : "", topicID: version < 13 ? .zero : topicID)
        let id = try reader.send(WireClient.fetchRequest([wanted], maxWaitMs: 600_000), version: version)
        try waitUntil { broker.parkedFetches == 1 }
        #expect(try broker.client().deleteTopic("orders") == .none)
        let reply = try reader.receive(FetchResponse.self, version: version, correlationID: id)
        let code = try #require(reply.responses.first?.partitions.first).code
        #expect(code == (version < 13 ? .unknownTopicOrPartition : .unknownTopicID))
    }

    @Test func aConnectionThatGoesFreesItsParkedFetch() throws {
        let broker = try TestBroker()
        let reader = try filled(broker)
        try reader.send(
            WireClient.fetchRequest([.init(topic: "orders", offset: 40)], maxWaitMs: 600_000), version: 12)
        try waitUntil { broker.parkedFetches == 1 }
        reader.reset()
        try waitUntil { broker.parkedFetches == 0 }
        try broker.client().append("orders", count: 1)
    }

    @Test func aStopAnswersParkedFetches() throws {
        let broker = try TestBroker()
        let reader = try filled(broker)
        let id = try reader.send(
            WireClient.fetchRequest([.init(topic: "orders", offset: 40)], maxWaitMs: 600_000), version: 12)
        try waitUntil { broker.parkedFetches == 1 }
        broker.stop()
        #expect(try reader.receive(FetchResponse.self, version: 12, correlationID: id).code == .none)
    }
}
