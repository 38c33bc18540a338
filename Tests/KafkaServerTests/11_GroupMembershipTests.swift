import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

/// JoinGroup, SyncGroup, Heartbeat and LeaveGroup over the wire; the state machine's own cases are CoordinatorsTests'.
@Suite struct GroupMembershipTests {
    @Test func aNewMemberIsGivenAnIDFirst() throws {
        let client = try TestBroker().client()
        let member = Member(client, group: "readers")
        let reply = try client.call(member.joinRequest(), version: 4)
        #expect(reply.code == .memberIDRequired)
        #expect(!reply.memberID.isEmpty)
    }

    @Test func versionsBefore4JoinAtOnce() throws {
        let client = try TestBroker().client()
        for version in Int16(0)..<4 {
            var request = Member(client, group: "readers-\(version)").joinRequest()
            if version < 1 { request.rebalanceTimeoutMs = -1 }
            let reply = try client.call(request, version: version)
            #expect(reply.code == .none)
            #expect(reply.leader == reply.memberID)
            #expect(reply.members.map(\.memberID) == [reply.memberID])
        }
    }

    @Test func twoMembersShareAGroupAndTheLeaderAssigns() throws {
        let broker = try TestBroker()
        var first = try Member(broker.client(), group: "readers").joinAlone()
        var second = Member(try broker.client(), group: "readers")
        try second.takeMemberID()
        let secondJoin = try second.sendJoin()
        try waitUntil { broker.groupWaiters == 1 }
        // The first member learns of it by its heartbeat and joins again.
        #expect(try first.heartbeat() == .rebalanceInProgress)
        let joined = try first.receiveJoin(first.sendJoin())
        let other = try second.receiveJoin(secondJoin)
        #expect([joined.code, other.code] == [.none, .none])
        #expect(joined.generationID == 2)
        #expect(other.generationID == 2)
        #expect(joined.leader == other.leader)
        let (leader, follower) = joined.leader == first.memberID ? (first, second) : (second, first)
        let members = (joined.leader == first.memberID ? joined : other).members
        #expect(Set(members.map(\.memberID)) == [first.memberID, second.memberID])
        #expect(members.allSatisfy { $0.metadata == Array("of readers".utf8) })
        // The follower's SyncGroup waits for the leader's.
        let waiting = try follower.client.send(follower.syncRequest())
        try waitUntil { broker.groupWaiters == 1 }
        let led = try leader.client.call(
            leader.syncRequest([leader.memberID: "left", follower.memberID: "right"]))
        let followed = try follower.client.receive(SyncGroupResponse.self, correlationID: waiting)
        #expect(led.assignment == Array("left".utf8))
        #expect(followed.assignment == Array("right".utf8))
        #expect(try first.heartbeat() == .none)
        #expect(try second.heartbeat() == .none)
    }

    @Test func membersOnDifferentLoopsShareAGroup() throws {
        let broker = try TestBroker { $0.loops = 2 }
        var first = try Member(broker.client(), group: "readers").joinAlone()
        var second = Member(try broker.client(), group: "readers")
        try second.takeMemberID()
        let join = try second.sendJoin()
        let joined = try first.receiveJoin(first.sendJoin())
        #expect(joined.code == .none)
        #expect(try second.receiveJoin(join).generationID == joined.generationID)
    }

    @Test func aMemberThatLeavesLeavesTheOthersToRebalance() throws {
        let broker = try TestBroker()
        var first = try Member(broker.client(), group: "readers").joinAlone()
        var second = Member(try broker.client(), group: "readers")
        try second.takeMemberID()
        let join = try second.sendJoin()
        _ = try first.receiveJoin(first.sendJoin())
        _ = try second.receiveJoin(join)
        #expect(try second.leave().members.map(\.errorCode) == [0])
        #expect(try first.heartbeat() == .rebalanceInProgress)
        let alone = try first.receiveJoin(first.sendJoin())
        #expect(alone.members.map(\.memberID) == [first.memberID])
    }

    @Test func aConnectionThatIsResetInJoinGroupFreesItsPlace() throws {
        let broker = try TestBroker()
        let first = try Member(broker.client(), group: "readers").joinAlone()
        var second = Member(try broker.client(), group: "readers")
        try second.takeMemberID()
        try second.sendJoin()
        try waitUntil { broker.groupWaiters == 1 }
        second.client.reset()
        try waitUntil { broker.groupWaiters == 0 }
        // The group's other requests go on.
        #expect(try first.heartbeat() == .rebalanceInProgress)
    }

    @Test func aConnectionThatIsResetInSyncGroupFreesItsPlace() throws {
        let broker = try TestBroker()
        var first = try Member(broker.client(), group: "readers").joinAlone()
        var second = Member(try broker.client(), group: "readers")
        try second.takeMemberID()
        let join = try second.sendJoin()
        let joined = try first.receiveJoin(first.sendJoin())
        _ = try second.receiveJoin(join)
        let (leader, follower) = joined.leader == first.memberID ? (first, second) : (second, first)
        try follower.client.send(follower.syncRequest())
        try waitUntil { broker.groupWaiters == 1 }
        follower.client.reset()
        try waitUntil { broker.groupWaiters == 0 }
        let led = try leader.client.call(leader.syncRequest([leader.memberID: "all"]))
        #expect(led.code == .none)
    }

    @Test func staleGenerationsAndUnknownMembersAreTold() throws {
        let client = try TestBroker().client()
        var member = try Member(client, group: "readers").joinAlone()
        member.generationID += 1
        #expect(try member.heartbeat() == .illegalGeneration)
        #expect(try client.call(member.syncRequest()).code == .illegalGeneration)
        member.memberID = "nobody"
        #expect(try member.heartbeat() == .unknownMemberID)
        #expect(try client.call(member.syncRequest()).code == .unknownMemberID)
        #expect(try member.leave().members.map(\.errorCode) == [ErrorCode.unknownMemberID.rawValue])
    }

    @Test func aStaticMemberKeepsItsPlaceOverARejoin() throws {
        let client = try TestBroker().client()
        var member = Member(client, group: "readers")
        member.instanceID = "one"
        let joined = try member.receiveJoin(member.sendJoin())
        #expect(joined.code == .none)
        member.memberID = joined.memberID
        #expect(try client.call(member.syncRequest([member.memberID: "all"])).code == .none)
        var again = Member(client, group: "readers")
        again.instanceID = "one"
        let rejoined = try again.receiveJoin(again.sendJoin())
        #expect(rejoined.code == .none)
        #expect(rejoined.generationID == joined.generationID)
        again.memberID = rejoined.memberID
        #expect(try client.call(again.syncRequest()).assignment == Array("all".utf8))
        #expect(try member.heartbeat() == .fencedInstanceID)
    }

    @Test func bytesThatComeWhileJoinGroupWaitsAreKeptForLater() throws {
        let broker = try TestBroker()
        var first = try Member(broker.client(), group: "readers").joinAlone()
        var second = Member(try broker.client(), group: "readers")
        try second.takeMemberID()
        let join = try second.sendJoin()
        let behind = try second.client.send(FindCoordinatorRequest(), version: 2)
        _ = try first.receiveJoin(first.sendJoin())
        #expect(try second.receiveJoin(join).code == .none)
        _ = try second.client.receive(FindCoordinatorResponse.self, version: 2, correlationID: behind)
    }

    @Test func aGroupIDIsNeeded() throws {
        let client = try TestBroker().client()
        let member = Member(client, group: "")
        #expect(try client.call(member.joinRequest(), version: 9).code == .invalidGroupID)
    }
}
