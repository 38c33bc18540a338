import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

/// The requests that most tests need, with what they do not care about filled in.
extension WireClient {
    /// Makes a topic and gives its id; an error fails the test.
    @discardableResult
    func createTopic(_ name: String, partitions: Int32 = 1, configs: [String: String] = [:]) throws -> TopicID {
        var topic = CreateTopicsRequest.CreatableTopic()
        topic.name = name
        topic.numPartitions = partitions
        topic.replicationFactor = 1
        topic.configs = configs.map { key, value in
            var config = CreateTopicsRequest.CreatableTopicConfig()
            (config.name, config.value) = (key, value)
            return config
        }
        var request = CreateTopicsRequest()
        request.topics = [topic]
        let result = try #require(try call(request).topics.first)
        try #require(result.code == .none, "\(result.errorMessage ?? "")")
        return result.topicID
    }

    func deleteTopic(_ name: String) throws -> ErrorCode {
        var request = DeleteTopicsRequest()
        request.topicNames = [name]
        return try #require(try call(request, version: 5).responses.first).code
    }

    // MARK: Produce

    static func produceRequest(
        _ topic: String, _ records: [UInt8]?, partition: Int32 = 0, acks: Int16 = -1
    ) -> ProduceRequest {
        var data = ProduceRequest.PartitionProduceData()
        data.index = partition
        data.records = records
        var entry = ProduceRequest.TopicProduceData()
        entry.name = topic
        entry.partitionData = [data]
        var request = ProduceRequest()
        request.acks = acks
        request.timeoutMs = 30_000
        request.topicData = [entry]
        return request
    }

    /// Version 12 names topics; 13 takes their ids.
    func produce(
        _ topic: String, _ records: [UInt8]?, partition: Int32 = 0, acks: Int16 = -1, version: Int16 = 12
    ) throws -> ProduceResponse.PartitionProduceResponse {
        let reply = try call(
            Self.produceRequest(topic, records, partition: partition, acks: acks), version: version)
        return try #require(reply.responses.first?.partitionResponses.first)
    }

    /// Appends `count` records in a batch of their own; gives the base offset.
    @discardableResult
    func append(_ topic: String, count: Int, valueSize: Int = 32, partition: Int32 = 0) throws -> Int64 {
        let result = try produce(topic, TestBatch(count: count, valueSize: valueSize).bytes(), partition: partition)
        try #require(result.code == .none, "\(result.errorMessage ?? "")")
        return result.baseOffset
    }

    // MARK: Fetch

    struct Wanted {
        var topic = ""
        var topicID = TopicID.zero
        var partition: Int32 = 0
        var offset: Int64 = 0
        var maxBytes: Int32 = 1 << 20
        var leaderEpoch: Int32 = -1
    }

    static func fetchRequest(
        _ wanted: [Wanted], maxWaitMs: Int32 = 0, minBytes: Int32 = 1, sessionID: Int32 = 0, epoch: Int32 = -1
    ) -> FetchRequest {
        var request = FetchRequest()
        request.maxWaitMs = maxWaitMs
        request.minBytes = minBytes
        request.sessionID = sessionID
        request.sessionEpoch = epoch
        request.topics = wanted.map { wanted in
            var partition = FetchRequest.FetchPartition()
            partition.partition = wanted.partition
            partition.fetchOffset = wanted.offset
            partition.partitionMaxBytes = wanted.maxBytes
            partition.currentLeaderEpoch = wanted.leaderEpoch
            var topic = FetchRequest.FetchTopic()
            topic.topic = wanted.topic
            topic.topicID = wanted.topicID
            topic.partitions = [partition]
            return topic
        }
        return request
    }

    /// Version 12 names topics; 13 and above take their ids.
    func fetch(
        _ topic: String, from offset: Int64, partition: Int32 = 0, maxBytes: Int32 = 1 << 20, maxWaitMs: Int32 = 0
    ) throws -> FetchResponse.PartitionData {
        let wanted = Wanted(topic: topic, partition: partition, offset: offset, maxBytes: maxBytes)
        let reply = try call(Self.fetchRequest([wanted], maxWaitMs: maxWaitMs), version: 12)
        try #require(reply.errorCode == 0)
        return try #require(reply.responses.first?.partitions.first)
    }

    // MARK: Offsets and names

    func listOffset(
        _ topic: String, at timestamp: Int64, partition: Int32 = 0, version: Int16 = 11
    ) throws -> ListOffsetsResponse.ListOffsetsPartitionResponse {
        var asked = ListOffsetsRequest.ListOffsetsPartition()
        asked.partitionIndex = partition
        asked.timestamp = timestamp
        var entry = ListOffsetsRequest.ListOffsetsTopic()
        entry.name = topic
        entry.partitions = [asked]
        var request = ListOffsetsRequest()
        request.replicaID = -1
        request.topics = [entry]
        return try #require(try call(request, version: version).topics.first?.partitions.first)
    }

