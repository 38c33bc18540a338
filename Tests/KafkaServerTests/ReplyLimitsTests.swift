import BrokerCore
import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators
@testable import KafkaServer

/// A reply is as long as the texts that clients have left behind, not as entries are on the average.
@Suite struct ReplyLimitsTests {
    /// Three bytes each.
    private static let longMetadata = String(repeating: "\u{20ac}", count: 4096)

    // MARK: Prices

    /// Of what the reply holds, each byte stands twice in memory, encoded.
    private func expectCovered<Asked: KafkaRequest>(
        _ asked: Asked, _ broker: TestBroker, version: Int16? = nil, echoes: Int = 1,
        estimate: (Asked, AnswerContext) -> Int,
        by answer: (Asked, AnswerContext) -> Answer<Asked.Response>
    ) {
        let version = version ?? Asked.versions.upperBound
        var request = ByteWriter()
        asked.encode(to: &request, version: version)
        let ticket = ReplyTicket(key: Asked.apiKey, version: version, correlationID: 1)
        let context = AnswerContext(broker: broker.broker, ticket: ticket, node: BrokerNode(id: 1))
        let price = estimate(asked, context) + 2 * echoes * request.count
        var reply = ByteWriter()
        KafkaConnection.encode(answer(asked, context).response, to: &reply, ticket)
        let length = reply.count
        #expect(price >= 2 * length, "\(Asked.self): \(price) for \(length)")
    }

    @Test func theEstimatesCoverWhatClientsHaveLeftBehind() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let long = String(repeating: "g", count: 30_000)
        try client.createTopic(
            "orders",
            configs: [
                "leader.replication.throttled.replicas": String(repeating: "1:1,", count: 1000) + "1:1"
            ])
        try client.commit("readers", "orders", 1, metadata: Self.longMetadata)
        try client.commit(long, "orders", 1, metadata: Self.longMetadata)
        var member = Member(client, group: "members")
        member.instanceID = long
        let joined = try member.receiveJoin(member.sendJoin())
        member.memberID = joined.memberID
        #expect(try client.call(member.syncRequest([member.memberID: long])).code == .none)

