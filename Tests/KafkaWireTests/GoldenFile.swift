import Foundation
import KafkaWire
import Testing

/// One line of a golden file.
struct GoldenLine {
    var kind: String
    var version: Int16
    /// `full`, `default` or `tags`; see Golden/README.md.
    var variant: String
    var bytes: [UInt8]
}

enum GoldenFile {
    static func lines(_ name: String) throws -> [GoldenLine] {
        let folder = Bundle.module.resourceURL!.appendingPathComponent("Golden")
        let text = try String(contentsOf: folder.appendingPathComponent("\(name).txt"), encoding: .utf8)
        return text.split(separator: "\n").map { line in
            let words = line.split(separator: " ", omittingEmptySubsequences: false)
            return GoldenLine(
                kind: String(words[0]), version: Int16(words[1].dropFirst())!, variant: String(words[2]),
                bytes: bytes(words[3]))
        }
    }

    private static func bytes(_ hex: Substring) -> [UInt8] {
        let digits = Array(hex.utf8)
        func value(_ digit: UInt8) -> UInt8 { digit < 0x3a ? digit - 0x30 : digit - 0x61 + 10 }
        return stride(from: 0, to: digits.count, by: 2).map { value(digits[$0]) << 4 | value(digits[$0 + 1]) }
    }
}

/// A message type and where its golden bytes are.
struct MessageCase: CustomTestStringConvertible {
    var file: String
    var kind: String
    var type: any KafkaMessage.Type

    var testDescription: String { "\(type)" }

    var lines: [GoldenLine] {
        get throws { try GoldenFile.lines(file).filter { $0.kind == kind } }
    }

    static let all: [MessageCase] =
        apis.flatMap { file, request, response in
            [
                MessageCase(file: file, kind: "request", type: request),
                MessageCase(file: file, kind: "response", type: response),
            ]
        } + singles.map { MessageCase(file: $0, kind: "fields", type: $1) }

