import KafkaModel
import Testing

@testable import Coordinators

/// Two spellings of what looks like one name are two members, two instances, two groups, also after a replay.
@Suite struct ExactNameTests {
    private static let spellings = ["caf\u{e9}", "cafe\u{301}"]

    @Test func groupsAreKeptApartByReplayAndByWhatIsAlive() {
        let driver = ShardDriver()
        for (place, group) in Self.spellings.enumerated() {
            driver.commit([.init("t", 0, offset: Int64(place))], group: group)
        }
        for each in [driver, driver.restarted()] {
            #expect(each.shard.groupCount == 2)
            for group in Self.spellings { #expect(each.shard.offsetCount(of: group) == 1) }
        }
    }

    @Test func aMembersIdInAnotherSpellingIsUnknown() {
        let driver = ShardDriver()
        driver.join(instance: Self.spellings[0])
        let group = driver.shard.groups["g"]
        #expect(group?.staticMembers[Self.spellings[0]] != nil && group?.staticMembers[Self.spellings[1]] == nil)
        let memberID = group?.members.keys.first?.text ?? ""
        let other = Self.spellings[1] + memberID.dropFirst(Self.spellings[0].count)
        #expect(memberID == other && group?.members[memberID] != nil && group?.members[other] == nil)
    }
}
