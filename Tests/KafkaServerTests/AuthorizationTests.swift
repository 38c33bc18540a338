import BrokerCore
import BrokerTestKit
import KafkaModel
import KafkaWire
import Security
import Testing

@testable import KafkaServer

/// Requests are held against ACLs: what each API needs and how it refuses is `AccessTable`'s, which is walked here.
@Suite struct AuthorizationTests {
    private func broker(_ configure: (inout TestBroker.Options) -> Void = { _ in }) throws -> TestBroker {
        try TestBroker { options in
            options.broker.access.hasAuthorizer = true
            configure(&options)
        }
    }

    /// To who is nobody, as everybody is here who has not said otherwise.
    private func permit(
        _ operation: AclOperation, _ resource: ResourceType, _ name: String, on broker: TestBroker,
        principal: String = "User:ANONYMOUS", _ permission: AclPermission = .allow, prefixed: Bool = false
    ) {
        let results = broker.broker.createAcls([
            .init(
                resource: resource.rawValue, name: name, pattern: prefixed ? 4 : 3, principal: principal, host: "*",
                operation: operation.rawValue, permission: permission.rawValue)
        ])
        #expect(results == [nil])
    }

    private func makeTopic(_ name: String, on broker: TestBroker, partitions: Int32 = 1) throws -> TopicID {
        try broker.broker.createTopic(
            name, partitions: partitions, replicationFactor: 1, settings: [:], validateOnly: false
        ).get().id
    }

    // MARK: The table

    private static let needed: Set<ErrorCode> = [
        .topicAuthorizationFailed, .groupAuthorizationFailed, .clusterAuthorizationFailed,
        .transactionalIDAuthorizationFailed,
    ]

    /// The codes of a reply that are not 0, wherever they stand.
    private static func codes(in reply: Any) -> Set<ErrorCode> {
        var found: Set<ErrorCode> = []
        for child in Mirror(reflecting: reply).children {
            if child.label?.lowercased().hasSuffix("errorcode") == true, let code = child.value as? Int16 {
                if code != 0 { found.insert(ErrorCode(rawValue: code)) }
            } else {
                found.formUnion(codes(in: child.value))
            }
        }
        return found
    }

    private static func ask(
        _ key: APIKey, _ topic: EveryVersionTests.Named, _ client: WireClient
    ) throws -> any KafkaResponse {
        func call<Asked: KafkaRequest>(_ request: Asked) throws -> any KafkaResponse { try client.call(request) }
        let request = EveryVersionTests.sample(key, topic)
        let version = type(of: request).versions.upperBound
        return try call(EveryVersionTests.adapted(request, version, topic))
    }

    @Test func eachAPIRefusesAsItsRowSaysAndNeedsNoMore() throws {
        for api in APITable.all where !AccessTable.open.contains(api.key) && !Self.apart.contains(api.key) {
            let broker = try broker()
            let topic = EveryVersionTests.Named(name: "orders", id: try makeTopic("orders", on: broker, partitions: 2))
            let client = try broker.client()
            let row = try #require(AccessTable.rows(of: api.key).first { !Self.unsampled.contains($0.kind) })
            let refused = Self.codes(in: try Self.ask(api.key, topic, client))
            let expected: Set<ErrorCode> =
                row.steps.first.map { $0.error == .none ? [] : [$0.error] } ?? []
            #expect(refused == expected, "\(api.key.name): refused by \(refused)")

            // What the row names, and nothing else.
            for step in row.steps {
                let need = try #require(step.needs.last)
                let name = need.resource == .cluster ? ResourcePattern.clusterName.text : "*"
                permit(need.operation, need.resource, name, on: broker)
            }
            let allowed = Self.codes(in: try Self.ask(api.key, topic, client))
            #expect(allowed.isDisjoint(with: Self.needed), "\(api.key.name): \(allowed)")
        }
    }

    /// Metadata leaves out what may not be seen; of tokens who is nobody, as here, is told nothing (`OneNodeTests`).
    private static let apart: Set<APIKey> = [
        .metadata, .createDelegationToken, .renewDelegationToken, .expireDelegationToken, .describeDelegationToken,
    ]

