import Coordinators
import KafkaModel
import KafkaWire
import Testing

/// Orders of events that gave a member an empty assignment, or two members the same partitions, in some broker.
@Suite struct RebalanceRaceTests {
    @Test func lateJoinerInCompletingRebalanceEndsTheGeneration() {
        let driver = ShardDriver()
        let leader = driver.joinDynamic()
        let follower = driver.joinDynamic()
        driver.pass(6_000)
        let parked = driver.sync(follower.memberID, 1)
        let late = driver.join(version: 3)
        #expect(driver.syncError(parked) == .rebalanceInProgress)
        #expect(driver.synced(parked)?.assignment.isEmpty == true)

        // The leader's assignment for the old generation comes too late.
        let stale = driver.sync(leader.memberID, 1, assignments: [leader.memberID: [1], follower.memberID: [2]])
        #expect(driver.syncError(stale) == .rebalanceInProgress)

        let second = driver.join(leader.memberID)
        driver.join(follower.memberID)
        #expect(driver.joined(second)?.generationID == 2)
        #expect(driver.joined(late)?.generationID == 2)
        // And later still.
        #expect(driver.syncError(driver.sync(leader.memberID, 1)) == .illegalGeneration)

        let lateID = driver.joined(late)!.memberID
        let lateSync = driver.sync(lateID, 2)
        driver.sync(leader.memberID, 2, assignments: [leader.memberID: [1], follower.memberID: [2], lateID: [3]])
        #expect(driver.synced(lateSync)?.assignment == [3])
        #expect(driver.synced(driver.sync(follower.memberID, 2))?.assignment == [2])
    }

    @Test func memberThatTheLeaderForgotGetsAnEmptyAssignment() {
        let driver = ShardDriver()
        let leader = driver.joinDynamic()
        let follower = driver.joinDynamic()
        driver.pass(6_000)
        let parked = driver.sync(follower.memberID, 1)
        driver.sync(leader.memberID, 1, assignments: [leader.memberID: [1]])
        #expect(driver.syncError(parked) == ErrorCode.none)
        #expect(driver.synced(parked)?.assignment.isEmpty == true)
    }

    @Test func assignmentComesFromTheLeaderAlone() {
        let driver = ShardDriver()
        let leader = driver.joinDynamic()
        let follower = driver.joinDynamic()
        driver.pass(6_000)
        let impostor = driver.sync(follower.memberID, 1, assignments: [follower.memberID: [9]])
        #expect(driver.synced(impostor) == nil)
        #expect(driver.state() == .completingRebalance)
        driver.sync(leader.memberID, 1, assignments: [leader.memberID: [1], follower.memberID: [2]])
        #expect(driver.synced(impostor)?.assignment == [2])
    }

