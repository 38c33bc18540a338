import Coordinators
import KafkaModel
import KafkaWire
import Testing

/// Static members (KIP-345): known by an instance id that outlives their processes.
@Suite struct StaticMemberTests {
    /// A stable group of two static members, `a` leading, assigned `[1]` and `[2]`.
    private func stablePair(
        _ driver: ShardDriver = ShardDriver(), protocols: [JoinGroupRequest.JoinGroupRequestProtocol]? = nil
    ) -> (driver: ShardDriver, a: String, b: String) {
        let protocols = protocols ?? [subscription(["t"])]
        let first = driver.join(instance: "a", protocols: protocols)
        let second = driver.join(instance: "b", protocols: protocols)
        driver.pass(6_000)
        let (a, b) = (driver.joined(first)!.memberID, driver.joined(second)!.memberID)
        driver.sync(b, 1, instance: "b")
        driver.sync(a, 1, assignments: [a: [1], b: [2]], instance: "a")
        #expect(driver.state() == .stable)
        return (driver, a, b)
    }

    @Test func restartedFollowerGetsItsAssignmentBackWithoutARebalance() {
        let (driver, a, b) = stablePair()
        let records = driver.recordCount
        let waiter = driver.join(instance: "b")
        let response = driver.joined(waiter)!
        #expect(response.errorCode == 0)
        #expect(response.memberID != b && response.memberID.hasPrefix("b-"))
        #expect(response.generationID == 1)
        #expect(response.leader == a)
        #expect(response.members.isEmpty && !response.skipAssignment)
        // The new id is recorded: a restart of the broker must not bring the old one back.
        #expect(driver.recordCount == records + 1)
        #expect(driver.state() == .stable)
        #expect(driver.synced(driver.sync(response.memberID, 1, instance: "b"))?.assignment == [2])
        #expect(driver.heartbeat(a, 1, instance: "a") == .none)
        #expect(driver.restarted().heartbeat(response.memberID, 1, instance: "b") == .none)
    }

    @Test func restartedLeaderOfVersion9SkipsTheAssignment() {
        let (driver, a, _) = stablePair()
        let response = driver.joined(driver.join(instance: "a", version: 9))!
        #expect(response.skipAssignment)
        #expect(response.leader == response.memberID && response.memberID != a)
        #expect(response.members.map(\.groupInstanceID) == ["a", "b"])
        #expect(driver.state() == .stable)
    }

    @Test func restartedLeaderBeforeVersion9TakesItselfForAFollower() {
        let (driver, a, _) = stablePair()
        let response = driver.joined(driver.join(instance: "a", version: 8))!
        #expect(!response.skipAssignment)
        #expect(response.leader == a && response.memberID != a)
        #expect(response.members.isEmpty)
        // It still leads: its rejoin with its new id starts a rebalance.
        driver.join(response.memberID, instance: "a", version: 8)
        #expect(driver.state() == .preparingRebalance)
    }

    @Test func oldIDIsFencedEverywhere() {
        let (driver, _, b) = stablePair()
        let newID = driver.joined(driver.join(instance: "b"))!.memberID
        #expect(driver.joinError(driver.join(b, instance: "b")) == .fencedInstanceID)
        #expect(driver.syncError(driver.sync(b, 1, instance: "b")) == .fencedInstanceID)
        #expect(driver.heartbeat(b, 1, instance: "b") == .fencedInstanceID)
        #expect(driver.commit([.init(offset: 1)], member: b, generation: 1, instance: "b") == [.fencedInstanceID])
        #expect(driver.leave([(b, "b")]).members[0].errorCode == ErrorCode.fencedInstanceID.rawValue)
        // Without its instance id, an old id is just unknown.
        #expect(driver.heartbeat(b, 1) == .unknownMemberID)
        #expect(driver.heartbeat(newID, 1, instance: "b") == .none)
        #expect(driver.heartbeat(newID, 1, instance: "stranger") == .unknownMemberID)
    }

    @Test func restartWithAnotherProtocolRebalances() {
        let (driver, _, _) = stablePair(protocols: [subscription(["t"], "range"), subscription(["t"], "sticky")])
        let waiter = driver.join(instance: "b", protocols: [subscription(["t"], "sticky")])
        #expect(driver.joined(waiter) == nil)
        #expect(driver.state() == .preparingRebalance)
    }

    @Test func restartWithOtherTopicsRebalances() {
        let (driver, _, _) = stablePair()
        let waiter = driver.join(instance: "b", protocols: [subscription(["t", "u"])])
        #expect(driver.joined(waiter) == nil)
        #expect(driver.state() == .preparingRebalance)
    }

    @Test func restartWithOtherUserDataDoesNotRebalance() {
        let (driver, _, _) = stablePair()
        let waiter = driver.join(instance: "b", protocols: [subscription(["t"], userData: [1, 2])])
        #expect(driver.joined(waiter)?.generationID == 1)
        #expect(driver.state() == .stable)
    }

    @Test func restartDuringPreparingRebalanceFencesTheParkedJoin() {
        let (driver, a, b) = stablePair()
        let old = driver.join(b, instance: "b", protocols: [subscription(["u"])])
        #expect(driver.joined(old) == nil)
        let new = driver.join(instance: "b", protocols: [subscription(["u"])])
        #expect(driver.joinError(old) == .fencedInstanceID)
        #expect(driver.joined(old)?.memberID == b)
        let leader = driver.join(a, instance: "a")
        #expect(driver.joined(new)?.generationID == 2)
        #expect(driver.joined(leader)?.members.count == 2)
    }

