import BrokerCore
import BrokerTestKit
import KafkaModel
import KafkaWire
import Security
import Testing

@testable import KafkaServer

/// Each API in each version that ApiVersions tells: the request is taken and the reply decodes to its last byte.
@Suite struct EveryVersionTests {
    @Test func everyServedVersionOfEveryAPIIsAnsweredDecodably() throws {
        let broker = try TestBroker { options in
            (options.broker.access.hasAuthorizer, options.broker.access.allowsWithoutAcl) = (true, true)
        }
        let client = try broker.client()
        let id = try client.createTopic("orders", partitions: 2)
        try client.append("orders", count: 1)
        let topic = Named(name: "orders", id: id)
        var asked: Set<APIKey> = []
        for api in APITable.all {
            let request = Self.sample(api.key, topic)
            asked.insert(type(of: request).apiKey)
            for version in api.versions {
                try Self.call(Self.adapted(request, version, topic), version, client)
            }
        }
        #expect(asked == Set(APITable.all.map(\.key)))
    }

    struct Named {
        var name: String
        var id: TopicID
    }

    private static func call(_ request: some KafkaRequest, _ version: Int16, _ client: WireClient) throws {
        do {
            _ = try client.call(request, version: version)
        } catch {
            Issue.record("\(type(of: request)) version \(version): \(error)")
            throw error
        }
    }

    /// Takes out what a version cannot carry.
    static func adapted(
        _ request: any KafkaRequest, _ version: Int16, _ topic: Named
    ) -> any KafkaRequest {
        switch request {
        case var produce as ProduceRequest:
            produce.topicData[0].name = version < 13 ? topic.name : ""
            produce.topicData[0].topicID = version < 13 ? .zero : topic.id
            return produce
        case var fetch as FetchRequest:
            fetch.topics[0].topic = version < 13 ? topic.name : ""
            fetch.topics[0].topicID = version < 13 ? .zero : topic.id
            return fetch
        case var deletion as DeleteTopicsRequest:
            if version >= 6 {
                deletion.topics = [DeleteTopicsRequest.DeleteTopicState()]
                deletion.topics[0].name = "missing"
            } else {
                deletion.topicNames = ["missing"]
            }
            return deletion
        case var commit as OffsetCommitRequest:
            commit.topics[0].name = version < 10 ? topic.name : ""
            commit.topics[0].topicID = version < 10 ? .zero : topic.id
            return commit
        case var commit as TxnOffsetCommitRequest:
            commit.topics[0].name = version < 6 ? topic.name : ""
            commit.topics[0].topicID = version < 6 ? .zero : topic.id
            return commit
        case var add as AddPartitionsToTxnRequest:
            var entry = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic()
            (entry.name, entry.partitions) = (topic.name, [0])
            if version < 4 {
                add.v3AndBelowTopics = [entry]
            } else {
                add.transactions = [AddPartitionsToTxnRequest.AddPartitionsToTxnTransaction()]
                add.transactions[0].topics = [entry]
            }
            return add
        case var fetch as OffsetFetchRequest:
            if version < 8 {
                fetch.groupID = "readers"
                fetch.topics = [OffsetFetchRequest.OffsetFetchRequestTopic()]
                fetch.topics![0].name = topic.name
                fetch.topics![0].partitionIndexes = [0]
            } else {
                var group = OffsetFetchRequest.OffsetFetchRequestGroup()
                group.groupID = "readers"
                var entry = OffsetFetchRequest.OffsetFetchRequestTopics()
                entry.name = version < 10 ? topic.name : ""
                entry.topicID = version < 10 ? .zero : topic.id
                entry.partitionIndexes = [0]
                group.topics = [entry]
                fetch.groups = [group]
            }
            return fetch
        case var find as FindCoordinatorRequest:
            if version < 4 { find.key = "readers" } else { find.coordinatorKeys = ["readers", "writers"] }
            return find
        case var leave as LeaveGroupRequest:
            if version < 3 {
                leave.memberID = "nobody"
            } else {
                leave.members = [LeaveGroupRequest.MemberIdentity()]
                leave.members[0].memberID = "nobody"
            }
            return leave
        default: return request
        }
    }

