import Coordinators
import KafkaModel
import KafkaWire
import Testing

@Suite struct JoinGroupTests {
    // MARK: The two steps of KIP-394

    @Test func dynamicMemberOfVersion4IsGivenAnIDFirst() {
        let driver = ShardDriver()
        let first = driver.join(version: 4)
        #expect(driver.joinError(first) == .memberIDRequired)
        let memberID = driver.joined(first)!.memberID
        #expect(memberID.hasPrefix("client-") && memberID.count == "client-".count + 36)
        #expect(driver.state() == .empty)
        #expect(driver.shard.metrics.pendingMembers == 1)

        let second = driver.join(memberID, version: 4)
        #expect(driver.joined(second) == nil)
        #expect(driver.state() == .preparingRebalance)
        driver.pass(3_000)
        #expect(driver.joined(second)?.memberID == memberID)
        #expect(driver.joined(second)?.generationID == 1)
        #expect(driver.joined(second)?.leader == memberID)
    }

    @Test func dynamicMemberBeforeVersion4JoinsAtOnce() {
        for version: Int16 in 0...3 {
            let driver = ShardDriver()
            let waiter = driver.join(version: version)
            driver.pass(3_000)
            #expect(driver.joinError(waiter) == ErrorCode.none)
            #expect(driver.joined(waiter)?.members.count == 1)
        }
    }

    @Test func staticMemberNeedsNoSecondStep() {
        let driver = ShardDriver()
        let waiter = driver.join(instance: "i1", version: 9)
        driver.pass(3_000)
        #expect(driver.joined(waiter)?.memberID.hasPrefix("i1-") == true)
    }

    @Test func promisedIDIsVoidAfterItsSessionTimeout() {
        let driver = ShardDriver()
        let first = driver.join(session: 10_000)
        let memberID = driver.joined(first)!.memberID
        driver.pass(10_000)
        #expect(driver.shard.metrics.pendingMembers == 0)
        #expect(driver.shard.metrics.groups.isEmpty)
        #expect(driver.joinError(driver.join(memberID)) == .unknownMemberID)
    }

    @Test func promisedIDIsNotForStaticMembers() {
        let driver = ShardDriver()
        let memberID = driver.joined(driver.join())!.memberID
        #expect(driver.joinError(driver.join(memberID, instance: "i1")) == .unknownMemberID)
    }

