import BrokerCore
import BrokerTestKit
import KafkaModel
import KafkaWire
import Security
import Testing

@testable import KafkaServer

/// DescribeGatewayKeys and AlterGatewayKeys over the wire.
@Suite struct GatewayKeysTests {
    private func keys(_ client: WireClient, _ ids: [String]? = nil) throws -> [DescribeGatewayKeysResponse
        .GatewayKeyDescription]
    {
        var request = DescribeGatewayKeysRequest()
        request.ids = ids
        let reply = try client.call(request)
        #expect(reply.errorCode == 0 && reply.errorMessage == "")
        return reply.keys
    }

    @Test func keysAreMadeDescribedRotatedAndRevoked() throws {
        let client = try TestBroker().client()
        #expect(try keys(client).isEmpty)
        let (one, two) = (GatewayKeyText.make().key, GatewayKeyText.make().key)
        var made = AccessRequests.key(one)
        made.changes.append(AccessRequests.key(two, owner: "User:bob").changes[0])
        var scope = AlterGatewayKeysRequest.GatewayKeyScope()
        (scope.resourceType, scope.resourceName, scope.operation) = (2, "orders", 4)
        made.changes[1].scopes = [scope]
        made.changes[1].expiryMs = 99_000_000_000_000
        made.changes[1].isPublishable = true
        let results = try client.call(made).results
        #expect(results.map(\.id) == [one.id.text, two.id.text])
        #expect(results.allSatisfy { $0.errorCode == 0 && $0.errorMessage == nil })

        let after = try client.broker.crashed().client()
        let found = try keys(after)
        #expect(found.map(\.id) == [one.id.text, two.id.text].sorted())
        let second = try #require(try keys(after, [two.id.text, "none", two.id.text]).first)
        #expect(second.owner == "User:bob" && second.expiryMs == 99_000_000_000_000 && second.isPublishable)
        #expect(second.lastUseMs == -1 && second.createdMs > 0 && !second.signs && !second.isDisabled)
        #expect(second.secretEndsMs == [-1] && second.scopes?.map(\.resourceName) == ["orders"])
        #expect(found.first { $0.id == one.id.text }?.scopes == nil)

        let other = try #require(GatewayKeyText.make(id: one.id)).key
        var rotation = AccessRequests.key(other, action: 2)
        rotation.changes[0].previousEndsMs = 99_000_000_000_000
        #expect(try after.call(rotation).results[0].errorCode == 0)
        #expect(try keys(after, [one.id.text])[0].secretEndsMs == [-1, 99_000_000_000_000])
        #expect(try after.call(rotation).results[0].errorCode == ErrorCode.policyViolation.rawValue)
        #expect(try after.call(AccessRequests.key(one, action: 4)).results[0].errorCode == 0)
        #expect(try after.call(AccessRequests.key(one, action: 4)).results[0].errorCode == 91)
        #expect(try keys(after).map(\.id) == [two.id.text])
    }

    @Test func tooManyChangesAreRefused() throws {
        let client = try TestBroker().client()
        var request = AccessRequests.key(GatewayKeyText.make().key)
        request.changes = .init(repeating: request.changes[0], count: ChangeLimits.maxRecords + 1)
        let results = try client.call(request).results
        #expect(Set(results.map(\.errorCode)) == [ErrorCode.policyViolation.rawValue])
        #expect(try keys(client).isEmpty)
    }
}
