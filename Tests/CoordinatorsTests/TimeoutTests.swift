import Coordinators
import KafkaModel
import KafkaWire
import Testing

@Suite struct TimeoutTests {
    @Test func silentMemberIsRemovedAfterItsSession() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        driver.pass(6_000)
        #expect(driver.heartbeat(ids[0], 1) == .none)
        driver.pass(3_999)
        #expect(driver.state() == .stable)
        driver.pass(1)
        #expect(driver.state() == .preparingRebalance)
        #expect(driver.heartbeat(ids[1], 1) == .unknownMemberID)
        #expect(driver.joined(driver.join(ids[0]))?.generationID == 2)
    }

    @Test func lastMembersSilenceEmptiesTheGroup() {
        let driver = ShardDriver()
        _ = driver.stableGroup(1)
        driver.pass(10_000)
        #expect(driver.state() == .empty)
        #expect(driver.shard.metrics.groups == [.empty: 1])
        #expect(driver.restarted().state() == .empty)
    }

    @Test func offsetCommitKeepsASessionAlive() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(1)
        for offset in 0..<5 {
            driver.pass(9_000)
            #expect(driver.commit([.init(offset: Int64(offset))], member: ids[0], generation: 1) == [.none])
        }
        #expect(driver.state() == .stable)
    }

    @Test func parkedMemberIsNotExpired() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2, session: 60_000)
        let waiter = driver.join(ids[1], session: 10_000, protocols: [subscription(["u"])])
        driver.pass(50_000)
        #expect(driver.joined(waiter) == nil)
        #expect(driver.shard.metrics.members == 2)
        #expect(driver.joined(driver.join(ids[0], session: 60_000))?.generationID == 2)
        #expect(driver.joined(waiter)?.generationID == 2)
    }

    @Test func parkedSyncIsNotExpiredAndItsSessionStartsWithTheAnswer() {
        let driver = ShardDriver()
        let leader = driver.joinDynamic(session: 100_000)
        let follower = driver.joinDynamic(session: 10_000)
        driver.pass(6_000)
        let parked = driver.sync(follower.memberID, 1)
        driver.pass(30_000)
        driver.sync(leader.memberID, 1, assignments: [follower.memberID: [2]])
        #expect(driver.synced(parked)?.assignment == [2])
        driver.pass(9_999)
        #expect(driver.heartbeat(follower.memberID, 1) == .none)
        driver.pass(10_000)
        #expect(driver.heartbeat(follower.memberID, 1) == .unknownMemberID)
    }

    @Test func newMembersJoinIsAnsweredAfterFiveMinutes() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(1, session: 1_000_000)
        let newcomer = driver.join(version: 3, session: 6_000, rebalance: 1_000_000)
        driver.pass(299_999)
        #expect(driver.joined(newcomer) == nil)
        driver.pass(1)
        #expect(driver.joinError(newcomer) == .unknownMemberID)
        #expect(driver.heartbeat(ids[0], 1) == .rebalanceInProgress)
    }

    @Test func memberThatDoesNotRejoinIsRemovedAtTheRebalanceTimeout() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2, session: 1_000_000)
        let leader = driver.join(ids[0])
        driver.pass(59_999)
        // It lives, but does not rejoin.
        #expect(driver.heartbeat(ids[1], 1) == .rebalanceInProgress)
        #expect(driver.joined(leader) == nil)
        driver.pass(1)
        #expect(driver.joined(leader)?.members.count == 1)
        #expect(driver.heartbeat(ids[1], 1) == .unknownMemberID)
    }

    @Test func leaderThatDoesNotSyncIsRemoved() {
        let driver = ShardDriver()
        let leader = driver.joinDynamic(session: 1_000_000, rebalance: 20_000)
        let follower = driver.joinDynamic(session: 1_000_000, rebalance: 20_000)
        driver.pass(6_000)
        let parked = driver.sync(follower.memberID, 1)
        driver.pass(20_000)
        #expect(driver.syncError(parked) == .rebalanceInProgress)
        #expect(driver.heartbeat(leader.memberID, 1) == .unknownMemberID)
        let rejoin = driver.join(follower.memberID)
        #expect(driver.joined(rejoin)?.leader == follower.memberID)
    }

    @Test func followerThatDoesNotSyncIsRemovedThoughTheGroupIsStable() {
        let driver = ShardDriver()
        let leader = driver.joinDynamic(session: 1_000_000, rebalance: 20_000)
        let follower = driver.joinDynamic(session: 1_000_000, rebalance: 20_000)
        driver.pass(6_000)
        driver.sync(leader.memberID, 1, assignments: [leader.memberID: [1]])
        #expect(driver.state() == .stable)
        driver.pass(20_000)
        #expect(driver.state() == .preparingRebalance)
        #expect(driver.heartbeat(follower.memberID, 1) == .unknownMemberID)
    }

    @Test func timeoutsOfZeroAndBelowDoNotSpin() {
        let driver = ShardDriver()
        let first = driver.join(instance: "a", rebalance: -5)
        driver.pass(10_000)
        #expect(driver.joined(first)?.generationID == 1)
        driver.pass(100_000)
        #expect(driver.shard.metrics.members == 0)
    }

    @Test func version0HasOneTimeoutForBoth() {
        let driver = ShardDriver()
        driver.join(version: 3, session: 1_000_000, rebalance: 1_000)
        let old = driver.join(version: 0, session: 7_000, rebalance: -1)
        driver.pass(3_000)
        #expect(driver.joined(old)?.generationID == 1)
        // Nobody syncs: after its rebalance timeout, now 7 s, both are gone.
        driver.pass(5_000)
        #expect(driver.heartbeat(driver.joined(old)!.memberID, 1) == .none)
        driver.pass(1_999)
        #expect(driver.state() == .completingRebalance)
        driver.pass(1)
        #expect(driver.state() == .empty)
    }

    @Test func nextDeadlineIsNeverLate() {
        let driver = ShardDriver()
        #expect(driver.shard.nextDeadline == nil)
        _ = driver.joinDynamic()
        let delay = driver.shard.nextDeadline!
        #expect(delay == driver.time.monotonicMs + 3_000)
        // Nothing happens before it.
        let before = driver.shard.metrics
        driver.time.monotonicMs = delay - 1
        driver.run { $0.advance(now: $1) }
        #expect(driver.shard.metrics == before)
    }

    @Test func lateTickFiresAllThatIsDue() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        driver.time.monotonicMs += 1_000_000
        driver.run { $0.advance(now: $1) }
        #expect(driver.state() == .empty)
        #expect(driver.heartbeat(ids[0], 1) == .unknownMemberID)
    }
}
