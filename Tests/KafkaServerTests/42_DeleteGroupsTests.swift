import BrokerTestKit
import Glibc
import KafkaModel
import KafkaWire
import StorageIO
import Testing

@Suite struct DeleteGroupsTests {
    private func delete(_ client: WireClient, _ names: [String]) throws -> DeleteGroupsResponse {
        var request = DeleteGroupsRequest()
        request.groupsNames = names
        return try client.call(request)
    }

    @Test func severalGroupsAreAnsweredInTheOrderOfAsking() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        let names = (0..<20).map { "group-\($0)" }
        for name in names where name.hasSuffix("0") || name.hasSuffix("5") { try client.commit(name, "orders", 1) }
        let results = try delete(client, names).results
        #expect(results.map(\.groupID) == names)
        for result in results {
            let existed = result.groupID.hasSuffix("0") || result.groupID.hasSuffix("5")
            #expect(result.code == (existed ? .none : .groupIDNotFound), "\(result.groupID)")
        }
        #expect(try client.committed("group-5", "orders").committedOffset == -1)
    }

    @Test func noGroupsIsAnEmptyReply() throws {
        #expect(try delete(TestBroker().client(), []).results.isEmpty)
    }

    @Test func aGroupWithMembersIsNotEmpty() throws {
        let client = try TestBroker().client()
        _ = try Member(client, group: "readers").joinAlone()
        #expect(try delete(client, ["readers"]).results.map(\.code) == [.nonEmptyGroup])
    }

    /// Each group is asked for by itself; a list of names must not take stack for each.
    @Test func fiftyThousandNamesAreAnswered() throws {
        let results = try delete(TestBroker().client(), (0..<50_000).map { "group-\($0)" }).results
        #expect(results.count == 50_000)
        #expect(results.last?.groupID == "group-49999")
        #expect(results.allSatisfy { $0.code == .groupIDNotFound })
    }

    @Test func theReplyWaitsForTheNewestOfItsDeletions() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders")
        try client.commit("kept", "orders", 7)
        // The other names lie in other partitions of the offsets topic, which no commit is queued for.
        let names = ["kept"] + (0..<8).map { "missing-\($0)" }
        for order in [names, names.reversed()] {
            // With no sync the deletion cannot be durable, so there is no truthful reply.
            let other = try TestBroker(on: broker.fileSystem.crash(keeping: .nothing), broker.options)
            let asking = try other.client()
            #expect(try asking.committed("kept", "orders").committedOffset == 7)
            other.fileSystem.inject(Fault(.fail(errno: EIO), on: .sync, times: .max))
            var request = DeleteGroupsRequest()
            request.groupsNames = order
            try asking.send(request)
            #expect(asking.isClosedByBroker())
        }
    }
}
