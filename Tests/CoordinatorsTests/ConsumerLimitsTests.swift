import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// What consumer groups take of memory, of records and of time, and what a log of somebody else may do to them.
@Suite struct ConsumerLimitsTests {
    private func entry(_ record: GroupRecord) -> ShardDriver.LogEntry {
        .record(.init(record: record.encoded, producerID: .none))
    }

    private func bytes(_ driver: ShardDriver) -> [Int] {
        driver.log.compactMap { entry in
            guard case .record(let logged) = entry else { return nil }
            return logged.record.sizeInBatch + CoordinatorRecord.batchHeader
        }
    }

    private func topics(_ count: Int, partitions: Int32 = 1) -> FakeTopics {
        FakeTopics(Dictionary(uniqueKeysWithValues: (0..<count).map { ("topic-\($0)", partitions) }))
    }

    // MARK: Patterns

    @Test func offsetsOfAPatternThatIsNotLookedUpStay() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1]))
        driver.joinConsumer("m", topics: nil, pattern: "t")
        #expect(driver.commit([.init(offset: 7)], member: "m", generation: 2, version: 9) == [.none])
        let group = driver.shard.groups["g"]!
        #expect(group.isSubscribed(to: "t") && group.isSubscribed(to: "other"))
        driver.time.wallClockMs += driver.settings.offsetsRetentionMs + 1
        var walk = ShardWalk(.offsets)
        while !walk.isComplete { driver.run { $0.expireOffsets(&walk, now: $1) } }
        #expect(driver.fetch().committedOffset == 7)
        driver.doWork()
        #expect(driver.shard.groups["g"]!.isSubscribed(to: "t"))
        #expect(!driver.shard.groups["g"]!.isSubscribed(to: "other"))
    }

    @Test func whatAPatternStandsForIsNotTakenWithoutMemory() {
        var settings = GroupSettings()
        settings.maxMemoryBytes = 40_000
        let driver = ShardDriver(settings: settings, topics: topics(1_000))
        #expect(driver.joinConsumer("m", topics: nil, pattern: ".*").code == .none)
        #expect(driver.joinConsumer("n", topics: nil, pattern: "topic-1").code == .none)
        driver.doWork()
        let group = driver.shard.groups["g"]!.consumer!
        #expect(Array(group.patterns.keys) == ["topic-1"])
        #expect(group.isSubscribed(to: "topic-500"))
        #expect(driver.shard.memoryBytes <= 40_000)
        #expect(driver.shard.memoryBytes == driver.shard.groups.values.reduce(0) { $0 + $1.memoryBytes })
    }

    // MARK: Assignments

    @Test func anAssignmentIsNotTakenWithoutMemoryAndTriedAgain() {
        var settings = GroupSettings()
        settings.maxMemoryBytes = 20_000
        let driver = ShardDriver(settings: settings, topics: FakeTopics(["t": 400]))
        let member = FakeConsumer(driver, "m")
        #expect(member.step() == .none)
        driver.doWork()
        #expect(driver.consumerState() == "Assigning")
        #expect(member.reading.isEmpty)
        #expect(driver.shard.memoryBytes <= 20_000)
        driver.topics["t"] = nil
        driver.topics["t"] = 40
        driver.pass(40_000)
        driver.doWork()
        member.step()
        #expect(driver.consumerState() == "Stable")
        #expect(member.reading["t"]?.count == 40)
    }

    /// A topic takes as much as some partitions.
    @Test func whatAMemberReadsFitsARecord() {
        let driver = ShardDriver(topics: topics(300, partitions: 3))
        driver.run {
            $0.maxBatchBytes = 10_000
            _ = $1
            return GroupActions()
        }
        let member = FakeConsumer(driver, "m", topics: driver.topics.names)
        for _ in 0..<4 {
            member.step()
            driver.doWork()
            driver.pass(1_000)
        }
        #expect(member.reading.values.reduce(0) { $0 + $1.count } > 200)
        let largest = bytes(driver).max()!
        #expect(largest <= 10_000, "a record of \(largest) bytes")
    }

    @Test func aClassicMemberWhoseAssignmentNoRecordWouldHoldIsNotConverted() {
        let driver = ShardDriver(topics: FakeTopics(["t": 1_000]))
        let (id, join) = driver.joinDynamic()
        driver.pass(driver.settings.initialRebalanceDelayMs)
        var assignment = ConsumerProtocolAssignment()
        var part = ConsumerProtocolAssignment.TopicPartition()
        (part.topic, part.partitions) = ("t", Array(0..<1_000))
        assignment.assignedPartitions = [part]
        driver.sync(id, driver.joined(join)!.generationID, assignments: [id: assignment.encodedWithVersion(1)])
        driver.run {
            $0.maxBatchBytes = 6_000
            _ = $1
            return GroupActions()
        }
        #expect(driver.joinConsumer("m").code == .groupIDNotFound)
        #expect(driver.state() == .stable)
        driver.run {
            $0.maxBatchBytes = GroupShard.defaultMaxBatchBytes
            _ = $1
            return GroupActions()
        }
        #expect(driver.joinConsumer("m").code == .none)
    }

    // MARK: Records of somebody else

    @Test func aClassicMemberWithoutProtocolsIsRefusedAndEndsNothing() {
        var member = ConsumerMember(memberID: "m")
        member.classic = ConsumerMember.Classic()
        (member.epoch, member.topicNames) = (2, ["t"])
        let other = ConsumerMember(memberID: "n")
        let driver = ShardDriver(
            topics: FakeTopics(["t": 1]),
            replaying: [
                entry(.consumerMember(groupID: "g", member)), entry(.consumerMember(groupID: "g", other)),
                entry(.consumerEpoch(groupID: "g", epoch: 2, hash: 0)),
                entry(.consumerTargetEpoch(groupID: "g", epoch: 2, timestampMs: .min)),
                entry(.consumerCurrent(groupID: "g", member)), entry(.consumerCurrent(groupID: "g", other)),
            ])
        #expect(driver.syncError(driver.sync("m", 2)) == .inconsistentGroupProtocol)
        // It is alone, and has nothing by which a classic group could be.
        driver.beat("n", -1)
        #expect(driver.describe().members.map(\.memberID) == ["m"])
        #expect(driver.joinError(driver.join("m")) == ErrorCode.none)
    }

    @Test func theLastEpochIsKept() {
        var member = ConsumerMember(memberID: "m")
        (member.epoch, member.topicNames, member.state) = (.max, ["t"], .unrevoked)
        let driver = ShardDriver(
            topics: FakeTopics(["t": 1]),
            replaying: [
                entry(.consumerMember(groupID: "g", member)),
                entry(.consumerEpoch(groupID: "g", epoch: .max, hash: 0)),
                entry(.consumerTargetEpoch(groupID: "g", epoch: 4, timestampMs: .min)),
                entry(.consumerCurrent(groupID: "g", member)),
            ])
        driver.beat("m", .max) { $0.topicPartitions = [] }
        driver.joinConsumer("n")
        driver.pass(2_000)
        driver.doWork()
        #expect(driver.describe().groupEpoch == .max)
        driver.beat("m", -1)
        driver.beat("n", -1)
        #expect(driver.consumerState() == "Empty")
    }

    @Test func anyTimeInARecordMayBeCompared() {
        let driver = ShardDriver(
            topics: FakeTopics(["t": 1]),
            replaying: [
                entry(.consumerEpoch(groupID: "g", epoch: 2, hash: 0)),
                entry(.consumerTargetEpoch(groupID: "g", epoch: 2, timestampMs: .min)),
            ])
        driver.commit([.init(offset: 7)], member: "", generation: -1, version: 9)
        var walk = ShardWalk(.offsets)
        while !walk.isComplete { driver.run { $0.expireOffsets(&walk, now: $1) } }
        #expect(driver.shard.groupCount == 0)
    }
}
