import BrokerCore
import Glibc
import KafkaModel
import KafkaWire
import Testing

@testable import KafkaServer

@Suite struct ApiVersionsTests {
    private func ask(_ client: WireClient, version: Int16 = 3) throws -> ApiVersionsResponse {
        var request = ApiVersionsRequest()
        if version >= 3 { (request.clientSoftwareName, request.clientSoftwareVersion) = ("test-client", "1.0") }
        return try client.call(request, version: version)
    }

    @Test(arguments: Int16(0)...5) func everyVersionListsWhatIsServed(version: Int16) throws {
        let reply = try ask(TestBroker().client(), version: version)
        #expect(reply.code == .none)
        #expect(reply.apiKeys.map(\.apiKey) == APITable.all.map(\.key.rawValue))
    }

    @Test func produceAndJoinGroupBeginAtZero() throws {
        let ranges = try ranges()
        #expect(ranges[.produce] == 0...13)
        #expect(ranges[.joinGroup] == 0...9)
    }

    @Test func rangesAreKafka44s() throws {
        let ranges = try ranges()
        let expected: [APIKey: ClosedRange<Int16>] = [
            .produce: 0...13, .fetch: 4...18, .listOffsets: 1...11, .metadata: 0...13, .offsetCommit: 2...10,
            .offsetFetch: 1...10, .findCoordinator: 0...6, .joinGroup: 0...9, .heartbeat: 0...4, .leaveGroup: 0...5,
            .syncGroup: 0...5, .describeGroups: 0...6, .listGroups: 0...5, .apiVersions: 0...5, .createTopics: 2...7,
            .deleteTopics: 1...6, .deleteRecords: 0...2, .initProducerID: 0...5, .offsetForLeaderEpoch: 2...4,
            .describeConfigs: 1...4, .alterConfigs: 0...2, .describeLogDirs: 1...5, .createPartitions: 0...3,
            .deleteGroups: 0...3, .incrementalAlterConfigs: 0...1, .offsetDelete: 0...0, .describeCluster: 0...2,
            .describeTopicPartitions: 0...0, .describeAcls: 1...3, .createAcls: 1...3, .deleteAcls: 1...3,
            .describeClientQuotas: 0...1, .alterClientQuotas: 0...1, .describeUserScramCredentials: 0...0,
            .alterUserScramCredentials: 0...0, .saslHandshake: 0...1, .saslAuthenticate: 0...2,
            .addPartitionsToTxn: 0...5, .addOffsetsToTxn: 0...4, .endTxn: 0...5, .writeTxnMarkers: 1...2,
            .txnOffsetCommit: 0...6, .describeProducers: 0...0, .describeTransactions: 0...0, .listTransactions: 0...2,
            .consumerGroupHeartbeat: 0...1, .consumerGroupDescribe: 0...1, .alterReplicaLogDirs: 1...2,
            .createDelegationToken: 1...3, .renewDelegationToken: 1...2, .expireDelegationToken: 1...2,
            .describeDelegationToken: 1...3, .electLeaders: 0...2, .alterPartitionReassignments: 0...1,
            .listPartitionReassignments: 0...0, .describeQuorum: 0...2, .updateFeatures: 0...2,
            .listConfigResources: 0...1, .shareGroupHeartbeat: 1...1, .shareGroupDescribe: 1...1, .shareFetch: 1...2,
            .shareAcknowledge: 1...2, .describeShareGroupOffsets: 0...1, .alterShareGroupOffsets: 0...0,
            .deleteShareGroupOffsets: 0...0,
            // Our own.
            .describeGatewayKeys: 0...0, .alterGatewayKeys: 0...0,
        ]
        #expect(ranges == expected)
    }

