import BrokerCore
import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import Telemetry
import Testing

@testable import KafkaServer
@testable import LogStorage
@testable import Transport

/// What a fetch waits for, what that costs the others, and what ends it.
@Suite struct FetchWaitTests {
    private static let forever: Int32 = 600_000

    private func topic(_ client: WireClient, partitions: Int32 = 1) throws {
        try client.createTopic("orders", partitions: partitions, configs: ["max.message.bytes": "10000000"])
    }

    private func log(_ broker: TestBroker, _ partition: Int32 = 0) throws -> PartitionLog {
        let topic = Array("orders".utf8).withUnsafeBytes { broker.broker.catalog.topic(named: $0) }
        return try #require(topic?.partition(partition))
    }

    private func parked(_ broker: TestBroker, _ count: Int = 1) throws {
        try waitUntil { broker.parkedFetches == count }
    }

    // MARK: What waiting costs

    @Test func aFetchOfManyPartitionsWaitsOnceInEachAndIsSeldomWoken() throws {
        let broker = try TestBroker()
        let reader = try broker.client()
        try topic(reader, partitions: 2)
        let wanted = [WireClient.Wanted(topic: "orders"), .init(topic: "orders", partition: 1)]
        let id = try reader.send(
            WireClient.fetchRequest(wanted, maxWaitMs: Self.forever, minBytes: 100_000), version: 12)
        try parked(broker)
        let writer = try broker.client()
        func looks() throws -> Int {
            try (0..<2).reduce(0) { try $0 + log(broker, $1).state.withLock { $0.waiters.looks } }
        }
        let before = try looks()
        var produced = 0
        while produced < 480 {
            try writer.append("orders", count: 1, valueSize: 100, partition: Int32(produced % 2))
            produced += 1
            for partition in Int32(0)..<2 {
                #expect(try log(broker, partition).state.withLock { $0.waiters.count } <= 1)
            }
        }
        // One look a commit, and the few that moving the threshold takes.
        #expect(try looks() - before <= produced + 60)
        #expect(broker.parkedFetches == 1)
        while broker.parkedFetches == 1, produced < 700 {
            try writer.append("orders", count: 1, valueSize: 100, partition: Int32(produced % 2))
            produced += 1
        }
        let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: id)
        let bytes = reply.responses.flatMap(\.partitions).reduce(0) { $0 + ($1.records?.count ?? 0) }
        #expect(bytes >= 100_000)
        #expect(bytes < 100_000 + 1000)
        for partition in Int32(0)..<2 { #expect(try log(broker, partition).state.withLock { $0.waiters.isEmpty }) }
    }

