import ByteBuffers
import KafkaWire

/// `api u8 (place in the list) | version u8 | body`: decodes a request; what decodes must encode, and that must decode and
/// encode to the same bytes.
@Sendable func fuzzMessages(_ bytes: UnsafeRawBufferPointer) {
    var input = Input(bytes)
    let type = requestTypes[Int(input.byte()) % requestTypes.count]
    roundTrip(type, version: Int16(input.byte()), input.rest())
}

/// Everything that is served, in the order of the seeds.
let requestTypes: [any KafkaRequest.Type] = [
    ProduceRequest.self, FetchRequest.self, ListOffsetsRequest.self, MetadataRequest.self, OffsetCommitRequest.self,
    OffsetFetchRequest.self, FindCoordinatorRequest.self, JoinGroupRequest.self, HeartbeatRequest.self,
    LeaveGroupRequest.self, SyncGroupRequest.self, DescribeGroupsRequest.self, ListGroupsRequest.self,
    ApiVersionsRequest.self, CreateTopicsRequest.self, DeleteTopicsRequest.self, DeleteRecordsRequest.self,
    InitProducerIdRequest.self, OffsetForLeaderEpochRequest.self, DescribeConfigsRequest.self, AlterConfigsRequest.self,
    DescribeLogDirsRequest.self, CreatePartitionsRequest.self, DeleteGroupsRequest.self,
    IncrementalAlterConfigsRequest.self, OffsetDeleteRequest.self, DescribeClusterRequest.self,
    DescribeTopicPartitionsRequest.self, DescribeAclsRequest.self, CreateAclsRequest.self, DeleteAclsRequest.self,
    DescribeClientQuotasRequest.self, AlterClientQuotasRequest.self, DescribeUserScramCredentialsRequest.self,
    AlterUserScramCredentialsRequest.self, DescribeGatewayKeysRequest.self, AlterGatewayKeysRequest.self,
    SaslHandshakeRequest.self, SaslAuthenticateRequest.self, AddPartitionsToTxnRequest.self,
    AddOffsetsToTxnRequest.self,
    EndTxnRequest.self, WriteTxnMarkersRequest.self, TxnOffsetCommitRequest.self, DescribeProducersRequest.self,
    DescribeTransactionsRequest.self, ListTransactionsRequest.self, ConsumerGroupHeartbeatRequest.self,
    ConsumerGroupDescribeRequest.self, AlterReplicaLogDirsRequest.self, CreateDelegationTokenRequest.self,
    RenewDelegationTokenRequest.self, ExpireDelegationTokenRequest.self, DescribeDelegationTokenRequest.self,
    ElectLeadersRequest.self, AlterPartitionReassignmentsRequest.self, ListPartitionReassignmentsRequest.self,
    DescribeQuorumRequest.self, UpdateFeaturesRequest.self, ListConfigResourcesRequest.self,
    ShareGroupHeartbeatRequest.self, ShareGroupDescribeRequest.self, ShareFetchRequest.self,
    ShareAcknowledgeRequest.self, DescribeShareGroupOffsetsRequest.self, AlterShareGroupOffsetsRequest.self,
    DeleteShareGroupOffsetsRequest.self,
]

private func roundTrip<Message: KafkaRequest>(_: Message.Type, version: Int16, _ body: UnsafeRawBufferPointer) {
    let versions = Message.versions
    let version = versions.lowerBound + version % Int16(versions.count)
    guard let message = try? Message(whole: body, version: version) else { return }
    let once = encoded(message, version)
    guard let again = once.withUnsafeBytes({ try? Message(whole: $0, version: version) }) else {
        fatalError("\(Message.self) \(version) does not decode what it encoded")
    }
    insist(encoded(again, version) == once, "\(Message.self) \(version) encodes in two ways")
}

private func encoded<Message: KafkaRequest>(_ message: Message, _ version: Int16) -> [UInt8] {
    var writer = ByteWriter()
    message.encode(to: &writer, version: version)
    return writer.array
}