    /// The page's table *Served APIs* is the code's.
    @Test func thePageListsWhatIsServed() throws {
        let page = #filePath.replacing(
            "Tests/KafkaServerTests/18_ApiVersionsTests.swift",
            with: "Sources/KafkaServer/KafkaServer.docc/KafkaServer.md")
        let file = open(page, O_RDONLY)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = read(file, &bytes, bytes.count)
        try #require(count > 0 && count < bytes.count)
        let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
        let table = lines.drop { $0 != "## Served APIs" }.dropFirst().prefix { !$0.hasPrefix("## ") }
        let listed = table.flatMap { line in
            line.matches(of: #/\| (\d+) \| (\w+) \| (\d+)(?:-(\d+))? \|/#).map { row in
                "\(row.output.1) \(row.output.2) \(row.output.3)-\(row.output.4 ?? row.output.3)"
            }
        }
        let served = APITable.all.map { api in
            "\(api.key.rawValue) \(api.key.name) \(api.versions.lowerBound)-\(api.versions.upperBound)"
        }
        #expect(listed.sorted() == served.sorted())
    }

    @Test func groupsAndTransactionsOfTheNewProtocolsAreTold() throws {
        let reply = try ask(TestBroker().client())
        #expect(reply.supportedFeatures.map(\.name) == ["group.version", "share.version", "transaction.version"])
        #expect(reply.supportedFeatures.map(\.maxVersion) == [1, 1, 2])
        #expect(reply.finalizedFeatures.map(\.maxVersionLevel) == [1, 1, 2])
        #expect(reply.finalizedFeaturesEpoch == 0)
    }

    private func ranges() throws -> [APIKey: ClosedRange<Int16>] {
        let reply = try ask(TestBroker().client())
        return Dictionary(
            uniqueKeysWithValues: try reply.apiKeys.map {
                (try #require(APIKey(rawValue: $0.apiKey)), $0.minVersion...$0.maxVersion)
            })
    }

    @Test(arguments: [Int16(6), 99, .max, -1]) func anUnknownVersionIsAnsweredInVersion0WithTheEntry(
        version: Int16
    ) throws {
        let client = try TestBroker().client()
        var request = ApiVersionsRequest()
        (request.clientSoftwareName, request.clientSoftwareVersion) = ("test-client", "1.0")
        // The body is of no version that is known: whatever it holds must not matter.
        var frame = WireClient.frame(request, version: version < 0 ? 0 : 5, correlationID: 77)
        frame[6] = UInt8(truncatingIfNeeded: version >> 8)
        frame[7] = UInt8(truncatingIfNeeded: version)
        try client.send(bytes: frame)
        let reply = try client.receive(ApiVersionsResponse.self, version: 0, correlationID: 77)
        #expect(reply.code == .unsupportedVersion)
        #expect(reply.apiKeys.map(\.apiKey) == [APIKey.apiVersions.rawValue])
        #expect(reply.apiKeys[0].minVersion == 0)
        #expect(reply.apiKeys[0].maxVersion == 5)
        // The connection goes on: kafkajs and librdkafka ask again in a lower version.
        #expect(try ask(client, version: 0).code == .none)
    }

    @Test(arguments: ["", "a b", "-x", "x.", "ü"]) func softwareNamesThatAreNotValidAreInvalidRequest(
        name: String
    ) throws {
        var request = ApiVersionsRequest()
        (request.clientSoftwareName, request.clientSoftwareVersion) = (name, "1.0")
        #expect(try TestBroker().client().call(request, version: 3).code == .invalidRequest)
    }

    @Test func anotherClusterOrNodeIsRebootstrapRequired() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        var request = ApiVersionsRequest()
        (request.clientSoftwareName, request.clientSoftwareVersion) = ("test-client", "1.0")
        request.clusterID = "another"
        #expect(try client.call(request, version: 5).code == .rebootstrapRequired)
        request.clusterID = broker.broker.clusterID
        request.nodeID = 99
        #expect(try client.call(request, version: 5).code == .rebootstrapRequired)
        request.nodeID = 1
        #expect(try client.call(request, version: 5).code == .none)
    }
}
