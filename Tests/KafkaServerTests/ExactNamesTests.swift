import BrokerCore
import KafkaModel
import KafkaWire
import Testing

/// Names that Swift's strings take for the same, and Kafka does not: their bytes differ.
@Suite struct ExactNamesTests {
    private static let composed = "caf\u{e9}"
    private static let decomposed = "cafe\u{301}"

    /// One partition of the offsets topic, so that both groups are in one table.
    private func client() throws -> WireClient {
        let client = try TestBroker { $0.broker.offsetsPartitions = 1 }.client()
        try client.createTopic("orders")
        return client
    }

    @Test func groupsOfTwoSpellingsHaveOffsetsOfTheirOwn() throws {
        let client = try client()
        try client.commit(Self.composed, "orders", 1)
        try client.commit(Self.decomposed, "orders", 2)
        #expect(try client.committed(Self.composed, "orders").committedOffset == 1)
        #expect(try client.committed(Self.decomposed, "orders").committedOffset == 2)
        let listed = try client.call(ListGroupsRequest(), version: 4).groups.map { Array($0.groupID.utf8) }
        #expect(Set(listed) == [Array(Self.composed.utf8), Array(Self.decomposed.utf8)])
    }

    @Test func aRequestThatNamesBothIsAnsweredForBoth() throws {
        let client = try client()
        try client.commit(Self.composed, "orders", 1)
        try client.commit(Self.decomposed, "orders", 2)
        var describe = DescribeGroupsRequest()
        describe.groups = [Self.composed, Self.decomposed]
        #expect(try client.call(describe).groups.count == 2)
        var fetch = OffsetFetchRequest()
        fetch.groups = [Self.composed, Self.decomposed].flatMap { WireClient.offsetFetchRequest($0, "orders").groups }
        let offsets = try client.call(fetch, version: 9).groups.map { $0.topics[0].partitions[0].committedOffset }
        #expect(offsets == [1, 2])
        var delete = DeleteGroupsRequest()
        delete.groupsNames = [Self.decomposed]
        #expect(try client.call(delete).results.map(\.code) == [.none])
        #expect(try client.committed(Self.composed, "orders").committedOffset == 1)
        #expect(try client.committed(Self.decomposed, "orders").committedOffset == -1)
    }

    /// The Kelvin sign is no K, and no letter of a topic's name.
    @Test func aTopicIsNotMetByAnotherSpelling() throws {
        let client = try client()
        try client.createTopic("K")
        try client.commit("g", "K", 7)
        var request = WireClient.offsetFetchRequest("g", "K")
        request.groups[0].topics! += WireClient.offsetFetchRequest("g", "\u{212A}").groups[0].topics!
        let topics = try client.call(request, version: 9).groups[0].topics
        let offsets = Dictionary(
            uniqueKeysWithValues: topics.map { (ExactString($0.name), $0.partitions.map(\.committedOffset)) })
        #expect(offsets.count == 2 && offsets["K"] == [7] && offsets["\u{212A}"] != [7])
    }
}