    static func sample(_ key: APIKey, _ topic: Named) -> any KafkaRequest {
        switch key {
        case .produce: return WireClient.produceRequest(topic.name, TestBatch(count: 1).bytes())
        case .fetch: return WireClient.fetchRequest([WireClient.Wanted(topic: topic.name)])
        case .listOffsets:
            var request = ListOffsetsRequest()
            request.replicaID = -1
            request.topics = [ListOffsetsRequest.ListOffsetsTopic()]
            request.topics[0].name = topic.name
            request.topics[0].partitions = [ListOffsetsRequest.ListOffsetsPartition()]
            return request
        case .metadata: return MetadataRequest()
        case .offsetCommit:
            var request = OffsetCommitRequest()
            request.groupID = "readers"
            request.topics = [OffsetCommitRequest.OffsetCommitRequestTopic()]
            request.topics[0].partitions = [OffsetCommitRequest.OffsetCommitRequestPartition()]
            return request
        case .offsetFetch: return OffsetFetchRequest()
        case .findCoordinator: return FindCoordinatorRequest()
        case .joinGroup:
            var request = JoinGroupRequest()
            request.groupID = "joined"
            request.memberID = "nobody"
            request.sessionTimeoutMs = 10_000
            request.protocolType = "consumer"
            request.protocols = [JoinGroupRequest.JoinGroupRequestProtocol()]
            request.protocols[0].name = "range"
            return request
        case .heartbeat:
            var request = HeartbeatRequest()
            request.groupID = "readers"
            return request
        case .leaveGroup:
            var request = LeaveGroupRequest()
            request.groupID = "readers"
            return request
        case .syncGroup:
            var request = SyncGroupRequest()
            request.groupID = "readers"
            return request
        case .describeGroups:
            var request = DescribeGroupsRequest()
            request.groups = ["readers", "missing"]
            return request
        case .listGroups: return ListGroupsRequest()
        case .saslHandshake:
            var request = SaslHandshakeRequest()
            request.mechanism = "PLAIN"
            return request
        case .saslAuthenticate: return SaslAuthenticateRequest()
        case .apiVersions: return ApiVersionsRequest()
        case .createTopics:
            var request = CreateTopicsRequest()
            request.validateOnly = true
            request.topics = [CreateTopicsRequest.CreatableTopic()]
            request.topics[0].name = "planned"
            (request.topics[0].numPartitions, request.topics[0].replicationFactor) = (3, 1)
            return request
        case .deleteTopics: return DeleteTopicsRequest()
        case .deleteRecords:
            var request = DeleteRecordsRequest()
            request.topics = [DeleteRecordsRequest.DeleteRecordsTopic()]
            request.topics[0].name = topic.name
            request.topics[0].partitions = [DeleteRecordsRequest.DeleteRecordsPartition()]
            return request
        case .initProducerID:
            var request = InitProducerIdRequest()
            request.transactionalID = nil
            return request
        case .offsetForLeaderEpoch:
            var request = OffsetForLeaderEpochRequest()
            request.topics = [OffsetForLeaderEpochRequest.OffsetForLeaderTopic()]
            request.topics[0].topic = topic.name
            request.topics[0].partitions = [OffsetForLeaderEpochRequest.OffsetForLeaderPartition()]
            return request
        case .addPartitionsToTxn: return AddPartitionsToTxnRequest()
        case .addOffsetsToTxn: return AddOffsetsToTxnRequest()
        case .endTxn: return EndTxnRequest()
        case .txnOffsetCommit:
            var request = TxnOffsetCommitRequest()
            request.topics = [TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()]
            request.topics[0].partitions = [TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()]
            return request
        case .describeTransactions:
            var request = DescribeTransactionsRequest()
            request.transactionalIDs = ["payments"]
            return request
        case .listTransactions: return ListTransactionsRequest()
        case .consumerGroupHeartbeat:
            var request = ConsumerGroupHeartbeatRequest()
            (request.groupID, request.memberID, request.rebalanceTimeoutMs) = ("members", "m", 1000)
            (request.subscribedTopicNames, request.topicPartitions) = ([topic.name], [])
            return request
        case .consumerGroupDescribe:
            var request = ConsumerGroupDescribeRequest()
            request.groupIDs = ["members"]
            return request
        case .writeTxnMarkers:
            var request = WriteTxnMarkersRequest()
            request.markers = [WriteTxnMarkersRequest.WritableTxnMarker()]
            (request.markers[0].producerID, request.markers[0].producerEpoch) = (9, 0)
            request.markers[0].topics = [WriteTxnMarkersRequest.WritableTxnMarkerTopic()]
            request.markers[0].topics[0].name = topic.name
            request.markers[0].topics[0].partitionIndexes = [0]
            return request
        case .describeProducers:
            var request = DescribeProducersRequest()
            request.topics = [DescribeProducersRequest.TopicRequest()]
            request.topics[0].name = topic.name
            request.topics[0].partitionIndexes = [0]
            return request
        case .describeAcls: return AccessRequests.describe()
        case .createAcls: return AccessRequests.create(["orders"])
        case .deleteAcls: return AccessRequests.delete(["orders"])
        case .describeClientQuotas: return DescribeClientQuotasRequest()
        case .alterClientQuotas: return AccessRequests.quotas([("user", "alice")], [("producer_byte_rate", 1_000)])
        case .describeUserScramCredentials: return DescribeUserScramCredentialsRequest()
        case .alterUserScramCredentials: return AccessRequests.password("alice")
        case .describeConfigs:
            var request = DescribeConfigsRequest()
            request.includeSynonyms = true
            request.resources = [DescribeConfigsRequest.DescribeConfigsResource()]
            (request.resources[0].resourceType, request.resources[0].resourceName) = (2, topic.name)
            request.resources[0].configurationKeys = nil
            return request
        case .alterConfigs:
            var request = AlterConfigsRequest()
            request.validateOnly = true
            request.resources = [AlterConfigsRequest.AlterConfigsResource()]
            (request.resources[0].resourceType, request.resources[0].resourceName) = (2, topic.name)
            return request
        case .describeLogDirs:
            var request = DescribeLogDirsRequest()
            request.topics = nil
            return request
        case .createPartitions:
            var request = CreatePartitionsRequest()
            request.validateOnly = true
            request.topics = [CreatePartitionsRequest.CreatePartitionsTopic()]
            (request.topics[0].name, request.topics[0].count) = (topic.name, 5)
            request.topics[0].assignments = nil
            return request
        case .deleteGroups:
            var request = DeleteGroupsRequest()
            request.groupsNames = ["missing"]
            return request
        case .incrementalAlterConfigs:
            var request = IncrementalAlterConfigsRequest()
            request.validateOnly = true
            request.resources = [IncrementalAlterConfigsRequest.AlterConfigsResource()]
            (request.resources[0].resourceType, request.resources[0].resourceName) = (2, topic.name)
            return request
        case .offsetDelete:
            var request = OffsetDeleteRequest()
            request.groupID = "readers"
            return request
        case .describeCluster: return DescribeClusterRequest()
        case .describeTopicPartitions: return DescribeTopicPartitionsRequest()
        case .describeGatewayKeys: return DescribeGatewayKeysRequest()
        case .alterGatewayKeys: return AccessRequests.key(GatewayKeyText.make().key)
        case .alterReplicaLogDirs:
            var request = AlterReplicaLogDirsRequest()
            request.dirs = [.init()]
            request.dirs[0].topics = [.init()]
            (request.dirs[0].topics[0].name, request.dirs[0].topics[0].partitions) = (topic.name, [0])
            return request
        case .createDelegationToken: return CreateDelegationTokenRequest()
        case .renewDelegationToken: return RenewDelegationTokenRequest()
        case .expireDelegationToken: return ExpireDelegationTokenRequest()
        case .describeDelegationToken: return DescribeDelegationTokenRequest()
        case .electLeaders:
            var request = ElectLeadersRequest()
            request.topicPartitions = [.init()]
            (request.topicPartitions![0].topic, request.topicPartitions![0].partitions) = (topic.name, [0])
            return request
        case .alterPartitionReassignments:
            var request = AlterPartitionReassignmentsRequest()
            request.topics = [.init()]
            (request.topics[0].name, request.topics[0].partitions) = (topic.name, [.init()])
            return request
        case .listPartitionReassignments: return ListPartitionReassignmentsRequest()
        case .describeQuorum:
            var request = DescribeQuorumRequest()
            request.topics = [.init()]
            (request.topics[0].topicName, request.topics[0].partitions) = ("__cluster_metadata", [.init()])
            return request
        case .updateFeatures:
            var request = UpdateFeaturesRequest()
            request.featureUpdates = [.init()]
            (request.featureUpdates[0].feature, request.featureUpdates[0].maxVersionLevel) = ("group.version", 1)
            return request
        case .listConfigResources: return ListConfigResourcesRequest()
        case .shareGroupHeartbeat:
            var request = ShareGroupHeartbeatRequest()
            (request.groupID, request.memberID, request.subscribedTopicNames) = ("sharers", "m", [topic.name])
            return request
        case .shareGroupDescribe:
            var request = ShareGroupDescribeRequest()
            request.groupIDs = ["sharers"]
            return request
        case .shareFetch:
            var request = ShareFetchRequest()
            (request.groupID, request.memberID, request.maxRecords, request.maxBytes) = ("sharers", "m", 10, 1 << 20)
            request.topics = [.init()]
            (request.topics[0].topicID, request.topics[0].partitions) = (topic.id, [.init()])
            return request
        case .shareAcknowledge:
            var request = ShareAcknowledgeRequest()
            (request.groupID, request.memberID, request.shareSessionEpoch) = ("sharers", "m", 1)
            return request
        case .describeShareGroupOffsets:
            var request = DescribeShareGroupOffsetsRequest()
            request.groups = [.init()]
            (request.groups[0].groupID, request.groups[0].topics) = ("sharers", nil)
            return request
        case .alterShareGroupOffsets:
            var request = AlterShareGroupOffsetsRequest()
            (request.groupID, request.topics) = ("other sharers", [.init()])
            (request.topics[0].topicName, request.topics[0].partitions) = (topic.name, [.init()])
            return request
        case .deleteShareGroupOffsets:
            var request = DeleteShareGroupOffsetsRequest()
            (request.groupID, request.topics) = ("other sharers", [.init()])
            request.topics[0].topicName = topic.name
            return request
        default: preconditionFailure("\(key) is served and has no sample here")
        }
    }
}
