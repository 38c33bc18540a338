import BrokerCore
import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaModel
import KafkaWire
import Testing
import Transport

@testable import KafkaServer

/// What a request costs is known, charged and bounded before it is paid.
@Suite struct RequestPriceTests {
    // MARK: Said twice

    private static let many = 60_000

    @Test func aTopicNamedManyTimesIsInTheMetadataOnce() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let id = try client.createTopic("orders", partitions: 50)
        var request = MetadataRequest()
        request.allowAutoTopicCreation = false
        var named = MetadataRequest.MetadataRequestTopic()
        named.name = "orders"
        var missing = MetadataRequest.MetadataRequestTopic()
        missing.name = "missing"
        request.topics = (0..<Self.many).map { $0 % 2 == 0 ? named : missing }
        let topics = try client.call(request, version: 9).topics
        #expect(topics.map(\.name) == ["orders", "missing"])
        #expect(topics.map(\.code) == [.none, .unknownTopicOrPartition])
        #expect(topics[0].partitions.count == 50)
        var byID = MetadataRequest.MetadataRequestTopic()
        (byID.topicID, byID.name) = (id, nil)
        request.topics = [byID, byID]
        #expect(try client.call(request, version: 12).topics.map(\.name) == ["orders"])
        expectBounded(broker)
    }

    @Test func groupsAndResourcesNamedManyTimesAreDescribedOnce() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders")
        var groups = DescribeGroupsRequest()
        groups.groups = [String](repeating: "readers", count: Self.many)
        #expect(try client.call(groups).groups.map(\.groupID) == ["readers"])
        var deletion = DeleteGroupsRequest()
        deletion.groupsNames = groups.groups
        #expect(try client.call(deletion).results.map(\.groupID) == ["readers"])

        var configs = DescribeConfigsRequest()
        var resource = DescribeConfigsRequest.DescribeConfigsResource()
        (resource.resourceType, resource.resourceName, resource.configurationKeys) = (2, "orders", nil)
        configs.resources = .init(repeating: resource, count: Self.many)
        let described = try client.call(configs).results
        #expect(described.map(\.resourceName) == ["orders"])
        #expect(described[0].configs.count == TopicSettingKey.all.count)

        var folders = DescribeLogDirsRequest()
        var partitions = DescribeLogDirsRequest.DescribableLogDirTopic()
        (partitions.topic, partitions.partitions) = ("orders", [0, 0, 7])
        folders.topics = .init(repeating: partitions, count: 1000)
        let topics = try client.call(folders).results[0].topics
        #expect(topics.map(\.name) == ["orders"])
        #expect(topics[0].partitions.map(\.partitionIndex) == [0])
        expectBounded(broker)
    }

    @Test func changesAskedForTwiceAreRefusedOnce() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        var deletion = DeleteTopicsRequest()
        deletion.topics = ["orders", "other", "orders"].map { name in
            var state = DeleteTopicsRequest.DeleteTopicState()
            state.name = name
            return state
        }
        let deleted = try client.call(deletion).responses
        #expect(deleted.map(\.name) == ["orders", "other"])
        #expect(deleted.map(\.code) == [.invalidRequest, .unknownTopicOrPartition])

        var growth = CreatePartitionsRequest()
        growth.topics = [Int32(2), 3].map { count in
            var topic = CreatePartitionsRequest.CreatePartitionsTopic()
            (topic.name, topic.count) = ("orders", count)
            return topic
        }
        #expect(try client.call(growth).results.map(\.code) == [.invalidRequest])

        var configs = IncrementalAlterConfigsRequest()
        configs.resources = [Int8(2), 2, 4].map { type in
            var resource = IncrementalAlterConfigsRequest.AlterConfigsResource()
            (resource.resourceType, resource.resourceName) = (type, "orders")
            return resource
        }
        let altered = try client.call(configs).responses
        #expect(altered.map(\.resourceType) == [2, 4])
        #expect(altered.map(\.errorCode) == [ErrorCode.invalidRequest.rawValue, ErrorCode.invalidRequest.rawValue])
        #expect(altered[0].errorMessage == ConfigResource.duplicate.message)
        #expect(try client.metadata(["orders"]).topics[0].partitions.count == 1)
    }

    @Test func moreChangesThanKafkasControllerTakesAreRefused() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        var request = CreateTopicsRequest()
        request.topics = (0..<ChangeLimits.maxRecords / 2 + 1).map { number in
            var topic = CreateTopicsRequest.CreatableTopic()
            (topic.name, topic.numPartitions, topic.replicationFactor) = ("t-\(number)", 1, 1)
            return topic
        }
        let reply = try client.call(request)
        #expect(reply.topics.count == request.topics.count)
        #expect(reply.topics.allSatisfy { $0.code == .policyViolation })
        #expect(broker.broker.catalog.topicCount == 1)
    }

    // MARK: Too much

    /// Entries of the fewest bytes, more of them than may be decoded. Their connections are closed; nobody else's is.
    @Test func aRequestThatDecodesToTooMuchIsRefused() throws {
        let broker = try TestBroker()
        let other = try broker.client()
        // Name and tags: two bytes in version 9, 40 in memory.
        let metadata = frame(.metadata, version: 9, count: 1_500_000, entry: [1, 0], rest: [0, 0, 0, 0])
        // A compact string of no bytes: 16 in memory.
        let groups = frame(.describeGroups, version: 5, count: 3_000_000, entry: [1], rest: [0, 0])
        // Topics without partitions.
        let offsets = frame(
            .listOffsets, version: 6, before: [0, 0, 0, 0, 0], count: 1_500_000, entry: [1, 1, 0], rest: [0])
        // Tagged fields of no bytes.
        let tags = frame(.describeGroups, version: 5, before: [1, 0], count: 3_000_000 - 1, entry: [9, 0], rest: [])
        for bytes in [metadata, groups, offsets, tags] {
            let client = try broker.client()
            try? client.send(bytes: bytes)
            #expect(client.isClosedByBroker())
        }
        #expect(try other.metadata([]).brokers.count == 1)
        expectBounded(broker)
    }

    /// A reply of too many entries is not made, whatever the request's own size.
    @Test func aReplyThatTakesTooMuchIsRefused() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 40)
        for index: Int32 in 0..<40 { try client.commit("readers", "orders", 1, partition: index) }
        var request = OffsetFetchRequest()
        var group = OffsetFetchRequest.OffsetFetchRequestGroup()
        (group.groupID, group.topics) = ("readers", nil)
        // Twenty bytes each; each asks for all offsets of the group.
        request.groups = .init(repeating: group, count: 50_000)
        try client.send(request, version: 9)
        #expect(client.isClosedByBroker())
        request.groups = .init(repeating: group, count: 2)
        #expect(try broker.client().call(request, version: 9).groups.map { $0.topics[0].partitions.count } == [40])
        expectBounded(broker)
    }

    @Test func resourcesThatMakeAReplyTooLongGetAnError() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let count = 6000
        for number in 0..<count / 100 { try client.createTopic("orders-\(number)") }
        var request = DescribeConfigsRequest()
        (request.includeDocumentation, request.includeSynonyms) = (true, true)
        request.resources = (0..<count).map { number in
            var resource = DescribeConfigsRequest.DescribeConfigsResource()
            (resource.resourceType, resource.resourceName) = (2, "orders-\(number / 100)")
            // All settings, and each list another one.
            resource.configurationKeys = TopicSettingKey.all.map(\.name) + ["number \(number)"]
            return resource
        }
        let results = try client.call(request).results
        #expect(results.count == count)
        let refused = results.filter { $0.errorMessage == ReplyRoom.refusal }
        #expect(refused.count > 0)
        #expect(refused.allSatisfy { $0.code == .invalidRequest && $0.configs.isEmpty })
        #expect(results[0].configs.count == TopicSettingKey.all.count)
        expectBounded(broker)
    }

    // MARK: Elsewhere

    /// What is charged while topics are made is what the request and its reply take, not the most that such a frame might.
    @Test func aLongChangeLeavesRoomForOthers() throws {
        let broker = try TestBroker()
        let (changing, asking) = (try broker.client(), try broker.client())
        try asking.createTopic("orders")
        let adminIsHeld = Signal()
        #expect(broker.broker.admin.submit { adminIsHeld.wait() })
        defer { adminIsHeld.raise() }
        var request = CreateTopicsRequest()
        request.timeoutMs = 300_000
        request.topics = (0..<2000).map { number in
            var topic = CreateTopicsRequest.CreatableTopic()
            topic.name = "\(number)-" + String(repeating: "n", count: 200)
            (topic.numPartitions, topic.replicationFactor) = (1, 5)
            return topic
        }
        let id = try changing.send(request)
        try waitUntil { broker.server.budget.counts.charged > 0 }
        let offsets = WireClient.offsetFetchRequest("group", "orders", partitions: Array(0..<10_000))
        #expect(try asking.call(offsets, version: 9).groups[0].topics[0].partitions.count == 10_000)
        adminIsHeld.raise()
        let results = try changing.receive(CreateTopicsResponse.self, correlationID: id)
        #expect(results.topics.count == 2000)
        #expect(results.topics.allSatisfy { $0.code == .invalidReplicationFactor })
        expectBounded(broker)
    }

    /// The same function makes the answer on the loop and on a worker.
    @Test func longRequestsAreAnsweredByWorkers() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 3)
        try client.append("orders", count: 7)
        let before = broker.server.budget.counts.admitted
        #expect(try client.listOffset("orders", at: -1).offset == 7)
        #expect(try client.metadata(["orders"]).topics.count == 1)
        #expect(broker.server.budget.counts.admitted == before)

        var request = ListOffsetsRequest()
        var topic = ListOffsetsRequest.ListOffsetsTopic()
        topic.name = "orders"
        topic.partitions = (0..<5000).map { index in
            var partition = ListOffsetsRequest.ListOffsetsPartition()
            (partition.partitionIndex, partition.timestamp, partition.currentLeaderEpoch) = (Int32(index), -1, -1)
            return partition
        }
        request.topics = [topic]
        let partitions = try client.call(request).topics[0].partitions
        #expect(partitions.map(\.partitionIndex) == (0..<5000).map { Int32($0) })
        #expect(partitions.prefix(3).map(\.offset) == [7, 0, 0])
        #expect(partitions.dropFirst(3).allSatisfy { $0.code == .unknownTopicOrPartition })
        #expect(broker.server.budget.counts.admitted == before + 1)
        // A look-up by time may wait for the disk, however short its request.
        #expect(try client.listOffset("orders", at: 0).offset == 0)
        #expect(broker.server.budget.counts.admitted == before + 2)
        expectBounded(broker)
    }

    @Test func longRepliesAreMadeByWorkers() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 2000)
        let before = broker.server.budget.counts.admitted
        #expect(try client.metadata(["orders"]).topics[0].partitions.count == 2000)
        #expect(try client.metadata(nil).topics.count == 2)
        #expect(broker.server.budget.counts.admitted == before + 2)
        expectBounded(broker)
    }

    @Test func longGroupRequestsAreAnsweredByWorkers() throws {
        let broker = try TestBroker { $0.loops = 2 }
        let client = try broker.client()
        try client.createTopic("orders", partitions: 500)
        var request = WireClient.commitRequest("readers", "orders", 3)
        var topic = request.topics[0]
        topic.partitions = (0..<2000).map { index in
            var partition = topic.partitions[0]
            partition.partitionIndex = Int32(index)
            return partition
        }
        request.topics = [topic]
        let before = broker.charges
        let results = try client.call(request, version: 9).topics.flatMap(\.partitions)
        #expect(results.count == 2000)
        #expect(results.filter { $0.errorCode == 0 }.map(\.partitionIndex) == (0..<500).map { Int32($0) })
        // The request, and its reply.
        #expect(broker.charges == before + 2)
        #expect(try client.committed("readers", "orders").committedOffset == 3)
        // Several connections, and one that does not wait for its reply.
        let clients = try (0..<4).map { _ in try broker.client() }
        for client in clients { try client.send(request, version: 9) }
        clients[3].reset()
        #expect(try client.call(request, version: 9).topics.flatMap(\.partitions).count == 2000)
        expectBounded(broker)
    }

    @Test func requestsBehindOneInWorkAreAnsweredInOrder() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders", partitions: 2000)
        var ids: [Int32] = []
        for _ in 0..<20 {
            var all = MetadataRequest()
            all.topics = nil
            ids.append(try client.send(all))
            ids.append(try client.send(ApiVersionsRequest(), version: 0))
        }
        for (place, id) in ids.enumerated() {
            if place % 2 == 0 {
                #expect(try client.receive(MetadataResponse.self, correlationID: id).topics.count == 2)
            } else {
                #expect(try client.receive(ApiVersionsResponse.self, version: 0, correlationID: id).errorCode == 0)
            }
        }
    }

    // MARK: The table

    /// What is charged before decoding covers what decoding takes, at the shortest entries of each API.
    @Test func thePricesCoverTheShortestEntries() throws {
        let count = 20_000
        func spent<Asked: KafkaRequest>(
            _ type: Asked.Type, _ version: Int16, _ fill: (inout Asked) -> Void
        ) throws -> Int {
            var request = Asked()
            fill(&request)
            var writer = ByteWriter()
            request.encode(to: &writer, version: version)
            let price = try #require(APITable.all.first { $0.key == Asked.apiKey }?.price, "\(type)")
            return try writer.array.withUnsafeBytes { raw in
                var reader = ByteReader(raw)
                reader.allowance = 1 << 40
                _ = try Asked(from: &reader, version: version)
                let spent = 1 << 40 - reader.allowance
                #expect(spent <= price.decoded * raw.count, "\(type): \(spent) for \(raw.count)")
                return spent
            }
        }
        #expect(
            try spent(MetadataRequest.self, 9) { request in
                var topic = MetadataRequest.MetadataRequestTopic()
                topic.name = ""
                request.topics = .init(repeating: topic, count: count)
            } > count)
        _ = try spent(ListOffsetsRequest.self, 6) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(OffsetFetchRequest.self, 9) { $0.groups = .init(repeating: .init(), count: count) }
        _ = try spent(OffsetCommitRequest.self, 9) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(FindCoordinatorRequest.self, 4) { $0.coordinatorKeys = .init(repeating: "", count: count) }
        _ = try spent(JoinGroupRequest.self, 9) { $0.protocols = .init(repeating: .init(), count: count) }
        _ = try spent(LeaveGroupRequest.self, 5) { $0.members = .init(repeating: .init(), count: count) }
        _ = try spent(SyncGroupRequest.self, 5) { $0.assignments = .init(repeating: .init(), count: count) }
        _ = try spent(DescribeGroupsRequest.self, 5) { $0.groups = .init(repeating: "", count: count) }
        _ = try spent(ConsumerGroupHeartbeatRequest.self, 1) {
            $0.subscribedTopicNames = .init(repeating: "", count: count)
        }
        _ = try spent(ConsumerGroupHeartbeatRequest.self, 1) {
            $0.topicPartitions = .init(repeating: .init(), count: count)
        }
        _ = try spent(ConsumerGroupDescribeRequest.self, 1) { $0.groupIDs = .init(repeating: "", count: count) }
        _ = try spent(ListGroupsRequest.self, 5) { $0.statesFilter = .init(repeating: "", count: count) }
        _ = try spent(CreateTopicsRequest.self, 5) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(DeleteTopicsRequest.self, 5) { $0.topicNames = .init(repeating: "", count: count) }
        _ = try spent(DeleteRecordsRequest.self, 2) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(OffsetForLeaderEpochRequest.self, 4) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(DescribeConfigsRequest.self, 4) { $0.resources = .init(repeating: .init(), count: count) }
        _ = try spent(AlterConfigsRequest.self, 2) { $0.resources = .init(repeating: .init(), count: count) }
        _ = try spent(DescribeLogDirsRequest.self, 2) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(CreatePartitionsRequest.self, 2) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(DeleteGroupsRequest.self, 2) { $0.groupsNames = .init(repeating: "", count: count) }
        _ = try spent(IncrementalAlterConfigsRequest.self, 1) { $0.resources = .init(repeating: .init(), count: count) }
        _ = try spent(AddPartitionsToTxnRequest.self, 5) { $0.transactions = .init(repeating: .init(), count: count) }
        _ = try spent(AddPartitionsToTxnRequest.self, 3) {
            $0.v3AndBelowTopics = .init(repeating: .init(), count: count)
        }
        _ = try spent(TxnOffsetCommitRequest.self, 5) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(DescribeTransactionsRequest.self, 0) { $0.transactionalIDs = .init(repeating: "", count: count) }
        _ = try spent(ListTransactionsRequest.self, 2) { $0.stateFilters = .init(repeating: "", count: count) }
        _ = try spent(WriteTxnMarkersRequest.self, 2) { $0.markers = .init(repeating: .init(), count: count) }
        _ = try spent(DescribeProducersRequest.self, 0) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(CreateAclsRequest.self, 3) { $0.creations = .init(repeating: .init(), count: count) }
        _ = try spent(DeleteAclsRequest.self, 3) { $0.filters = .init(repeating: .init(), count: count) }
        _ = try spent(DescribeClientQuotasRequest.self, 1) { $0.components = .init(repeating: .init(), count: count) }
        _ = try spent(AlterClientQuotasRequest.self, 1) { $0.entries = .init(repeating: .init(), count: count) }
        _ = try spent(AlterClientQuotasRequest.self, 1) { request in
            request.entries = [.init()]
            request.entries[0].entity = .init(repeating: .init(), count: count)
        }
        _ = try spent(DescribeUserScramCredentialsRequest.self, 0) {
            $0.users = .init(repeating: .init(), count: count)
        }
        _ = try spent(AlterUserScramCredentialsRequest.self, 0) {
            $0.deletions = .init(repeating: .init(), count: count)
        }
        _ = try spent(AlterUserScramCredentialsRequest.self, 0) {
            $0.upsertions = .init(repeating: .init(), count: count)
        }
        _ = try spent(DescribeGatewayKeysRequest.self, 0) { $0.ids = .init(repeating: "", count: count) }
        _ = try spent(AlterGatewayKeysRequest.self, 0) { $0.changes = .init(repeating: .init(), count: count) }
        _ = try spent(AlterReplicaLogDirsRequest.self, 2) { $0.dirs = .init(repeating: .init(), count: count) }
        _ = try spent(ElectLeadersRequest.self, 2) { $0.topicPartitions = .init(repeating: .init(), count: count) }
        _ = try spent(AlterPartitionReassignmentsRequest.self, 1) {
            $0.topics = .init(repeating: .init(), count: count)
        }
        _ = try spent(AlterPartitionReassignmentsRequest.self, 1) { request in
            request.topics = [.init()]
            request.topics[0].partitions = .init(repeating: .init(), count: count)
        }
        _ = try spent(ListPartitionReassignmentsRequest.self, 0) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(DescribeQuorumRequest.self, 2) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(UpdateFeaturesRequest.self, 1) { $0.featureUpdates = .init(repeating: .init(), count: count) }
        _ = try spent(ListConfigResourcesRequest.self, 1) { $0.resourceTypes = .init(repeating: 2, count: count) }
        _ = try spent(ShareGroupHeartbeatRequest.self, 1) {
            $0.subscribedTopicNames = .init(repeating: "", count: count)
        }
        _ = try spent(ShareGroupDescribeRequest.self, 1) { $0.groupIDs = .init(repeating: "", count: count) }
        _ = try spent(ShareFetchRequest.self, 2) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(ShareFetchRequest.self, 2) { request in
            request.topics = [.init()]
            request.topics[0].partitions = .init(repeating: .init(), count: count)
        }
        _ = try spent(ShareAcknowledgeRequest.self, 2) { request in
            request.topics = [.init()]
            request.topics[0].partitions = [.init()]
            request.topics[0].partitions[0].acknowledgementBatches = .init(repeating: .init(), count: count)
        }
        _ = try spent(DescribeShareGroupOffsetsRequest.self, 1) { $0.groups = .init(repeating: .init(), count: count) }
        _ = try spent(AlterShareGroupOffsetsRequest.self, 0) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(DeleteShareGroupOffsetsRequest.self, 0) { $0.topics = .init(repeating: .init(), count: count) }
        _ = try spent(DescribeTopicPartitionsRequest.self, 0) { $0.topics = .init(repeating: .init(), count: count) }
    }

    // MARK: Support

    /// A frame with a compact array of `count` equal entries.
    private func frame(
        _ key: APIKey, version: Int16, before: [UInt8] = [], count: Int, entry: [UInt8], rest: [UInt8]
    ) -> [UInt8] {
        var writer = ByteWriter(capacity: count * entry.count + 64)
        writer.int32(0)
        writer.int16(key.rawValue)
        writer.int16(version)
        writer.int32(7)
        writer.int16(-1)
        writer.unsignedVarint(0)
        writer.bytes(before)
        writer.unsignedVarint(UInt32(count + 1))
        for _ in 0..<count { writer.bytes(entry) }
        writer.bytes(rest)
        writer.overwrite(Int32(writer.count - 4), at: 0)
        return writer.array
    }

    /// Nothing was charged beyond the limit, and everything is given back when the replies are there.
    private func expectBounded(_ broker: TestBroker) {
        #expect(broker.server.budget.counts.most <= broker.server.budget.maxBytes)
        #expect(broker.server.decoding.counts.most <= broker.server.decoding.maxBytes)
        #expect(throws: Never.self) { try waitUntil { broker.server.budget.counts.charged == 0 } }
        #expect(throws: Never.self) { try waitUntil { broker.server.decoding.counts.charged == 0 } }
    }
}

