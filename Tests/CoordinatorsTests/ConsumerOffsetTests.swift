import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// Offsets of consumer groups: who may commit and fetch, when they go. Sources: KIP-848, KIP-1251.
@Suite struct ConsumerOffsetTests {
    /// A member at epoch 3 that has 0 and 1 since 2 and 2, 3 since 3.
    private func grown() -> ShardDriver {
        let driver = ShardDriver(topics: FakeTopics(["t": 2, "u": 1]))
        driver.joinConsumer("m")
        driver.topics["t"] = 4
        driver.pass(1_000)
        #expect(driver.beat("m", 2).memberEpoch == 3)
        return driver
    }

    @Test func anEpochBeforeCountsForWhatItHad() {
        let driver = grown()
        func commit(_ partition: Int32, _ epoch: Int32, version: Int16 = 9, topic: String = "t") -> ErrorCode {
            driver.commit([.init(topic, partition, offset: 1)], member: "m", generation: epoch, version: version)[0]
        }
        #expect(commit(0, 3) == .none)
        #expect(commit(3, 3) == .none)
        // Not its own, and yet it is the present member's word.
        #expect(commit(0, 3, topic: "u") == .none)
        #expect(commit(0, 2) == .none)
        #expect(commit(3, 2) == .staleMemberEpoch)
        #expect(commit(0, 2, topic: "u") == .staleMemberEpoch)
        #expect(commit(0, 1) == .staleMemberEpoch)
        #expect(commit(0, 4) == .staleMemberEpoch)
        #expect(commit(0, 3, version: 8) == .unsupportedVersion)
        #expect(commit(0, 3, version: 10) == .none)
        #expect(driver.commit([.init(offset: 1)], member: "x", generation: 3, version: 9) == [.unknownMemberID])
    }

