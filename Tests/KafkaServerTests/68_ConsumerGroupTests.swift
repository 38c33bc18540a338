import BrokerCore
import BrokerTestKit
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security
import Testing

/// ConsumerGroupHeartbeat and ConsumerGroupDescribe over the wire; the state machine's own cases are CoordinatorsTests'.
@Suite struct ConsumerGroupTests {
    private func joinRequest(_ member: String, topics: [String]? = ["orders"], pattern: String? = nil)
        -> ConsumerGroupHeartbeatRequest
    {
        var request = ConsumerGroupHeartbeatRequest()
        (request.groupID, request.memberID, request.rebalanceTimeoutMs) = ("readers", member, 60_000)
        (request.subscribedTopicNames, request.subscribedTopicRegex, request.topicPartitions) = (topics, pattern, [])
        return request
    }

    private func beat(_ member: String, _ epoch: Int32) -> ConsumerGroupHeartbeatRequest {
        var request = ConsumerGroupHeartbeatRequest()
        (request.groupID, request.memberID, request.memberEpoch) = ("readers", member, epoch)
        return request
    }

    private func describe(_ client: WireClient) throws -> ConsumerGroupDescribeResponse.DescribedGroup {
        var request = ConsumerGroupDescribeRequest()
        request.groupIDs = ["readers", "readers"]
        let groups = try client.call(request).groups
        #expect(groups.count == 1)
        return groups[0]
    }

    /// Of the epoch alone nothing follows: it rises as well when a silent member has gone.
    private func isToRead(_ topic: String, _ group: ConsumerGroupDescribeResponse.DescribedGroup) -> Bool {
        group.members.first?.targetAssignment.topicPartitions.map(\.topicName) == [topic]
    }

    @Test func aMemberJoinsReadsCommitsAndLeaves() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let id = try client.createTopic("orders", partitions: 3)
        let joined = try client.call(joinRequest("m"))
        #expect((joined.errorCode, joined.memberEpoch, joined.heartbeatIntervalMs) == (0, 2, 5_000))
        #expect(joined.assignment?.topicPartitions.map(\.topicID) == [id])
        #expect(joined.assignment?.topicPartitions.map(\.partitions) == [[0, 1, 2]])
        #expect(try client.call(beat("m", 2)).assignment == nil)

        let group = try describe(client)
        #expect((group.groupState, group.groupEpoch, group.assignorName) == ("Stable", 2, "uniform"))
        #expect(group.members.map(\.memberID) == ["m"])
        #expect(group.members[0].assignment.topicPartitions.map(\.topicName) == ["orders"])
        let listed = try client.call(ListGroupsRequest()).groups
        #expect(
            listed.map { "\($0.groupID) \($0.groupType) \($0.groupState) \($0.protocolType)" } == [
                "readers consumer Stable consumer"
            ])

        var leaving = beat("m", -1)
        leaving.groupID = "readers"
        #expect(try client.call(leaving).memberEpoch == -1)
        #expect(try describe(client).groupState == "Empty")
    }

    @Test func aGroupIsThereAfterARestart() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 2)
        _ = try client.call(joinRequest("m"))
        let before = try describe(client)
        let again = try broker.restarted()
        let after = try again.client()
        #expect(try describe(after) == before)
        #expect(try after.call(beat("m", 2)).errorCode == 0)
    }

    @Test func anAnsweredHeartbeatSurvivesAPowerCut() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 2)
        let joined = try client.call(joinRequest("m"))
        let after = try broker.crashed().client()
        #expect(try after.call(beat("m", joined.memberEpoch)).errorCode == 0)
        #expect(try describe(after).members[0].assignment.topicPartitions[0].partitions == [0, 1])
    }

    @Test func aLargeAssignmentIsMadeByAWorker() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders", partitions: 2_000)
        #expect(try client.call(joinRequest("m")).memberEpoch == 1)
        var read = 0
        try waitUntil {
            read = try client.call(beat("m", 1)).assignment?.topicPartitions.first?.partitions.count ?? read
            return try describe(client).members[0].memberEpoch == 2
        }
        #expect(read == 2_000)
    }

    @Test func aPatternIsLookedUpByAWorker() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders.a", partitions: 1)
        try client.createTopic("other", partitions: 1)
        let joined = try client.call(joinRequest("m", topics: nil, pattern: "orders\\..*"), version: 1)
        #expect((joined.errorCode, joined.memberEpoch) == (0, 2))
        try waitUntil { try describe(client).groupEpoch == 3 }
        var last = joined.memberEpoch
        try waitUntil {
            last = try client.call(beat("m", last)).memberEpoch
            return last == 3
        }
        #expect(try describe(client).members[0].assignment.topicPartitions.map(\.topicName) == ["orders.a"])
        #expect(
            try client.call(joinRequest("n", topics: nil, pattern: "("), version: 1).errorCode
                == ErrorCode.invalidRegularExpression.rawValue)
    }

    /// An event of no client has no rights, and a look-up for it would find what the group's clients may not know of.
    @Test func aPatternIsNotLookedUpForNobody() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 1)
        var request = joinRequest("m", topics: nil, pattern: "orders")
        request.groupID = "nobodys"
        let context = RequestContext(clientID: "c", clientHost: "/127.0.0.1", apiVersion: 1)
        broker.broker.groups.perform(group: request.groupID) { shard, now in
            shard.consumerGroupHeartbeat(request, context: context, waiter: WaiterID(1 << 40), now: now)
        }
        // Look-ups of this kind are made one after the other.
        _ = try client.call(joinRequest("m", topics: nil, pattern: "orders"), version: 1)
        try waitUntil { try isToRead("orders", describe(client)) }
        #expect(
            broker.broker.groups.read(group: "nobodys") { $0.describeConsumerGroup("nobodys").groupEpoch }.answer == 2)
    }

    @Test func aLookUpThatTakesLongHoldsUpNoOrdinaryOne() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders", partitions: 1)
        let (isHeld, release) = (Signal(), Signal())
        defer { release.raise() }
        var request = joinRequest("m", topics: nil, pattern: "orders|a{1000}|b{500}")
        request.groupID = "slow"
        let context = RequestContext(clientID: "c", clientHost: "/127.0.0.1", apiVersion: 1)
        let isVisible: @Sendable (String) -> Bool = { _ in
            isHeld.raise()
            release.wait()
            return true
        }
        broker.broker.groups.perform(group: request.groupID, isVisible: isVisible) { shard, now in
            shard.consumerGroupHeartbeat(request, context: context, waiter: WaiterID(1 << 40), now: now)
        }
        isHeld.wait()
        _ = try client.call(joinRequest("m", topics: nil, pattern: "orders"), version: 1)
        try waitUntil { try isToRead("orders", describe(client)) }
        release.raise()
        try waitUntil {
            isToRead("orders", broker.broker.groups.read(group: "slow") { $0.describeConsumerGroup("slow") }.answer)
        }
    }

    @Test func newPartitionsAndTopicsAreSeen() throws {
        let client = try TestBroker { $0.broker.groups.consumerAssignmentIntervalMs = 0 }.client()
        _ = try client.call(joinRequest("m", topics: ["orders", "later"]))
        try client.createTopic("later", partitions: 1)
        let next = try client.call(beat("m", 2))
        #expect(next.memberEpoch == 3)
        #expect(next.assignment?.topicPartitions.map(\.partitions) == [[0]])
    }
}