@Suite struct WorkBudgetTests {
    /// What is listed may have grown while a request waited: the rest is charged before the reply is made.
    @Test func aReplyThatHasGrownIsChargedInFull() {
        let (budget, pool) = (WorkBudget(maxBytes: 1_000), ChunkPool())
        let place = WorkPlace(budget: budget, workers: WorkerPool(name: "none", threads: 1), pool: pool)
        defer { place.workers.stop() }
        #expect(budget.admit(100, pool) {})
        for (expected, charged) in [(50, 100), (100, 100), (700, 700)] {
            place.answerPriced(((), expected: expected), charged: 100, { _ in }) { _, price, done in
                #expect(price == expected && budget.counts.charged == charged)
                done(nil)
            }
            #expect(budget.counts.charged == 100)
        }
    }

    @Test func whatDoesNotFitWaitsInOrder() {
        let budget = WorkBudget(maxBytes: 112 << 20)
        let pool = ChunkPool()
        let started = Lock<[Int]>([])
        let half = budget.maxBytes / 2 + 1
        for (number, bytes) in [half, 10, half, 10, budget.maxBytes].enumerated() {
            #expect(budget.admit(bytes, pool) { started.withLock { $0.append(number) } })
        }
        #expect(started.withLock { $0 } == [0, 1])
        #expect(pool.outstandingBytes == half + 10)
        budget.release(10, pool)
        #expect(started.withLock { $0 } == [0, 1])
        budget.release(half, pool)
        #expect(started.withLock { $0 } == [0, 1, 2, 3])
        budget.release(half, pool)
        budget.release(10, pool)
        #expect(started.withLock { $0 } == [0, 1, 2, 3, 4])
        #expect(budget.counts.most == budget.maxBytes)
        budget.release(budget.maxBytes, pool)
        #expect(budget.counts.charged == 0)
        #expect(pool.outstandingBytes == 0)
    }

