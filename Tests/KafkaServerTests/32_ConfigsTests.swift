import Coordinators
import KafkaModel
import KafkaWire
import Testing

@testable import BrokerCore
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

    // MARK: Groups

    private func rows(_ client: WireClient, _ group: String = "readers") throws -> [String] {
        let rows = try describe(client, group, type: 32).configs
        #expect(rows.map(\.name) == GroupSettingKey.all.map(\.name))
        return rows.filter { $0.name.hasPrefix("consumer.") }.map { "\($0.name)=\($0.value ?? "") \($0.configSource)" }
    }

    private func alterGroup(
        _ client: WireClient, _ changes: [(String, Int8, String?)], _ group: String = "readers",
        validateOnly: Bool = false
    ) throws -> ErrorCode {
        try alter(client, changes, type: 32, name: group, validateOnly: validateOnly)
    }

    private func listed(_ client: WireClient) throws -> [String] {
        var request = ListConfigResourcesRequest()
        request.resourceTypes = [32]
        return try client.call(request).configResources.map { "\($0.resourceType) \($0.resourceName)" }
    }

    private static let usualRows = [
        "consumer.assignment.interval.ms=1000 5", "consumer.heartbeat.interval.ms=5000 5",
        "consumer.session.timeout.ms=45000 5",
    ]

    @Test func aGroupHasSettingsBeforeItIsThereAndAfterACrash() throws {
        let client = try client()
        #expect(try rows(client) == Self.usualRows)
        #expect(try listed(client) == [])
        #expect(try alterGroup(client, [("consumer.session.timeout.ms", 0, "50000")]) == .none)
        let result = try describe(client, "readers", type: 32, keys: ["consumer.session.timeout.ms"])
        #expect(result.configs.map(\.value) == ["50000"])
        #expect(result.configs.map(\.configSource) == [8])
        #expect(result.configs[0].synonyms.map(\.value) == ["50000", "45000"])
        #expect(
            result.configs[0].synonyms.map(\.name) == [
                "consumer.session.timeout.ms", "group.consumer.session.timeout.ms",
            ])
        #expect(try listed(client) == ["32 readers"])
        let after = try client.broker.crashed().client()
        #expect(try rows(after)[2] == "consumer.session.timeout.ms=50000 8")
        #expect(try alterGroup(after, [("consumer.session.timeout.ms", 1, nil)]) == .none)
        #expect(try rows(after) == Self.usualRows)
        #expect(try listed(after) == [])
        #expect(try listed(after.broker.restarted().client()) == [])
    }

    @Test func aGroupsNameIsItsBytes() throws {
        let client = try client()
        let (one, two) = ("caf\u{e9}", "cafe\u{301}")
        #expect(try alterGroup(client, [("consumer.session.timeout.ms", 0, "50000")], one) == .none)
        #expect(try rows(client, two) == Self.usualRows)
        #expect(try rows(client.broker.restarted().client(), one)[2] == "consumer.session.timeout.ms=50000 8")
    }

    @Test func settingsOfAGroupAreChecked() throws {
        let client = try client()
        let session = "consumer.session.timeout.ms"
        for (key, value) in [
            ("streams.session.timeout.ms", "45000"), ("no.such.key", "1"), ("share.session.timeout.ms", "44999"),
            ("share.auto.offset.reset", "none"), ("share.isolation.level", "serializable"),
            ("share.renew.acknowledge.enable", "perhaps"), ("share.delivery.count.limit", "1"),
            ("share.delivery.count.limit", "11"), ("share.partition.max.record.locks", "99"),
            ("share.record.lock.duration.ms", "60001"), (session, "soon"), (session, "0"),
            (session, "44999"), (session, "60001"), ("consumer.heartbeat.interval.ms", "4999"),
            ("consumer.heartbeat.interval.ms", "15001"), ("consumer.assignment.interval.ms", "-1"),
            ("consumer.assignment.interval.ms", "15001"), (session, String(repeating: "0", count: 60) + "50000"),
        ] {
            #expect(try alterGroup(client, [(key, 0, value)]) == .invalidConfig, "\(key)=\(value)")
        }
        #expect(try alterGroup(client, [(session, 2, "50000")]) == .invalidConfig)
        #expect(try alterGroup(client, [(session, 0, nil)]) == .invalidRequest)
        #expect(try alterGroup(client, [(session, 0, "50000")], "") == .invalidRequest)
        let long = String(repeating: "g", count: OwnGroupSettings.maxNameBytes + 1)
        #expect(try alterGroup(client, [(session, 0, "50000")], long) == .invalidRequest)
        #expect(try describe(client, "", type: 32).code == .invalidRequest)
        #expect(try alterGroup(client, [(session, 0, "50000")], validateOnly: true) == .none)
        #expect(try rows(client) == Self.usualRows)
        #expect(
            try alterGroup(client, [(session, 0, "60000"), ("consumer.heartbeat.interval.ms", 0, "15000")]) == .none)
    }

    @Test func aShareGroupsSettingsAreTold() throws {
        let client = try client()
        #expect(
            try alterGroup(
                client,
                [
                    ("share.auto.offset.reset", 0, "by_duration:PT1H"), ("share.isolation.level", 0, "read_committed"),
                    ("share.renew.acknowledge.enable", 0, "false"), ("share.delivery.count.limit", 0, "2"),
                ]) == .none)
        let told = try describe(client, "readers", type: 32).configs.filter { $0.name.hasPrefix("share.") }
        #expect(
            told.map { "\($0.name.dropFirst(6))=\($0.value ?? "") \($0.configSource)" } == [
                "assignment.interval.ms=1000 5", "auto.offset.reset=by_duration:PT1H 8", "delivery.count.limit=2 8",
                "heartbeat.interval.ms=5000 5", "isolation.level=read_committed 8", "partition.max.record.locks=2000 5",
                "record.lock.duration.ms=30000 5", "renew.acknowledge.enable=false 8", "session.timeout.ms=45000 5",
            ])
        // One that no key of the broker gives a default has its own.
        #expect(told[1].synonyms.map(\.name) == ["share.auto.offset.reset", "share.auto.offset.reset"])
        #expect(told[1].synonyms.map(\.value) == ["by_duration:PT1H", "latest"])
        let own = client.broker.broker.groups.settings(of: "readers")
        #expect(
            own.shareOffsetReset == .duration(milliseconds: 3_600_000) && own.sharesCommitted && !own.sharesRenewals)
        #expect(own.shareDeliveryLimit == 2)
    }

    /// The broker's own value widens what groups may have, and a session is always longer than a heartbeat's interval.
    @Test func theBrokersValueIsAlwaysValid() throws {
        let client = try TestBroker { options in
            options.broker.groups.consumerSessionTimeoutMs = 10_000
        }.client()
        #expect(try alterGroup(client, [("consumer.session.timeout.ms", 0, "9999")]) == .invalidConfig)
        #expect(try alterGroup(client, [("consumer.session.timeout.ms", 0, "10000")]) == .none)
        #expect(try alterGroup(client, [("consumer.heartbeat.interval.ms", 0, "10000")]) == .invalidConfig)
        #expect(try alterGroup(client, [("consumer.heartbeat.interval.ms", 0, "9999")]) == .none)
    }

    @Test func alterConfigsReplacesAllSettingsOfAGroup() throws {
        let client = try client()
        #expect(try alterGroup(client, [("consumer.assignment.interval.ms", 0, "0")]) == .none)
        var resource = AlterConfigsRequest.AlterConfigsResource()
        (resource.resourceType, resource.resourceName) = (32, "readers")
        resource.configs = [AlterConfigsRequest.AlterableConfig()]
        (resource.configs[0].name, resource.configs[0].value) = ("consumer.heartbeat.interval.ms", "7000")
        var request = AlterConfigsRequest()
        request.resources = [resource]
        #expect(try client.call(request).responses.map(\.code) == [.none])
        #expect(
            try rows(client) == [
                "consumer.assignment.interval.ms=1000 5", "consumer.heartbeat.interval.ms=7000 8",
                "consumer.session.timeout.ms=45000 5",
            ])
    }

    @Test func aMemberIsToldTheIntervalOfItsGroup() throws {
        let client = try client()
        var request = ConsumerGroupHeartbeatRequest()
        (request.groupID, request.memberID, request.rebalanceTimeoutMs) = ("readers", "m", 60_000)
        (request.subscribedTopicNames, request.topicPartitions) = (["orders"], [])
        #expect(try client.call(request).heartbeatIntervalMs == 5_000)
        #expect(try alterGroup(client, [("consumer.heartbeat.interval.ms", 0, "7000")]) == .none)
        #expect(try client.call(request).heartbeatIntervalMs == 7_000)
        request.groupID = "others"
        #expect(try client.call(request).heartbeatIntervalMs == 5_000)
    }

    @Test func groupsWithSettingsAreBounded() throws {
        let client = try client()
        let broker = client.broker.broker
        for number in 0..<OwnGroupSettings.maxNamesBytes / OwnGroupSettings.maxNameBytes {
            let group = String(repeating: "g", count: OwnGroupSettings.maxNameBytes - 6) + String(100_000 + number)
            try #require(
                broker.alterGroupSettings(
                    ExactString(group), ["consumer.session.timeout.ms": "50000"], validateOnly: false) == nil)
        }
        #expect(try alterGroup(client, [("consumer.session.timeout.ms", 0, "50000")]) == .policyViolation)
        #expect(try listed(client).count == broker.groupSettingsSize.groups)
        // What is there may change, and make room.
        let first = try #require(broker.groupsWithSettings.first).text
        #expect(try alterGroup(client, [("consumer.session.timeout.ms", 0, "51000")], first) == .none)
        #expect(try alterGroup(client, [("consumer.session.timeout.ms", 1, nil)], first) == .none)
        #expect(try alterGroup(client, [("consumer.session.timeout.ms", 0, "50000")]) == .none)
    }
}
