import Coordinators
import KafkaModel
import KafkaWire
import Testing

/// What a shard calls alive is what a replay needs, no less and no more.
@Suite struct LiveRecordsTests {
    private func live(_ driver: ShardDriver) -> [ShardDriver.LogEntry]? {
        driver.liveRecords()?.map { .record(ShardDriver.LoggedRecord(record: $0, producerID: .none)) }
    }

    /// One record a key, each the newest of the log under that key; tombstones and what they ended are left out.
    private func newestOfEachKey(_ driver: ShardDriver) -> [[UInt8]: [UInt8]] {
        var newest: [[UInt8]: [UInt8]] = [:]
        for case .record(let entry) in driver.log { newest[entry.record.key] = entry.record.value }
        return newest
    }

    private func expectLiveIsNewest(_ driver: ShardDriver) {
        let records = driver.liveRecords() ?? []
        #expect(Set(records.map(\.key)).count == records.count)
        #expect(Dictionary(uniqueKeysWithValues: records.map { ($0.key, $0.value ?? []) }) == newestOfEachKey(driver))
    }

    @Test func liveRecordsAreTheNewestOfEachKey() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        for offset in 1...5 {
            driver.commit(
                [.init("t", 0, offset: Int64(offset)), .init("u", 1, offset: 9)], member: ids[0], generation: 1)
        }
        driver.commit([.init("t", 0, offset: 3)], group: "simple")
        driver.commit([.init("t", 0, offset: 3), .init("gone", 0, offset: 4)], group: "other")
        _ = driver.deleteOffsets("gone", [0], group: "other")
        expectLiveIsNewest(driver)
    }

    @Test func replayOfLiveRecordsGivesTheSameState() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(3)
        driver.commit([.init("t", 0, offset: 7, metadata: "m")], member: ids[0], generation: 1)
        driver.commit([.init("t", 4, offset: 8)], group: "simple")
        let whole = driver.restarted()
        let compacted = ShardDriver(replaying: live(driver) ?? [])
        #expect(compacted.fetchAll() == whole.fetchAll())
        #expect(compacted.fetchAll(group: "simple") == whole.fetchAll(group: "simple"))
        #expect(
            compacted.shard.describeGroup("g", apiVersion: 6) == whole.shard.describeGroup("g", apiVersion: 6))
        // Behind the records that they repeat they change nothing, as far as they got.
        for count in 0...(live(driver)?.count ?? 0) {
            let both = ShardDriver(replaying: driver.log + (live(driver) ?? []).prefix(count))
            #expect(both.fetchAll() == whole.fetchAll())
            #expect(both.shard.describeGroup("g", apiVersion: 6) == whole.shard.describeGroup("g", apiVersion: 6))
        }
    }

    @Test func aRebalanceUnderWayIsNotRecorded() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        // A third member asks for the next generation; in memory the group is on its way there.
        _ = driver.joinDynamic()
        #expect(driver.state() == .preparingRebalance)
        expectLiveIsNewest(driver)
        for id in ids { driver.join(id) }
        #expect(driver.state() == .completingRebalance)
        expectLiveIsNewest(driver)
        let restarted = ShardDriver(replaying: live(driver) ?? [])
        #expect(ids.map { restarted.heartbeat($0, 1) } == [.none, .none])
    }

    @Test func endedGroupsLeaveNothing() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(1)
        driver.commit([.init("t", 0, offset: 7)], member: ids[0], generation: 1)
        driver.leave([(ids[0], nil)])
        driver.pass(8 * 24 * 60 * 60_000)
        driver.expireOffsets()
        #expect(driver.liveRecords() == [])
        expectLiveIsNewest(driver)
    }

    @Test func pendingOffsetsOfATransactionForbidARewrite() {
        let driver = ShardDriver()
        let producer = TransactionalProducer(id: ProducerID(7), epoch: ProducerEpoch(0))
        var request = TransactionalCommit(producer: producer, groupID: "g")
        request.partitions = [.init(topicName: "t", partitionIndex: 0, offset: 5)]
        let waiter = driver.newWaiter()
        driver.run { $0.txnOffsetCommit(request, waiter: waiter, now: $1) }
        #expect(driver.liveRecords() == nil)
        driver.endTransaction(of: producer.id, committed: true)
        #expect(driver.liveRecords()?.count == 1)
    }
}
