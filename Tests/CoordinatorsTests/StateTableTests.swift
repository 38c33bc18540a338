import Coordinators
import KafkaModel
import KafkaWire
import Testing

/// Every state with every event: the table of the module's article.
@Suite struct StateTableTests {
    /// A group brought into a state, with what tests need of it. `member` is the follower of generation `generation`
    /// (of nobody's, where the state has no members).
    private struct Scene {
        var driver: ShardDriver
        var leader = "no leader"
        var member = "nobody"
        var generation: Int32 = 1
        /// JoinGroups and SyncGroups that are parked.
        var parked: [WaiterID] = []
    }

    private static func scene(_ state: GroupState) -> Scene {
        let driver = ShardDriver()
        switch state {
        case .dead:
            return Scene(driver: driver)
        case .empty:
            // It had members once.
            let ids = driver.stableGroup(2)
            driver.leave(ids.map { ($0, nil) })
            #expect(driver.state() == .empty)
            return Scene(driver: driver, generation: 2)
        case .preparingRebalance:
            let ids = driver.stableGroup(2)
            let parked = driver.join(ids[0])
            #expect(driver.state() == .preparingRebalance)
            return Scene(driver: driver, leader: ids[0], member: ids[1], parked: [parked])
        case .completingRebalance:
            let leader = driver.joinDynamic()
            let follower = driver.joinDynamic()
            driver.pass(6_000)
            let parked = driver.sync(follower.memberID, 1)
            #expect(driver.state() == .completingRebalance)
            return Scene(
                driver: driver, leader: leader.memberID, member: follower.memberID, parked: [parked])
        case .stable:
            let ids = driver.stableGroup(2)
            return Scene(driver: driver, leader: ids[0], member: ids[1])
        }
    }

    private static let states = GroupState.allCases

