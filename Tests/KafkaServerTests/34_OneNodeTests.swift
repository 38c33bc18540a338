import BrokerCore
import BrokerTestKit
import KafkaModel
import KafkaWire
import LogStorage
import Security
import Testing

@testable import KafkaServer

/// The APIs by which Kafka's nodes are told apart, moved and agreed with, as a cluster of one node answers them. What Apache Kafka 4.3.1
/// of one node says is the measure; who may is `AuthorizationTests`'.
@Suite struct OneNodeTests {
    private func client() throws -> (WireClient, TestBroker) {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 2)
        return (client, broker)
    }

    // MARK: Folders

    @Test func aPartitionIsInTheOneFolder() throws {
        let (client, broker) = try client()
        var request = AlterReplicaLogDirsRequest()
        for (folder, name, indexes) in [
            (broker.broker.store.folder, "orders", [0, 2]), (broker.broker.store.folder, "absent", [0]),
            ("/elsewhere", "orders", [1]),
        ] as [(String, String, [Int32])] {
            var asked = AlterReplicaLogDirsRequest.AlterReplicaLogDir()
            asked.path = folder
            asked.topics = [.init()]
            (asked.topics[0].name, asked.topics[0].partitions) = (name, indexes)
            request.dirs.append(asked)
        }
        let results = try client.call(request).results
        #expect(results.map(\.topicName) == ["orders", "absent", "orders"])
        #expect(
            results.flatMap { $0.partitions.map { ErrorCode(rawValue: $0.errorCode) } }
                == [.none, .unknownTopicOrPartition, .unknownTopicOrPartition, .logDirNotFound])
    }

    // MARK: Leaders

    private func elect(_ topics: [(String, [Int32])]?, _ kind: Int8 = 0) -> ElectLeadersRequest {
        var request = ElectLeadersRequest()
        request.electionType = kind
        request.topicPartitions = topics.map { topics in
            topics.map { name, indexes in
                var topic = ElectLeadersRequest.TopicPartitions()
                (topic.topic, topic.partitions) = (name, indexes)
                return topic
            }
        }
        return request
    }

    @Test func noLeaderNeedsAnElection() throws {
        let (client, _) = try client()
        for kind: Int8 in [0, 1] {
            let response = try client.call(elect([("orders", [0, 7]), ("absent", [0])], kind))
            #expect(response.errorCode == 0)
            let results = response.replicaElectionResults.flatMap(\.partitionResult)
            #expect(
                results.map { ErrorCode(rawValue: $0.errorCode) }
                    == [.electionNotNeeded, .unknownTopicOrPartition, .unknownTopicOrPartition])
            #expect(
                results.map(\.errorMessage) == [
                    "Leader election not needed for topic partition.", "No such partition as orders-7",
                    "No such topic as absent",
                ])
        }
    }

    @Test func ofAllPartitionsNoneIsTold() throws {
        let (client, _) = try client()
        let response = try client.call(elect(nil))
        #expect(response.errorCode == 0 && response.replicaElectionResults.isEmpty)
    }

    @Test func anUnknownKindOfElectionIsRefused() throws {
        let (client, _) = try client()
        let response = try client.call(elect([("orders", [0])], 2))
        #expect(ErrorCode(rawValue: response.errorCode) == .invalidRequest)
        #expect(response.replicaElectionResults[0].partitionResult[0].errorMessage == "Unknown election type 2")
    }

    // MARK: Reassignments

    @Test func aPartitionStaysWhereItIs() throws {
        let (client, _) = try client()
        var request = AlterPartitionReassignmentsRequest()
        let wanted: [(String, Int32, [Int32]?)] = [
            ("orders", 0, [1]), ("orders", 0, nil), ("orders", 0, []), ("orders", 0, [1, 2]), ("orders", 0, [1, 1]),
            ("orders", 5, [1]), ("absent", 0, [1]),
        ]
        request.topics = wanted.map { name, index, replicas in
            var topic = AlterPartitionReassignmentsRequest.ReassignableTopic()
            topic.name = name
            topic.partitions = [.init()]
            (topic.partitions[0].partitionIndex, topic.partitions[0].replicas) = (index, replicas)
            return topic
        }
        let response = try client.call(request)
        #expect(response.errorCode == 0)
        let results = response.responses.map { $0.partitions[0] }
        #expect(
            results.map { ErrorCode(rawValue: $0.errorCode) } == [
                .none, .noReassignmentInProgress, .invalidReplicaAssignment, .invalidReplicaAssignment,
                .invalidReplicaAssignment, .unknownTopicOrPartition, .unknownTopicOrPartition,
            ])
        #expect(results[0].errorMessage == nil)
        #expect(results[3].errorMessage?.contains("broker 2") == true)
        #expect(results[5].errorMessage == "Unable to find partition orders:5.")
    }

    @Test func noneIsUnderWay() throws {
        let (client, _) = try client()
        let response = try client.call(ListPartitionReassignmentsRequest())
        #expect(response.errorCode == 0 && response.topics.isEmpty)
    }

    // MARK: The quorum

    @Test func theQuorumIsThisNode() throws {
        let (client, broker) = try client()
        var request = DescribeQuorumRequest()
        request.topics = [.init()]
        request.topics[0].topicName = "__cluster_metadata"
        request.topics[0].partitions = [.init()]
        let response = try client.call(request)
        let partition = try #require(response.topics.first?.partitions.first)
        #expect(response.errorCode == 0 && partition.errorCode == 0)
        #expect(partition.leaderID == broker.broker.options.nodeID && partition.observers.isEmpty)
        #expect(partition.currentVoters.map(\.replicaID) == [partition.leaderID])
        #expect(partition.currentVoters[0].logEndOffset == partition.highWatermark)
        #expect(response.nodes.map(\.nodeID) == [partition.leaderID] && response.nodes[0].listeners[0].port > 0)
        // It grows with each change.
        try client.createTopic("more", partitions: 1)
        #expect(try client.call(request).topics[0].partitions[0].highWatermark > partition.highWatermark)

        request.topics[0].topicName = "orders"
        let other = try client.call(request)
        #expect(ErrorCode(rawValue: other.topics[0].partitions[0].errorCode) == .unknownTopicOrPartition)
    }

    // MARK: Features

    private func update(_ updates: [(String, Int16)]) -> UpdateFeaturesRequest {
        var request = UpdateFeaturesRequest()
        request.featureUpdates = updates.map { name, level in
            var update = UpdateFeaturesRequest.FeatureUpdateKey()
            (update.feature, update.maxVersionLevel) = (name, level)
            return update
        }
        return request
    }

    @Test func featuresStayAtTheLevelThatIsTold() throws {
        let (client, _) = try client()
        var versions = ApiVersionsRequest()
        (versions.clientSoftwareName, versions.clientSoftwareVersion) = ("tests", "1")
        let told = try client.call(versions).finalizedFeatures.map { ($0.name, $0.maxVersionLevel) }
        #expect(!told.isEmpty)
        #expect(try client.call(update(told)).errorCode == 0)
        for (wrong, reason) in [
            (("foo", 3), "does not support this feature"), (("transaction.version", 9), "only supports versions 0-2"),
            (("transaction.version", 1), "stays at level 2"),
        ] as [((String, Int16), String)] {
            let response = try client.call(update(told + [wrong]))
            #expect(ErrorCode(rawValue: response.errorCode) == .invalidUpdateVersion)
            #expect(response.errorMessage?.contains(reason) == true, "\(response.errorMessage ?? "")")
        }
    }

    @Test func olderVersionsHaveAResultForEachFeature() throws {
        let (client, _) = try client()
        let response = try client.call(update([("group.version", 1)]), version: 1)
        #expect(response.results.map(\.feature) == ["group.version"] && response.results[0].errorCode == 0)
    }

    // MARK: What has settings

    /// The broker's own topics left out.
    private func listed(_ client: WireClient, _ types: [Int8], version: Int16 = 1) throws -> [String] {
        var request = ListConfigResourcesRequest()
        request.resourceTypes = types
        let response = try client.call(request, version: version)
        #expect(response.errorCode == 0)
        return response.configResources.filter { !$0.resourceName.hasPrefix("__") }.map {
            "\($0.resourceType) \($0.resourceName)"
        }
    }

    @Test func topicsAndTheBrokerHaveSettings() throws {
        let (client, _) = try client()
        #expect(try listed(client, [2]) == ["2 orders"])
        #expect(try listed(client, [4]) == ["4 1"])
        #expect(try listed(client, []) == ["2 orders", "4 1"])
        #expect(try listed(client, [8, 16, 32]) == [])
        #expect(try listed(client, [], version: 0) == [])
        var request = ListConfigResourcesRequest()
        request.resourceTypes = [2, 3]
        #expect(try ErrorCode(rawValue: client.call(request).errorCode) == .unsupportedVersion)
    }

    // MARK: Tokens

    private func tokenCodes(_ client: WireClient) throws -> [ErrorCode] {
        var renewing = CreateDelegationTokenRequest()
        renewing.renewers = [.init()]
        (renewing.renewers[0].principalType, renewing.renewers[0].principalName) = ("Group", "ops")
        var other = CreateDelegationTokenRequest()
        (other.ownerPrincipalType, other.ownerPrincipalName) = ("User", "bob")
        return try [
            client.call(CreateDelegationTokenRequest()).errorCode, client.call(renewing).errorCode,
            client.call(other).errorCode, client.call(RenewDelegationTokenRequest()).errorCode,
            client.call(ExpireDelegationTokenRequest()).errorCode,
            client.call(DescribeDelegationTokenRequest()).errorCode,
        ].map(ErrorCode.init)
    }

    @Test func nobodyAsksForNoToken() throws {
        let (client, _) = try client()
        let codes = try tokenCodes(client)
        #expect(codes == Array(repeating: .delegationTokenRequestNotAllowed, count: 6))
    }

    @Test func thereAreNoTokens() throws {
        let broker = try TestBroker { options in
            options.sasl = SaslSettings(mechanisms: [.scramSHA256], failureDelay: .zero, parting: .zero)
            options.broker.access.hasAuthorizer = true
        }
        SaslTests.setPassword(of: "alice", "pencil", on: broker)
        let client = try broker.client()
        #expect(try client.logIn(.sha256, "alice", "pencil").errorCode == 0)
        let disabled = ErrorCode.delegationTokenAuthDisabled
        #expect(
            try tokenCodes(client) == [
                disabled, .invalidPrincipalType, .delegationTokenAuthorizationFailed, disabled, disabled, disabled,
            ])
        let created = try client.call(CreateDelegationTokenRequest())
        #expect(created.principalType == "User" && created.principalName == "alice")
        #expect(created.tokenRequesterPrincipalName == "alice")
        #expect(created.issueTimestampMs == -1 && created.expiryTimestampMs == -1 && created.maxTimestampMs == -1)
        #expect(created.tokenID.isEmpty && created.hmac.isEmpty)
        let results = broker.broker.createAcls([
            .init(
                resource: ResourceType.user.rawValue, name: "User:bob", pattern: 3, principal: "User:alice", host: "*",
                operation: AclOperation.createTokens.rawValue, permission: AclPermission.allow.rawValue)
        ])
        #expect(results == [nil])
        #expect(try tokenCodes(client)[2] == disabled)
    }
}