    static let apis: [(String, any KafkaRequest.Type, any KafkaResponse.Type)] = [
        ("00_Produce", ProduceRequest.self, ProduceResponse.self),
        ("01_Fetch", FetchRequest.self, FetchResponse.self),
        ("02_ListOffsets", ListOffsetsRequest.self, ListOffsetsResponse.self),
        ("03_Metadata", MetadataRequest.self, MetadataResponse.self),
        ("08_OffsetCommit", OffsetCommitRequest.self, OffsetCommitResponse.self),
        ("09_OffsetFetch", OffsetFetchRequest.self, OffsetFetchResponse.self),
        ("10_FindCoordinator", FindCoordinatorRequest.self, FindCoordinatorResponse.self),
        ("11_JoinGroup", JoinGroupRequest.self, JoinGroupResponse.self),
        ("12_Heartbeat", HeartbeatRequest.self, HeartbeatResponse.self),
        ("13_LeaveGroup", LeaveGroupRequest.self, LeaveGroupResponse.self),
        ("14_SyncGroup", SyncGroupRequest.self, SyncGroupResponse.self),
        ("15_DescribeGroups", DescribeGroupsRequest.self, DescribeGroupsResponse.self),
        ("16_ListGroups", ListGroupsRequest.self, ListGroupsResponse.self),
        ("17_SaslHandshake", SaslHandshakeRequest.self, SaslHandshakeResponse.self),
        ("18_ApiVersions", ApiVersionsRequest.self, ApiVersionsResponse.self),
        ("19_CreateTopics", CreateTopicsRequest.self, CreateTopicsResponse.self),
        ("20_DeleteTopics", DeleteTopicsRequest.self, DeleteTopicsResponse.self),
        ("21_DeleteRecords", DeleteRecordsRequest.self, DeleteRecordsResponse.self),
        ("22_InitProducerId", InitProducerIdRequest.self, InitProducerIdResponse.self),
        ("23_OffsetForLeaderEpoch", OffsetForLeaderEpochRequest.self, OffsetForLeaderEpochResponse.self),
        ("24_AddPartitionsToTxn", AddPartitionsToTxnRequest.self, AddPartitionsToTxnResponse.self),
        ("25_AddOffsetsToTxn", AddOffsetsToTxnRequest.self, AddOffsetsToTxnResponse.self),
        ("26_EndTxn", EndTxnRequest.self, EndTxnResponse.self),
        ("27_WriteTxnMarkers", WriteTxnMarkersRequest.self, WriteTxnMarkersResponse.self),
        ("28_TxnOffsetCommit", TxnOffsetCommitRequest.self, TxnOffsetCommitResponse.self),
        ("29_DescribeAcls", DescribeAclsRequest.self, DescribeAclsResponse.self),
        ("30_CreateAcls", CreateAclsRequest.self, CreateAclsResponse.self),
        ("31_DeleteAcls", DeleteAclsRequest.self, DeleteAclsResponse.self),
        ("32_DescribeConfigs", DescribeConfigsRequest.self, DescribeConfigsResponse.self),
        ("33_AlterConfigs", AlterConfigsRequest.self, AlterConfigsResponse.self),
        ("34_AlterReplicaLogDirs", AlterReplicaLogDirsRequest.self, AlterReplicaLogDirsResponse.self),
        ("35_DescribeLogDirs", DescribeLogDirsRequest.self, DescribeLogDirsResponse.self),
        ("36_SaslAuthenticate", SaslAuthenticateRequest.self, SaslAuthenticateResponse.self),
        ("37_CreatePartitions", CreatePartitionsRequest.self, CreatePartitionsResponse.self),
        ("38_CreateDelegationToken", CreateDelegationTokenRequest.self, CreateDelegationTokenResponse.self),
        ("39_RenewDelegationToken", RenewDelegationTokenRequest.self, RenewDelegationTokenResponse.self),
        ("40_ExpireDelegationToken", ExpireDelegationTokenRequest.self, ExpireDelegationTokenResponse.self),
        ("41_DescribeDelegationToken", DescribeDelegationTokenRequest.self, DescribeDelegationTokenResponse.self),
        ("42_DeleteGroups", DeleteGroupsRequest.self, DeleteGroupsResponse.self),
        ("43_ElectLeaders", ElectLeadersRequest.self, ElectLeadersResponse.self),
        ("44_IncrementalAlterConfigs", IncrementalAlterConfigsRequest.self, IncrementalAlterConfigsResponse.self),
        ("45_AlterPartitionReassignments", AlterPartitionReassignmentsRequest.self, AlterPartitionReassignmentsResponse.self),
        ("46_ListPartitionReassignments", ListPartitionReassignmentsRequest.self, ListPartitionReassignmentsResponse.self),
        ("47_OffsetDelete", OffsetDeleteRequest.self, OffsetDeleteResponse.self),
        ("48_DescribeClientQuotas", DescribeClientQuotasRequest.self, DescribeClientQuotasResponse.self),
        ("49_AlterClientQuotas", AlterClientQuotasRequest.self, AlterClientQuotasResponse.self),
        (
            "50_DescribeUserScramCredentials", DescribeUserScramCredentialsRequest.self,
            DescribeUserScramCredentialsResponse.self
        ),
        (
            "51_AlterUserScramCredentials", AlterUserScramCredentialsRequest.self,
            AlterUserScramCredentialsResponse.self
        ),
        ("55_DescribeQuorum", DescribeQuorumRequest.self, DescribeQuorumResponse.self),
        ("57_UpdateFeatures", UpdateFeaturesRequest.self, UpdateFeaturesResponse.self),
        ("60_DescribeCluster", DescribeClusterRequest.self, DescribeClusterResponse.self),
        ("61_DescribeProducers", DescribeProducersRequest.self, DescribeProducersResponse.self),
        ("65_DescribeTransactions", DescribeTransactionsRequest.self, DescribeTransactionsResponse.self),
        ("66_ListTransactions", ListTransactionsRequest.self, ListTransactionsResponse.self),
        ("68_ConsumerGroupHeartbeat", ConsumerGroupHeartbeatRequest.self, ConsumerGroupHeartbeatResponse.self),
        ("69_ConsumerGroupDescribe", ConsumerGroupDescribeRequest.self, ConsumerGroupDescribeResponse.self),
        ("74_ListConfigResources", ListConfigResourcesRequest.self, ListConfigResourcesResponse.self),
        ("75_DescribeTopicPartitions", DescribeTopicPartitionsRequest.self, DescribeTopicPartitionsResponse.self),
        ("76_ShareGroupHeartbeat", ShareGroupHeartbeatRequest.self, ShareGroupHeartbeatResponse.self),
        ("77_ShareGroupDescribe", ShareGroupDescribeRequest.self, ShareGroupDescribeResponse.self),
        ("78_ShareFetch", ShareFetchRequest.self, ShareFetchResponse.self),
        ("79_ShareAcknowledge", ShareAcknowledgeRequest.self, ShareAcknowledgeResponse.self),
        (
            "90_DescribeShareGroupOffsets", DescribeShareGroupOffsetsRequest.self,
            DescribeShareGroupOffsetsResponse.self
        ),
        ("91_AlterShareGroupOffsets", AlterShareGroupOffsetsRequest.self, AlterShareGroupOffsetsResponse.self),
        ("92_DeleteShareGroupOffsets", DeleteShareGroupOffsetsRequest.self, DeleteShareGroupOffsetsResponse.self),
        ("20000_DescribeGatewayKeys", DescribeGatewayKeysRequest.self, DescribeGatewayKeysResponse.self),
        ("20001_AlterGatewayKeys", AlterGatewayKeysRequest.self, AlterGatewayKeysResponse.self),
    ]

