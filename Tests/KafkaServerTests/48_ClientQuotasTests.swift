import BrokerCore
import BrokerTestKit
import KafkaModel
import KafkaWire
import Security
import Testing

@testable import KafkaServer

/// DescribeClientQuotas and AlterClientQuotas over the wire.
@Suite struct ClientQuotasTests {
    private func found(
        _ client: WireClient, _ components: [(type: String, match: Int8, name: String?)] = [], strict: Bool = false
    ) throws -> [String] {
        var request = AccessRequests.components(components)
        request.strict = strict
        let reply = try client.call(request)
        #expect(reply.errorCode == 0 && reply.errorMessage == "")
        return try #require(reply.entries).map { entry in
            entry.entity.map { "\($0.entityType)=\($0.entityName ?? "-")" }.joined(separator: ",") + ": "
                + entry.values.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
        }
    }

    private func alter(
        _ client: WireClient, _ entity: [(type: String, name: String?)], _ limits: [(key: String, value: Double?)],
        validateOnly: Bool = false
    ) throws -> ErrorCode {
        var request = AccessRequests.quotas(entity, limits)
        request.validateOnly = validateOnly
        let entry = try #require(try client.call(request).entries.first)
        #expect((entry.errorCode == 0) == (entry.errorMessage == nil))
        #expect(entry.entity.count == Set(entity.map(\.type)).count)
        return ErrorCode(rawValue: entry.errorCode)
    }

    @Test func quotasAreSetDescribedAndRemoved() throws {
        let client = try TestBroker().client()
        #expect(try found(client).isEmpty)
        #expect(
            try alter(client, [("user", "alice")], [("producer_byte_rate", 10), ("request_percentage", 2.5)]) == .none)
        #expect(try alter(client, [("client-id", "app"), ("user", nil)], [("consumer_byte_rate", 20)]) == .none)
        #expect(try alter(client, [("ip", "::1")], [("connection_creation_rate", 3)]) == .none)
        let all = [
            "ip=0:0:0:0:0:0:0:1: connection_creation_rate=3.0", "user=-,client-id=app: consumer_byte_rate=20.0",
            "user=alice: producer_byte_rate=10.0,request_percentage=2.5",
        ]
        #expect(try found(client) == all)
        #expect(try found(client, [("user", 2, nil)]) == [all[1], all[2]])
        #expect(try found(client, [("user", 0, "alice")], strict: true) == [all[2]])
        #expect(try found(client, [("user", 1, nil)], strict: true).isEmpty)
        #expect(try found(client, [("ip", 0, "::1")]) == [all[0]])
        let crashed = try client.broker.crashed().client()
        #expect(try found(crashed) == all)
        #expect(
            try alter(crashed, [("user", "alice")], [("producer_byte_rate", nil), ("request_percentage", nil)]) == .none
        )
        #expect(try found(crashed) == [all[0], all[1]])
    }

    @Test func badQuotasAreRefused() throws {
        let client = try TestBroker().client()
        #expect(try alter(client, [("user", "a")], [("producer_byte_rate", 0)]) == .invalidRequest)
        #expect(try alter(client, [("user", "a")], [("producer_byte_rate", .nan)]) == .invalidRequest)
        #expect(try alter(client, [("user", "a")], [("no_such_rate", 1)]) == .invalidRequest)
        #expect(try alter(client, [("user", "")], [("producer_byte_rate", 1)]) == .invalidRequest)
        #expect(try alter(client, [], [("producer_byte_rate", 1)]) == .invalidRequest)
        #expect(try alter(client, [("ip", "somewhere")], [("connection_creation_rate", 1)]) == .invalidRequest)
        #expect(try alter(client, [("user", "a")], [("producer_byte_rate", 1)], validateOnly: true) == .none)
        #expect(try found(client).isEmpty)
    }

    @Test func badFiltersAreRefusedAboveAll() throws {
        let client = try TestBroker().client()
        for (components, code) in [
            ([("group", 2, nil)], ErrorCode.unsupportedVersion), ([("user", 0, nil)], .invalidRequest),
            ([("user", 2, nil), ("user", 2, nil)], .invalidRequest),
            ([("ip", 2, nil), ("user", 2, nil)], .invalidRequest),
        ] as [([(type: String, match: Int8, name: String?)], ErrorCode)] {
            let reply = try client.call(AccessRequests.components(components))
            #expect(reply.errorCode == code.rawValue && reply.errorMessage != nil && reply.entries == nil)
        }
    }

    @Test func tooManyAreRefused() throws {
        let client = try TestBroker { $0.broker.access.maxQuotaEntities = 1 }.client()
        #expect(try alter(client, [("user", "a")], [("producer_byte_rate", 1)]) == .none)
        #expect(try alter(client, [("user", "b")], [("producer_byte_rate", 1)]) == .invalidRequest)
        var request = AccessRequests.quotas([("user", "a")], [("producer_byte_rate", 1)])
        request.entries = (0...ChangeLimits.maxRecords).map { number in
            var entry = request.entries[0]
            entry.entity[0].entityName = "u\(number % 7)"
            return entry
        }
        let entries = try client.call(request).entries
        #expect(entries.count == 7 && entries.allSatisfy { $0.errorCode == ErrorCode.policyViolation.rawValue })
    }
}