    @Test func rebalanceWaitsForPromisedIDs() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(1)
        let promised = driver.joined(driver.join(session: 8_000))!.memberID
        let rejoin = driver.join(ids[0])
        #expect(driver.state() == .preparingRebalance)
        #expect(driver.joined(rejoin) == nil)
        let newcomer = driver.join(promised)
        #expect(driver.joined(rejoin)?.generationID == 2)
        #expect(driver.joined(newcomer)?.generationID == 2)
    }

    @Test func rebalanceGoesOnWithoutAPromisedIDThatIsVoid() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(1)
        driver.join(session: 8_000)
        let rejoin = driver.join(ids[0])
        driver.pass(7_999)
        #expect(driver.joined(rejoin) == nil)
        driver.pass(1)
        #expect(driver.joined(rejoin)?.generationID == 2)
    }

    @Test func promisedIDsOfAGroupAreLimited() {
        var settings = GroupSettings()
        settings.maxPendingMembers = 2
        let driver = ShardDriver(settings: settings)
        #expect(driver.joinError(driver.join()) == .memberIDRequired)
        #expect(driver.joinError(driver.join()) == .memberIDRequired)
        #expect(driver.joinError(driver.join()) == .groupMaxSizeReached)
    }

    // MARK: Refusals

    @Test func requestIsCheckedBeforeTheGroup() {
        let driver = ShardDriver()
        #expect(driver.joinError(driver.join(group: "")) == .invalidGroupID)
        #expect(driver.joinError(driver.join(session: 5_999)) == .invalidSessionTimeout)
        #expect(driver.joinError(driver.join(session: 1_800_001)) == .invalidSessionTimeout)
        #expect(driver.joinError(driver.join("nobody")) == .unknownMemberID)
        #expect(driver.joinError(driver.join(type: "")) == .inconsistentGroupProtocol)
        #expect(driver.joinError(driver.join(protocols: [])) == .inconsistentGroupProtocol)
        let long = String(repeating: "x", count: 40_000)
        #expect(driver.joinError(driver.join(group: long)) == .invalidGroupID)
        #expect(driver.joinError(driver.join(instance: long)) == .invalidRequest)
        #expect(driver.joinError(driver.join(protocols: [subscription(["t"], long)])) == .invalidRequest)
        #expect(driver.shard.metrics.groups.isEmpty)
        #expect(driver.recordCount == 0)
    }

    @Test func refusalHasNoNullProtocolBeforeVersion7() {
        let driver = ShardDriver()
        #expect(driver.joined(driver.join("nobody", version: 6))?.protocolName == "")
        #expect(driver.joined(driver.join("nobody", version: 7))?.protocolName == .some(nil))
    }

    @Test func memberIDIsBoundedWhateverTheClientCallsItself() {
        let driver = ShardDriver()
        var request = JoinGroupRequest()
        request.groupID = "g"
        request.sessionTimeoutMs = 10_000
        request.protocolType = "consumer"
        request.protocols = [subscription(["t"])]
        let waiter = driver.newWaiter()
        let context = RequestContext(
            clientID: String(repeating: "c", count: 32_767), clientHost: "/::1", apiVersion: 9)
        driver.run { $0.joinGroup(request, context: context, waiter: waiter, now: $1) }
        #expect(driver.joined(waiter)?.memberID.utf8.count == 255 + 37)
    }

    @Test func protocolTypeAndProtocolsMustFitTheGroup() {
        let driver = ShardDriver()
        _ = driver.stableGroup(1)
        #expect(driver.joinError(driver.join(type: "connect")) == .inconsistentGroupProtocol)
        #expect(
            driver.joinError(driver.join(protocols: [subscription(["t"], "sticky")])) == .inconsistentGroupProtocol)
    }

    @Test func groupTakesNoMoreThanItsSize() {
        var settings = GroupSettings()
        settings.maxSize = 2
        let driver = ShardDriver(settings: settings)
        let ids = driver.stableGroup(2)
        #expect(driver.joinError(driver.join()) == .groupMaxSizeReached)
        #expect(driver.state() == .stable)
        // Who is in stays in, during the rebalance too.
        let leader = driver.join(ids[0])
        #expect(driver.joinError(driver.join(version: 3)) == nil)
        let follower = driver.join(ids[1])
        #expect(driver.joinError(follower) == .groupMaxSizeReached)
        #expect(driver.joined(leader)?.members.count == 2)
    }

    // MARK: Choosing a protocol

    @Test func protocolWithMostVotesAmongTheCommonOnesWins() {
        let driver = ShardDriver()
        let a = driver.join(
            version: 3, protocols: [subscription(["t"], "own"), subscription(["t"], "sticky"), subscription(["t"])])
        let b = driver.join(version: 3, protocols: [subscription(["t"], "range"), subscription(["t"], "sticky")])
        let c = driver.join(version: 3, protocols: [subscription(["t"], "sticky"), subscription(["t"], "range")])
        driver.pass(60_000)
        for waiter in [a, b, c] { #expect(driver.joined(waiter)?.protocolName == "sticky") }
        #expect(driver.joined(a)?.members.count == 3)
        #expect(driver.joined(b)?.members.isEmpty == true)
    }

    @Test func leaderGetsEachMembersMetadataForTheChosenProtocol() {
        let driver = ShardDriver()
        let a = driver.join(version: 3, protocols: [subscription(["t"], "x"), subscription(["a"], "range")])
        driver.join(version: 3, protocols: [subscription(["b"], "range")])
        driver.pass(60_000)
        let members = driver.joined(a)!.members
        #expect(members.map(\.metadata) == [subscription(["a"]).metadata, subscription(["b"]).metadata])
    }

    // MARK: The initial delay (KIP-134)

    @Test func initialDelayIsExtendedWhileMembersJoinUpToTheRebalanceTimeout() {
        let driver = ShardDriver()
        let first = driver.join(version: 3, rebalance: 10_000)
        // Each newcomer extends by another step of 3 s: at 3, 6 and 9 s, the last cut to what is left.
        for _ in 0..<4 {
            driver.pass(2_500)
            if driver.joined(first) != nil { break }
            driver.join(version: 3, rebalance: 10_000)
        }
        #expect(driver.joined(first)?.generationID == 1)
        #expect(driver.joined(first)!.members.count == 4)
    }

    @Test func initialDelayEndsWithoutNewcomers() {
        let driver = ShardDriver()
        let first = driver.join(version: 3)
        driver.pass(2_999)
        #expect(driver.joined(first) == nil)
        driver.pass(1)
        #expect(driver.joined(first)?.generationID == 1)
    }

    @Test func noInitialDelayMeansTheNextTick() {
        var settings = GroupSettings()
        settings.initialRebalanceDelayMs = 0
        let driver = ShardDriver(settings: settings)
        let first = driver.join(version: 3)
        driver.pass(1)
        #expect(driver.joined(first)?.generationID == 1)
    }

    @Test func groupThatEmptiesDuringTheInitialDelayBecomesEmptyAgain() {
        let driver = ShardDriver()
        let member = driver.joinDynamic()
        driver.leave([(member.memberID, nil)])
        #expect(driver.joinError(member.waiter) == .unknownMemberID)
        #expect(driver.state() == .preparingRebalance)
        // Somebody else may come, with another protocol type even.
        driver.pass(60_000)
        #expect(driver.state() == .empty)
    }

    // MARK: Rejoining

    @Test func followerThatChangesNothingGetsTheCurrentGeneration() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        let rejoin = driver.join(ids[1])
        #expect(driver.joined(rejoin)?.generationID == 1)
        #expect(driver.joined(rejoin)?.members.isEmpty == true)
        #expect(driver.state() == .stable)
    }

    @Test func followerWithOtherMetadataCausesARebalance() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        driver.join(ids[1], protocols: [subscription(["other"])])
        #expect(driver.state() == .preparingRebalance)
    }

    @Test func leaderThatRejoinsCausesARebalance() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        let leader = driver.join(ids[0])
        #expect(driver.state() == .preparingRebalance)
        #expect(driver.heartbeat(ids[1], 1) == .rebalanceInProgress)
        let follower = driver.join(ids[1])
        #expect(driver.joined(leader)?.generationID == 2)
        #expect(driver.joined(follower)?.generationID == 2)
        #expect(driver.joined(leader)?.leader == ids[0])
    }

    @Test func lostJoinReplyIsRepeatedInCompletingRebalance() {
        let driver = ShardDriver()
        let leader = driver.joinDynamic()
        let follower = driver.joinDynamic()
        driver.pass(6_000)
        #expect(driver.state() == .completingRebalance)
        let again = driver.joined(driver.join(leader.memberID))
        #expect(again == driver.joined(leader.waiter))
        let followerAgain = driver.joined(driver.join(follower.memberID))
        #expect(followerAgain?.generationID == 1 && followerAgain?.members.isEmpty == true)
        #expect(driver.state() == .completingRebalance)
    }

    @Test func secondJoinOfAMemberReplacesTheFirst() {
        let driver = ShardDriver()
        let member = driver.joinDynamic()
        let again = driver.join(member.memberID)
        #expect(driver.joinError(member.waiter) == .rebalanceInProgress)
        #expect(driver.joined(member.waiter)?.memberID == member.memberID)
        driver.pass(60_000)
        #expect(driver.joined(again)?.generationID == 1)
    }

    @Test func generationNeverBecomesNegative() {
        var last = GroupMetadataValue()
        last.protocolType = "consumer"
        last.generation = .max
        let driver = ShardDriver(replaying: [.group("g", last)])
        let member = driver.joinDynamic()
        driver.pass(3_000)
        #expect(driver.joined(member.waiter)?.generationID == 1)
    }
}
