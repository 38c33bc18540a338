import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Testing

/// The records of `__consumer_offsets`, byte for byte, and what replay makes of records of all ages.
@Suite struct RecordTests {
    private func records(_ driver: ShardDriver) -> [CoordinatorRecord] {
        driver.log.compactMap { if case .record(let logged) = $0 { logged.record } else { nil } }
    }

    private let time: [UInt8] = [0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00]  // 1_700_000_000_000
    private func ascii(_ text: String) -> [UInt8] { [0, UInt8(text.utf8.count)] + Array(text.utf8) }

    @Test func offsetIsWrittenAsKey1AndValue3() {
        let driver = ShardDriver()
        var commit = ShardDriver.Commit("t", 3, offset: 258, metadata: "m")
        commit.epoch = 7
        driver.commit([commit])
        let record = records(driver)[0]
        #expect(record.key == [0, 1] + ascii("g") + ascii("t") + [0, 0, 0, 3])
        #expect(record.value == [0, 3, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 7] + ascii("m") + time)
    }

    @Test func offsetOfAKnownTopicIDIsWrittenAsValue4() {
        let driver = ShardDriver()
        var commit = ShardDriver.Commit("t", 0, offset: 1, metadata: "m")
        commit.topicID = TopicID(high: 0x0102_0304_0506_0708, low: 0x090a_0b0c_0d0e_0f10)
        driver.commit([commit], version: 10)
        let head: [UInt8] = [0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 2] + Array("m".utf8)
        #expect(records(driver)[0].value == head + time + [1, 0, 16] + (1...16).map { UInt8($0) })
    }