    @Test func aFullQueueRefuses() {
        let budget = WorkBudget(maxBytes: 112 << 20)
        let pool = ChunkPool()
        #expect(budget.admit(budget.maxBytes, pool) {})
        for _ in 0..<WorkBudget.maxWaiting { #expect(budget.admit(1, pool) {}) }
        #expect(!budget.admit(1, pool) {})
        budget.release(budget.maxBytes, pool)
        #expect(budget.counts.charged == WorkBudget.maxWaiting)
        #expect(budget.admit(1, pool) {})
    }
}

@Suite struct SlicedRunTests {
    @Test func whatHasNotBegunInTimeIsToldSo() {
        let admin = WorkQueue(name: "test")
        let done = Signal()
        let result = Lock<[String]?>(nil)
        let plan = SlicedPlan<[String]>(
            count: 3, timeoutMs: 1,
            step: { number, result in
                usleep(5000)
                result.append("\(number) made")
            }, timedOut: { number, result in result.append("\(number) late") })
        SlicedRun(plan, from: [], on: admin) { made in
            result.withLock { $0 = made }
            done.raise()
        }.start()
        done.wait()
        #expect(result.withLock { $0 } == ["0 made", "1 late", "2 late"])
        admin.stop()
    }

    /// On workers, too: a piece that came meanwhile has the one thread before the second look-up.
    @Test func lookUpsGiveTheirThreadToOthers() {
        let workers = WorkerPool(name: "test", threads: 1)
        let order = Lock<[String]>([])
        let done = Signal()
        let plan = SlicedPlan<Int>(
            count: 2,
            step: { number, _ in
                order.withLock { $0.append("look-up \(number)") }
                guard number == 0 else { return }
                workers.submit { order.withLock { $0.append("other") } }
                let end = BrokerClock.monotonicMs() + ChangeLimits.sliceMs
                while BrokerClock.monotonicMs() < end { usleep(1000) }
            }, timedOut: { _, _ in })
        SlicedRun(plan, from: 0, submit: { workers.submit($0) }) { _ in done.raise() }.start()
        done.wait()
        #expect(order.withLock { $0 } == ["look-up 0", "other", "look-up 1"])
        workers.stop()
    }