    @Test func growthOfOnePartitionAloneIsEnough() throws {
        let broker = try TestBroker()
        let reader = try broker.client()
        try topic(reader, partitions: 8)
        let wanted = (Int32(0)..<8).map { WireClient.Wanted(topic: "orders", partition: $0) }
        let id = try reader.send(
            WireClient.fetchRequest(wanted, maxWaitMs: Self.forever, minBytes: 50_000), version: 12)
        try parked(broker)
        let writer = try broker.client()
        for _ in 0..<6 { try writer.append("orders", count: 1, valueSize: 9_000, partition: 3) }
        let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: id)
        let found = reply.responses.flatMap(\.partitions).filter { !($0.records ?? []).isEmpty }
        #expect(found.map(\.partitionIndex) == [3])
    }

    // MARK: The minimum

    /// The broker's replies hold 1 MiB; a minimum of 50 MB means a full reply.
    @Test func aBacklogIsReadInFullRepliesWhateverTheMinimum() throws {
        let client = try TestBroker().client()
        try topic(client)
        for _ in 0..<20 { try client.append("orders", count: 1, valueSize: 150_000) }
        var offset: Int64 = 0
        var replies = 0
        while offset < 14 {
            var request = WireClient.fetchRequest(
                [.init(topic: "orders", offset: offset, maxBytes: 50 << 20)], maxWaitMs: Self.forever,
                minBytes: 50 << 20)
            request.maxBytes = 100 << 20
            let records = try client.call(request, version: 12).responses[0].partitions[0].records
            offset = try #require(try FetchTests.batches(records).last).upperBound + 1
            replies += 1
        }
        #expect(replies <= 3)
    }

    @Test func aFirstBatchAboveTheMaximumIsNotWaitedFor() throws {
        let client = try TestBroker().client()
        try topic(client, partitions: 2)
        try client.append("orders", count: 1, valueSize: 367_000)
        // Above the partition's maximum, above the request's, and with another partition that has nothing.
        for (partitionMax, requestMax) in [(Int32(100_000), Int32(1 << 30)), (1 << 20, 100_000), (100_000, 150_000)] {
            var request = WireClient.fetchRequest(
                [
                    .init(topic: "orders", maxBytes: partitionMax),
                    .init(topic: "orders", partition: 1, maxBytes: partitionMax),
                ], maxWaitMs: Self.forever, minBytes: 200_000)
            request.maxBytes = requestMax
            let reply = try client.call(request, version: 12).responses.flatMap(\.partitions)
            #expect(try FetchTests.batches(reply[0].records) == [0...0])
        }
    }

    /// 600 KB are there and the next 600 KB do not fit: waiting would bring nothing.
    @Test func whatTheNextReplyBringsIsNotWaitedFor() throws {
        let client = try TestBroker().client()
        try topic(client)
        for _ in 0..<2 { try client.append("orders", count: 1, valueSize: 600_000) }
        let reply = try client.call(
            WireClient.fetchRequest([.init(topic: "orders")], maxWaitMs: Self.forever, minBytes: 1_000_000), version: 12
        )
        #expect(try FetchTests.batches(reply.responses[0].partitions[0].records) == [0...0])
    }

    /// The same when the second arrives while it waits.
    @Test func aPartitionThatIsFullByGrowthEndsTheWait() throws {
        let broker = try TestBroker()
        let reader = try broker.client()
        try topic(reader)
        try reader.append("orders", count: 1, valueSize: 600_000)
        let id = try reader.send(
            WireClient.fetchRequest([.init(topic: "orders")], maxWaitMs: Self.forever, minBytes: 1_000_000), version: 12
        )
        try parked(broker)
        try broker.client().append("orders", count: 1, valueSize: 600_000)
        let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: id)
        #expect(try FetchTests.batches(reply.responses[0].partitions[0].records) == [0...0])
    }

    // MARK: What ends a wait

    @Test func recordsThatAreDeletedUnderTheReaderEndTheWait() throws {
        let broker = try TestBroker()
        let reader = try broker.client()
        try topic(reader)
        for _ in 0..<3 { try reader.append("orders", count: 1) }
        let id = try reader.send(
            WireClient.fetchRequest([.init(topic: "orders")], maxWaitMs: Self.forever, minBytes: 10_000), version: 12)
        try parked(broker)
        #expect(try broker.client().deleteRecords("orders", before: 2).code == .none)
        let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: id)
        #expect(reply.responses[0].partitions[0].code == .offsetOutOfRange)
    }

    @Test func recordsThatAreDeletedBehindTheReaderDoNot() throws {
        let broker = try TestBroker()
        let reader = try broker.client()
        try topic(reader)
        for _ in 0..<3 { try reader.append("orders", count: 1) }
        let id = try reader.send(
            WireClient.fetchRequest([.init(topic: "orders", offset: 3)], maxWaitMs: Self.forever), version: 12)
        try parked(broker)
        let other = try broker.client()
        #expect(try other.deleteRecords("orders", before: 2).code == .none)
        #expect(broker.parkedFetches == 1)
        try other.append("orders", count: 1)
        let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: id)
        #expect(try FetchTests.batches(reply.responses[0].partitions[0].records) == [3...3])
    }

    @Test func noWaitIsLongerThanItsLimit() throws {
        let broker = try TestBroker()
        let reader = try broker.client()
        try topic(reader)
        try reader.send(WireClient.fetchRequest([.init(topic: "orders")], maxWaitMs: .max), version: 12)
        try parked(broker)
        let due = Lock<Int64?>(nil)
        let asked = Signal()
        broker.group.loops[0].submit { loop in
            due.withLock { $0 = loop.nextDeadline().map { $0 - loop.now } }
            asked.raise()
        }
        try waitUntil { due.withLock { $0 } != nil }
        #expect(try #require(due.withLock { $0 }) <= Int64(FetchPlan.maxWaitMs) * 1_000_000)
    }

    @Test func aFetchOfManyPartitionsWaitsOnlyWithinTheShare() throws {
        let broker = try TestBroker { $0.server.maxParkedFetchBytes = 100 * FetchPlan.waitingBytesAPartition }
        let first = try broker.client()
        try topic(first, partitions: 90)
        let wanted = (Int32(0)..<90).map { WireClient.Wanted(topic: "orders", partition: $0) }
        let id = try first.send(WireClient.fetchRequest(wanted, maxWaitMs: Self.forever), version: 12)
        try parked(broker)
        let second = try broker.client()
        // No room: answered with what there is.
        let reply = try second.call(WireClient.fetchRequest(wanted, maxWaitMs: Self.forever), version: 12)
        #expect(reply.responses.flatMap(\.partitions).count == 90)
        // One of few partitions waits all the same.
        try second.send(WireClient.fetchRequest([wanted[0]], maxWaitMs: Self.forever), version: 12)
        try parked(broker, 2)
        try broker.client().append("orders", count: 1)
        _ = try first.receive(FetchResponse.self, version: 12, correlationID: id)
        try parked(broker, 0)
        #expect(broker.server.parkedShare.bytes == 0)
    }

    // MARK: A peer that has finished

    @Test func aClosedClientsFetchAndConnectionGo() throws {
        let broker = try TestBroker()
        let watcher = try broker.client()
        try topic(watcher)
        let clients = try (0..<20).map { _ in try broker.client() }
        for client in clients {
            try client.send(WireClient.fetchRequest([.init(topic: "orders")], maxWaitMs: .max), version: 12)
        }
        try parked(broker, 20)
        for client in clients { client.close() }
        try parked(broker, 0)
        try waitUntil { broker.group.counters.accepted.value - broker.group.counters.closed.value == 1 }
    }

    @Test func aHalfClosedClientHasItsFetchAnsweredAndTheRequestsBehindItDone() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try topic(client)
        let fetch = try client.send(
            WireClient.fetchRequest([.init(topic: "orders")], maxWaitMs: Self.forever), version: 12)
        try parked(broker)
        let produce = try client.send(
            WireClient.produceRequest("orders", TestBatch(count: 2, valueSize: 10).bytes()), version: 12)
        let again = try client.send(
            WireClient.fetchRequest([.init(topic: "orders", offset: 2)], maxWaitMs: Self.forever), version: 12)
        client.finishSending()
        let reply = try client.receive(FetchResponse.self, version: 12, correlationID: fetch)
        #expect(reply.responses[0].partitions[0].code == .none)
        let produced = try client.receive(ProduceResponse.self, version: 12, correlationID: produce)
        #expect(produced.responses[0].partitionResponses[0].code == .none)
        _ = try client.receive(FetchResponse.self, version: 12, correlationID: again)
        #expect(client.isClosedByBroker())
    }

    @Test func aClosedClientsJoinEnds() throws {
        let broker = try TestBroker()
        _ = try Member(broker.client(), group: "readers").joinAlone()
        var second = Member(try broker.client(), group: "readers")
        try second.takeMemberID()
        _ = try second.sendJoin()
        try waitUntil { broker.groupWaiters == 1 }
        second.client.close()
        try waitUntil { broker.groupWaiters == 0 }
        try waitUntil { broker.group.counters.accepted.value - broker.group.counters.closed.value <= 1 }
    }
}