    @Test func assignmentsOfTheLastGenerationAreNotShownInTheNext() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        let leader = driver.join(ids[0])
        driver.join(ids[1])
        #expect(driver.joined(leader)?.generationID == 2)
        let parked = driver.sync(ids[1], 2)
        #expect(driver.synced(parked) == nil)
        driver.sync(ids[0], 2, assignments: [ids[0]: [5]])
        #expect(driver.synced(parked)?.assignment.isEmpty == true)
    }

    @Test func protocolOfSyncMustBeTheGroups() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(1)
        func error(_ type: String?, _ name: String?, version: Int16) -> ErrorCode? {
            driver.syncError(driver.sync(ids[0], 1, version: version, type: type, name: name))
        }
        #expect(error("consumer", "range", version: 5) == ErrorCode.none)
        #expect(error("connect", "range", version: 5) == .inconsistentGroupProtocol)
        #expect(error("consumer", "sticky", version: 5) == .inconsistentGroupProtocol)
        #expect(error(nil, "range", version: 5) == .inconsistentGroupProtocol)
        #expect(error("consumer", nil, version: 5) == .inconsistentGroupProtocol)
        #expect(error(nil, nil, version: 4) == ErrorCode.none)
    }

    @Test func leaderThatLeavesIsReplaced() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(3)
        driver.leave([(ids[0], nil)])
        let waiters = ids.dropFirst().map { driver.join($0) }
        #expect(driver.joined(waiters[0])?.leader == ids[1])
        #expect(driver.joined(waiters[0])?.members.count == 2)
        #expect(driver.joined(waiters[1])?.leader == ids[1])
    }

    @Test func leaderThatDoesNotRejoinIsReplaced() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2, session: 1_000_000)
        let waiter = driver.join(ids[1], protocols: [subscription(["other"])])
        driver.pass(59_999)
        #expect(driver.joined(waiter) == nil)
        driver.pass(1)
        #expect(driver.joined(waiter)?.leader == ids[1])
        #expect(driver.joined(waiter)?.members.map(\.memberID) == [ids[1]])
    }

    @Test func parkedSyncOfALeavingMemberIsAnswered() {
        let driver = ShardDriver()
        let leader = driver.joinDynamic()
        let follower = driver.joinDynamic()
        driver.pass(6_000)
        let parked = driver.sync(follower.memberID, 1)
        driver.leave([(follower.memberID, nil)])
        #expect(driver.syncError(parked) == .unknownMemberID)
        #expect(driver.joined(driver.join(leader.memberID))?.generationID == 2)
    }

    @Test func secondSyncOfAMemberReplacesTheFirst() {
        let driver = ShardDriver()
        let leader = driver.joinDynamic()
        let follower = driver.joinDynamic()
        driver.pass(6_000)
        let first = driver.sync(follower.memberID, 1)
        let second = driver.sync(follower.memberID, 1)
        #expect(driver.syncError(first) == .rebalanceInProgress)
        driver.sync(leader.memberID, 1, assignments: [follower.memberID: [2]])
        #expect(driver.synced(second)?.assignment == [2])
    }

    // MARK: Connections that close

    @Test func memberWhoseConnectionClosedHasNotRejoined() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        let lost = driver.join(ids[0])
        driver.connectionGone(lost)
        let other = driver.join(ids[1])
        #expect(driver.joined(other) == nil)
        // It comes back under its id.
        let again = driver.join(ids[0])
        #expect(driver.joined(again)?.generationID == 2)
        #expect(driver.joined(other)?.members.count ?? -1 == 0)
    }

    @Test func memberWhoseConnectionClosedIsWaitedForUntilItsSessionEnds() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        driver.connectionGone(driver.join(ids[0]))
        driver.pass(9_999)
        #expect(driver.heartbeat(ids[1], 1) == .rebalanceInProgress)
        let survivor = driver.join(ids[1])
        #expect(driver.joined(survivor) == nil)
        driver.pass(1)
        #expect(driver.joined(survivor)?.generationID == 2)
        #expect(driver.joined(survivor)?.members.count == 1)
    }

    @Test func memberThatNeverLearntItsIDIsRemovedWithItsConnection() {
        let driver = ShardDriver()
        _ = driver.stableGroup(1)
        let lost = driver.join(version: 3)
        #expect(driver.shard.metrics.members == 2)
        driver.connectionGone(lost)
        #expect(driver.shard.metrics.members == 1)
    }

    @Test func parkedSyncWhoseConnectionClosedCanBeRepeated() {
        let driver = ShardDriver()
        let leader = driver.joinDynamic()
        let follower = driver.joinDynamic()
        driver.pass(6_000)
        let lost = driver.sync(follower.memberID, 1)
        driver.connectionGone(lost)
        driver.sync(leader.memberID, 1, assignments: [follower.memberID: [2]])
        #expect(driver.synced(driver.sync(follower.memberID, 1))?.assignment == [2])
    }

    @Test func closedConnectionOfAnAnsweredRequestIsIgnored() {
        let driver = ShardDriver()
        _ = driver.stableGroup(1)
        let before = driver.shard.metrics
        driver.run { $0.waiterGone(WaiterID(1), now: $1) }
        driver.run { $0.waiterGone(WaiterID(999), now: $1) }
        #expect(driver.shard.metrics == before)
    }
}
