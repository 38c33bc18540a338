import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

@testable import KafkaServer

/// Incremental fetch sessions. Source: KIP-227.
@Suite struct FetchSessionTests {
    /// A session over both partitions of `orders`, each with one record.
    private func session(_ client: WireClient) throws -> Int32 {
        try client.createTopic("orders", partitions: 2)
        for partition in Int32(0)..<2 { try client.append("orders", count: 1, partition: partition) }
        let reply = try client.call(
            WireClient.fetchRequest(
                [.init(topic: "orders", partition: 0), .init(topic: "orders", partition: 1)], epoch: 0), version: 12)
        #expect(reply.code == .none)
        #expect(reply.responses.flatMap(\.partitions).count == 2)
        #expect(reply.sessionID > 0)
        return reply.sessionID
    }

    private func next(
        _ client: WireClient, _ id: Int32, _ epoch: Int32, _ changed: [WireClient.Wanted] = [], version: Int16 = 12
    ) throws -> FetchResponse {
        try client.call(WireClient.fetchRequest(changed, sessionID: id, epoch: epoch), version: version)
    }

    private static let atEnd = [
        WireClient.Wanted(topic: "orders", partition: 0, offset: 1),
        WireClient.Wanted(topic: "orders", partition: 1, offset: 1),
    ]

    @Test func withoutNewsTheReplyIsEmpty() throws {
        let client = try TestBroker().client()
        let id = try session(client)
        #expect(try next(client, id, 1, Self.atEnd).responses.isEmpty)
        let reply = try next(client, id, 2)
        #expect(reply.code == .none)
        #expect(reply.sessionID == id)
        #expect(reply.responses.isEmpty)
    }

    @Test func onlyPartitionsWithNewsAreTold() throws {
        let client = try TestBroker().client()
        let id = try session(client)
        #expect(try next(client, id, 1, Self.atEnd).responses.isEmpty)
        try client.append("orders", count: 2, partition: 1)
        let reply = try next(client, id, 2)
        let partitions = reply.responses.flatMap(\.partitions)
        #expect(partitions.map(\.partitionIndex) == [1])
        #expect(try FetchTests.batches(partitions[0].records) == [1...2])
    }

    @Test func aForgottenPartitionIsNotTold() throws {
        let client = try TestBroker().client()
        let id = try session(client)
        var request = WireClient.fetchRequest(Self.atEnd, sessionID: id, epoch: 1)
        request.forgottenTopicsData = [FetchRequest.ForgottenTopic()]
        request.forgottenTopicsData[0].topic = "orders"
        request.forgottenTopicsData[0].partitions = [0]
        request.topics.removeFirst()
        #expect(try client.call(request, version: 12).responses.isEmpty)
        for partition in Int32(0)..<2 { try client.append("orders", count: 1, partition: partition) }
        #expect(try next(client, id, 2).responses.flatMap(\.partitions).map(\.partitionIndex) == [1])
    }

    @Test func aPartitionMayJoinTheSession() throws {
        let client = try TestBroker().client()
        let id = try session(client)
        try client.createTopic("more")
        try client.append("more", count: 1)
        let reply = try next(client, id, 1, Self.atEnd + [.init(topic: "more")])
        #expect(reply.responses.map(\.topic) == ["more"])
    }

    /// Names and ids find different logs. Its client begins anew.
    @Test(arguments: [Int16(12), 13]) func aRequestThatNamesTopicsInTheOtherWayIsRefused(version: Int16) throws {
        let client = try TestBroker().client()
        let topicID = try client.createTopic("orders")
        let wanted = WireClient.Wanted(topic: "orders", topicID: topicID)
        let begun = try client.call(WireClient.fetchRequest([wanted], epoch: 0), version: version)
        try #require(begun.sessionID > 0)
        let refused = try next(client, begun.sessionID, 1, [wanted], version: version == 12 ? 13 : 12)
        #expect(refused.code == .fetchSessionTopicIDError)
        #expect(refused.sessionID == 0 && refused.responses.isEmpty)
        // Nothing has happened to the session.
        try client.append("orders", count: 1)
        let reply = try next(client, begun.sessionID, 1, version: version)
        #expect(reply.code == .none && reply.responses.count == 1)
    }

    private func forgetting(_ partitions: [Int32], _ request: FetchRequest) -> FetchRequest {
        var request = request
        request.forgottenTopicsData = [FetchRequest.ForgottenTopic()]
        request.forgottenTopicsData[0].topic = "orders"
        request.forgottenTopicsData[0].partitions = partitions
        return request
    }

