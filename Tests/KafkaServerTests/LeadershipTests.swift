import BrokerCore
import BrokerTestKit
import KafkaModel
import KafkaWire
import LogStorage
import Testing

@testable import KafkaServer

/// A partition that this broker does not lead, as clients see it.
@Suite struct LeadershipTests {
    private func log(_ broker: TestBroker, _ topic: String) throws -> PartitionLog {
        try #require(broker.broker.catalog.topic(named: topic)?.partition(0))
    }

    @Test func requestsAreToldThatTheLeaderIsElsewhere() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders")
        try client.append("orders", count: 2)
        #expect(broker.broker.resign(leaderOf: try log(broker, "orders"), for: LeaderEpoch(1)))
        let partition = try client.metadata(["orders"]).topics[0].partitions[0]
        #expect(partition.errorCode == ErrorCode.leaderNotAvailable.rawValue)
        #expect((partition.leaderID, partition.leaderEpoch) == (-1, 1))
        let wanted = [WireClient.Wanted(topic: "orders")]
        let fetched = try client.call(WireClient.fetchRequest(wanted, maxWaitMs: 0, minBytes: 1), version: 12)
        #expect(fetched.responses[0].partitions[0].errorCode == ErrorCode.notLeaderOrFollower.rawValue)
        #expect(try client.produce("orders", TestBatch(count: 1).bytes()).code == .notLeaderOrFollower)
        #expect(broker.broker.become(leaderOf: try log(broker, "orders"), in: LeaderEpoch(2)))
        #expect(try client.append("orders", count: 1) == 2)
    }

    @Test func aFetchThatWaitsIsAnsweredByAResignation() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders")
        let wanted = [WireClient.Wanted(topic: "orders")]
        let id = try client.send(WireClient.fetchRequest(wanted, maxWaitMs: 600_000, minBytes: 1), version: 12)
        try waitUntil { broker.parkedFetches == 1 }
        #expect(broker.broker.resign(leaderOf: try log(broker, "orders"), for: LeaderEpoch(1)))
        let fetched = try client.receive(FetchResponse.self, version: 12, correlationID: id)
        #expect(fetched.responses[0].partitions[0].errorCode == ErrorCode.notLeaderOrFollower.rawValue)
    }

    @Test func groupsHaveNoCoordinatorWithoutALeader() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        let index = broker.broker.groups.partitionIndex(of: "readers")
        let log = try #require(broker.broker.catalog.topic(named: Topic.offsetsTopicName)?.partition(index))
        #expect(broker.broker.resign(leaderOf: log, for: LeaderEpoch(1)))
        var find = FindCoordinatorRequest()
        find.coordinatorKeys = ["readers"]
        let found = try client.call(find).coordinators[0]
        #expect(found.errorCode == ErrorCode.coordinatorNotAvailable.rawValue)
        #expect((found.nodeID, found.port) == (-1, -1))
        var member = Member(client, group: "readers")
        #expect(try client.call(member.joinRequest(), version: 4).code == .notCoordinator)
        #expect(broker.broker.become(leaderOf: log, in: LeaderEpoch(2)))
        try member.takeMemberID()
    }
}
