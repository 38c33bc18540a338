import BrokerCore
import BrokerTestKit
import KafkaModel
import KafkaWire
import Security
import Testing

@testable import KafkaServer

/// DescribeAcls, CreateAcls and DeleteAcls over the wire.
@Suite struct AclsTests {
    private func broker(_ configure: (inout TestBroker.Options) -> Void = { _ in }) throws -> TestBroker {
        try TestBroker { options in
            (options.broker.access.hasAuthorizer, options.broker.access.superUsers) = (true, [.user("root")])
            options.owner = .user("root")
            configure(&options)
        }
    }

    private func names(_ client: WireClient, _ request: DescribeAclsRequest) throws -> [String] {
        let reply = try client.call(request)
        #expect(reply.errorCode == 0 && reply.errorMessage == "")
        return reply.resources.flatMap { resource in
            resource.acls.map {
                "\(resource.resourceType) \(resource.resourceName) \(resource.patternType) \($0.principal)"
            }
        }
    }

    /// Else two that find one ACL each would keep all other long replies waiting.
    @Test func aFilterIsChargedForWhatItMayFind() throws {
        let broker = try broker()
        _ = broker.broker.createAcls(
            (0..<3_000).map {
                .init(
                    resource: 2, name: "topic-\($0)", pattern: 3, principal: "User:\($0 % 100)", host: "*",
                    operation: 3,
                    permission: 3)
            })
        let context = AnswerContext(
            broker: broker.broker, ticket: ReplyTicket(key: .describeAcls, version: 3, correlationID: 1),
            node: BrokerNode(id: 1))
        func price(_ request: DescribeAclsRequest) -> Int { KafkaConnection.describeAclsPrice(request, context) }
        #expect(price(AccessRequests.describe()) > 500_000)
        #expect(price(AccessRequests.describe(resource: 2, name: "topic-1", pattern: 3)) < 20_000)
        #expect(price(AccessRequests.describe(principal: "User:7")) < 300_000)
        #expect(price(AccessRequests.describe(resource: 99)) < 1_000)
    }

    @Test func withoutAnAuthorizerThereAreNone() throws {
        let client = try TestBroker().client()
        let described = try client.call(AccessRequests.describe())
        #expect(described.errorCode == ErrorCode.securityDisabled.rawValue && described.resources.isEmpty)
        #expect(described.errorMessage == "No Authorizer is configured on the broker")
        let created = try client.call(AccessRequests.create(["a", "b"])).results
        #expect(created.map(\.errorCode) == [54, 54])
        #expect(try client.call(AccessRequests.delete(["a", "b"])).filterResults.map(\.errorCode) == [54, 54])
    }

    @Test func aclsAreCreatedDescribedAndDeleted() throws {
        let client = try broker().client()
        let created = try client.call(
            AccessRequests.create([
                AccessRequests.creation("orders"), AccessRequests.creation("", principal: "User:bob"),
                AccessRequests.creation("ord", pattern: 4, principal: "User:bob"),
                AccessRequests.creation("orders"), AccessRequests.creation("kafka-cluster", resource: 4, operation: 8),
                AccessRequests.creation("x", principal: "bob"), AccessRequests.creation("x", resource: 99),
            ])
        ).results
        #expect(created.map(\.errorCode) == [0, 42, 0, 0, 0, 42, 42])
        #expect(created[0].errorMessage == "" && created[1].errorMessage == "Invalid empty resource name")
        let all = ["2 orders 3 User:alice", "2 ord 4 User:bob", "4 kafka-cluster 3 User:alice"]
        #expect(try names(client, AccessRequests.describe()) == all)
        #expect(try names(client, AccessRequests.describe(resource: 2, name: "orders", pattern: 3)) == [all[0]])
        #expect(
            try names(client, AccessRequests.describe(resource: 2, name: "orders", pattern: 2)) == [all[0], all[1]])
        #expect(try names(client, AccessRequests.describe(principal: "User:bob")) == [all[1]])
        #expect(try names(client, AccessRequests.describe(operation: 8)) == [all[2]])
        #expect(try names(client, AccessRequests.describe(permission: 2)).isEmpty)

        let deleted = try client.call(AccessRequests.delete(["ord", "none", "orders", "orders"])).filterResults
        #expect(deleted.map(\.errorCode) == [0, 0, 0, 0] && deleted.map(\.matchingAcls.count) == [1, 0, 1, 1])
        let removed = try #require(deleted[0].matchingAcls.first)
        #expect((removed.resourceType, removed.patternType, removed.operation, removed.permissionType) == (2, 4, 3, 3))
        #expect(removed.resourceName == "ord" && removed.principal == "User:bob" && removed.host == "*")
        #expect(removed.errorCode == 0 && removed.errorMessage == nil)
        #expect(try names(client, AccessRequests.describe()) == [all[2]])
    }

    /// Kafka closes the connection; a number that a later client knows deserves a word.
    @Test func numbersThatMeanNothingAreRefused() throws {
        let client = try broker().client()
        _ = try client.call(AccessRequests.create(["a"]))
        for request in [
            AccessRequests.describe(resource: 0), AccessRequests.describe(pattern: 0),
            AccessRequests.describe(operation: 16),
            AccessRequests.describe(permission: 9),
        ] {
            #expect(try client.call(request).errorCode == ErrorCode.invalidRequest.rawValue)
        }
        var request = AccessRequests.delete(["a", "a", nil])
        (request.filters[0].operation, request.filters[2].patternTypeFilter) = (0, 0)
        let results = try client.call(request).filterResults
        #expect(results.map(\.errorCode) == [42, 0, 42] && results.map(\.matchingAcls.count) == [0, 1, 0])
    }

    @Test func aclsHoldAfterACrash() throws {
        let client = try broker().client()
        _ = try client.call(AccessRequests.create(["a", "b"]))
        _ = try client.call(AccessRequests.delete(["a"]))
        let after = try client.broker.crashed()
        #expect(try names(after.client(), AccessRequests.describe()) == ["2 b 3 User:alice"])
    }

    /// Entries of one request are one write, and what they take is priced.
    @Test func manyAclsAreOneChange() throws {
        let broker = try broker()
        let client = try broker.client()
        let revision = broker.broker.metadata.revision
        let topics = (0..<3_000).map { "topic-\($0)" }
        #expect(try client.call(AccessRequests.create(topics)).results.allSatisfy { $0.errorCode == 0 })
        #expect(broker.broker.metadata.revision == revision + 1)
        #expect(try names(client, AccessRequests.describe()).count == topics.count)
        let deleted = try client.call(AccessRequests.delete([nil])).filterResults
        #expect(deleted[0].matchingAcls.count == topics.count && broker.broker.access.rules.count == 0)
        #expect(broker.broker.metadata.revision == revision + 2)
        #expect(broker.server.budget.counts.most <= broker.server.budget.maxBytes)
    }

    @Test func tooManyAreRefused() throws {
        let client = try broker { $0.broker.access.maxAcls = 2 }.client()
        let results = try client.call(AccessRequests.create(["a", "b", "c"])).results
        #expect(results.map(\.errorCode) == [0, 0, ErrorCode.invalidRequest.rawValue])
        let many = try client.call(AccessRequests.create((0...AclChanges.maxCreations).map { "t\($0)" })).results
        #expect(many.count == AclChanges.maxCreations + 1 && many.allSatisfy { $0.errorCode == 42 })
    }
}