    @Test func whatIsBeingGivenUpCountsToo() {
        let driver = ShardDriver(topics: FakeTopics(["t": 2]))
        driver.joinConsumer("m")
        driver.joinConsumer("n")
        driver.pass(1_000)
        #expect(driver.beat("m", 2).memberEpoch == 2)
        for partition in Int32(0)...1 {
            #expect(
                driver.commit([.init("t", partition, offset: 5)], member: "m", generation: 2, version: 9) == [.none])
        }
    }

    @Test func toolsCommitWhileNobodyReads() {
        let driver = grown()
        #expect(driver.commit([.init(offset: 1)], generation: -1) == [.unknownMemberID])
        driver.beat("m", -1)
        #expect(driver.commit([.init(offset: 1)], generation: -1) == [.none])
        #expect(
            driver.commit([.init(offset: 1)], group: "none", member: "m", generation: 3, version: 9) == [
                .groupIDNotFound
            ])
    }

    @Test func transactionsAreCheckedAlike() {
        let driver = grown()
        #expect(driver.commitInTransaction(1, [.init(offset: 1)], member: "m", generation: 3) == [.none])
        #expect(
            driver.commitInTransaction(1, [.init("t", 3, offset: 1)], member: "m", generation: 2) == [.staleMemberEpoch]
        )
        #expect(driver.commitInTransaction(1, [.init(offset: 1)], member: "x", generation: 3) == [.unknownMemberID])
        #expect(driver.commitInTransaction(1, [.init(offset: 2)]) == [.none])
        driver.endTransaction(of: ProducerID(1), committed: true)
        #expect(driver.fetch().committedOffset == 2)
    }

    @Test func whoFetchesAsAMemberIsOne() {
        let driver = grown()
        func fetch(_ member: String?, _ epoch: Int32) -> ErrorCode {
            var request = OffsetFetchRequest.OffsetFetchRequestGroup()
            (request.groupID, request.memberID, request.memberEpoch) = ("g", member, epoch)
            return ErrorCode(rawValue: driver.shard.offsetFetch(request, requireStable: false).errorCode)
        }
        #expect(fetch(nil, -1) == .none)
        #expect(fetch("m", 3) == .none)
        #expect(fetch("m", 2) == .staleMemberEpoch)
        #expect(fetch("m", 4) == .staleMemberEpoch)
        #expect(fetch("x", 3) == .unknownMemberID)
        #expect(fetch(nil, 3) == .unknownMemberID)
    }

    @Test func offsetsOfWhatIsReadStay() {
        var settings = GroupSettings()
        settings.consumerSessionTimeoutMs = .max
        let driver = ShardDriver(settings: settings, topics: FakeTopics(["t": 1, "u": 1, "v.1": 1]))
        let member = FakeConsumer(driver, "m", topics: ["t"], pattern: "v\\..*")
        member.step()
        driver.doWork()
        for topic in ["t", "u", "v.1"] {
            #expect(
                driver.commit([.init(topic, 0, offset: 1)], member: "m", generation: member.epoch, version: 9) == [
                    .none
                ])
        }
        func delete(_ topic: String) -> Int16? {
            driver.deleteOffsets(topic, [0]).topics.first?.partitions.first?.errorCode
        }
        #expect(delete("t") == ErrorCode.groupSubscribedToTopic.rawValue)
        #expect(delete("v.1") == ErrorCode.groupSubscribedToTopic.rawValue)
        // What nobody reads expires.
        driver.pass(8 * 24 * 60 * 60_000)
        driver.expireOffsets()
        #expect(driver.fetch("t").committedOffset == 1)
        #expect(driver.fetch("u").committedOffset == -1)
        // Then the group, a week after it got empty.
        driver.beat("m", -1)
        driver.pass(7 * 24 * 60 * 60_000 - 1)
        driver.expireOffsets()
        #expect(driver.shard.groupCount == 1)
        driver.pass(1)
        driver.expireOffsets()
        #expect(driver.shard.groupCount == 0)
        #expect(driver.restarted().shard.groupCount == 0)
    }

    @Test func groupsAreListedDescribedAndDeleted() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1]))
        driver.joinConsumer("m", instance: "i", rack: "r")
        driver.commit([.init(offset: 1)], group: "classic")
        var listed = driver.listGroups().groups.sorted { $0.groupID < $1.groupID }
        #expect(listed.map(\.groupType) == ["classic", "consumer"])
        #expect(listed.map(\.groupState) == ["Empty", "Stable"])
        #expect(listed.map(\.protocolType) == ["", "consumer"])
        listed = driver.listGroups(states: ["sTable"], types: ["CONSUMER"]).groups
        #expect(listed.map(\.groupID) == ["g"])
        #expect(driver.listGroups(states: ["assigning", "nothing"]).groups.isEmpty)
        #expect(driver.listGroups(types: ["classic"]).groups.map(\.groupID) == ["classic"])

        let group = driver.describe()
        #expect((group.groupState, group.groupEpoch, group.assignmentEpoch) == ("Stable", 2, 2))
        #expect(group.assignorName == "uniform")
        let member = group.members[0]
        #expect((member.memberID, member.instanceID, member.rackID) == ("m", "i", "r"))
        #expect((member.clientID, member.clientHost) == ("client", "/127.0.0.1"))
        #expect((member.subscribedTopicNames, member.memberType, member.memberEpoch) == (["t"], 1, 2))
        #expect(member.assignment.topicPartitions.map(\.topicName) == ["t"])
        #expect(member.targetAssignment == member.assignment)
        #expect(ErrorCode(rawValue: driver.describe("classic").errorCode) == .groupIDNotFound)
        #expect(ErrorCode(rawValue: driver.describe("none").errorCode) == .groupIDNotFound)
        let classic = driver.shard.describeGroup("g", apiVersion: 6)
        #expect((classic.groupState, classic.errorCode) == ("Dead", ErrorCode.groupIDNotFound.rawValue))
        #expect(driver.shard.describeGroup("g", apiVersion: 5).errorCode == 0)

        #expect(driver.deleteGroups(["g"]) == [.nonEmptyGroup])
        driver.beat("m", -1) { $0.instanceID = "i" }
        #expect(driver.deleteGroups(["g"]) == [.none])
        #expect(driver.shard.groupCount == 1)
        #expect(driver.restarted().shard.groupCount == 1)
    }

    @Test func whileLoadingAndElsewhereNobodyIsServed() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1]))
        driver.joinConsumer("m")
        driver.run { $0.unload(now: $1) }
        #expect(driver.beat("m", 2).code == .notCoordinator)
        #expect(ErrorCode(rawValue: driver.describe().errorCode) == .notCoordinator)
        driver.run { shard, _ in
            shard.beginLoading()
            return GroupActions()
        }
        #expect(driver.beat("m", 2).code == .coordinatorLoadInProgress)
    }
}