    /// In Kafka's order: what a request names and forgets is gone. A full one forgets nothing.
    @Test func whatIsNamedAndForgottenIsGone() throws {
        let client = try TestBroker().client()
        let id = try session(client)
        let request = forgetting([0], WireClient.fetchRequest(Self.atEnd, sessionID: id, epoch: 1))
        #expect(try client.call(request, version: 12).responses.isEmpty)
        for partition in Int32(0)..<2 { try client.append("orders", count: 1, partition: partition) }
        #expect(try next(client, id, 2).responses.flatMap(\.partitions).map(\.partitionIndex) == [1])
        let full = forgetting([0], WireClient.fetchRequest(Self.atEnd, sessionID: id, epoch: 0))
        let begun = try client.call(full, version: 12)
        #expect(begun.responses.flatMap(\.partitions).map(\.partitionIndex) == [0, 1])
        #expect(try next(client, begun.sessionID, 1).responses.flatMap(\.partitions).count == 2)
    }

    /// It ends, and the request is answered without one, whoever works it off; what it named, though forgotten, is told.
    @Test(arguments: [false, true], [1000, 1]) func aSessionThatForgetsAllEnds(named: Bool, inline: Int) throws {
        let broker = try TestBroker { $0.server.maxInlinePartitions = inline }
        let client = try broker.client()
        let id = try session(client)
        let asked = named ? [Self.atEnd[1]] : []
        let reply = try client.call(
            forgetting([0, 1], WireClient.fetchRequest(asked, maxWaitMs: 10, sessionID: id, epoch: 1)), version: 12)
        #expect(reply.code == .none && reply.sessionID == 0)
        #expect(reply.responses.flatMap(\.partitions).map(\.partitionIndex) == (named ? [1] : []))
        #expect(broker.fetchSessions == 0 && broker.server.sessionShare.bytes == 0)
        #expect(try next(client, id, 2).code == .fetchSessionIDNotFound)
    }

    @Test func theWrongEpochIsRefused() throws {
        let client = try TestBroker().client()
        let id = try session(client)
        #expect(try next(client, id, 2).code == .invalidFetchSessionEpoch)
        #expect(try next(client, id, 1).code == .none)
        #expect(try next(client, id, 1).code == .invalidFetchSessionEpoch)
        #expect(try next(client, id, 2).code == .none)
    }

    @Test func anUnknownSessionIsNotFound() throws {
        let client = try TestBroker().client()
        let reply = try next(client, 12_345, 1)
        #expect(reply.code == .fetchSessionIDNotFound)
        #expect(reply.sessionID == 0)
        #expect(reply.responses.isEmpty)
    }

    @Test func epochMinus1EndsTheSession() throws {
        let client = try TestBroker().client()
        let id = try session(client)
        let reply = try next(client, id, -1, Self.atEnd)
        #expect(reply.code == .none)
        #expect(reply.sessionID == 0)
        #expect(reply.responses.flatMap(\.partitions).count == 2)
        #expect(try next(client, id, 1).code == .fetchSessionIDNotFound)
    }

    @Test func epoch0ReplacesTheSession() throws {
        let client = try TestBroker().client()
        let id = try session(client)
        let reply = try next(client, id, 0, Self.atEnd)
        #expect(reply.code == .none)
        #expect(reply.sessionID != id)
        #expect(try next(client, id, 1).code == .fetchSessionIDNotFound)
        #expect(try next(client, reply.sessionID, 1).code == .none)
    }

    /// A crowd of new sessions does not put out one that is in use: without room, fetches are full ones.
    @Test func withoutAFreeSlotThereIsNoSession() throws {
        let client = try TestBroker { $0.server.fetchSessionSlots = 2 }.client()
        let first = try session(client)
        #expect(try next(client, 0, 0, Self.atEnd).sessionID != 0)
        let third = try next(client, 0, 0, Self.atEnd)
        #expect(third.code == .none)
        #expect(third.sessionID == 0)
        #expect(third.responses.flatMap(\.partitions).count == 2)
        #expect(try next(client, first, 1).code == .none)
    }