    /// Kinds of requests that the samples are not.
    private static let unsampled: Set<String> = [
        "a transactional batch", "a follower", "by name", "with a transactional id",
        "with a transactional id, two phases", "version 0 to 3",
    ]

    // MARK: Single ones

    @Test func whatIsNotAllowedIsNotTold() throws {
        let broker = try broker()
        let id = try makeTopic("hidden", on: broker)
        _ = try makeTopic("shown", on: broker)
        permit(.describe, .topic, "shown", on: broker)
        let client = try broker.client()
        #expect(try client.metadata(nil).topics.map(\.name) == ["shown"])
        let named = try client.metadata(["hidden", "missing", "shown"]).topics
        #expect(named.map(\.code) == [.topicAuthorizationFailed, .topicAuthorizationFailed, .none])
        #expect(named[0].topicID == .zero && named[0].partitions.isEmpty)
        var byID = MetadataRequest()
        byID.topics = [id, TopicID.random()].map { id in
            var topic = MetadataRequest.MetadataRequestTopic()
            (topic.topicID, topic.name) = (id, nil)
            return topic
        }
        let found = try client.call(byID).topics
        #expect(found.map(\.code) == [.topicAuthorizationFailed, .unknownTopicID])
        #expect(found.allSatisfy { $0.name == nil })
    }

    @Test func topicsAreMadeByUseOnlyForWhoMayMakeThem() throws {
        let broker = try broker()
        permit(.describe, .topic, "made-", on: broker, prefixed: true)
        let client = try broker.client()
        let refused = try client.metadata(["made-by-use"], mayCreate: true).topics
        #expect(refused.map(\.code) == [.topicAuthorizationFailed])
        #expect(broker.broker.catalog.topic(named: "made-by-use") == nil)
        permit(.create, .topic, "made-", on: broker, prefixed: true)
        #expect(try client.metadata(["made-by-use"], mayCreate: true).topics.map(\.code) == [.none])
    }

    @Test func aChangeHoldsForTheNextRequest() throws {
        let broker = try broker { $0.loops = 2 }
        _ = try makeTopic("orders", on: broker)
        let client = try broker.client()
        func produce() throws -> ErrorCode {
            try client.produce("orders", TestBatch(count: 1, valueSize: 8).bytes()).code
        }
        for _ in 0..<3 {
            #expect(try produce() == .topicAuthorizationFailed)
            permit(.write, .topic, "orders", on: broker)
            #expect(try produce() == .none)
            permit(.write, .topic, "ord", on: broker, .deny, prefixed: true)
            #expect(try produce() == .topicAuthorizationFailed)
            _ = broker.broker.deleteAcls([AclFilter()])
        }
    }

    /// Each would be a decision on the event loop that nobody has remembered.
    @Test func ofManyNamesThatNoTopicHasTheFirstAreAskedAbout() throws {
        let broker = try broker()
        _ = try makeTopic("orders", on: broker)
        permit(.write, .topic, "*", on: broker)
        let client = try broker.client()
        var request = WireClient.produceRequest("orders", TestBatch(count: 1).bytes())
        let good = request.topicData[0]
        request.topicData = (0..<510).map { number in
            var topic = good
            (topic.name, topic.partitionData[0].records) = ("missing-\(number)", [])
            return topic
        }
        request.topicData.append(good)
        let codes = try client.call(request, version: 12).responses.map(\.partitionResponses[0].code)
        #expect(codes[..<500].allSatisfy { $0 == .unknownTopicOrPartition })
        #expect(codes[500..<510].allSatisfy { $0 == .topicAuthorizationFailed })
        #expect(codes[510] == .none)
    }

    @Test func authorizedOperationsAreTheClients() throws {
        let broker = try broker()
        _ = try makeTopic("orders", on: broker)
        permit(.read, .topic, "orders", on: broker)
        permit(.alter, .cluster, "kafka-cluster", on: broker)
        let client = try broker.client()
        var request = MetadataRequest()
        request.topics = nil
        request.includeTopicAuthorizedOperations = true
        // READ, and DESCRIBE by it.
        #expect(try client.call(request).topics.map(\.topicAuthorizedOperations) == [1 << 3 | 1 << 8])
        var cluster = DescribeClusterRequest()
        cluster.includeClusterAuthorizedOperations = true
        #expect(try client.call(cluster).clusterAuthorizedOperations == 1 << 7 | 1 << 8)
        let open = try TestBroker().client()
        #expect(try open.call(cluster).clusterAuthorizedOperations == 8_096)
    }