    @Test(arguments: states) func joinOfANewMember(_ state: GroupState) {
        let scene = Self.scene(state)
        let waiter = scene.driver.join(version: 3)
        #expect(scene.driver.joined(waiter) == nil)
        #expect(scene.driver.state() == .preparingRebalance)
        if state == .completingRebalance { #expect(scene.driver.syncError(scene.parked[0]) == .rebalanceInProgress) }
    }

    @Test(arguments: states) func joinOfAMemberThatChangesNothing(_ state: GroupState) {
        let scene = Self.scene(state)
        let waiter = scene.driver.join(scene.member)
        switch state {
        case .dead, .empty:
            #expect(scene.driver.joinError(waiter) == .unknownMemberID)
        case .preparingRebalance:
            #expect(scene.driver.joined(waiter)?.generationID == 2)
            #expect(scene.driver.joined(scene.parked[0])?.generationID == 2)
            #expect(scene.driver.state() == .completingRebalance)
        case .completingRebalance, .stable:
            #expect(scene.driver.joined(waiter)?.generationID == 1)
            #expect(scene.driver.state() == state)
        }
    }

    @Test(arguments: states) func joinOfAMemberThatChanges(_ state: GroupState) {
        let scene = Self.scene(state)
        let waiter = scene.driver.join(scene.member, protocols: [subscription(["new"])])
        switch state {
        case .dead, .empty:
            #expect(scene.driver.joinError(waiter) == .unknownMemberID)
        case .preparingRebalance:
            #expect(scene.driver.joined(waiter)?.generationID == 2)
        case .completingRebalance:
            #expect(scene.driver.syncError(scene.parked[0]) == .rebalanceInProgress)
            #expect(scene.driver.joined(waiter) == nil)
            #expect(scene.driver.state() == .preparingRebalance)
        case .stable:
            #expect(scene.driver.joined(waiter) == nil)
            #expect(scene.driver.state() == .preparingRebalance)
        }
    }

    @Test(arguments: states) func joinOfTheLeader(_ state: GroupState) {
        let scene = Self.scene(state)
        let waiter = scene.driver.join(scene.leader)
        switch state {
        case .dead, .empty:
            #expect(scene.driver.joinError(waiter) == .unknownMemberID)
        case .preparingRebalance:
            #expect(scene.driver.joined(waiter) == nil)
            #expect(scene.driver.joinError(scene.parked[0]) == .rebalanceInProgress)
        case .completingRebalance:
            #expect(scene.driver.joined(waiter)?.members.count == 2)
            #expect(scene.driver.state() == .completingRebalance)
        case .stable:
            #expect(scene.driver.joined(waiter) == nil)
            #expect(scene.driver.state() == .preparingRebalance)
        }
    }

    @Test(arguments: states) func syncOfAFollower(_ state: GroupState) {
        let scene = Self.scene(state)
        let waiter = scene.driver.sync(scene.member, scene.generation)
        switch state {
        case .dead, .empty: #expect(scene.driver.syncError(waiter) == .unknownMemberID)
        case .preparingRebalance: #expect(scene.driver.syncError(waiter) == .rebalanceInProgress)
        case .completingRebalance:
            #expect(scene.driver.synced(waiter) == nil)
            #expect(scene.driver.syncError(scene.parked[0]) == .rebalanceInProgress)
        case .stable: #expect(scene.driver.synced(waiter)?.assignment == [1])
        }
    }

    @Test(arguments: states) func syncOfTheLeader(_ state: GroupState) {
        let scene = Self.scene(state)
        let waiter = scene.driver.sync(
            scene.leader, scene.generation, assignments: [scene.leader: [7], scene.member: [8], "stranger": [9]])
        switch state {
        case .dead, .empty: #expect(scene.driver.syncError(waiter) == .unknownMemberID)
        case .preparingRebalance: #expect(scene.driver.syncError(waiter) == .rebalanceInProgress)
        case .completingRebalance:
            #expect(scene.driver.synced(waiter)?.assignment == [7])
            #expect(scene.driver.synced(scene.parked[0])?.assignment == [8])
            #expect(scene.driver.state() == .stable)
        // The generation has its assignment; a repeated one changes nothing.
        case .stable: #expect(scene.driver.synced(waiter)?.assignment == [0])
        }
    }

    @Test(arguments: states) func syncOfAnotherGeneration(_ state: GroupState) {
        let scene = Self.scene(state)
        let waiter = scene.driver.sync(scene.member, scene.generation + 1)
        #expect(
            scene.driver.syncError(waiter) == (scene.member == "nobody" ? .unknownMemberID : .illegalGeneration))
    }

    @Test(arguments: states) func heartbeat(_ state: GroupState) {
        let scene = Self.scene(state)
        let expected: ErrorCode =
            switch state {
            case .dead, .empty: .unknownMemberID
            case .preparingRebalance: .rebalanceInProgress
            case .completingRebalance, .stable: .none
            }
        #expect(scene.driver.heartbeat(scene.member, scene.generation) == expected)
        #expect(scene.driver.heartbeat("stranger", scene.generation) == .unknownMemberID)
        if scene.member != "nobody" {
            #expect(scene.driver.heartbeat(scene.member, scene.generation - 1) == .illegalGeneration)
        }
    }

    @Test(arguments: states) func leave(_ state: GroupState) {
        let scene = Self.scene(state)
        let response = scene.driver.leave([(scene.member, nil)])
        switch state {
        case .dead: #expect(response.errorCode == ErrorCode.unknownMemberID.rawValue)
        case .empty: #expect(response.members[0].errorCode == ErrorCode.unknownMemberID.rawValue)
        case .preparingRebalance:
            #expect(response.members[0].errorCode == 0)
            #expect(scene.driver.joined(scene.parked[0])?.generationID == 2)
            #expect(scene.driver.joined(scene.parked[0])?.members.count == 1)
        case .completingRebalance:
            #expect(response.members[0].errorCode == 0)
            #expect(scene.driver.syncError(scene.parked[0]) == .unknownMemberID)
            #expect(scene.driver.state() == .preparingRebalance)
        case .stable:
            #expect(response.members[0].errorCode == 0)
            #expect(scene.driver.state() == .preparingRebalance)
        }
    }

