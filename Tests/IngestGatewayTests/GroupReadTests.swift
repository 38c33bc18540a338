import BrokerCore
import BrokerTestKit
import IngestGateway
import KafkaModel
import LogStorage
import Testing

/// Reading for a consumer group.
@Suite struct GroupReadTests {
    private static let path = "/v1/topics/t/records"

    private func node(partitions: Int32 = 2, events: Int = 10) throws -> GatewayHarness {
        let node = try GatewayHarness(partitions: partitions)
        for value in 0..<events { #expect(try node.post("t", "\(value)").status == 201) }
        return node
    }

    private func committed(_ node: GatewayHarness, _ group: String = "g") throws -> [Int32: Int64] {
        let topic = try #require(node.broker.catalog.topic(named: "t"))
        let found = node.broker.groups.committedOffsets(
            of: topic, partitions: topic.partitions.map(\.partitionIndex), group: group)
        return try found.get().mapValues(\.rawValue)
    }

    private func count(_ reply: HTTPReply) -> Int { (reply.json["records"] as? [Any])?.count ?? -1 }

    @Test func aReplyIsCommittedByTheRequestThatFollowsIt() throws {
        let node = try node()
        let first = try node.call("GET", Self.path + "?group=g&limit=4")
        #expect(count(first) == 4)
        #expect(try committed(node) == [:], "nobody has said yet that it was read")
        // Whoever fails now is given the same again.
        #expect(try node.call("GET", Self.path + "?group=g&limit=4").body == first.body)
        let next = try #require(first.string("next"))
        let second = try node.call("GET", Self.path + "?group=g&from=\(next)&limit=100")
        #expect(count(second) == 6)
        #expect(try committed(node).values.reduce(0, +) == 4)
        // A reader that comes later begins there.
        #expect(count(try node.call("GET", Self.path + "?group=g")) == 6)
        let end = try #require(second.string("next"))
        #expect(count(try node.call("GET", Self.path + "?group=g&from=\(end)")) == 0)
        #expect(try committed(node) == [0: 5, 1: 5])
        #expect(count(try node.call("GET", Self.path + "?group=g")) == 0)
        #expect(count(try node.call("GET", Self.path + "?group=other")) == 10)
    }

    @Test func nothingIsCommittedWhereThatIsSaid() throws {
        let node = try node()
        #expect(count(try node.call("GET", Self.path + "?group=g&from=p0:3,p1:5&commit=none")) == 2)
        #expect(try committed(node) == [:])
        #expect(count(try node.call("GET", Self.path + "?group=g&from=p0:3")) == 7)
        #expect(try committed(node) == [0: 3])
        // From a time or an end nothing was read.
        #expect(try node.call("GET", Self.path + "?group=g&from=latest").status == 200)
        #expect(try node.call("GET", Self.path + "?group=g&from=0").status == 200)
        #expect(try committed(node) == [0: 3])
    }

    @Test func neitherAHeadNorAPageOfAnotherSiteCommits() throws {
        let node = try node()
        let client = try node.connect()
        try client.send(HTTPClient.request("HEAD", Self.path + "?group=g&from=p0:3", nil))
        #expect(try client.receive(toHead: true).status == 200)
        for site in ["cross-site", "same-site"] {
            let refused = try node.call(
                "GET", Self.path + "?group=g&from=p0:3", fields: ["Sec-Fetch-Site: \(site)"])
            #expect(refused.status == 403)
        }
        #expect(try committed(node) == [:])
        let other = ["Sec-Fetch-Site: cross-site"]
        #expect(try node.call("GET", Self.path + "?group=g&from=p0:3&commit=none", fields: other).status == 200)
        #expect(try node.call("GET", Self.path + "?group=g", fields: other).status == 200)
        #expect(try committed(node) == [:])
        let own = ["Sec-Fetch-Site: same-origin"]
        #expect(try node.call("GET", Self.path + "?group=g&from=p0:3", fields: own).status == 200)
        #expect(try committed(node) == [0: 3])
    }

    @Test func onePartitionIsCommittedByItsOffset() throws {
        let node = try node()
        let reply = try node.call("GET", "/v1/topics/t/partitions/1/records?group=g&offset=2")
        #expect(count(reply) == 3)
        #expect(try committed(node) == [1: 2])
        #expect(count(try node.call("GET", "/v1/topics/t/partitions/1/records?group=g")) == 3)
    }

    @Test func whatIsNotInTheLogIsNotCommitted() throws {
        let node = try node()
        for (query, code) in [
            ("group=g&from=p0:6", "offset_out_of_range"), ("group=g&from=p0:1,p1:6", "offset_out_of_range"),
            ("group=", "invalid_parameter"), ("group=\(String(repeating: "g", count: 256))", "invalid_parameter"),
            ("commit=auto", "invalid_parameter"), ("group=g&commit=x", "invalid_parameter"),
        ] {
            let reply = try node.call("GET", Self.path + "?\(query)")
            #expect(reply.string("code") == code, "\(query): \(reply.text)")
        }
        #expect(try committed(node) == [:])
    }

    @Test func aPageForAGroupWaits() throws {
        let node = try node()
        let all = try #require(try node.call("GET", Self.path + "?group=g").string("next"))
        let client = try node.connect()
        try client.send(HTTPClient.request("GET", Self.path + "?group=g&from=\(all)&wait_ms=30000", nil))
        #expect(eventually { node.metric("millrace_http_waiting_replies") == 1 })
        #expect(try committed(node) == [0: 5, 1: 5])
        #expect(try node.post("t", "10").status == 201)
        #expect(count(try client.receive()) == 1)
    }

    @Test func aStreamBeginsAtTheGroupsOffsetsAndCommitsWhereItGoesOn() throws {
        let node = try node(partitions: 1)
        #expect(try node.call("GET", Self.path + "?group=g&from=p0:4").status == 200)
        let reader = try StreamReader(node, "/v1/topics/t/stream?group=g")
        try reader.readID()
        #expect(reader.firstID == "p0:4")
        let events = try reader.read(3)
        #expect(events.last?.id == "p0:7")
        #expect(try committed(node) == [0: 4], "what was sent is not read yet")
        let again = try StreamReader(node, "/v1/topics/t/stream?group=g", fields: ["Last-Event-ID: p0:7"])
        #expect(try again.read(1).last?.id == "p0:8")
        #expect(try committed(node) == [0: 7])
    }

    @Test func overHTTP2AsWell() throws {
        let node = try node(partitions: 1)
        let client = try HTTP2Client(port: node.port)
        #expect(count(try client.call("GET", Self.path + "?group=g&from=p0:8")) == 2)
        #expect(try committed(node) == [0: 8])
        let stream = client.request("GET", "/v1/topics/t/stream?group=g")
        client.read { String(decoding: client.part(stream), as: UTF8.self).contains("id: p0:10\n") }
        #expect(client.replies[stream]?.fields["content-type"] == "text/event-stream")
    }
}
