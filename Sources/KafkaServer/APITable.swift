import ByteBuffers
import KafkaWire

/// One served API: its handler and the versions it decodes.
final class API: Sendable {
    typealias Handler = @Sendable (KafkaConnection, borrowing Request) throws(DecodeError) -> Void

    let key: APIKey
    let versions: ClosedRange<Int16>
    /// What ApiVersions tells; wider than `versions` where old clients conclude from the lowest.
    let advertised: ClosedRange<Int16>
    /// Nil: done in place, as the bytes lie, or bounded by its length.
    let price: RequestPrice?
    let handle: Handler

    init(_ key: APIKey, price: RequestPrice? = nil, _ handle: @escaping Handler) {
        guard let versions = key.codecVersions, let advertised = key.advertisedVersions else {
            preconditionFailure("\(key) is served but has no codec")
        }
        self.key = key
        self.versions = versions
        self.advertised = advertised
        self.price = price
        self.handle = handle
    }
}

/// Everything that is served; ApiVersions answers from it. How one is added is told in README.md. The prices say how much
/// larger than its frame a request and its reply can become.
enum APITable {
    static let all: [API] = [
        API(.produce) { c, r throws(DecodeError) in try c.produce(r) },
        API(.fetch) { c, r throws(DecodeError) in try c.fetch(r) },
        .lookUps(
            ListOffsetsRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.listOffsetsPrice, mayBlock: KafkaConnection.looksUpTimes,
            plan: KafkaConnection.listOffsets),
        API(.metadata, price: KafkaConnection.metadataPrice) { c, r throws(DecodeError) in try c.metadata(r) },
        .offsetCommit,
        .answer(
            // A partition's four bytes may bring a text of 12 KB.
            OffsetFetchRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.offsetFetchPrice, by: KafkaConnection.offsetFetch),
        .answer(
            FindCoordinatorRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.findCoordinatorPrice, by: KafkaConnection.findCoordinator),
        .joinGroup,
        .heartbeat,
        .leaveGroup,
        .syncGroup,
        .answer(
            DescribeGroupsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.describeGroupsPrice, mayBlock: KafkaConnection.describesMembers,
            by: KafkaConnection.describeGroups),
        .answer(
            ListGroupsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.listGroupsPrice, by: KafkaConnection.listGroups),
        .plain(.saslHandshake) { c, r throws(DecodeError) in try c.saslHandshake(r) },
        .plain(.apiVersions) { c, r throws(DecodeError) in try c.apiVersions(r) },
        .topicChange(
            CreateTopicsRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.createTopicsPrice, plan: KafkaConnection.createTopics),
        .topicChange(
            DeleteTopicsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.deleteTopicsPrice, plan: KafkaConnection.deleteTopics),
        .answer(
            DeleteRecordsRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.deleteRecordsPrice, by: KafkaConnection.deleteRecords),
        .plain(.initProducerID) { c, r throws(DecodeError) in try c.initProducerID(r) },
        .answer(
            OffsetForLeaderEpochRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.offsetForLeaderEpochPrice, by: KafkaConnection.offsetForLeaderEpoch),
        .answer(
            AddPartitionsToTxnRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.addPartitionsToTxnPrice, by: KafkaConnection.addPartitionsToTxn),
        .plain(.addOffsetsToTxn) { c, r throws(DecodeError) in try c.addOffsetsToTxn(r) },
        .plain(.endTxn) { c, r throws(DecodeError) in try c.endTxn(r) },
        .answer(
            WriteTxnMarkersRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.writeTxnMarkersPrice, by: KafkaConnection.writeTxnMarkers),
        .txnOffsetCommit,
        .answer(
            DescribeAclsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.describeAclsPrice, mayBlock: { _ in true }, by: KafkaConnection.describeAcls),
        .change(
            CreateAclsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.createAclsPrice, plan: KafkaConnection.createAcls),
        .change(
            DeleteAclsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.deleteAclsPrice, plan: KafkaConnection.deleteAcls),
        .answer(
            DescribeConfigsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.describeConfigsPrice, by: KafkaConnection.describeConfigs),
        .change(
            AlterConfigsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.alterConfigsPrice, plan: KafkaConnection.alterConfigs),
        .answer(
            AlterReplicaLogDirsRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.alterReplicaLogDirsPrice, by: KafkaConnection.alterReplicaLogDirs),
        .answer(
            DescribeLogDirsRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.describeLogDirsPrice, mayBlock: { _ in true },
            by: KafkaConnection.describeLogDirs),
        .plain(.saslAuthenticate) { c, r throws(DecodeError) in try c.saslAuthenticate(r) },
        .topicChange(
            CreatePartitionsRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.createPartitionsPrice, plan: KafkaConnection.createPartitions),
        .plain(.createDelegationToken) { c, r throws(DecodeError) in try c.createDelegationToken(r) },
        .plain(.renewDelegationToken) { c, r throws(DecodeError) in try c.renewDelegationToken(r) },
        .plain(.expireDelegationToken) { c, r throws(DecodeError) in try c.expireDelegationToken(r) },
        .plain(.describeDelegationToken) { c, r throws(DecodeError) in try c.describeDelegationToken(r) },
        .answer(
            DeleteGroupsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.deleteGroupsPrice, mayBlock: { _ in true }, by: KafkaConnection.deleteGroups),
        .answer(
            ElectLeadersRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.electLeadersPrice, by: KafkaConnection.electLeaders),
        .change(
            IncrementalAlterConfigsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.incrementalAlterConfigsPrice, plan: KafkaConnection.incrementalAlterConfigs),
        .answer(
            AlterPartitionReassignmentsRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.alterPartitionReassignmentsPrice,
            by: KafkaConnection.alterPartitionReassignments),
        .answer(
            ListPartitionReassignmentsRequest.self, RequestPrice(decoded: 24), estimate: { _, _ in 0 },
            by: KafkaConnection.listPartitionReassignments),
        .offsetDelete,
        .answer(
            DescribeClientQuotasRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.describeClientQuotasPrice, mayBlock: { _ in true },
            by: KafkaConnection.describeClientQuotas),
        .change(
            AlterClientQuotasRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.alterClientQuotasPrice, plan: KafkaConnection.alterClientQuotas),
        .answer(
            DescribeUserScramCredentialsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.describeScramPrice, mayBlock: { _ in true }, by: KafkaConnection.describeScram),
        .change(
            AlterUserScramCredentialsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.alterScramPrice, plan: KafkaConnection.alterScram),
        .answer(
            DescribeQuorumRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.describeQuorumPrice, by: KafkaConnection.describeQuorum),
        .answer(
            UpdateFeaturesRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.updateFeaturesPrice, by: KafkaConnection.updateFeatures),
        .plain(.describeCluster) { c, r throws(DecodeError) in try c.describeCluster(r) },
        .answer(
            DescribeProducersRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.describeProducersPrice, by: KafkaConnection.describeProducers),
        .answer(
            DescribeTransactionsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.describeTransactionsPrice, by: KafkaConnection.describeTransactions),
        .answer(
            // A pattern may take a while.
            ListTransactionsRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.listTransactionsPrice, mayBlock: { $0.transactionalIDPattern != nil },
            by: KafkaConnection.listTransactions),
        .consumerGroupHeartbeat,
        .answer(
            ConsumerGroupDescribeRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.consumerGroupDescribePrice, mayBlock: { !$0.groupIDs.isEmpty },
            by: KafkaConnection.consumerGroupDescribe),
        .answer(
            ListConfigResourcesRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.listConfigResourcesPrice, by: KafkaConnection.listConfigResources),
        .answer(
            DescribeTopicPartitionsRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.describeTopicPartitionsPrice, by: KafkaConnection.describeTopicPartitions),
        .shareGroupHeartbeat,
        .answer(
            ShareGroupDescribeRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.shareGroupDescribePrice, mayBlock: { !$0.groupIDs.isEmpty },
            by: KafkaConnection.shareGroupDescribe),
        API(.shareFetch, price: KafkaConnection.shareFetchPrice) { c, r throws(DecodeError) in try c.shareFetch(r) },
        .answer(
            ShareAcknowledgeRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.shareAcknowledgePrice, mayBlock: { _ in true },
            by: KafkaConnection.shareAcknowledge),
        .answer(
            DescribeShareGroupOffsetsRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.describeShareOffsetsPrice, mayBlock: { _ in true },
            by: KafkaConnection.describeShareOffsets),
        .answer(
            AlterShareGroupOffsetsRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.alterShareOffsetsPrice, mayBlock: { _ in true },
            by: KafkaConnection.alterShareOffsets),
        .answer(
            DeleteShareGroupOffsetsRequest.self, RequestPrice(decoded: 24),
            estimate: KafkaConnection.deleteShareOffsetsPrice, mayBlock: { _ in true },
            by: KafkaConnection.deleteShareOffsets),
        .answer(
            DescribeGatewayKeysRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.describeKeysPrice, mayBlock: { _ in true }, by: KafkaConnection.describeKeys),
        .change(
            AlterGatewayKeysRequest.self, RequestPrice(decoded: 16),
            estimate: KafkaConnection.alterKeysPrice, plan: KafkaConnection.alterKeys),
    ]
}