    @Test func aSuperUserMayEverythingAndNobodyIsOne() throws {
        let broker = try broker { options in
            options.broker.access.superUsers = [.user("admin"), .anonymous]
            options.sasl = SaslSettings(mechanisms: [.scramSHA256], failureDelay: .zero, parting: .zero)
        }
        var salted = HashAlgorithm.sha256.pbkdf2(
            password: Secret(copying: Array("pencil".utf8)[...]), salt: [1], iterations: 4_096)
        let secret = Secret(wiping: &salted)
        _ = broker.broker.alterScramCredentials(
            deletions: [],
            upsertions: ["admin", "alice"].map {
                .init(user: $0, mechanism: 1, iterations: 4_096, salt: [1], saltedPassword: secret)
            })
        let (admin, alice) = (try broker.client(), try broker.client())
        _ = try admin.logIn(.sha256, "admin", "pencil")
        _ = try alice.logIn(.sha256, "alice", "pencil")
        #expect(try admin.call(AccessRequests.create(["orders"])).results.map(\.errorCode) == [0])
        #expect(try alice.call(AccessRequests.create(["orders"])).results.map(\.errorCode) == [31])
        #expect(try alice.call(DescribeUserScramCredentialsRequest()).errorCode == 31)
    }

    @Test func aGroupThatIsForbiddenIsRefusedInEveryShape() throws {
        let broker = try broker()
        _ = try makeTopic("orders", on: broker)
        permit(.read, .group, "mine", on: broker)
        permit(.read, .topic, "orders", on: broker)
        let client = try broker.client()
        func fetch(_ group: String, version: Int16) throws -> OffsetFetchResponse {
            var request = OffsetFetchRequest()
            if version < 8 {
                request.groupID = group
                var topic = OffsetFetchRequest.OffsetFetchRequestTopic()
                (topic.name, topic.partitionIndexes) = ("orders", [0])
                request.topics = [topic]
            } else {
                var asked = OffsetFetchRequest.OffsetFetchRequestGroup()
                asked.groupID = group
                var topic = OffsetFetchRequest.OffsetFetchRequestTopics()
                (topic.name, topic.partitionIndexes) = ("orders", [0])
                asked.topics = [topic]
                request.groups = [asked]
            }
            return try client.call(request, version: version)
        }
        let denied = ErrorCode.groupAuthorizationFailed.rawValue
        #expect(try fetch("theirs", version: 1).topics[0].partitions.map(\.errorCode) == [denied])
        #expect(try fetch("theirs", version: 7).errorCode == denied)
        #expect(try fetch("theirs", version: 9).groups.map(\.errorCode) == [denied])
        // DESCRIBE by READ.
        #expect(try fetch("mine", version: 9).groups.map(\.errorCode) == [0])
        var join = JoinGroupRequest()
        (join.groupID, join.sessionTimeoutMs, join.protocolType) = ("theirs", 10_000, "consumer")
        for version in JoinGroupRequest.versions {
            #expect(try client.call(join, version: version).errorCode == denied)
        }
    }