    @Test(arguments: states) func offsetCommitOfAMember(_ state: GroupState) {
        let scene = Self.scene(state)
        let outcome = scene.driver.commit([.init(offset: 5)], member: scene.member, generation: scene.generation)
        let expected: ErrorCode =
            switch state {
            case .dead: .illegalGeneration
            case .empty: .unknownMemberID
            case .completingRebalance: .rebalanceInProgress
            case .preparingRebalance, .stable: .none
            }
        #expect(outcome == [expected])
        #expect(scene.driver.fetch().committedOffset == (expected == .none ? 5 : -1))
    }

    @Test(arguments: states) func offsetCommitWithoutGeneration(_ state: GroupState) {
        let scene = Self.scene(state)
        let isAllowed = state == .dead || state == .empty
        #expect(scene.driver.commit([.init(offset: 5)]) == [isAllowed ? .none : .unknownMemberID])
    }

    @Test(arguments: states) func transactionalCommit(_ state: GroupState) {
        let scene = Self.scene(state)
        // Without a member it is let in anywhere, as by clients before KIP-447.
        #expect(scene.driver.commitInTransaction(7, [.init(offset: 5)]) == [.none])
        let ofMember = scene.driver.commitInTransaction(
            7, [.init(offset: 6)], member: scene.member, generation: scene.generation)
        let isMember = state != .dead && state != .empty
        #expect(ofMember == [isMember ? .none : .unknownMemberID])
    }

    @Test(arguments: states) func deleteGroup(_ state: GroupState) {
        let scene = Self.scene(state)
        let expected: ErrorCode =
            switch state {
            case .dead: .groupIDNotFound
            case .empty: .none
            default: .nonEmptyGroup
            }
        #expect(scene.driver.deleteGroups(["g"]) == [expected])
        if state == .empty { #expect(scene.driver.state() == .dead) }
    }

    @Test(arguments: states) func offsetDelete(_ state: GroupState) {
        let scene = Self.scene(state)
        if state == .empty { scene.driver.commit([.init(offset: 5)]) }
        let response = scene.driver.deleteOffsets("t", [0])
        switch state {
        case .dead: #expect(response.errorCode == ErrorCode.groupIDNotFound.rawValue)
        case .empty:
            #expect(response.topics[0].partitions[0].errorCode == 0)
            #expect(scene.driver.fetch().committedOffset == -1)
        default:
            #expect(response.topics[0].partitions[0].errorCode == ErrorCode.groupSubscribedToTopic.rawValue)
        }
    }

    @Test(arguments: states) func describe(_ state: GroupState) {
        let scene = Self.scene(state)
        let group = scene.driver.shard.describeGroup("g", apiVersion: 6)
        #expect(group.groupState == state.rawValue)
        #expect(group.errorCode == (state == .dead ? ErrorCode.groupIDNotFound.rawValue : 0))
        #expect(group.protocolData == (state == .stable ? "range" : ""))
        #expect(group.members.allSatisfy { $0.memberAssignment.isEmpty == (state != .stable) })
    }

    @Test(arguments: states) func unloadAnswersWhoIsParked(_ state: GroupState) {
        let scene = Self.scene(state)
        scene.driver.run { $0.unload(now: $1) }
        #expect(scene.driver.waiting.isEmpty)
        for waiter in scene.parked {
            #expect((scene.driver.joinError(waiter) ?? scene.driver.syncError(waiter)) == .notCoordinator)
        }
        #expect(scene.driver.heartbeat(scene.member, 1) == .notCoordinator)
        #expect(scene.driver.shard.nextDeadline == nil)
    }
}
