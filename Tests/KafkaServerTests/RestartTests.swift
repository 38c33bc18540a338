import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

/// What was answered is there after a stop and after a power failure; both at several moments of one life.
@Suite struct RestartTests {
    @Test(arguments: [false, true]) func recordsOffsetsAndGroupsAreKept(byCrash: Bool) throws {
        var broker = try TestBroker()
        var id = TopicID.zero
        for life in Int64(0)..<3 {
            let client = try broker.client()
            if life == 0 { id = try client.createTopic("orders", partitions: 2) }
            #expect(try client.append("orders", count: 10) == life * 10)
            try client.commit("readers", "orders", life * 10 + 5, metadata: "life \(life)")
            broker = byCrash ? try broker.crashed() : try broker.restarted()

            let after = try broker.client()
            #expect(try after.metadata(["orders"]).topics[0].topicID == id)
            #expect(try after.listOffset("orders", at: -1).offset == (life + 1) * 10)
            #expect(
                try FetchTests.batches(after.fetch("orders", from: life * 10).records).first?.lowerBound == life * 10)
            let committed = try after.committed("readers", "orders")
            #expect((committed.committedOffset, committed.metadata) == (life * 10 + 5, "life \(life)"))
        }
    }

    @Test func aMemberGoesOnAfterACrash() throws {
        let broker = try TestBroker()
        let member = try Member(broker.client(), group: "readers").joinAlone()
        var again = Member(try broker.crashed().client(), group: "readers")
        (again.memberID, again.generationID) = (member.memberID, member.generationID)
        #expect(try again.heartbeat() == .none)
        #expect(try again.client.call(again.syncRequest()).assignment == Array("all".utf8))
    }

    @Test func aDeletedTopicStaysDeleted() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders")
        try client.append("orders", count: 1)
        #expect(try client.deleteTopic("orders") == .none)
        #expect(try broker.crashed().client().metadata(["orders"]).topics[0].code == .unknownTopicOrPartition)
    }
}