    @Test func aFetchInASessionIsToldWhatItMayNotRead() throws {
        let broker = try broker()
        _ = try makeTopic("orders", on: broker)
        permit(.write, .topic, "orders", on: broker)
        let client = try broker.client()
        try client.append("orders", count: 1)
        var request = FetchRequest()
        (request.maxWaitMs, request.minBytes, request.maxBytes, request.sessionEpoch) = (0, 1, 1 << 20, 0)
        var topic = FetchRequest.FetchTopic()
        topic.topic = "orders"
        var partition = FetchRequest.FetchPartition()
        partition.partitionMaxBytes = 1 << 20
        topic.partitions = [partition]
        request.topics = [topic]
        let first = try client.call(request, version: 12)
        #expect(first.responses[0].partitions.map(\.errorCode) == [29] && first.sessionID != 0)
        (request.sessionID, request.sessionEpoch, request.topics) = (first.sessionID, 1, [])
        permit(.read, .topic, "orders", on: broker)
        let second = try client.call(request, version: 12)
        #expect(second.responses[0].partitions.map(\.errorCode) == [0])
        #expect(second.responses[0].partitions[0].records?.isEmpty == false)
        // Whoever may not read any more is told so by the next fetch, though nothing has come.
        _ = broker.broker.deleteAcls([AclFilter(operation: .read)])
        request.sessionEpoch = 2
        #expect(try client.call(request, version: 12).responses.flatMap(\.partitions).map(\.errorCode) == [29])
    }

    // MARK: What takes long

    /// On the loop and on a worker, without a session and with one.
    @Test(arguments: [-1, 0], [1, 100]) func whatHasWaitedIsNotReadByOldRules(_ epoch: Int32, _ inline: Int) throws {
        let broker = try broker { $0.server.maxInlinePartitions = inline }
        _ = try makeTopic("orders", on: broker, partitions: 4)
        permit(.all, .topic, "orders", on: broker)
        let (reader, writer) = (try broker.client(), try broker.client())
        let wanted = (Int32(0)..<4).map { WireClient.Wanted(topic: "orders", partition: $0) }
        let id = try reader.send(
            WireClient.fetchRequest(wanted, maxWaitMs: 600_000, minBytes: 1_000, epoch: epoch), version: 12)
        try waitUntil { broker.parkedFetches == 1 }
        permit(.read, .topic, "orders", on: broker, .deny)
        try writer.append("orders", count: 1, valueSize: 2_000, partition: 2)
        let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: id)
        let partitions = reply.responses.flatMap(\.partitions)
        #expect(!partitions.isEmpty && partitions.allSatisfy { $0.errorCode == 29 && ($0.records ?? []).isEmpty })
    }

    @Test func whatIsMadeStepByStepIsHeldAgainstTheRulesOfEachStep() throws {
        let broker = try broker()
        permit(.create, .cluster, "kafka-cluster", on: broker)
        let client = KafkaClientIdentity(AccessSubject(.anonymous, address: NetworkAddress(v4: 1)))
        let context = AnswerContext(
            broker: broker.broker, ticket: ReplyTicket(key: .createTopics, version: 7, correlationID: 1),
            permissions: Permissions(broker.broker, client), node: BrokerNode(id: 1))
        var asked = CreateTopicsRequest()
        asked.topics = ["first", "second"].map { name in
            var topic = CreateTopicsRequest.CreatableTopic()
            (topic.name, topic.numPartitions, topic.replicationFactor) = (name, 1, 1)
            return topic
        }
        let plan = KafkaConnection.createTopics(asked, context, nil)
        var response = CreateTopicsResponse()
        plan.step(0, &response)
        _ = broker.broker.deleteAcls([AclFilter()])
        plan.step(1, &response)
        #expect(response.topics.map(\.errorCode) == [0, 29])
        #expect(broker.broker.catalog.topic(named: "second") == nil)
    }

    /// To ask them anew at each request would cost a loop as much as many requests.
    @Test func whatWasDecidedIsRememberedUntilAclsChange() throws {
        let broker = try broker()
        _ = try makeTopic("orders", on: broker)
        permit(.all, .topic, "orders", on: broker)
        let client = try broker.client()
        func decisions(_ ask: () throws -> Int16) throws -> Int {
            let before = broker.decisionsMade
            let code = try ask()
            #expect(code == 0)
            return broker.decisionsMade - before
        }
        let asks: [() throws -> Int16] = [
            { try client.fetch("orders", from: 0).errorCode },
            { try client.call(AccessRequests.producerID).errorCode },
        ]
        for (number, ask) in asks.enumerated() {
            #expect(try decisions(ask) == 1)
            #expect(try decisions(ask) == 0)
            permit(.read, .topic, "other-\(number)", on: broker)
            #expect(try decisions(ask) == 1)
        }
    }
}
