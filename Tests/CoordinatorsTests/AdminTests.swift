import Coordinators
import KafkaModel
import KafkaWire
import Testing

@Suite struct AdminTests {
    @Test func unknownGroupIsDeadAndFromVersion6NotFound() {
        let driver = ShardDriver()
        let old = driver.shard.describeGroup("none", apiVersion: 5)
        #expect(old.groupState == "Dead" && old.errorCode == 0 && old.errorMessage == nil)
        let new = driver.shard.describeGroup("none", apiVersion: 6)
        #expect(new.groupState == "Dead" && new.errorCode == ErrorCode.groupIDNotFound.rawValue)
        #expect(new.errorMessage == "Group none not found.")
    }

    @Test func stableGroupIsDescribedWithItsMembers() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        let group = driver.shard.describeGroup("g", apiVersion: 6)
        #expect(group.protocolType == "consumer" && group.protocolData == "range")
        #expect(group.members.map(\.memberID) == ids)
        #expect(group.members.map(\.clientID) == ["client", "client"])
        #expect(group.members.map(\.clientHost) == ["/127.0.0.1", "/127.0.0.1"])
        #expect(group.members.map(\.memberAssignment) == [[0], [1]])
        #expect(group.members.map(\.memberMetadata) == [subscription(["t"]).metadata, subscription(["t"]).metadata])
    }

    @Test func groupsAreListedByStateAndType() {
        let driver = ShardDriver()
        _ = driver.stableGroup(1, group: "stable")
        driver.commit([.init(offset: 1)], group: "empty")
        func names(_ states: [String], _ types: [String] = []) -> [String] {
            driver.listGroups(states: states, types: types).groups.map(\.groupID).sorted()
        }
        #expect(names([]) == ["empty", "stable"])
        #expect(names(["Stable"]) == ["stable"])
        #expect(names(["sTABLE", "Empty"]) == ["empty", "stable"])
        #expect(names(["NoSuchState"]) == [])
        #expect(names([], ["Classic"]) == ["empty", "stable"])
        #expect(names([], ["consumer"]) == [])
        #expect(names([], ["consumer", "classic"]) == ["empty", "stable"])
        let listed = driver.listGroups().groups.sorted { $0.groupID < $1.groupID }
        #expect(listed.map(\.groupState) == ["Empty", "Stable"])
        #expect(listed.map(\.protocolType) == ["", "consumer"])
        #expect(listed.map(\.groupType) == ["classic", "classic"])
    }

    @Test func deletedGroupIsGoneWithItsOffsetsAfterARestartToo() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(1)
        driver.commit([.init("t", 0, offset: 1), .init("u", 1, offset: 2)], member: ids[0], generation: 1)
        #expect(driver.deleteGroups(["g", "none"]) == [.nonEmptyGroup, .groupIDNotFound])
        driver.leave([(ids[0], nil)])
        let records = driver.recordCount
        #expect(driver.deleteGroups(["g", "g"]) == [.none, .groupIDNotFound])
        // Two offsets, then the group.
        #expect(driver.recordCount == records + 3)
        for each in [driver, driver.restarted()] {
            #expect(each.state() == .dead)
            #expect(each.fetchAll().topics.isEmpty)
            #expect(each.shard.metrics.offsets == 0)
        }
        // The id is free for another group, with another protocol.
        let again = driver.join(version: 3, type: "connect")
        driver.pass(3_000)
        #expect(driver.joined(again)?.generationID == 1)
    }

    @Test func metricsCountWhatIsThere() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        driver.commit([.init("t", 0, offset: 1), .init("t", 1, offset: 1)], member: ids[0], generation: 1)
        driver.join(group: "other")
        let parked = driver.join(ids[0])
        let metrics = driver.shard.metrics
        #expect(metrics.groups == [.preparingRebalance: 1, .empty: 1])
        #expect(metrics.members == 2 && metrics.offsets == 2)
        #expect(metrics.pendingMembers == 1 && metrics.parkedRequests == 1)
        #expect(metrics.counters.completedRebalances == 1 && metrics.counters.committedOffsets == 2)
        driver.connectionGone(parked)
        #expect(driver.shard.metrics.parkedRequests == 0)
    }
}
