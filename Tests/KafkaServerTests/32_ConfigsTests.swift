import BrokerCore
import KafkaModel
import KafkaWire
import Testing

@testable import KafkaServer

/// DescribeConfigs, AlterConfigs and IncrementalAlterConfigs.
@Suite struct ConfigsTests {
    private func describe(
        _ client: WireClient, _ name: String = "orders", type: Int8 = 2, keys: [String]? = nil, version: Int16 = 4
    ) throws -> DescribeConfigsResponse.DescribeConfigsResult {
        var resource = DescribeConfigsRequest.DescribeConfigsResource()
        (resource.resourceType, resource.resourceName, resource.configurationKeys) = (type, name, keys)
        var request = DescribeConfigsRequest()
        request.resources = [resource]
        request.includeSynonyms = true
        request.includeDocumentation = version >= 3
        return try #require(try client.call(request, version: version).results.first)
    }

    private func value(_ client: WireClient, _ key: String) throws -> String? {
        try describe(client, keys: [key]).configs.first?.value
    }

    private func alter(
        _ client: WireClient, _ changes: [(String, Int8, String?)], type: Int8 = 2, name: String = "orders",
        validateOnly: Bool = false
    ) throws -> ErrorCode {
        var resource = IncrementalAlterConfigsRequest.AlterConfigsResource()
        (resource.resourceType, resource.resourceName) = (type, name)
        resource.configs = changes.map { key, operation, value in
            var change = IncrementalAlterConfigsRequest.AlterableConfig()
            (change.name, change.configOperation, change.value) = (key, operation, value)
            return change
        }
        var request = IncrementalAlterConfigsRequest()
        request.resources = [resource]
        request.validateOnly = validateOnly
        return try #require(try client.call(request).responses.first).code
    }

    private func client() throws -> WireClient {
        let client = try TestBroker().client()
        try client.createTopic("orders", configs: ["segment.bytes": "1048576"])
        return client
    }

    @Test func everySettingIsToldWithItsSourceSynonymsAndDocumentation() throws {
        let result = try describe(client())
        #expect(result.code == .none)
        #expect(result.configs.map(\.name) == TopicSettingKey.all.map(\.name))
        #expect(result.configs.allSatisfy { $0.documentation?.isEmpty == false && $0.configType != 0 })
        func row(_ name: String) throws -> DescribeConfigsResponse.DescribeConfigsResourceResult {
            try #require(result.configs.first { $0.name == name })
        }
        let own = try row("segment.bytes")
        #expect((own.value, own.configSource) == ("1048576", 1))
        #expect(own.synonyms.map(\.name) == ["segment.bytes", "log.segment.bytes"])
        #expect(own.synonyms.map(\.value) == ["1048576", "1073741824"])
        let broker = try row("retention.ms")
        #expect((broker.value, broker.configSource) == ("-1", 4))
        let usual = try row("max.message.bytes")
        #expect((usual.value, usual.configSource) == ("1048588", 5))
    }

    @Test func onlyAskedSettingsAreTold() throws {
        let client = try client()
        #expect(try describe(client, keys: ["retention.ms", "no.such.key"]).configs.map(\.name) == ["retention.ms"])
        for version in Int16(1)...4 { #expect(try describe(client, version: version).code == .none) }
    }

    @Test func unknownResourcesAreTold() throws {
        let client = try client()
        #expect(try describe(client, "missing").code == .unknownTopicOrPartition)
        #expect(try describe(client, "a/b").code == .invalidTopicException)
        #expect(try describe(client, "1", type: 4).code == .none)
        #expect(try describe(client, "9", type: 4).code == .invalidRequest)
        #expect(try describe(client, "x", type: 8).code == .invalidRequest)
    }

    @Test func singleSettingsChangeAndReturnToTheirDefault() throws {
        let client = try client()
        #expect(try alter(client, [("retention.ms", 0, "5000")]) == .none)
        #expect(try value(client, "retention.ms") == "5000")
        #expect(try value(client, "segment.bytes") == "1048576")
        #expect(try alter(client, [("retention.ms", 1, nil)]) == .none)
        #expect(try value(client, "retention.ms") == "-1")
    }

    @Test func validateOnlyChangesNothing() throws {
        let client = try client()
        #expect(try alter(client, [("retention.ms", 0, "5000")], validateOnly: true) == .none)
        #expect(try alter(client, [("retention.ms", 0, "soon")], validateOnly: true) == .invalidConfig)
        #expect(try value(client, "retention.ms") == "-1")
    }

    @Test func badChangesAreRefused() throws {
        let client = try client()
        #expect(try alter(client, [("no.such.key", 0, "1")]) == .invalidConfig)
        #expect(try alter(client, [("retention.ms", 0, "soon")]) == .invalidConfig)
        #expect(try alter(client, [("retention.ms", 0, nil)]) == .invalidRequest)
        #expect(try alter(client, [("retention.ms", 0, "1"), ("retention.ms", 0, "2")]) == .invalidRequest)
        #expect(try alter(client, [("retention.ms", 2, "1")]) == .invalidConfig)
        #expect(try alter(client, [("retention.ms", 9, "1")]) == .invalidRequest)
        #expect(try alter(client, [("retention.ms", 0, "1")], name: "missing") == .unknownTopicOrPartition)
        #expect(try alter(client, [("log.retention.ms", 0, "1")], type: 4, name: "1") == .invalidRequest)
        #expect(try value(client, "retention.ms") == "-1")
    }

    /// Kafka's tools end with it, also where they have set nothing.
    @Test func toTakeBackASettingOfTheBrokerIsDone() throws {
        let client = try client()
        let rate = "leader.replication.throttled.rate"
        #expect(try alter(client, [(rate, 1, nil)], type: 4, name: "1") == .none)
        #expect(try alter(client, [(rate, 1, nil), (rate, 1, nil)], type: 4, name: "1") == .invalidRequest)
        #expect(try alter(client, [(rate, 0, "1000")], type: 4, name: "1") == .invalidRequest)
        #expect(try alter(client, [(rate, 1, nil)], type: 4, name: "") == .none)
        #expect(try alter(client, [(rate, 1, nil)], type: 4, name: "2") == .invalidRequest)
    }

    @Test func alterConfigsReplacesAllSettings() throws {
        let client = try client()
        var resource = AlterConfigsRequest.AlterConfigsResource()
        (resource.resourceType, resource.resourceName) = (2, "orders")
        resource.configs = [AlterConfigsRequest.AlterableConfig()]
        (resource.configs[0].name, resource.configs[0].value) = ("retention.ms", "7000")
        var request = AlterConfigsRequest()
        request.resources = [resource]
        request.validateOnly = true
        #expect(try client.call(request).responses.map(\.code) == [.none])
        #expect(try value(client, "segment.bytes") == "1048576")
        request.validateOnly = false
        #expect(try client.call(request).responses.map(\.code) == [.none])
        #expect(try value(client, "retention.ms") == "7000")
        #expect(try value(client, "segment.bytes") == "1073741824")
        request.resources[0].configs[0].value = nil
        #expect(try client.call(request).responses.map(\.code) == [.invalidRequest])
    }

    @Test func changedSettingsHoldAfterACrash() throws {
        let client = try client()
        #expect(try alter(client, [("max.message.bytes", 0, "200")]) == .none)
        let after = try client.broker.crashed().client()
        #expect(try value(after, "max.message.bytes") == "200")
        try #expect(after.produce("orders", [UInt8](repeating: 0, count: 10)).code == .corruptMessage)
    }
}