    func deleteRecords(
        _ topic: String, before offset: Int64, partition: Int32 = 0
    ) throws -> DeleteRecordsResponse.DeleteRecordsPartitionResult {
        var asked = DeleteRecordsRequest.DeleteRecordsPartition()
        (asked.partitionIndex, asked.offset) = (partition, offset)
        var entry = DeleteRecordsRequest.DeleteRecordsTopic()
        entry.name = topic
        entry.partitions = [asked]
        var request = DeleteRecordsRequest()
        request.topics = [entry]
        return try #require(try call(request).topics.first?.partitions.first)
    }

    func metadata(_ names: [String]?, mayCreate: Bool = false, version: Int16 = 13) throws -> MetadataResponse {
        var request = MetadataRequest()
        request.allowAutoTopicCreation = mayCreate
        request.topics = names.map { names in
            names.map { name in
                var topic = MetadataRequest.MetadataRequestTopic()
                topic.name = name
                return topic
            }
        }
        return try call(request, version: version)
    }
}

// MARK: Error codes by name

protocol AnsweringWithCode { var errorCode: Int16 { get } }
extension AnsweringWithCode { var code: ErrorCode { ErrorCode(rawValue: errorCode) } }

extension ApiVersionsResponse: AnsweringWithCode {}
extension CreatePartitionsResponse.CreatePartitionsTopicResult: AnsweringWithCode {}
extension CreateTopicsResponse.CreatableTopicResult: AnsweringWithCode {}
extension DeleteGroupsResponse.DeletableGroupResult: AnsweringWithCode {}
extension DeleteRecordsResponse.DeleteRecordsPartitionResult: AnsweringWithCode {}
extension DeleteTopicsResponse.DeletableTopicResult: AnsweringWithCode {}
extension DescribeClusterResponse: AnsweringWithCode {}
extension DescribeConfigsResponse.DescribeConfigsResult: AnsweringWithCode {}
extension DescribeGroupsResponse.DescribedGroup: AnsweringWithCode {}
extension DescribeLogDirsResponse.DescribeLogDirsResult: AnsweringWithCode {}
extension DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopic: AnsweringWithCode {}
extension FetchResponse: AnsweringWithCode {}
extension FetchResponse.PartitionData: AnsweringWithCode {}
extension FindCoordinatorResponse: AnsweringWithCode {}
extension FindCoordinatorResponse.Coordinator: AnsweringWithCode {}
extension HeartbeatResponse: AnsweringWithCode {}
extension IncrementalAlterConfigsResponse.AlterConfigsResourceResponse: AnsweringWithCode {}
extension AlterConfigsResponse.AlterConfigsResourceResponse: AnsweringWithCode {}
extension InitProducerIdResponse: AnsweringWithCode {}
extension JoinGroupResponse: AnsweringWithCode {}
extension LeaveGroupResponse: AnsweringWithCode {}
extension ListOffsetsResponse.ListOffsetsPartitionResponse: AnsweringWithCode {}
extension MetadataResponse.MetadataResponseTopic: AnsweringWithCode {}
extension OffsetCommitResponse.OffsetCommitResponsePartition: AnsweringWithCode {}
extension OffsetFetchResponse: AnsweringWithCode {}
extension OffsetFetchResponse.OffsetFetchResponseGroup: AnsweringWithCode {}
extension OffsetFetchResponse.OffsetFetchResponsePartition: AnsweringWithCode {}
extension OffsetFetchResponse.OffsetFetchResponsePartitions: AnsweringWithCode {}
extension OffsetForLeaderEpochResponse.EpochEndOffset: AnsweringWithCode {}
extension ProduceResponse.PartitionProduceResponse: AnsweringWithCode {}
extension SaslAuthenticateResponse: AnsweringWithCode {}
extension SaslHandshakeResponse: AnsweringWithCode {}
extension SyncGroupResponse: AnsweringWithCode {}
extension AddOffsetsToTxnResponse: AnsweringWithCode {}
extension DescribeProducersResponse.PartitionResponse: AnsweringWithCode {}
extension EndTxnResponse: AnsweringWithCode {}
extension TxnOffsetCommitResponse.TxnOffsetCommitResponsePartition: AnsweringWithCode {}
extension WriteTxnMarkersResponse.WritableTxnMarkerPartitionResult: AnsweringWithCode {}