    @Test func restartDuringCompletingRebalanceEndsTheGeneration() {
        // KAFKA-9801: the leader would assign to the old id, and the new one get nothing.
        let driver = ShardDriver()
        let first = driver.join(instance: "a")
        let second = driver.join(instance: "b")
        driver.pass(6_000)
        let (a, b) = (driver.joined(first)!.memberID, driver.joined(second)!.memberID)
        let parked = driver.sync(b, 1, instance: "b")
        let restarted = driver.join(instance: "b")
        #expect(driver.syncError(parked) == .fencedInstanceID)
        #expect(driver.joined(restarted) == nil)
        #expect(driver.state() == .preparingRebalance)
        let stale = driver.sync(a, 1, assignments: [a: [1], b: [2]], instance: "a")
        #expect(driver.syncError(stale) == .rebalanceInProgress)
        driver.join(a, instance: "a")
        #expect(driver.joined(restarted)?.generationID == 2)
    }

    @Test func restartedMemberThatHadNotSyncedIsStillAwaited() {
        let driver = ShardDriver()
        let first = driver.join(instance: "a", rebalance: 20_000)
        let second = driver.join(instance: "b", session: 100_000, rebalance: 20_000)
        driver.pass(6_000)
        let (a, b) = (driver.joined(first)!.memberID, driver.joined(second)!.memberID)
        driver.sync(a, 1, assignments: [a: [1], b: [2]], instance: "a")
        let newID = driver.joined(driver.join(instance: "b", rebalance: 20_000))!.memberID
        #expect(driver.synced(driver.sync(newID, 1, instance: "b"))?.assignment == [2])
        // All have synced: the sync timeout has nobody to remove.
        for _ in 0..<5 {
            driver.pass(5_000)
            #expect(driver.heartbeat(a, 1, instance: "a") == .none)
            #expect(driver.heartbeat(newID, 1, instance: "b") == .none)
        }
        #expect(driver.state() == .stable)
    }

    @Test func rebalanceTimeoutKeepsStaticMembersAndTheirSessionEndsThem() {
        let driver = ShardDriver()
        let first = driver.join(instance: "a", session: 50_000, rebalance: 20_000)
        let second = driver.join(instance: "b", session: 50_000, rebalance: 20_000)
        driver.pass(6_000)
        let (a, b) = (driver.joined(first)!.memberID, driver.joined(second)!.memberID)
        driver.sync(b, 1, instance: "b")
        driver.sync(a, 1, assignments: [a: [1], b: [2]], instance: "a")

        let rejoin = driver.join(a, instance: "a", session: 50_000, rebalance: 20_000)
        driver.pass(20_000)
        #expect(driver.joined(rejoin)?.generationID == 2)
        #expect(driver.joined(rejoin)?.members.count == 2)
        driver.sync(a, 2, assignments: [a: [1], b: [2]], instance: "a")
        #expect(driver.state() == .stable)
        // It never fetches its assignment of generation 2.
        driver.pass(20_000)
        #expect(driver.state() == .preparingRebalance)
        #expect(driver.shard.metrics.members == 1)
    }

    @Test func joinPhaseOfAbsentStaticMembersWaitsOn() {
        let driver = ShardDriver()
        let first = driver.join(instance: "a", session: 100_000, rebalance: 20_000)
        let second = driver.join(instance: "b", session: 100_000, rebalance: 20_000)
        driver.pass(6_000)
        let (a, b) = (driver.joined(first)!.memberID, driver.joined(second)!.memberID)
        driver.sync(b, 1, instance: "b")
        driver.sync(a, 1, assignments: [a: [1], b: [2]], instance: "a")
        let rejoin = driver.join(a, instance: "a", session: 100_000, rebalance: 20_000)
        driver.connectionGone(rejoin)
        driver.pass(60_000)
        #expect(driver.state() == .preparingRebalance)
        #expect(driver.shard.metrics.members == 2)
        let late = driver.join(instance: "b", session: 100_000, rebalance: 20_000)
        driver.pass(20_000)
        #expect(driver.joined(late)?.generationID == 2)
        #expect(driver.joined(late)?.leader == driver.joined(late)?.memberID)
    }

    @Test func administratorRemovesAMemberByItsInstanceID() {
        let (driver, _, b) = stablePair()
        let response = driver.leave([("", "b"), ("", "stranger"), ("", nil)])
        #expect(
            response.members.map(\.errorCode) == [
                0, ErrorCode.unknownMemberID.rawValue, ErrorCode.unknownMemberID.rawValue,
            ])
        #expect(response.members.map(\.groupInstanceID) == ["b", "stranger", nil])
        #expect(driver.heartbeat(b, 1, instance: "b") == .unknownMemberID)
        #expect(driver.state() == .preparingRebalance)
    }

    @Test func fullGroupTakesARestartedMember() {
        var settings = GroupSettings()
        settings.maxSize = 2
        let (driver, _, _) = stablePair(ShardDriver(settings: settings))
        #expect(driver.joinError(driver.join(instance: "b")) == ErrorCode.none)
        #expect(driver.joinError(driver.join(instance: "c")) == .groupMaxSizeReached)
    }

    @Test func leavingStaticMemberCanComeBackAsNew() {
        let (driver, a, b) = stablePair()
        driver.leave([(b, "b")])
        let back = driver.join(instance: "b")
        #expect(driver.joined(back) == nil)
        driver.join(a, instance: "a")
        #expect(driver.joined(back)?.generationID == 2)
    }
}