        for group in ["readers", long, "none"] {
            let fetch = WireClient.offsetFetchRequest(group, "orders")
            expectCovered(
                fetch, broker, version: 9, estimate: KafkaConnection.offsetFetchPrice, by: KafkaConnection.offsetFetch)
            var all = fetch
            all.groups[0].topics = nil
            expectCovered(
                all, broker, version: 9, estimate: KafkaConnection.offsetFetchPrice, by: KafkaConnection.offsetFetch)
        }
        expectCovered(
            ListGroupsRequest(), broker, estimate: KafkaConnection.listGroupsPrice, by: KafkaConnection.listGroups)
        var groups = DescribeGroupsRequest()
        groups.groups = ["members", "none", long, long + "none"]
        expectCovered(
            groups, broker, estimate: KafkaConnection.describeGroupsPrice, by: KafkaConnection.describeGroups)
        var deletion = DeleteGroupsRequest()
        deletion.groupsNames = [long + "none", "members"]
        expectCovered(
            deletion, broker, estimate: KafkaConnection.deleteGroupsPrice, by: KafkaConnection.deleteGroups)
        var search = FindCoordinatorRequest()
        search.coordinatorKeys = [long, "readers"]
        expectCovered(
            search, broker, estimate: KafkaConnection.findCoordinatorPrice, by: KafkaConnection.findCoordinator)
        var offsets = ListOffsetsRequest()
        var topic = ListOffsetsRequest.ListOffsetsTopic()
        topic.name = long
        offsets.topics = [topic]
        expectCovered(offsets, broker, estimate: KafkaConnection.listOffsetsPrice) { asked, context in
            let (plan, empty) = KafkaConnection.listOffsets(asked, context)
            return Answer(response: plan.run(from: empty))
        }
    }

    /// A refusal's text repeats the name.
    @Test func theEstimatesOfChangesCoverTheirRefusals() throws {
        let broker = try TestBroker()
        let long = String(repeating: "t", count: 30_000)
        var creation = CreateTopicsRequest()
        creation.topics = (0..<3).map { number in
            var topic = CreateTopicsRequest.CreatableTopic()
            (topic.name, topic.numPartitions, topic.replicationFactor) = (long + "\(number)", 1, 1)
            return topic
        }
        expectCovered(creation, broker, echoes: 3, estimate: KafkaConnection.createTopicsPrice) { asked, context in
            Answer(response: KafkaConnection.createTopics(asked, context, nil).run(from: CreateTopicsResponse()))
        }
    }

    @Test func theEstimateOfSettingsIsThatOfTheirValues() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let key = "leader.replication.throttled.replicas"
        try client.createTopic("orders", configs: [key: String(repeating: "1:1,", count: 1000) + "1:1"])
        var request = DescribeConfigsRequest()
        request.includeSynonyms = true
        request.resources = [[key], nil, ["none"], ["cleanup.policy", key]].map { keys in
            var resource = DescribeConfigsRequest.DescribeConfigsResource()
            (resource.resourceType, resource.resourceName, resource.configurationKeys) = (2, "orders", keys)
            return resource
        }
        var broken = DescribeConfigsRequest.DescribeConfigsResource()
        (broken.resourceType, broken.resourceName) = (4, String(repeating: "n", count: 30_000))
        request.resources.append(broken)
        expectCovered(
            request, broker, estimate: KafkaConnection.describeConfigsPrice, by: KafkaConnection.describeConfigs)
    }

    // MARK: Once

    @Test func offsetsNamedManyTimesAreAnsweredOnce() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 3)
        try client.commit("readers", "orders", 7, metadata: Self.longMetadata)
        try client.commit("readers", "orders", 8, partition: 2)
        var request = OffsetFetchRequest()
        request.groupID = "readers"
        var topic = OffsetFetchRequest.OffsetFetchRequestTopic()
        (topic.name, topic.partitionIndexes) = ("orders", [Int32](repeating: 0, count: 20_000) + [2, 0])
        request.topics = [topic, topic]
        let topics = try client.call(request, version: 7).topics
        #expect(topics.map(\.name) == ["orders"])
        #expect(topics[0].partitions.map(\.partitionIndex) == [0, 2])
        #expect(topics[0].partitions.map(\.committedOffset) == [7, 8])
        #expect(topics[0].partitions[0].metadata == Self.longMetadata)

        var several = WireClient.offsetFetchRequest("readers", "orders", partitions: [2, 2])
        several.groups += WireClient.offsetFetchRequest("others", "orders").groups
        several.groups += WireClient.offsetFetchRequest("readers", "orders", partitions: [0, 1]).groups
        several.groups += WireClient.offsetFetchRequest("readers", "more").groups
        let groups = try client.call(several, version: 9).groups
        #expect(groups.map(\.groupID) == ["readers", "others"])
        #expect(groups[0].topics.map(\.name) == ["orders", "more"])
        #expect(groups[0].topics[0].partitions.map(\.partitionIndex) == [2, 0, 1])
        // All of a group is more than some of it.
        several.groups[2].topics = nil
        #expect(try client.call(several, version: 9).groups[0].topics.map(\.name) == ["orders"])
    }

    /// Whoever makes such groups has them in the list only as far as there is room; nobody loses the list.
    @Test func groupsOfLongNamesAreListedWhileThereIsRoom() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders")
        let long = String(repeating: "g", count: 30_000)
        let count = KafkaConnection.maxLongText / long.utf8.count + 20
        for number in 0..<count { try client.commit(long + "\(number)", "orders", 1) }
        try client.commit("readers", "orders", 1)
        try client.commit("z readers", "orders", 1)
        let listed = try client.call(ListGroupsRequest(), version: 4).groups
        #expect(listed.contains { $0.groupID == "readers" })
        #expect(listed.contains { $0.groupID == "z readers" })
        #expect(listed.count < count)
        #expect(listed.reduce(0) { $0 + $1.groupID.utf8.count } <= KafkaConnection.maxLongText + 100)
    }

    /// The encoder stops where a reply may not be longer, whatever the estimates have overlooked.
    @Test func anEncodedReplyThatIsTooLongIsNotMade() {
        var partition = OffsetFetchResponse.OffsetFetchResponsePartition()
        partition.metadata = Self.longMetadata
        var topic = OffsetFetchResponse.OffsetFetchResponseTopic()
        topic.name = "orders"
        topic.partitions = .init(repeating: partition, count: 10_000)
        var response = OffsetFetchResponse()
        response.topics = [topic]
        let ticket = ReplyTicket(key: .offsetFetch, version: 7, correlationID: 1)
        let prepared = PreparedReply(Answer(response: response), ticket, expected: 1000, pool: ChunkPool())
        guard case .refused = prepared else {
            Issue.record("a reply of 120 MB was made")
            return
        }
        var writer = ByteWriter(limit: 1 << 20)
        KafkaConnection.encode(response, to: &writer, ticket)
        let (isOver, count) = (writer.isOverLimit, writer.count)
        #expect(isOver && count <= 1 << 20)
    }

    // MARK: Produce

    /// Entries of six bytes: index, no records, no tags.
    private func produce(_ topic: String, entries: Int, _ client: WireClient) -> [UInt8] {
        var writer = ByteWriter(capacity: entries * 6 + 100)
        writer.int32(0)
        var header = RequestHeader()
        (header.requestAPIKey, header.requestAPIVersion) = (APIKey.produce.rawValue, 9)
        header.correlationID = client.takeCorrelationID()
        header.encode(to: &writer)
        writer.unsignedVarint(0)
        writer.int16(-1)
        writer.int32(1000)
        writer.unsignedVarint(2)
        writer.unsignedVarint(UInt32(topic.utf8.count + 1))
        writer.utf8(topic)
        writer.unsignedVarint(UInt32(entries + 1))
        for _ in 0..<entries {
            writer.int32(0)
            writer.unsignedVarint(0)
            writer.unsignedVarint(0)
        }
        writer.unsignedVarint(0)
        writer.unsignedVarint(0)
        writer.overwrite(Int32(writer.count - 4), at: 0)
        return writer.array
    }

    @Test func aProduceOfTooManyPartitionsIsRefused() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let most = KafkaConnection.maxEntries
        try client.send(bytes: produce("missing", entries: most, client))
        #expect(client.isClosedByBroker())
        let other = try broker.client()
        try other.send(bytes: produce("missing", entries: 1000, other))
        #expect(try other.receiveFrame().count > 1000)
    }

    /// Errors are explained while the reply is not long, and told in any case.
    @Test func aLongProduceReplyTellsErrorsByTheirCodes() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders")
        let entries = KafkaConnection.maxEntries - 1
        try client.send(bytes: produce("orders", entries: entries, client))
        let frame = try client.receiveFrame()
        let partitions = try frame.withUnsafeBytes { raw in
            try ProduceResponse(whole: UnsafeRawBufferPointer(rebasing: raw[5...]), version: 9)
        }.responses[0].partitionResponses
        #expect(partitions.count == entries)
        #expect(partitions.allSatisfy { $0.errorCode == ErrorCode.invalidRecord.rawValue })
        #expect(partitions[0].errorMessage != nil)
        #expect(partitions[entries - 1].errorMessage == nil)
        #expect(frame.count < 8 << 20)
    }

    // MARK: Groups

    /// The request, and its reply: the leader is told of all members' metadata.
    @Test func aLongGroupReplyIsMadeByAWorker() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        var member = Member(client, group: "readers")
        try member.takeMemberID()
        var request = member.joinRequest()
        request.protocols[0].metadata = [UInt8](repeating: 7, count: 200_000)
        let before = broker.charges
        let joined = try client.call(request, version: 9)
        #expect(joined.members.map(\.metadata.count) == [200_000])
        #expect(broker.charges == before + 2)
        member.generationID = joined.generationID
        let assignment = String(repeating: "p", count: 200_000)
        #expect(try client.call(member.syncRequest([member.memberID: assignment])).assignment.count == 200_000)
        #expect(broker.charges == before + 4)
        #expect(try member.heartbeat() == .none)
        #expect(broker.charges == before + 4)
        #expect(throws: Never.self) { try waitUntil { broker.server.budget.counts.charged == 0 } }
    }

    /// A long JoinGroup is run by a worker, who does not see that its client has gone.
    @Test func aMemberThatGoesBeforeItsLongJoinIsRunIsNotWaitedFor() throws {
        let broker = try TestBroker()
        let second = Member(try broker.client(), group: "readers")
        let first = try Member(broker.client(), group: "readers").joinAlone()
        let workers = broker.broker.workers
        let busy = BusyWorkers(workers.threadCount) { workers.submit($0) }
        var request = second.joinRequest()
        request.protocols[0].metadata = [UInt8](repeating: 7, count: 20_000)
        let before = broker.charges
        // Before version 4 it is a member at once, under an id that nobody is told.
        try second.client.send(request, version: 3)
        try waitUntil { broker.charges == before + 1 }
        second.client.reset()
        try waitUntil { broker.connectionCount == 1 }
        busy.release()
        // It was in the group, and is not any more: the group is the first member's again.
        try waitUntil { try first.heartbeat() == .rebalanceInProgress }
        try waitUntil { broker.metrics.parkedRequests == 0 }
        #expect(broker.metrics.members == 1)
        #expect(try first.heartbeat() == .rebalanceInProgress)
    }
}

extension TestBroker {
    fileprivate var metrics: GroupMetrics {
        var sum = GroupMetrics()
        for metrics in broker.groups.readAll({ $0.metrics }) {
            sum.members += metrics.members
            sum.parkedRequests += metrics.parkedRequests
        }
        return sum
    }
}
