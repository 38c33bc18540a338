import BrokerCore
import BrokerTestKit
import KafkaModel
import KafkaWire
import Security
import Telemetry
import Testing
import Transport

@testable import KafkaServer

/// Requests that are held against quotas, over the wire. What is reckoned is tested by itself (`SecurityTests`); here are its places:
/// what is counted, what replies tell, and who is not read meanwhile. No test waits for a time: where a wait must not end, it is
/// of hours, and where it must, of milliseconds.
@Suite struct QuotaTests {
    private static let batch = TestBatch(count: 1, valueSize: 1000).bytes()

    private func set(_ client: WireClient, _ entity: [(type: String, name: String?)], _ limits: [(String, Double?)])
        throws
    {
        let reply = try client.call(AccessRequests.quotas(entity, limits.map { (key: $0.0, value: $0.1) }))
        try #require(reply.entries.first?.errorCode == 0)
    }

    private let test: [(type: String, name: String?)] = [("client-id", "test")]

    private func producing(acks: Int16 = -1) -> ProduceRequest {
        WireClient.produceRequest("t", Self.batch, acks: acks)
    }

    /// Of a request that is counted first, as Kafka reckons it: all of ten windows are taken for empty.
    private func wait(bytes: Int, limit: Double) -> Int32 {
        Int32(((Double(bytes) / 10 - limit) / limit * 10_000).rounded())
    }

    private func bytes(of request: some KafkaRequest, _ version: Int16) -> Int {
        WireClient.frame(request, version: version, correlationID: 1).count - 4
    }

    // MARK: Produce

    @Test func aProducerOverItsRateIsToldAndNotRead() throws {
        let client = try TestBroker().client()
        let id = try client.createTopic("t")
        // Each client id by itself.
        try set(client, [("client-id", nil)], [("producer_byte_rate", 1)])
        for version in ProduceRequest.versions where version >= 3 {
            let producer = try client.broker.client()
            var request = producing()
            if version >= 13 { (request.topicData[0].name, request.topicData[0].topicID) = ("", id) }
            let frame = WireClient.frame(request, version: version, correlationID: 7, clientID: "version-\(version)")
            try producer.send(bytes: frame)
            let reply = try producer.receive(ProduceResponse.self, version: version, correlationID: 7)
            #expect(reply.responses[0].partitionResponses[0].errorCode == 0)
            #expect(reply.throttleTimeMs == wait(bytes: frame.count - 4, limit: 1))
            #expect(client.broker.mutedConnections == 1)
            producer.reset()
            try waitUntil { client.broker.mutedConnections == 0 }
        }
        let producer = try client.broker.client()
        _ = try producer.call(producing(), version: 12)
        try producer.send(ApiVersionsRequest())
        // Another connection of the same client is read.
        let another = try client.broker.client()
        for _ in 0..<20 { _ = try another.call(ApiVersionsRequest()) }
        #expect(!producer.hasInput && client.broker.mutedConnections == 1)
        // Its own produce is counted with that of the first one.
        #expect(try another.call(producing(), version: 12).throttleTimeMs > wait(bytes: 1500, limit: 1))
        #expect(client.broker.mutedConnections == 2)
    }

    @Test func aWaitThatIsOverIsOver() throws {
        let client = try TestBroker().client()
        try client.createTopic("t")
        let bytes = bytes(of: producing(), 12)
        // 10 ms.
        try set(client, test, [("producer_byte_rate", (Double(bytes) / 10 / 1.001).rounded(.down))])
        let producer = try client.broker.client()
        #expect(try producer.call(producing(), version: 12).throttleTimeMs > 0)
        _ = try producer.call(ApiVersionsRequest())
        #expect(client.broker.mutedConnections == 0)
    }