    @Test func offsetWithItsOwnRetentionIsWrittenAsValue1() {
        let driver = ShardDriver()
        driver.commit([.init("t", 0, offset: 1, metadata: "")], version: 2, retention: 0x100)
        #expect(
            records(driver)[0].value
                == [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0] + time + Array(time.dropLast(2)) + [0x69, 0x00])
    }

    @Test func deletedOffsetIsATombstone() {
        let driver = ShardDriver()
        driver.commit([.init("t", 3, offset: 1)])
        _ = driver.deleteOffsets("t", [3])
        #expect(
            records(driver).last
                == CoordinatorRecord(key: [0, 1] + ascii("g") + ascii("t") + [0, 0, 0, 3], value: nil))
    }

    @Test func generationIsWrittenAsKey2AndValue3() throws {
        let driver = ShardDriver()
        let waiter = driver.join(instance: "i", version: 9, session: 10_000, rebalance: 20_000)
        driver.pass(3_000)
        let memberID = driver.joined(waiter)!.memberID
        #expect(driver.recordCount == 0)
        driver.sync(memberID, 1, assignments: [memberID: [0xaa, 0xbb]], instance: "i")
        let record = try #require(records(driver).first)
        #expect(record.key == [0, 2] + ascii("g"))
        var expected: [UInt8] = [0, 3] + ascii("consumer") + [0, 0, 0, 1] + ascii("range") + ascii(memberID)
        expected += Array(time.dropLast(2)) + [0x73, 0xb8]  // three seconds later
        expected += [0, 0, 0, 1] + ascii(memberID) + ascii("i") + ascii("client") + ascii("/127.0.0.1")
        expected += [0, 0, 0x4e, 0x20, 0, 0, 0x27, 0x10]
        let metadata = subscription(["t"]).metadata
        expected += [0, 0, 0, UInt8(metadata.count)] + metadata + [0, 0, 0, 2, 0xaa, 0xbb]
        #expect(record.value == expected)
    }

    // MARK: Replay

    @Test func restartedGroupGoesOnWhereItWas() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(3)
        driver.commit([.init("t", 0, offset: 7, metadata: "m")], member: ids[0], generation: 1)
        let restarted = driver.restarted()
        #expect(
            restarted.shard.describeGroup("g", apiVersion: 6) == driver.shard.describeGroup("g", apiVersion: 6))
        #expect(restarted.fetchAll() == driver.fetchAll())
        #expect(ids.map { restarted.heartbeat($0, 1) } == [.none, .none, .none])
        #expect(restarted.synced(restarted.sync(ids[2], 1))?.assignment == [2])
        // A follower's rejoin with the same metadata is no rebalance; its sessions run.
        #expect(restarted.joined(restarted.join(ids[1]))?.generationID == 1)
        restarted.pass(10_000)
        #expect(restarted.state() == .empty)
    }

    @Test func unfinishedRebalanceIsForgotten() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        driver.join(ids[0])
        driver.join(ids[1])
        #expect(driver.state() == .completingRebalance)
        let restarted = driver.restarted()
        #expect(restarted.state() == .stable)
        #expect(restarted.heartbeat(ids[0], 2) == .illegalGeneration)
        #expect(restarted.heartbeat(ids[0], 1) == .none)
    }

    @Test func groupOverItsNewSizeRebalancesAtStart() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(3)
        var settings = GroupSettings()
        settings.maxSize = 2
        let restarted = ShardDriver(settings: settings, replaying: driver.log)
        restarted.time = driver.time
        #expect(restarted.state() == .preparingRebalance)
        let first = restarted.join(ids[0])
        restarted.join(ids[1])
        #expect(restarted.joinError(restarted.join(ids[2])) == .groupMaxSizeReached)
        #expect(restarted.joined(first)?.members.count == 2)
    }

    @Test(arguments: Int16(0)...4) func offsetValuesOfEveryVersionAreRead(_ version: Int16) {
        var value = OffsetCommitValue()
        value.offset = 5
        value.metadata = "m"
        value.commitTimestamp = 1_000
        if version == 1 { value.expireTimestamp = 9_000 }
        if version >= 3 { value.leaderEpoch = 4 }
        if version >= 4 { value.topicID = TopicID(high: 1, low: 2) }
        let driver = ShardDriver(replaying: [.offset("g", "t", 0, value, version: version)])
        #expect(driver.fetch().committedOffset == 5)
        #expect(driver.fetch().metadata == "m")
        #expect(driver.fetch().committedLeaderEpoch == (version >= 3 ? 4 : -1))
    }

    @Test(arguments: Int16(0)...4) func groupValuesOfEveryVersionAreRead(_ version: Int16) {
        var member = GroupMetadataValue.MemberMetadata()
        member.memberID = "m"
        member.clientID = "c"
        member.clientHost = "/h"
        member.sessionTimeout = 10_000
        if version >= 1 { member.rebalanceTimeout = 20_000 }
        if version >= 3 { member.groupInstanceID = "i" }
        member.subscription = subscription(["t"]).metadata
        member.assignment = [1]
        var value = GroupMetadataValue()
        value.protocolType = "consumer"
        value.generation = 4
        value.protocol = "range"
        value.leader = "m"
        if version >= 2 { value.currentStateTimestamp = 1_000 }
        value.members = [member]
        let driver = ShardDriver(replaying: [.group("g", value, version: version)])
        let group = driver.shard.describeGroup("g", apiVersion: 6)
        #expect(group.groupState == "Stable" && group.protocolData == "range")
        #expect(group.members[0].groupInstanceID == (version >= 3 ? "i" : nil))
        #expect(driver.heartbeat("m", 4) == .none)
        #expect(driver.deleteOffsets("t", [0]).topics[0].partitions[0].errorCode == 86)
    }

    @Test func firstKeyVersionIsReadAsTheSecond() {
        var value = OffsetCommitValue()
        value.offset = 5
        var key = OffsetCommitKey()
        key.group = "g"
        key.topic = "t"
        let record = CoordinatorRecord(
            key: [0, 0] + key.encodedWithVersion().dropFirst(2), value: value.encodedWithVersion(3))
        let driver = ShardDriver(replaying: [.record(.init(record: record, producerID: .none))])
        #expect(driver.fetch().committedOffset == 5)
    }

    @Test func recordsOfOtherGroupTypesAreSkippedAndCounted() {
        // Of the partitions of share groups, and of streams groups.
        let entries = [9, 15, 17, 19, 23].map { version in
            ShardDriver.LogEntry.record(
                .init(record: CoordinatorRecord(key: [0, UInt8(version), 1, 2, 3], value: [0, 0]), producerID: .none))
        }
        let driver = ShardDriver(replaying: entries)
        #expect(driver.shard.metrics.counters.skippedRecords == entries.count)
        #expect(driver.shard.metrics.groups.isEmpty)
    }

    @Test func groupRecordKeepsTheOffsetsBeforeIt() {
        var offset = OffsetCommitValue()
        offset.offset = 5
        var group = GroupMetadataValue()
        group.protocolType = "consumer"
        group.protocol = nil
        group.leader = nil
        // As compaction leaves them: the offset's record is older than the group's.
        let driver = ShardDriver(replaying: [.offset("g", "t", 0, offset), .group("g", group)])
        #expect(driver.fetch().committedOffset == 5)
        // And a group's tombstone takes no offset that has none.
        let ended = ShardDriver(replaying: [.offset("g", "t", 0, offset), .group("g", group), .group("g", nil)])
        #expect(ended.fetch().committedOffset == 5)
        #expect(ended.shard.describeGroup("g", apiVersion: 6).protocolType == "")
    }

    @Test func tombstonesOfNothingAreNothing() {
        let driver = ShardDriver(replaying: [.group("g", nil), .offset("g", "t", 0, nil)])
        #expect(driver.shard.metrics.groups.isEmpty)
    }

    @Test func replayingTheLogTwiceChangesNothing() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        driver.commit([.init("t", 0, offset: 1), .init("u", 0, offset: 2)], member: ids[0], generation: 1)
        driver.commitInTransaction(7, [.init("t", 1, offset: 3)])
        driver.endTransaction(of: ProducerID(7), committed: true)
        driver.commit([.init("t", 1, offset: 4)], member: ids[0], generation: 1)
        _ = driver.deleteOffsets("u", [0])
        let once = driver.restarted()
        let twice = ShardDriver(replaying: driver.log + driver.log)
        #expect(once.fetchAll() == driver.fetchAll())
        #expect(twice.fetchAll() == driver.fetchAll())
        #expect(twice.shard.describeGroup("g", apiVersion: 6) == once.shard.describeGroup("g", apiVersion: 6))
        #expect(twice.shard.metrics == once.shard.metrics)
    }

    @Test(
        arguments: [
            ([], nil), ([0], nil), ([0, 1, 0, 1], nil), ([0, 2, 0, 5, 0x67], nil),
            ([0, 2, 0, 1, 0x67], []), ([0, 2, 0, 1, 0x67], [0, 9]), ([0, 2, 0, 1, 0x67], [0, 3, 0, 1]),
            ([0, 1, 0, 1, 0x67, 0, 1, 0x74, 0, 0, 0, 0], [0, 5, 0, 0, 0, 0, 0, 0, 0, 0]),
        ] as [([UInt8], [UInt8]?)]) func damagedRecordIsRefused(_ key: [UInt8], _ value: [UInt8]?)
    {
        var shard = GroupShard()
        #expect(throws: DecodeError.self) {
            try key.withUnsafeBytes { key throws in
                if let value {
                    try value.withUnsafeBytes { try shard.replay(key: key, value: $0) }
                } else {
                    try shard.replay(key: key, value: nil)
                }
            }
        }
    }
}
