import BrokerCore
import Testing

@testable import IngestGateway

/// Records as clients of Kafka REST proxies send them.
@Suite struct KafkaRESTTests {
    private func v2(_ node: GatewayHarness, _ body: String, _ kind: String = "json") throws -> HTTPReply {
        try node.call("POST", "/topics/t", body, fields: ["Content-Type: application/vnd.kafka.\(kind).v2+json"])
    }

    private func v3(_ node: GatewayHarness, _ body: String, _ end: String = "records") throws -> HTTPReply {
        try node.call("POST", "/v3/clusters/\(node.broker.clusterID)/topics/t/\(end)", body)
    }

    @Test func secondVersionsRecordsAreStored() throws {
        let node = try GatewayHarness(partitions: 3)
        let json = try v2(
            node,
            #"{"records":[{"value":{"a": 1},"partition":2},{"key":"k","value":[1],"partition":2},{"value":null}]}"#)
        #expect(json.status == 200 && json.fields["content-type"] == "application/vnd.kafka.v2+json")
        let offsets = try #require(json.json["offsets"] as? [[String: Any]])
        #expect(offsets.prefix(2).map { $0["partition"] as? Int } == [2, 2])
        #expect(offsets.prefix(2).map { $0["offset"] as? Int } == [0, 1])
        #expect(try v2(node, #"{"records":[{"key":"aw==","value":"eA==","partition":1}]}"#, "binary").status == 200)
        #expect(try v2(node, #"{"records":[{"key":"k","value":"\u00e9","partition":1}]}"#, "text").status == 200)
        let stored = try node.stored("t", withoutValue: true).records
        #expect(stored.filter { $0.partition == 2 }.prefix(2).map(\.value) == [#"{"a": 1}"#, "[1]"])
        #expect(stored.filter { $0.partition == 2 }.prefix(2).map(\.key) == [nil, "\"k\""])
        #expect(stored.filter { $0.partition == 1 && $0.key != nil }.map(\.value) == ["x", "é"])
        #expect(stored.filter { $0.partition == 1 && $0.key != nil }.map(\.key) == ["k", "k"])
        #expect(stored.count == 5)
    }

    @Test(arguments: [
        ("", 40001), ("{", 40002), ("[]", 40008), (#"{"records":5}"#, 40008), (#"{"records":[]}"#, 42202),
        (#"{"records":[{"value":1},5]}"#, 42206), (#"{"records":[{"value":1,"valeu":2}]}"#, 42206),
        (#"{"records":[{"value":1,"value":2}]}"#, 42206), (#"{"records":[{"value":1,"partition":7}]}"#, 40402),
        (#"{"records":[{"value":1,"partition":-1}]}"#, 42206),
        (#"{"records":[{"value":1}],"records":[{"value":2}]}"#, 40004),
        (#"{"value_schema_id":7,"records":[{"value":1}]}"#, 40010),
    ])
    func wrongRecordsAreRefusedWhole(body: String, code: Int) throws {
        let node = try GatewayHarness()
        let reply = try v2(node, body)
        #expect(reply.status == code / 100 && reply.number("error_code") == code, "\(reply.text)")
        #expect(reply.string("message")?.isEmpty == false)
        #expect(reply.fields["content-type"] == "application/vnd.kafka.v2+json")
        #expect(try node.values("t") == [])
        #expect(try v2(node, #"{"records":[{"value":"not base64"}]}"#, "binary").number("error_code") == 42206)
        #expect(try node.call("POST", "/topics/t", "{}").status == 415)
    }

    @Test func thirdVersionsRecordsAreAnsweredOneByOne() throws {
        let node = try GatewayHarness()
        let one = try v3(
            node,
            #"{"partition_id":0,"headers":[{"name":"h","value":"eA=="}],"key":{"type":"STRING","data":"k"},"#
                + #""value":{"type":"JSON","data":{"a": 1}}}"#)
        #expect(one.status == 200 && one.number("error_code") == 200 && one.number("offset") == 0)
        #expect(one.string("cluster_id") == node.broker.clusterID && one.string("topic_name") == "t")
        let many = try v3(
            node,
            #"{"value":{"type":"BINARY","data":"eA=="}} {"value":{"type":"AVRO","data":1}}"# + "\n"
                + #"{"value":{"type":"STRING","data":"y"}}"#)
        #expect(many.text.split(separator: "\n").map { $0.contains("\"error_code\":200") } == [true, false, true])
        let stored = try node.stored("t").records
        #expect(
            stored.map(\.value) == [#"{"a": 1}"#, "x", "y"] && stored[0].key == "k" && stored[0].headers == ["h": "x"])
        #expect(try v3(node, #"{"value":{"type":"STRING"}}"#).status == 422)
        #expect(try v3(node, #"{"timestamp":"2026-01-01T00:00:00Z"}"#).status == 422)
        #expect(try node.call("POST", "/v3/clusters/other/topics/t/records", "{}").number("error_code") == 40403)
    }

    /// What a reply comes to is known before anything is appended.
    @Test func thereAreNoMoreRecordsThanAReplyHasRoomFor() throws {
        let node = try GatewayHarness()
        let cluster = node.broker.clusterID.utf8.count
        for (call, end) in [(KafkaRESTCall.v3, "records"), (.batch, "records:batch")] {
            let most = GatewayLoop.maxResultsBytes / call.replyBytes(cluster: cluster, topic: 1)
            #expect(most < GatewayOptions().maxEventsPerRequest)
            func body(_ count: Int) -> String {
                if call == .v3 { return String(repeating: "{}", count: count) }
                return "{\"entries\":[" + Array(repeating: "{\"id\":\"a\"}", count: count).joined(separator: ",") + "]}"
            }
            let refused = try v3(node, body(most + 1), end)
            #expect(
                refused.status == 413 && refused.string("code") == "too_many_events" && refused.number("limit") == most)
            #expect(try node.stored("t", withoutValue: true).records.isEmpty || call == .batch)
            let taken = try v3(node, body(most), end)
            #expect(taken.status == (call == .v3 ? 200 : 207))
            #expect(taken.text.utf8.count <= GatewayLoop.maxResultsBytes)
        }
    }

    @Test func aReplyIsNoLongerThanItsPrice() throws {
        let node = try GatewayHarness()
        let cluster = node.broker.clusterID.utf8.count
        // The longest of each: what JSON escapes counts six bytes.
        let name = String(repeating: "\\u0001", count: 100)
        let wrong = try v3(node, "{\"\(name)\":1}{}")
        let lines = wrong.text.split(separator: "\n")
        #expect(lines.count == 2)
        for line in lines { #expect(line.utf8.count <= KafkaRESTCall.v3.replyBytes(cluster: cluster, topic: 1)) }
        let combined = "e" + String(repeating: "\u{301}", count: 10_000)
        let letter = try v3(node, "{\"\(combined)\":1}")
        #expect(letter.status == 422 && letter.text.utf8.count < 600)
    }

    @Test func anEntryWithoutAGoodNameIsRefused() throws {
        let node = try GatewayHarness()
        let long = String(repeating: "x", count: 80)
        let reply = try v3(
            node,
            "{\"entries\":[{\"id\":\"\(long)\"},{\"id\":\"\(long)x\"},{\"id\":\"\"},{\"id\":5},{},5]}", "records:batch")
        #expect(reply.status == 207)
        let successes = try #require(reply.json["successes"] as? [[String: Any]])
        let failures = try #require(reply.json["failures"] as? [[String: Any]])
        #expect(successes.map { $0["id"] as? String } == [long])
        #expect(failures.map { $0["error_code"] as? Int } == [42206, 42206, 42206, 42206, 42206])
        #expect(failures[0]["message"] as? String == "id must be a string of 1 to 80 bytes")
    }

    @Test func aBatchIsAnsweredByName() throws {
        let node = try GatewayHarness()
        let reply = try v3(
            node,
            #"{"entries":[{"id":"a","value":{"type":"STRING","data":"1"}},{"id":"b","value":5},"#
                + #"{"id":"c","value":{"type":"JSON","data":2},"partition_id":9},{"id":"d","value":{"type":"JSON","data":3}}]}"#,
            "records:batch")
        #expect(reply.status == 207)
        let successes = try #require(reply.json["successes"] as? [[String: Any]])
        let failures = try #require(reply.json["failures"] as? [[String: Any]])
        #expect(
            successes.map { $0["id"] as? String } == ["a", "d"] && successes.map { $0["offset"] as? Int } == [0, 1])
        #expect(failures.map { $0["id"] as? String } == ["b", "c"])
        #expect(failures.map { $0["error_code"] as? Int } == [42206, 40402])
        #expect(try node.values("t") == ["1", "3"])
    }
}