    /// So does ListOffsets: between its slices it is behind those who wait, and its answers are as if it were not.
    @Test func aListOffsetsOfManyLookUpsIsMadeInSlices() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 50)
        try client.append("orders", count: 7)
        var asked = ListOffsetsRequest()
        var topic = ListOffsetsRequest.ListOffsetsTopic()
        topic.name = "orders"
        topic.partitions = (0..<51).map { index in
            var partition = ListOffsetsRequest.ListOffsetsPartition()
            (partition.partitionIndex, partition.timestamp, partition.currentLeaderEpoch) = (Int32(index), -3, -1)
            return partition
        }
        asked.topics = [topic]
        let ticket = ReplyTicket(key: .listOffsets, version: 11, correlationID: 1)
        let (plan, empty) = KafkaConnection.listOffsets(
            asked, AnswerContext(broker: broker.broker, ticket: ticket, node: BrokerNode(id: 1)))
        #expect(plan.count == 51)
        var late = empty
        plan.timedOut(50, &late)
        #expect(late.topics[0].partitions[50].code == .requestTimedOut)
        let partitions = try client.call(asked).topics[0].partitions
        #expect(partitions.map(\.partitionIndex) == topic.partitions.map(\.partitionIndex))
        #expect(partitions[0].offset >= 0)
        #expect(partitions[1].offset == -1)
        #expect(partitions[50].code == .unknownTopicOrPartition)
    }

    /// A change that takes a whole slice is followed by what came meanwhile.
    @Test func othersHaveTheirTurnBetweenSlices() {
        let admin = WorkQueue(name: "test")
        let order = Lock<[String]>([])
        let done = Signal()
        let begun = Signal()
        let goOn = Signal()
        let plan = SlicedPlan<Int>(
            count: 2,
            step: { number, _ in
                order.withLock { $0.append("change \(number)") }
                guard number == 0 else { return }
                begun.raise()
                goOn.wait()
                usleep(UInt32(ChangeLimits.sliceMs) * 1000)
            }, timedOut: { _, _ in })
        SlicedRun(plan, from: 0, on: admin) { _ in done.raise() }.start()
        begun.wait()
        admin.submit { order.withLock { $0.append("other") } }
        goOn.raise()
        done.wait()
        #expect(order.withLock { $0 } == ["change 0", "other", "change 1"])
        admin.stop()
    }

    @Test func aStoppedQueueIsTold() {
        let admin = WorkQueue(name: "test")
        admin.stop()
        let result = Lock<Int?>(1)
        SlicedRun(SlicedPlan<Int>(count: 1, step: { _, _ in }, timedOut: { _, _ in }), from: 0, on: admin) { made in
            result.withLock { $0 = made }
        }.start()
        #expect(result.withLock { $0 } == nil)
    }
}
