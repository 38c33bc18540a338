import BrokerCore
import KafkaWire
import Testing

@testable import KafkaServer

/// The groups of a shard are listed in steps, between which others are made and deleted.
@Suite struct ListGroupsTests {
    @Test func allGroupsAreListedOfManySteps() throws {
        let client = try TestBroker { $0.broker.offsetsPartitions = 1 }.client()
        try client.createTopic("orders")
        let names = (0..<700).map { "group-\($0)" }
        for name in names { try client.commit(name, "orders", 1) }
        #expect(try client.call(ListGroupsRequest(), version: 4).groups.map(\.groupID) == names.sorted())
    }

    @Test func aGroupThatWasMetTwiceIsListedOnce() {
        let met = ["b", "caf\u{e9}", "a", "cafe\u{301}", "b", "caf\u{e9}"].map { name in
            var group = ListGroupsResponse.ListedGroup()
            group.groupID = name
            return group
        }
        let listed = KafkaConnection.eachOnce(met).map { Array($0.groupID.utf8) }
        #expect(listed == ["a", "b", "cafe\u{301}", "caf\u{e9}"].map { Array($0.utf8) })
    }
}