    @Test func withoutRoomInTheShareThereIsNoSession() throws {
        let broker = try TestBroker { $0.server.maxFetchSessionBytes = 2_000 }
        let client = try broker.client()
        let first = try session(client)
        let many = (Int32(0)..<20).map { WireClient.Wanted(topic: "missing", partition: $0) }
        let reply = try next(client, 0, 0, many)
        #expect(reply.sessionID == 0)
        #expect(reply.responses.flatMap(\.partitions).count == 20)
        // One that outgrows it ends, and its client begins anew.
        #expect(try next(client, first, 1, many).code == .fetchSessionIDNotFound)
        #expect(broker.fetchSessions == 0)
        #expect(broker.server.sessionShare.bytes == 0)
    }

    @Test func aFetchOfTooManyPartitionsIsRefused() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        func request(_ count: Int, forgotten: Int = 0) -> FetchRequest {
            var request = WireClient.fetchRequest([.init(topic: "x")], epoch: 0)
            let partition = request.topics[0].partitions[0]
            request.topics[0].partitions = Array(repeating: partition, count: count)
            for index in 0..<count { request.topics[0].partitions[index].partition = Int32(index) }
            guard forgotten > 0 else { return request }
            request.forgottenTopicsData = [FetchRequest.ForgottenTopic()]
            request.forgottenTopicsData[0].topic = "x"
            request.forgottenTopicsData[0].partitions = Array(0..<Int32(forgotten))
            return request
        }
        let most = KafkaConnection.maxEntries
        #expect(most == FetchSession.maxPartitions)
        for wanted in [request(most), request(1, forgotten: most)] {
            let reply = try client.call(wanted, version: 12)
            #expect(reply.code == .invalidRequest)
            #expect(reply.sessionID == 0)
        }
        #expect(broker.fetchSessions == 0)
        // One less, for the topic counts as well.
        #expect(try client.call(request(most - 1), version: 12).responses.flatMap(\.partitions).count == most - 1)
        // Before version 7 there is no field for it.
        try client.send(request(most), version: 6)
        #expect(client.isClosedByBroker())
    }

    @Test func versionsBefore7HaveNoSessions() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        let request = WireClient.fetchRequest([.init(topic: "orders")])
        #expect(try client.call(request, version: 6).sessionID == 0)
    }

    @Test func aRecreatedTopicIsUnknownByItsOldID() throws {
        let client = try TestBroker().client()
        let old = try client.createTopic("orders")
        let begun = try client.call(WireClient.fetchRequest([.init(topicID: old)], epoch: 0), version: 13)
        #expect(begun.code == .none)
        #expect(try client.deleteTopic("orders") == .none)
        let new = try client.createTopic("orders")
        #expect(new != old)
        try client.append("orders", count: 1)
        let reply = try next(client, begun.sessionID, 1, version: 13)
        #expect(reply.responses.flatMap(\.partitions).map(\.code) == [.unknownTopicID])
        let full = try client.call(WireClient.fetchRequest([.init(topicID: old)]), version: 13)
        #expect(full.responses.flatMap(\.partitions).map(\.code) == [.unknownTopicID])
        let found = try client.call(WireClient.fetchRequest([.init(topicID: new)]), version: 13)
        #expect(try FetchTests.batches(found.responses[0].partitions[0].records) == [0...0])
    }

    @Test func anErrorIsRepeatedUntilItIsGone() throws {
        let client = try TestBroker().client()
        let id = try session(client)
        let missing = WireClient.Wanted(topic: "late")
        #expect(try next(client, id, 1, Self.atEnd + [missing]).responses.map(\.topic) == ["late"])
        #expect(try next(client, id, 2).responses.map(\.topic) == ["late"])
        try client.createTopic("late")
        let back = try next(client, id, 3).responses
        #expect(back.map(\.topic) == ["late"])
        #expect(back.first?.partitions.first?.code == ErrorCode.none)
        #expect(try next(client, id, 4).responses.isEmpty)
    }

    @Test func aPartitionThatGaveRecordsStandsBehindTheOthersNextTime() throws {
        let client = try TestBroker().client()
        let id = try session(client)
        try client.append("orders", count: 1, valueSize: 900_000, partition: 0)
        try client.append("orders", count: 1, valueSize: 900_000, partition: 0)
        try client.append("orders", count: 1, valueSize: 900_000, partition: 1)
        // Room for one of these batches in a reply.
        let first = try next(client, id, 1, Self.atEnd).responses.flatMap(\.partitions)
        let served = try #require(first.first { !($0.records ?? []).isEmpty }).partitionIndex
        let second = try next(client, id, 2).responses.flatMap(\.partitions)
        #expect(second.first { !($0.records ?? []).isEmpty }?.partitionIndex == 1 - served)
    }
}
