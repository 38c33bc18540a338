import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

/// OffsetCommit, OffsetFetch, OffsetDelete, DescribeGroups and ListGroups.
@Suite struct CommittedOffsetsTests {
    @Test func metadataAndOffsetComeBackAsTheyWereCommitted() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        try client.commit("readers", "orders", 42, metadata: "from the \u{e9}tl job")
        let found = try client.committed("readers", "orders")
        #expect((found.code, found.committedOffset) == (.none, 42))
        #expect(found.metadata == "from the \u{e9}tl job")
    }

    @Test func whatWasNotCommittedIsMinus1AndNotNull() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        let found = try client.committed("readers", "orders")
        #expect((found.code, found.committedOffset, found.committedLeaderEpoch) == (.none, -1, -1))
        #expect(found.metadata == "")
    }

    @Test(arguments: Int16(2)...10) func everyVersionCommits(version: Int16) throws {
        let client = try TestBroker().client()
        let id = try client.createTopic("orders")
        var request = WireClient.commitRequest("readers", "orders", Int64(version))
        if version >= 10 { (request.topics[0].name, request.topics[0].topicID) = ("", id) }
        let topic = try #require(try client.call(request, version: version).topics.first)
        #expect(version >= 10 ? topic.topicID == id : topic.name == "orders")
        #expect(topic.partitions.map(\.code) == [.none])
        #expect(try client.committed("readers", "orders").committedOffset == Int64(version))
    }

    @Test func versionsUpTo7FetchOneGroup() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        try client.commit("readers", "orders", 5)
        for version in Int16(1)...7 {
            var request = OffsetFetchRequest()
            request.groupID = "readers"
            var topic = OffsetFetchRequest.OffsetFetchRequestTopic()
            (topic.name, topic.partitionIndexes) = ("orders", [0])
            request.topics = [topic]
            let reply = try client.call(request, version: version)
            #expect(reply.topics.flatMap(\.partitions).map(\.committedOffset) == [5])
            if version >= 2 {
                request.topics = nil
                #expect(try client.call(request, version: version).topics.map(\.name) == ["orders"])
            }
        }
    }

    @Test func severalGroupsAreFetchedAtOnce() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        for number in 0..<6 { try client.commit("group-\(number)", "orders", Int64(number)) }
        var request = OffsetFetchRequest()
        request.groups = (0..<6).map { WireClient.offsetFetchRequest("group-\($0)", "orders").groups[0] }
        let groups = try client.call(request, version: 9).groups
        #expect(groups.map(\.groupID) == (0..<6).map { "group-\($0)" })
        #expect(groups.map { $0.topics[0].partitions[0].committedOffset } == [0, 1, 2, 3, 4, 5])
    }

    @Test func version10FetchesByTopicID() throws {
        let client = try TestBroker().client()
        let id = try client.createTopic("orders")
        try client.commit("readers", "orders", 9)
        var request = WireClient.offsetFetchRequest("readers", "")
        request.groups[0].topics![0].topicID = id
        var missing = request.groups[0].topics![0]
        missing.topicID = TopicID(high: 3, low: 3)
        request.groups[0].topics!.append(missing)
        let topics = try client.call(request, version: 10).groups[0].topics
        #expect(topics.map(\.topicID) == [id, missing.topicID])
        #expect(topics.map { $0.partitions[0].code } == [.none, .unknownTopicID])
        #expect(topics[0].partitions[0].committedOffset == 9)
        request.groups[0].topics = nil
        #expect(try client.call(request, version: 10).groups[0].topics.map(\.topicID) == [id])
    }

    @Test func unknownTopicsAreRefusedAndTheRestIsCommitted() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        var request = WireClient.commitRequest("readers", "orders", 3)
        var other = request.topics[0].partitions[0]
        other.partitionIndex = 8
        request.topics[0].partitions.append(other)
        request.topics.append(WireClient.commitRequest("readers", "missing", 3).topics[0])
        let topics = try client.call(request, version: 9).topics
        #expect(topics.map(\.name) == ["orders", "missing"])
        #expect(topics[0].partitions.map(\.code) == [.none, .unknownTopicOrPartition])
        #expect(topics[1].partitions.map(\.code) == [.unknownTopicOrPartition])
        #expect(try client.committed("readers", "orders").committedOffset == 3)
        var byID = WireClient.commitRequest("readers", "", 3)
        byID.topics[0].topicID = TopicID(high: 3, low: 3)
        #expect(try client.call(byID, version: 10).topics[0].partitions.map(\.code) == [.unknownTopicID])
    }

    @Test func strangersDoNotCommitForAGroupWithMembers() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        let member = try Member(client, group: "readers").joinAlone()
        var request = WireClient.commitRequest("readers", "orders", 3)
        func code() throws -> ErrorCode { try client.call(request, version: 9).topics[0].partitions[0].code }
        #expect(try code() == .unknownMemberID)
        (request.memberID, request.generationIDOrMemberEpoch) = (member.memberID, member.generationID + 1)
        #expect(try code() == .illegalGeneration)
        request.generationIDOrMemberEpoch = member.generationID
        #expect(try code() == .none)
    }

    @Test func longMetadataIsRefused() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        let request = WireClient.commitRequest("readers", "orders", 3, metadata: String(repeating: "x", count: 4_097))
        #expect(try client.call(request, version: 9).topics[0].partitions[0].code == .offsetMetadataTooLarge)
    }

    @Test func deletedTopicsLoseTheirOffsets() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        try client.commit("readers", "orders", 3)
        #expect(try client.deleteTopic("orders") == .none)
        try client.createTopic("orders")
        #expect(try client.committed("readers", "orders").committedOffset == -1)
    }

    @Test func offsetDeleteForgets() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        try client.commit("readers", "orders", 3)
        var request = OffsetDeleteRequest()
        request.groupID = "readers"
        request.topics = [OffsetDeleteRequest.OffsetDeleteRequestTopic()]
        request.topics[0].name = "orders"
        request.topics[0].partitions = [OffsetDeleteRequest.OffsetDeleteRequestPartition()]
        #expect(try client.call(request).topics.flatMap(\.partitions).map(\.errorCode) == [0])
        #expect(try client.committed("readers", "orders").committedOffset == -1)
        request.groupID = "missing"
        #expect(try client.call(request).errorCode == ErrorCode.groupIDNotFound.rawValue)
    }

    // MARK: What tools see

    @Test func groupsAreListedAndDescribed() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        try client.commit("simple", "orders", 1)
        let member = try Member(client, group: "readers").joinAlone()
        let listed = try client.call(ListGroupsRequest()).groups
        #expect(Set(listed.map(\.groupID)) == ["readers", "simple"])
        var filter = ListGroupsRequest()
        filter.statesFilter = ["stable"]
        #expect(try client.call(filter).groups.map(\.groupID) == ["readers"])
        var request = DescribeGroupsRequest()
        request.groups = ["readers", "simple", "missing"]
        let groups = try client.call(request).groups
        #expect(groups.map(\.groupState) == ["Stable", "Empty", "Dead"])
        #expect(groups.map(\.code) == [.none, .none, .groupIDNotFound])
        #expect(groups[0].protocolData == "range")
        #expect(groups[0].members.map(\.memberID) == [member.memberID])
        #expect(groups[0].members[0].clientID == "test")
        #expect(groups[0].members[0].clientHost == "/127.0.0.1")
        #expect(groups[0].members[0].memberAssignment == Array("all".utf8))
        #expect(try client.call(request, version: 5).groups.map(\.code) == [.none, .none, .none])
    }
}
