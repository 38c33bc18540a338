import Coordinators
import KafkaModel
import KafkaWire
import Testing

@Suite struct LeaveGroupTests {
    @Test func oldVersionsNameOneMemberAndHaveItsErrorOnTop() {
        for version: Int16 in 0...2 {
            let driver = ShardDriver()
            let ids = driver.stableGroup(1)
            let refused = driver.leave([("stranger", nil)], version: version)
            #expect(refused.errorCode == ErrorCode.unknownMemberID.rawValue && refused.members.isEmpty)
            let response = driver.leave([(ids[0], nil)], version: version)
            #expect(response.errorCode == 0 && response.members.isEmpty)
            #expect(driver.state() == .empty)
        }
    }

    @Test func membersOfABatchHaveTheirOwnOutcomes() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(3)
        let response = driver.leave([(ids[0], nil), ("stranger", nil), (ids[1], nil), (ids[0], nil)])
        let unknown = ErrorCode.unknownMemberID.rawValue
        #expect(response.errorCode == 0)
        #expect(response.members.map(\.errorCode) == [0, unknown, 0, unknown])
        // One rebalance for both.
        #expect(driver.joined(driver.join(ids[2]))?.generationID == 2)
    }

    @Test func promisedIDCanLeave() {
        let driver = ShardDriver()
        let promised = driver.joined(driver.join())!.memberID
        #expect(driver.leave([(promised, nil)]).members[0].errorCode == 0)
        #expect(driver.shard.metrics.groups.isEmpty)
    }

    @Test func lastMemberToLeaveEmptiesTheGroupDurably() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(1)
        let records = driver.recordCount
        driver.leave([(ids[0], nil)])
        #expect(driver.state() == .empty)
        #expect(driver.recordCount == records + 1)
        let group = driver.restarted().shard.describeGroup("g", apiVersion: 6)
        #expect(group.groupState == "Empty" && group.members.isEmpty && group.protocolType == "consumer")
    }

    @Test func parkedJoinOfALeavingMemberIsAnswered() {
        let driver = ShardDriver()
        let ids = driver.stableGroup(2)
        let parked = driver.join(ids[0])
        driver.leave([(ids[0], nil)])
        #expect(driver.joinError(parked) == .unknownMemberID)
        #expect(driver.joined(parked)?.memberID == "")
    }
}
