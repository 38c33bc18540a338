import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// Groups whose clients are exchanged one after the other, in both directions. Source: KIP-848.
@Suite struct MigrationTests {
    private func settings(_ policy: GroupMigrationPolicy = .bidirectional) -> GroupSettings {
        var settings = GroupSettings()
        settings.migrationPolicy = policy
        settings.consumerAssignmentIntervalMs = 0
        settings.initialRebalanceDelayMs = 0
        return settings
    }

    private func assignment(_ reading: Reading, userData: [UInt8]? = nil) -> [UInt8] {
        var assignment = ConsumerProtocolAssignment()
        assignment.userData = userData
        assignment.assignedPartitions = reading.sorted { $0.key < $1.key }.map { topic, partitions in
            var part = ConsumerProtocolAssignment.TopicPartition()
            (part.topic, part.partitions) = (topic, partitions.sorted())
            return part
        }
        return assignment.encodedWithVersion(1)
    }

    private func reading(_ bytes: [UInt8]) throws -> Reading {
        try bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            let assignment = try ConsumerProtocolAssignment(withVersionFrom: &reader)
            return Dictionary(
                uniqueKeysWithValues: assignment.assignedPartitions.map { ($0.topic, Set($0.partitions)) })
        }
    }

    /// A subscription with what its member owns, as cooperative members say it.
    private func cooperative(_ topics: [String], owned: Reading) -> JoinGroupRequest.JoinGroupRequestProtocol {
        var content = ConsumerProtocolSubscription()
        content.topics = topics
        content.ownedPartitions = owned.sorted { $0.key < $1.key }.map { topic, partitions in
            var part = ConsumerProtocolSubscription.TopicPartition()
            (part.topic, part.partitions) = (topic, partitions.sorted())
            return part
        }
        var entry = JoinGroupRequest.JoinGroupRequestProtocol()
        (entry.name, entry.metadata) = ("cooperative-sticky", content.encodedWithVersion(1))
        return entry
    }

    /// A stable classic group of one member that reads four partitions.
    private func classic(_ policy: GroupMigrationPolicy = .bidirectional, userData: [UInt8]? = nil) -> (
        ShardDriver, String
    ) {
        let driver = ShardDriver(settings: settings(policy), topics: FakeTopics(["t": 4]))
        let own = [cooperative(["t"], owned: [:])]
        let (memberID, waiter) = driver.joinDynamic(protocols: own)
        driver.pass(1)
        let generation = driver.joined(waiter)!.generationID
        driver.sync(
            memberID, generation, assignments: [memberID: assignment(["t": [0, 1, 2, 3]], userData: userData)])
        #expect(driver.state() == .stable)
        return (driver, memberID)
    }

    @Test(arguments: [
        (GroupMigrationPolicy.bidirectional, true), (.upgrade, true), (.downgrade, false), (.disabled, false),
    ])
    func thePolicyDecidesOfUpgrades(policy: GroupMigrationPolicy, isAllowed: Bool) {
        let (driver, memberID) = classic(policy)
        driver.commit([.init(offset: 42)], member: memberID, generation: 1)
        let records = driver.recordCount
        let joined = driver.joinConsumer("new")
        #expect(joined.code == (isAllowed ? .none : .groupIDNotFound))
        #expect(driver.fetch().committedOffset == 42)
        if isAllowed {
            #expect(driver.describe().members.map(\.memberType).sorted() == [0, 1])
            #expect(driver.restarted().describe() == driver.describe())
        } else {
            #expect(driver.recordCount == records)
            #expect(driver.state() == .stable)
            #expect(driver.heartbeat(memberID, 1) == .none)
        }
    }

    @Test func dataOfAnAssignorOfItsOwnKeepsAGroupClassic() {
        let (driver, _) = classic(userData: [1])
        #expect(driver.joinConsumer("new").code == .groupIDNotFound)
        #expect(driver.state() == .stable)
    }

    @Test func aRefusedMemberUpgradesNothing() {
        var small = settings()
        small.consumerMaxSize = 1
        let driver = ShardDriver(settings: small, topics: FakeTopics(["t": 4]))
        let (memberID, waiter) = driver.joinDynamic()
        driver.pass(1)
        driver.sync(memberID, 1, assignments: [memberID: assignment(["t": [0]])])
        #expect(driver.joined(waiter)?.errorCode == 0)
        let records = driver.recordCount
        #expect(driver.joinConsumer("new").code == .groupMaxSizeReached)
        #expect(driver.recordCount == records)
        #expect(driver.state() == .stable)
        #expect(driver.heartbeat(memberID, 1) == .none)
        driver.pass(9_000)
        #expect(driver.heartbeat(memberID, 1) == .none)
    }

    /// A cooperative classic member gives up half to a member of the consumer protocol, and nothing is read twice.
    @Test func aCooperativeMemberGivesUpAndTheOtherTakes() throws {
        let (driver, old) = classic()
        let new = FakeConsumer(driver, "new")
        new.step()
        #expect(new.reading == [:])
        // 27 brings it to join, with what it owns.
        #expect(driver.heartbeat(old, 1) == .rebalanceInProgress)
        let first = driver.join(old, protocols: [cooperative(["t"], owned: ["t": [0, 1, 2, 3]])])
        let generation = try #require(driver.joined(first)).generationID
        #expect((driver.joined(first)?.errorCode, driver.joined(first)?.leader) == (0, ""))
        #expect(driver.joined(first)?.members.isEmpty == true)
        #expect(driver.joined(first)?.protocolName == "cooperative-sticky")
        let synced = driver.sync(old, generation)
        let kept = try reading(try #require(driver.synced(synced)).assignment)
        #expect(kept["t"]?.count == 2)
        new.step()
        #expect(new.reading == [:])
        // It joins again without what it has given up.
        #expect(driver.heartbeat(old, generation) == .rebalanceInProgress)
        let second = driver.join(old, protocols: [cooperative(["t"], owned: kept)])
        let next = try #require(driver.joined(second)).generationID
        #expect(next > generation)
        #expect(try reading(try #require(driver.synced(driver.sync(old, next))).assignment) == kept)
        #expect(driver.heartbeat(old, next) == .none)
        new.step()
        #expect(new.reading["t"]?.count == 2)
        #expect(new.reading["t"]?.isDisjoint(with: kept["t"]!) == true)
        #expect(driver.consumerState() == "Stable")
        #expect(driver.commit([.init(offset: 1)], member: old, generation: next, version: 8) == [.none])
        #expect(
            driver.commit([.init(offset: 1)], member: old, generation: generation, version: 8) == [.illegalGeneration])
    }

    /// An eager member says that it owns nothing when it joins.
    @Test func anEagerMemberTakesItsPartAtOnce() throws {
        let (driver, old) = classic()
        let new = FakeConsumer(driver, "new")
        new.step()
        #expect(driver.heartbeat(old, 1) == .rebalanceInProgress)
        let joined = driver.join(old, protocols: [cooperative(["t"], owned: [:])])
        let generation = try #require(driver.joined(joined)).generationID
        let kept = try reading(try #require(driver.synced(driver.sync(old, generation))).assignment)
        #expect(kept["t"]?.count == 2)
        new.step()
        #expect(new.reading["t"]?.count == 2)
        #expect(driver.consumerState() == "Stable")
    }

    @Test func newClassicMembersJoinAConsumerGroup() throws {
        let driver = ShardDriver(settings: settings(), topics: FakeTopics(["t": 4]))
        let one = FakeConsumer(driver, "one")
        one.step()
        let first = driver.join(protocols: [cooperative(["t"], owned: [:])])
        #expect(driver.joinError(first) == .memberIDRequired)
        let id = try #require(driver.joined(first)).memberID
        let second = driver.join(id, protocols: [cooperative(["t"], owned: [:])])
        #expect(driver.joinError(second) == ErrorCode.none)
        #expect(driver.describe().members.count == 2)
        // Of other members of the classic protocol one has to be in common.
        #expect(
            driver.joinError(driver.join("x", protocols: [subscription(["t"], "range")])) == .inconsistentGroupProtocol)
        #expect(driver.joinError(driver.join("x", type: "connect")) == .inconsistentGroupProtocol)
        // Who speaks the consumer protocol has no business here.
        #expect(driver.heartbeat("one", one.epoch) == .unknownMemberID)
        #expect(driver.joinError(driver.join("one", protocols: [cooperative(["t"], owned: [:])])) == .unknownMemberID)
        #expect(driver.syncError(driver.sync("one", one.epoch)) == .unknownMemberID)
        #expect(driver.leave([("one", nil)]).members[0].errorCode == ErrorCode.unknownMemberID.rawValue)
        // And the other way round.
        #expect(driver.beat(id, 3).code == .unknownMemberID)
        #expect(driver.leave([(id, nil)]).members[0].errorCode == 0)
        #expect(driver.describe().members.count == 1)
    }

    @Test func whoDoesNotJoinOrSyncInTimeIsOut() throws {
        let (driver, old) = classic()
        driver.joinConsumer("new")
        #expect(driver.heartbeat(old, 1) == .rebalanceInProgress)
        for _ in 0..<59 {
            driver.pass(1_000)
            driver.beat("new", 2)
            _ = driver.heartbeat(old, 1)
        }
        #expect(driver.describe().members.count == 2)
        driver.pass(1_000)
        #expect(driver.describe().members.map(\.memberID) == ["new"])
    }

    @Test func aClassicMembersSessionIsItsOwn() {
        let (driver, old) = classic()
        driver.joinConsumer("new")
        driver.pass(9_999)
        #expect(driver.describe().members.count == 2)
        driver.pass(1)
        #expect(driver.describe().members.map(\.memberID) == ["new"])
        #expect(driver.heartbeat(old, 1) == .unknownMemberID)
    }

    @Test(arguments: [
        (GroupMigrationPolicy.bidirectional, true), (.downgrade, true), (.upgrade, false),
    ])
    func theLastConsumerMemberTakesTheProtocolAlong(policy: GroupMigrationPolicy, isAllowed: Bool) throws {
        let driver = ShardDriver(settings: settings(policy), topics: FakeTopics(["t": 4]))
        let one = FakeConsumer(driver, "one")
        one.step()
        driver.commit([.init(offset: 7)], member: "one", generation: one.epoch, version: 9)
        let id = try #require(driver.joined(driver.join(protocols: [cooperative(["t"], owned: [:])]))).memberID
        let joined = driver.join(id, protocols: [cooperative(["t"], owned: [:])])
        let generation = try #require(driver.joined(joined)).generationID
        driver.sync(id, generation)
        one.leave()
        #expect(driver.fetch().committedOffset == 7)
        guard isAllowed else {
            #expect(driver.describe().members.map(\.memberType) == [0])
            return
        }
        #expect(driver.state() == .preparingRebalance)
        #expect(driver.heartbeat(id, driver.shard.groups["g"]!.generationID) == .rebalanceInProgress)
        let next = driver.join(id, protocols: [cooperative(["t"], owned: [:])])
        driver.pass(60_000)
        #expect(driver.joined(next)?.leader == id)
        let after = driver.restarted()
        #expect(after.shard.groups["g"]?.consumer == nil)
        #expect(after.fetch().committedOffset == 7)
    }

    @Test func aStaticMemberChangesItsProtocolUnderItsInstance() throws {
        let driver = ShardDriver(settings: settings(.upgrade), topics: FakeTopics(["t": 4]))
        let one = FakeConsumer(driver, "one", instance: "i")
        one.step()
        // Without -2: it is replaced at once, and keeps what it reads.
        let joined = driver.join(instance: "i", protocols: [cooperative(["t"], owned: ["t": [0, 1, 2, 3]])])
        let response = try #require(driver.joined(joined))
        #expect(response.errorCode == 0)
        #expect(
            try reading(
                try #require(driver.synced(driver.sync(response.memberID, response.generationID, instance: "i")))
                    .assignment) == ["t": [0, 1, 2, 3]])
        #expect(driver.describe().members.map(\.memberType) == [0])
        #expect(driver.beat("one", one.epoch) { $0.instanceID = "i" }.code == .fencedInstanceID)
        // And back.
        let back = driver.joinConsumer("two", instance: "i")
        #expect(back.code == .none)
        #expect(driver.reading(back) == ["t": [0, 1, 2, 3]])
        #expect(driver.describe().members.map(\.memberType) == [1])
        #expect(driver.restarted().describe() == driver.describe())
    }
}