    @Test func aProduceWithoutReplyIsCountedToo() throws {
        let client = try TestBroker().client()
        try client.createTopic("t")
        try set(client, test, [("producer_byte_rate", 1)])
        let producer = try client.broker.client()
        try producer.send(producing(acks: 0), version: 12)
        try waitUntil { client.broker.mutedConnections == 1 }
        // What is sent behind it stays where it is.
        try producer.send(producing(acks: 0), version: 12)
        #expect(
            try client.broker.client().call(producing(), version: 12).responses[0].partitionResponses[0].baseOffset == 1
        )
    }

    /// A change holds for the next request, and takes back what it has brought.
    @Test func changesHoldAtOnce() throws {
        let client = try TestBroker().client()
        try client.createTopic("t")
        for _ in 0..<3 {
            #expect(try client.call(producing(), version: 12).throttleTimeMs == 0)
            try set(client, test, [("producer_byte_rate", 1)])
            #expect(try client.broker.client().call(producing(), version: 12).throttleTimeMs > 0)
            try set(client, test, [("producer_byte_rate", 1e9)])
            #expect(try client.call(producing(), version: 12).throttleTimeMs == 0)
            try set(client, test, [("producer_byte_rate", nil)])
            #expect(client.broker.broker.quotas.version == 0)
        }
    }

    @Test func quotasHoldAfterARestart() throws {
        let client = try TestBroker().client()
        try client.createTopic("t")
        try set(client, test, [("producer_byte_rate", 1)])
        let again = try client.broker.restarted().client()
        #expect(try again.call(producing(), version: 12).throttleTimeMs > 0)
    }

    // MARK: Fetch

    @Test func aFetchOverItsRateIsEmptyAndNotCounted() throws {
        let client = try TestBroker().client()
        try client.createTopic("t")
        try client.append("t", count: 1, valueSize: 1000)
        try set(client, test, [("consumer_byte_rate", 100)])
        for version in FetchRequest.versions where version < 13 {
            let reader = try client.broker.client()
            let reply = try reader.call(WireClient.fetchRequest([.init(topic: "t")]), version: version)
            // The same each time: what was not sent is taken back.
            #expect(reply.responses.isEmpty && reply.errorCode == 0)
            #expect(reply.throttleTimeMs > 0 && reply.throttleTimeMs < 5000)
        }
        try set(client, test, [("consumer_byte_rate", 1e9)])
        #expect(
            try client.broker.client().call(WireClient.fetchRequest([.init(topic: "t")]), version: 12).responses.count
                == 1)
    }

    /// A session goes on behind the wait, and tells what it could not tell.
    @Test(arguments: [1000, 0]) func aSessionKeepsWhatItHasToTell(inline: Int) throws {
        let client = try TestBroker { $0.server.maxInlinePartitions = inline }.client()
        try client.createTopic("t")
        func fetch(_ session: Int32, _ epoch: Int32, _ wanted: [WireClient.Wanted] = []) throws -> FetchResponse {
            try client.call(WireClient.fetchRequest(wanted, sessionID: session, epoch: epoch), version: 12)
        }
        // Without a session where it cannot be told of.
        try client.append("t", count: 1, valueSize: 1000)
        try set(client, test, [("consumer_byte_rate", 100)])
        let refused = try client.broker.client().call(
            WireClient.fetchRequest([.init(topic: "t")], epoch: 0), version: 12)
        #expect(refused.throttleTimeMs > 0 && refused.sessionID == 0 && refused.errorCode == 0)
        #expect(client.broker.fetchSessions == 0)
        try set(client, test, [("consumer_byte_rate", nil)])
        let begun = try fetch(0, 0, [.init(topic: "t")])
        #expect(begun.sessionID != 0 && begun.responses.count == 1)
        try client.append("t", count: 1, valueSize: 1000)
        // A short wait: about 60 bytes stand around the records.
        let records = try #require(begun.responses[0].partitions[0].records?.count)
        try set(client, test, [("consumer_byte_rate", (Double(records + 40) / 10).rounded(.down))])
        let empty = try fetch(begun.sessionID, 1, [.init(topic: "t", offset: 1)])
        #expect(empty.throttleTimeMs > 0 && empty.sessionID == begun.sessionID && empty.responses.isEmpty)
        try set(try client.broker.client(), test, [("consumer_byte_rate", nil)])
        let told = try fetch(begun.sessionID, 2)
        #expect(told.responses.first?.partitions.first?.records?.isEmpty == false && told.errorCode == 0)
    }

    /// More than a quota allows in its windows would never come.
    @Test func aFetchIsCutToWhatMayCome() throws {
        let client = try TestBroker().client()
        try client.createTopic("t")
        for _ in 0..<10 { try client.append("t", count: 1, valueSize: 1000) }
        try set(client, test, [("consumer_byte_rate", 500)])
        let reply = try client.call(WireClient.fetchRequest([.init(topic: "t")]), version: 12)
        #expect(reply.throttleTimeMs == 0)
        let bytes = try #require(reply.responses.first?.partitions.first?.records?.count)
        #expect(bytes > 1000 && bytes <= 5000)
    }

    // MARK: Request time

    /// Each API in each version tells the wait where it has the field, and none is left out.
    @Test func everyReplyThatCanTellsTheWait() throws {
        let broker = try TestBroker { options in
            (options.broker.access.hasAuthorizer, options.broker.access.allowsWithoutAcl) = (true, true)
        }
        let first = try broker.client()
        let id = try first.createTopic("orders", partitions: 2)
        try first.append("orders", count: 1)
        try set(first, test, [("request_percentage", 1e-12)])
        let topic = EveryVersionTests.Named(name: "orders", id: id)
        for api in APITable.all {
            let request = EveryVersionTests.sample(api.key, topic)
            for version in api.versions {
                let client = try broker.client()
                let told = try Self.wait(EveryVersionTests.adapted(request, version, topic), version, client)
                #expect(told == (Self.tells(api.key, version) ? 1000 : 0), "\(api.key) version \(version)")
                #expect(broker.mutedConnections == 1, "\(api.key) version \(version)")
                client.reset()
                try waitUntil { broker.mutedConnections == 0 }
            }
        }
    }

    /// The oldest version that tells it, by the schemas.
    private static func tells(_ key: APIKey, _ version: Int16) -> Bool {
        let oldest: [APIKey: Int16] = [
            .listOffsets: 2, .metadata: 3, .offsetCommit: 3, .offsetFetch: 3, .findCoordinator: 1, .joinGroup: 2,
            .heartbeat: 1, .leaveGroup: 1, .syncGroup: 1, .describeGroups: 1, .listGroups: 1, .apiVersions: 1,
            .saslHandshake: .max, .saslAuthenticate: .max, .writeTxnMarkers: .max, .describeQuorum: .max,
        ]
        return version >= oldest[key] ?? 0
    }

    private static func wait(_ request: some KafkaRequest, _ version: Int16, _ client: WireClient) throws -> Int32 {
        let reply = try client.call(request, version: version)
        let field = Mirror(reflecting: reply).children.first { $0.label == "throttleTimeMs" }
        return field?.value as? Int32 ?? 0
    }

    /// A reply that a worker has encoded.
    @Test func aReplyFromAWorkerTellsTheWait() throws {
        let client = try TestBroker().client()
        try client.createTopic("t")
        try set(client, test, [("request_percentage", 1e-12)])
        var request = MetadataRequest()
        request.topics = (0..<2000).map { number in
            var topic = MetadataRequest.MetadataRequestTopic()
            topic.name = "no-such-topic-\(number)"
            return topic
        }
        request.allowAutoTopicCreation = false
        let reply = try client.call(request)
        #expect(reply.throttleTimeMs == 1000 && reply.topics.count == 2000)
    }

    // MARK: Mutations

    private func creating(_ names: [String], partitions: Int32 = 1) -> CreateTopicsRequest {
        var request = CreateTopicsRequest()
        request.topics = names.map { name in
            var topic = CreateTopicsRequest.CreatableTopic()
            (topic.name, topic.numPartitions, topic.replicationFactor) = (name, partitions, 1)
            return topic
        }
        request.timeoutMs = 30_000
        return request
    }

    /// A rate of a hundred-thousandth a second: nothing comes back while the test runs, and the burst is far below one.
    private let rate = 1e-5

    @Test func whatIsOverTheMutationQuotaIsRefusedByNewVersions() throws {
        let client = try TestBroker().client()
        try set(client, test, [("controller_mutation_rate", rate)])
        let reply = try client.call(creating(["a", "b"], partitions: 3), version: 6)
        // Into debt by the first, so the second is refused. A wait has a bound.
        #expect(reply.topics.map(\.code) == [.none, .throttlingQuotaExceeded])
        #expect(reply.throttleTimeMs > 3_000_000 && Int64(reply.throttleTimeMs) <= TokenBucket.maxWait.milliseconds)
        #expect(client.broker.broker.catalog.topic(named: "b") == nil)
        let other = try client.broker.client()
        var deletion = DeleteTopicsRequest()
        deletion.topicNames = ["a"]
        #expect(try other.call(deletion, version: 5).responses.map(\.code) == [.throttlingQuotaExceeded])
        let third = try client.broker.client()
        var growth = CreatePartitionsRequest()
        growth.topics = [CreatePartitionsRequest.CreatePartitionsTopic()]
        (growth.topics[0].name, growth.topics[0].count, growth.topics[0].assignments) = ("a", 5, nil)
        growth.timeoutMs = 30_000
        #expect(try third.call(growth, version: 3).results.map(\.errorCode) == [89])
        // What is only looked at, or cannot be done, costs nothing and is told as ever.
        let fourth = try client.broker.client()
        var validation = creating(["c"])
        validation.validateOnly = true
        #expect(try fourth.call(validation).topics.map(\.code) == [.none])
        #expect(try fourth.call(creating(["a"])).topics.map(\.code) == [.topicAlreadyExists])
        #expect(client.broker.broker.catalog.topic(named: "a")?.partitions.count == 3)
    }

    @Test func oldVersionsDoAllAndWait() throws {
        let client = try TestBroker().client()
        try set(client, test, [("controller_mutation_rate", rate)])
        let reply = try client.call(creating(["a", "b"]), version: 5)
        #expect(reply.topics.map(\.code) == [.none, .none] && reply.throttleTimeMs > 0)
        #expect(client.broker.mutedConnections == 1)
        let other = try client.broker.client()
        var deletion = DeleteTopicsRequest()
        deletion.topicNames = ["a"]
        let deleted = try other.call(deletion, version: 4)
        #expect(deleted.responses.map(\.code) == [.none] && deleted.throttleTimeMs > 0)
    }

    @Test func topicsThatMetadataMakesAreCounted() throws {
        let client = try TestBroker().client()
        try set(client, test, [("controller_mutation_rate", rate)])
        var request = MetadataRequest()
        request.topics = ["a", "b"].map { name in
            var topic = MetadataRequest.MetadataRequestTopic()
            topic.name = name
            return topic
        }
        let reply = try client.call(request)
        #expect(reply.topics.map(\.errorCode).sorted() == [0, 3] && reply.throttleTimeMs == 0)
    }

    // MARK: Who is counted

    @Test func aUsersQuotaIsOverHisClients() throws {
        let client = try TestBroker { $0.owner = .user("alice") }.client()
        try client.createTopic("t")
        try set(client, [("user", "bob")], [("producer_byte_rate", 1)])
        #expect(try client.call(producing(), version: 12).throttleTimeMs == 0)
        try set(client, test, [("producer_byte_rate", 1)])
        try set(client, [("user", "alice")], [("producer_byte_rate", 1e9)])
        #expect(try client.call(producing(), version: 12).throttleTimeMs == 0)
        try set(client, [("user", "alice"), ("client-id", "test")], [("producer_byte_rate", 1)])
        #expect(try client.call(producing(), version: 12).throttleTimeMs > 0)
    }

    /// Who makes up a client id for each connection takes as much memory as there are places.
    @Test func madeUpClientsAreBounded() throws {
        let broker = try TestBroker()
        let admin = try broker.client()
        try set(admin, [("client-id", nil)], [("request_percentage", 1e9)])
        for number in 0..<50 {
            let client = try broker.client()
            let id = String(repeating: "x", count: QuotaBuckets.maxClientBytes + 1 + 100 * number)
            try client.send(
                bytes: WireClient.frame(ApiVersionsRequest(), version: 0, correlationID: 1, clientID: id))
            _ = try client.receiveFrame()
        }
        _ = try admin.call(ApiVersionsRequest())
        // One for those whose ids are too long, one for the client of this test.
        #expect(broker.broker.quotas.bucketCount == 2)
    }

    // MARK: The other edge

    @Test func theGatewaysBytesCountWithTheUsers() throws {
        let client = try TestBroker { $0.owner = .user("alice") }.client()
        let broker = client.broker.broker
        try client.createTopic("t")
        var gateway = QuotaClient()
        #expect(broker.admitProduce(1 << 30, of: "alice", client: &gateway) == nil)
        try set(client, [("user", "alice")], [("producer_byte_rate", 1000)])
        // What goes over the rate goes by, and what comes then waits.
        #expect(broker.admitProduce(1 << 20, of: "alice", client: &gateway) == nil)
        let wait = try #require(broker.admitProduce(1 << 20, of: "alice", client: &gateway))
        #expect(try #require(broker.admitProduce(1 << 20, of: "alice", client: &gateway)) <= wait)
        var other = QuotaClient()
        #expect(broker.admitProduce(1 << 30, of: "bob", client: &other) == nil)
        #expect(try client.call(producing(), version: 12).throttleTimeMs > 0)
    }

    // MARK: Connections

    @Test func aMutedClientThatGoesIsNoticed() throws {
        let client = try TestBroker().client()
        try client.createTopic("t")
        try set(client, test, [("producer_byte_rate", 1)])
        for isReset in [true, false] {
            let producer = try client.broker.client()
            _ = try producer.call(producing(), version: 12)
            #expect(client.broker.mutedConnections == 1)
            if isReset { producer.reset() } else { producer.close() }
            try waitUntil { client.broker.connectionCount == 1 }
            #expect(client.broker.mutedConnections == 0)
        }
    }

    @Test func aStopDoesNotWaitForWaits() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("t")
        try set(client, test, [("producer_byte_rate", 1)])
        _ = try client.call(producing(), version: 12)
        #expect(broker.mutedConnections == 1)
        broker.group.stop(within: .seconds(600))
        #expect(client.isClosedByBroker())
    }

    /// Kept for a while unanswered, then closed; others come by.
    @Test func tooManyConnectionsOfAnAddressAreClosed() throws {
        let client = try TestBroker().client()
        try set(client, [("ip", "127.0.0.1")], [("connection_creation_rate", 1)])
        let refused = client.broker.group.counters.refusedByRate
        // Ten windows at one a second; more on a machine so slow that seconds go by.
        var opened = 0
        var late = try client.broker.client()
        while try !isRefused(late) {
            opened += 1
            late = try client.broker.client()
        }
        #expect(opened >= 10 && refused.value == 1)
        try set(client, [("ip", "127.0.0.1")], [("connection_creation_rate", nil)])
        _ = try client.broker.client().call(ApiVersionsRequest())
    }

    private func isRefused(_ client: WireClient) throws -> Bool {
        do {
            _ = try client.call(ApiVersionsRequest())
            return false
        } catch WireClient.Failure.closed {
            return true
        }
    }
}
