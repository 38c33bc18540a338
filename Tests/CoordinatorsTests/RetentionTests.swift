import Coordinators
import KafkaModel
import KafkaWire
import Testing

/// Expiry by KIP-211, and what deleted topics leave behind.
@Suite struct RetentionTests {
    private let day: Int64 = 24 * 60 * 60_000

    @Test func offsetsOfASimpleGroupExpireByTheirCommit() {
        let driver = ShardDriver()
        driver.commit([.init("t", 0, offset: 1)])
        driver.pass(day)
        driver.commit([.init("t", 1, offset: 2)])
        driver.pass(6 * day - 1)
        driver.expireOffsets()
        #expect(driver.fetch("t", 0).committedOffset == 1)
        driver.pass(1)
        driver.expireOffsets()
        #expect(driver.fetch("t", 0).committedOffset == -1)
        #expect(driver.fetch("t", 1).committedOffset == 2)
        driver.pass(day)
        driver.expireOffsets()
        #expect(driver.shard.metrics.groups.isEmpty)
        #expect(driver.shard.metrics.counters.expiredOffsets == 2)
        #expect(driver.restarted().shard.metrics.groups.isEmpty)
    }

    @Test func offsetsOfAGroupExpireSinceItBecameEmpty() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(1)
        driver.commit([.init(offset: 1)], member: ids[0], generation: 1)
        driver.pass(9_000)
        driver.leave([(ids[0], nil)])
        driver.pass(7 * day - 1)
        for each in [driver, driver.restarted()] {
            each.expireOffsets()
            #expect(each.fetch().committedOffset == 1)
        }
        driver.pass(1)
        for each in [driver, driver.restarted()] {
            each.expireOffsets()
            #expect(each.fetch().committedOffset == -1)
            #expect(each.state() == .dead)
            #expect(each.restarted().shard.metrics.groups.isEmpty)
        }
    }

    @Test func stableGroupKeepsItsTopicsAndLosesOthers() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(1)
        driver.commit([.init("t", offset: 1), .init("u", offset: 2)], member: ids[0], generation: 1)
        for _ in 0..<20 {
            driver.time.wallClockMs += day / 2
            driver.pass(5_000)
            #expect(driver.heartbeat(ids[0], 1) == .none)
        }
        driver.expireOffsets()
        #expect(driver.fetch("t").committedOffset == 1)
        #expect(driver.fetch("u").committedOffset == -1)
        #expect(driver.state() == .stable)
    }

    @Test func nothingExpiresDuringARebalanceOrOfOtherProtocols() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        driver.commit([.init("u", offset: 2)], member: ids[0], generation: 1)
        driver.join(ids[0])
        driver.time.wallClockMs += 30 * day
        driver.expireOffsets()
        #expect(driver.fetch("u").committedOffset == 2)

        let connect = driver.join(group: "c", version: 3, session: 1_000_000, type: "connect")
        driver.pass(3_000)
        let memberID = driver.joined(connect)!.memberID
        driver.sync(memberID, 1, assignments: [memberID: [1]], group: "c")
        driver.commit([.init("u", offset: 3)], group: "c", member: memberID, generation: 1)
        driver.time.wallClockMs += 30 * day
        driver.expireOffsets()
        #expect(driver.fetch("u", group: "c").committedOffset == 3)
    }

    @Test func retentionOfTheClientCountsInsteadOfOurs() {
        let driver = ShardDriver()
        driver.commit([.init("t", 0, offset: 1)], version: 4, retention: 1_000)
        driver.commit([.init("t", 1, offset: 1)], version: 4, retention: 30 * day)
        driver.commit([.init("t", 2, offset: 1)], version: 4, retention: .max)
        driver.pass(999)
        driver.expireOffsets()
        #expect(driver.fetch("t", 0).committedOffset == 1)
        driver.pass(1)
        for each in [driver.restarted(), driver] {
            each.expireOffsets()
            #expect(each.fetch("t", 0).committedOffset == -1)
        }
        driver.pass(20 * day)
        driver.expireOffsets()
        #expect(driver.fetch("t", 1).committedOffset == 1)
        #expect(driver.fetch("t", 2).committedOffset == 1)
    }

    @Test func emptyGroupWithoutOffsetsEndsWithATombstone() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(1)
        driver.leave([(ids[0], nil)])
        let promised = driver.joined(driver.join())!.memberID
        driver.expireOffsets()
        // Somebody is about to join.
        #expect(driver.state() == .empty)
        driver.leave([(promised, nil)])
        driver.expireOffsets()
        #expect(driver.state() == .dead)
        #expect(driver.restarted().state() == .dead)
    }

    @Test func oldGroupRecordsWithoutATimestampExpireByCommit() {
        var group = GroupMetadataValue()
        group.protocolType = "consumer"
        group.generation = 3
        group.protocol = nil
        group.leader = nil
        var offset = OffsetCommitValue()
        offset.offset = 9
        offset.commitTimestamp = 1_700_000_000_000
        let driver = ShardDriver(replaying: [
            .group("g", group, version: 1), .offset("g", "t", 0, offset, version: 0),
        ])
        driver.pass(7 * day - 1)
        driver.expireOffsets()
        #expect(driver.fetch().committedOffset == 9)
        driver.pass(1)
        driver.expireOffsets()
        #expect(driver.fetch().committedOffset == -1)
    }

    // MARK: Deleted topics

    @Test func deletedTopicsTakeTheirOffsetsAlong() {
        let driver = ShardDriver()
        driver.commit([.init("t", 0, offset: 1), .init("t", 1, offset: 1), .init("u", 0, offset: 2)])
        driver.commit([.init("t", 0, offset: 1)], group: "h")
        driver.commitInTransaction(7, [.init("t", 5, offset: 1)])
        driver.topicDeleted("t", id: TopicID(high: 1, low: 1))
        driver.endTransaction(of: ProducerID(7), committed: true)
        for each in [driver, driver.restarted()] {
            #expect(each.fetchAll().topics.map(\.name) == ["u"])
            #expect(each.fetchAll(group: "h").topics.isEmpty)
        }
    }

    @Test func offsetsOfTheNextTopicOfTheNameStay() {
        let driver = ShardDriver()
        var commit = ShardDriver.Commit(offset: 5)
        commit.topicID = TopicID(high: 2, low: 2)
        driver.commit([commit], version: 10)
        driver.topicDeleted("t", id: TopicID(high: 1, low: 1))
        #expect(driver.fetch().committedOffset == 5)
        driver.topicDeleted("t", id: TopicID(high: 2, low: 2))
        #expect(driver.fetch().committedOffset == -1)
    }
}
