import BrokerCore
import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

@testable import KafkaServer

/// CreateTopics, DeleteTopics, CreatePartitions, DeleteRecords, DescribeTopicPartitions, DescribeLogDirs and
/// OffsetForLeaderEpoch.
@Suite struct TopicTests {
    private func create(
        _ client: WireClient, _ name: String, partitions: Int32 = 1, replication: Int16 = 1,
        configs: [(String, String?)] = [], validateOnly: Bool = false
    ) throws -> CreateTopicsResponse.CreatableTopicResult {
        var request = CreateTopicsRequest()
        request.validateOnly = validateOnly
        var topic = CreateTopicsRequest.CreatableTopic()
        (topic.name, topic.numPartitions, topic.replicationFactor) = (name, partitions, replication)
        topic.configs = configs.map { name, value in
            var config = CreateTopicsRequest.CreatableTopicConfig()
            (config.name, config.value) = (name, value)
            return config
        }
        request.topics = [topic]
        return try #require(try client.call(request).topics.first)
    }

    // MARK: CreateTopics

    @Test func aNewTopicIsUsableAtOnceAndThereAfterACrash() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let made = try create(client, "orders", partitions: 3, configs: [("retention.ms", "1000")])
        #expect((made.code, made.numPartitions, made.replicationFactor) == (.none, 3, 1))
        #expect(made.topicID != .zero)
        let retention = try #require(made.configs?.first { $0.name == "retention.ms" })
        #expect((retention.value, retention.configSource) == ("1000", 1))
        #expect(try client.append("orders", count: 1, partition: 2) == 0)
        let after = try broker.crashed().client().metadata(["orders"]).topics[0]
        #expect((after.topicID, after.partitions.count) == (made.topicID, 3))
    }

    @Test func minus1MeansTheBrokersDefaults() throws {
        let client = try TestBroker { $0.broker.defaultPartitions = 5 }.client()
        #expect(try create(client, "orders", partitions: -1, replication: -1).numPartitions == 5)
    }

    @Test func badCreationsAreRefusedAndChangeNothing() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders.eu")
        #expect(try create(client, "orders.eu").code == .topicAlreadyExists)
        #expect(try create(client, "orders_eu").code == .invalidTopicException)
        #expect(try create(client, "a/b").code == .invalidTopicException)
        for name in ["__jobs", "__gateway_requests"] {
            #expect(try create(client, name).code == .invalidTopicException)
            #expect(try create(client, name, validateOnly: true).code == .invalidTopicException)
        }
        #expect(try create(client, "more", partitions: 0).code == .invalidPartitions)
        #expect(try create(client, "more", replication: 3).code == .invalidReplicationFactor)
        #expect(try create(client, "more", replication: 0).code == .invalidReplicationFactor)
        #expect(try create(client, "more", configs: [("retention.mss", "1")]).code == .invalidConfig)
        #expect(try create(client, "more", configs: [("retention.ms", "soon")]).code == .invalidConfig)
        #expect(try create(client, "more", configs: [("retention.ms", nil)]).code == .invalidConfig)
        #expect(try client.metadata(nil).topics.map(\.name) == ["__consumer_offsets", "orders.eu"])
    }

    @Test func validateOnlyMakesNothing() throws {
        let client = try TestBroker().client()
        let planned = try create(client, "orders", partitions: 4, validateOnly: true)
        #expect((planned.code, planned.numPartitions) == (.none, 4))
        #expect(try create(client, "orders", partitions: 0, validateOnly: true).code == .invalidPartitions)
        #expect(try client.metadata(["orders"]).topics[0].code == .unknownTopicOrPartition)
    }

    @Test func aNameGivenTwiceIsRefused() throws {
        let client = try TestBroker().client()
        var topic = CreateTopicsRequest.CreatableTopic()
        (topic.name, topic.numPartitions, topic.replicationFactor) = ("orders", 1, 1)
        var request = CreateTopicsRequest()
        request.topics = [topic, topic]
        #expect(try client.call(request).topics.map(\.code) == [.invalidRequest])
        #expect(try client.metadata(["orders"]).topics[0].code == .unknownTopicOrPartition)
    }

    // MARK: DeleteTopics

    @Test func topicsAreDeletedByNameAndByID() throws {
        let client = try TestBroker().client()
        let id = try client.createTopic("orders")
        try client.createTopic("more")
        #expect(try client.deleteTopic("more") == .none)
        #expect(try client.deleteTopic("more") == .unknownTopicOrPartition)
        var request = DeleteTopicsRequest()
        request.topics = [DeleteTopicsRequest.DeleteTopicState()]
        request.topics[0].topicID = id
        let deleted = try client.call(request).responses[0]
        #expect((deleted.code, deleted.name, deleted.topicID) == (.none, "orders", id))
        #expect(try client.call(request).responses[0].code == .unknownTopicID)
        #expect(try client.metadata(nil).topics.map(\.name) == ["__consumer_offsets"])
    }

    @Test func deletionCanBeForbiddenAndInternalTopicsStay() throws {
        let client = try TestBroker().client()
        #expect(try client.deleteTopic("__consumer_offsets") == .invalidRequest)
        let strict = try TestBroker { $0.broker.deleteTopics = false }.client()
        try strict.createTopic("orders")
        #expect(try strict.deleteTopic("orders") == .topicDeletionDisabled)
    }

    @Test func aRecreatedTopicIsEmpty() throws {
        let client = try TestBroker().client()
        let old = try client.createTopic("orders")
        try client.append("orders", count: 3)
        #expect(try client.deleteTopic("orders") == .none)
        #expect(try client.createTopic("orders") != old)
        #expect(try client.append("orders", count: 1) == 0)
    }

    // MARK: CreatePartitions

    private func grow(
        _ client: WireClient, _ name: String, to count: Int32, assignments: [[Int32]]? = nil, validateOnly: Bool = false
    ) throws -> ErrorCode {
        var topic = CreatePartitionsRequest.CreatePartitionsTopic()
        (topic.name, topic.count) = (name, count)
        topic.assignments = assignments?.map { brokers in
            var assignment = CreatePartitionsRequest.CreatePartitionsAssignment()
            assignment.brokerIDs = brokers
            return assignment
        }
        var request = CreatePartitionsRequest()
        request.topics = [topic]
        request.validateOnly = validateOnly
        let result = try #require(try client.call(request).results.first)
        #expect(result.name == name)
        return result.code
    }

    @Test func aTopicGrowsAndKeepsItsRecords() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        try client.append("orders", count: 2)
        #expect(try grow(client, "orders", to: 3, validateOnly: true) == .none)
        #expect(try client.metadata(["orders"]).topics[0].partitions.count == 1)
        #expect(try grow(client, "orders", to: 3, assignments: [[1], [1]]) == .none)
        #expect(try client.metadata(["orders"]).topics[0].partitions.count == 3)
        #expect(try client.append("orders", count: 1) == 2)
        #expect(try client.append("orders", count: 1, partition: 2) == 0)
    }

    @Test func badGrowthIsRefused() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders", partitions: 2)
        #expect(try grow(client, "orders", to: 2) == .invalidPartitions)
        #expect(try grow(client, "orders", to: 1) == .invalidPartitions)
        #expect(try grow(client, "orders", to: 3, assignments: [[9]]) == .invalidReplicaAssignment)
        #expect(try grow(client, "orders", to: 3, assignments: []) == .invalidReplicaAssignment)
        #expect(try grow(client, "missing", to: 3) == .unknownTopicOrPartition)
        #expect(try grow(client, "__consumer_offsets", to: 99) == .invalidRequest)
    }

    // MARK: DeleteRecords

    @Test func deletedRecordsAreGoneAndStayGone() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders")
        try client.append("orders", count: 5)
        try client.append("orders", count: 5)
        #expect(try client.deleteRecords("orders", before: 5).lowWatermark == 5)
        #expect(try client.fetch("orders", from: 4).code == .offsetOutOfRange)
        #expect(try FetchTests.batches(client.fetch("orders", from: 5).records) == [5...9])
        let after = try broker.crashed().client()
        #expect(try after.listOffset("orders", at: -2).offset == 5)
        #expect(try after.deleteRecords("orders", before: -1).lowWatermark == 10)
        #expect(try after.deleteRecords("orders", before: 11).code == .offsetOutOfRange)
        #expect(try after.deleteRecords("missing", before: 0).code == .unknownTopicOrPartition)
        #expect(try after.deleteRecords("__consumer_offsets", before: 0).code == .invalidTopicException)
    }

    @Test(arguments: [("compact", ErrorCode.policyViolation), ("compact,delete", .none), ("delete", .none)])
    func recordsOfATopicThatIsOnlyCompactedAreNotDeleted(policy: String, code: ErrorCode) throws {
        let client = try TestBroker().client()
        try client.createTopic("orders", configs: ["cleanup.policy": policy])
        let batch = TestBatch([TestRecord(key: "a", "1"), TestRecord(key: "b", "2")])
        #expect(try client.produce("orders", batch.bytes()).code == .none)
        #expect(try client.deleteRecords("orders", before: 1).code == code)
        #expect(try client.listOffset("orders", at: -2).offset == (code == .none ? 1 : 0))
    }

    // MARK: DescribeTopicPartitions

    @Test func topicsAreDescribedPageByPage() throws {
        let client = try TestBroker().client()
        for name in ["a", "b", "c"] { try client.createTopic(name, partitions: 3) }
        var request = DescribeTopicPartitionsRequest()
        request.responsePartitionLimit = 4
        request.topics = ["c", "b", "a", "missing"].map { name in
            var topic = DescribeTopicPartitionsRequest.TopicRequest()
            topic.name = name
            return topic
        }
        var seen: [String] = []
        var pages = 0
        while true {
            let page = try client.call(request)
            pages += 1
            for topic in page.topics {
                if topic.name == "missing" { #expect(topic.code == .unknownTopicOrPartition) }
                seen += topic.partitions.map { "\(topic.name!)-\($0.partitionIndex)" }
            }
            #expect(page.topics.reduce(0) { $0 + $1.partitions.count } <= 4)
            guard let next = page.nextCursor else { break }
            var cursor = DescribeTopicPartitionsRequest.Cursor()
            (cursor.topicName, cursor.partitionIndex) = (next.topicName, next.partitionIndex)
            request.cursor = cursor
            try #require(pages < 10)
        }
        #expect(seen == ["a-0", "a-1", "a-2", "b-0", "b-1", "b-2", "c-0", "c-1", "c-2"])
        #expect(pages == 3)
    }

    // MARK: DescribeLogDirs

    @Test func theOneFolderTellsSizes() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders", partitions: 2)
        try client.append("orders", count: 1)
        var request = DescribeLogDirsRequest()
        request.topics = nil
        let folder = try #require(try client.call(request).results.first)
        #expect((folder.code, folder.logDir) == (.none, TestBroker.folder))
        #expect(folder.topics.map(\.name) == ["__consumer_offsets", "orders"])
        let sizes = folder.topics[1].partitions.map(\.partitionSize)
        #expect(sizes == [Int64(TestBatch(count: 1).bytes().count), 0])
        request.topics = [DescribeLogDirsRequest.DescribableLogDirTopic()]
        (request.topics![0].topic, request.topics![0].partitions) = ("orders", [1, 7])
        let asked = try #require(try client.call(request).results.first)
        #expect(asked.topics.flatMap(\.partitions).map(\.partitionIndex) == [1])
    }

    // MARK: OffsetForLeaderEpoch

    @Test func theOnlyEpochEndsAtTheLogsEnd() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        try client.append("orders", count: 4)
        func ask(_ epoch: Int32, current: Int32 = -1, topic: String = "orders") throws
            -> OffsetForLeaderEpochResponse.EpochEndOffset
        {
            var partition = OffsetForLeaderEpochRequest.OffsetForLeaderPartition()
            (partition.leaderEpoch, partition.currentLeaderEpoch) = (epoch, current)
            var entry = OffsetForLeaderEpochRequest.OffsetForLeaderTopic()
            (entry.topic, entry.partitions) = (topic, [partition])
            var request = OffsetForLeaderEpochRequest()
            request.topics = [entry]
            return try #require(try client.call(request).topics.first?.partitions.first)
        }
        let known = try ask(0)
        #expect((known.code, known.leaderEpoch, known.endOffset) == (.none, 0, 4))
        let unknown = try ask(3)
        #expect((unknown.code, unknown.leaderEpoch, unknown.endOffset) == (.none, -1, -1))
        #expect(try ask(0, current: 0).code == .none)
        #expect(try ask(0, current: 1).code == .unknownLeaderEpoch)
        #expect(try ask(0, topic: "missing").code == .unknownTopicOrPartition)
    }
}