    static let singles: [(String, any KafkaMessage.Type)] = [
        ("RequestHeader", RequestHeader.self), ("ResponseHeader", ResponseHeader.self),
        ("ConsumerProtocolSubscription", ConsumerProtocolSubscription.self),
        ("ConsumerProtocolAssignment", ConsumerProtocolAssignment.self),
        ("OffsetCommitKey", OffsetCommitKey.self), ("OffsetCommitValue", OffsetCommitValue.self),
        ("LegacyOffsetCommitKey", LegacyOffsetCommitKey.self),
        ("LegacyOffsetCommitValue", LegacyOffsetCommitValue.self),
        ("GroupMetadataKey", GroupMetadataKey.self), ("GroupMetadataValue", GroupMetadataValue.self),
        ("ConsumerGroupMetadataKey", ConsumerGroupMetadataKey.self),
        ("ConsumerGroupMetadataValue", ConsumerGroupMetadataValue.self),
        ("ConsumerGroupPartitionMetadataKey", ConsumerGroupPartitionMetadataKey.self),
        ("ConsumerGroupMemberMetadataKey", ConsumerGroupMemberMetadataKey.self),
        ("ConsumerGroupMemberMetadataValue", ConsumerGroupMemberMetadataValue.self),
        ("ConsumerGroupTargetAssignmentMetadataKey", ConsumerGroupTargetAssignmentMetadataKey.self),
        ("ConsumerGroupTargetAssignmentMetadataValue", ConsumerGroupTargetAssignmentMetadataValue.self),
        ("ConsumerGroupTargetAssignmentMemberKey", ConsumerGroupTargetAssignmentMemberKey.self),
        ("ConsumerGroupTargetAssignmentMemberValue", ConsumerGroupTargetAssignmentMemberValue.self),
        ("ConsumerGroupCurrentMemberAssignmentKey", ConsumerGroupCurrentMemberAssignmentKey.self),
        ("ConsumerGroupCurrentMemberAssignmentValue", ConsumerGroupCurrentMemberAssignmentValue.self),
        ("ConsumerGroupRegularExpressionKey", ConsumerGroupRegularExpressionKey.self),
        ("ConsumerGroupRegularExpressionValue", ConsumerGroupRegularExpressionValue.self),
        ("ShareGroupMetadataKey", ShareGroupMetadataKey.self),
        ("ShareGroupMetadataValue", ShareGroupMetadataValue.self),
        ("ShareGroupMemberMetadataKey", ShareGroupMemberMetadataKey.self),
        ("ShareGroupMemberMetadataValue", ShareGroupMemberMetadataValue.self),
        ("ShareGroupTargetAssignmentMetadataKey", ShareGroupTargetAssignmentMetadataKey.self),
        ("ShareGroupTargetAssignmentMetadataValue", ShareGroupTargetAssignmentMetadataValue.self),
        ("ShareGroupTargetAssignmentMemberKey", ShareGroupTargetAssignmentMemberKey.self),
        ("ShareGroupTargetAssignmentMemberValue", ShareGroupTargetAssignmentMemberValue.self),
        ("ShareGroupCurrentMemberAssignmentKey", ShareGroupCurrentMemberAssignmentKey.self),
        ("ShareGroupCurrentMemberAssignmentValue", ShareGroupCurrentMemberAssignmentValue.self),
        ("TransactionLogKey", TransactionLogKey.self), ("TransactionLogValue", TransactionLogValue.self),
    ]
}
