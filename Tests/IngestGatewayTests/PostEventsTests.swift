import BrokerCore
import BrokerTestKit
import IngestGateway
import LogStorage
import Testing

@Suite struct PostEventsTests {
    @Test func oneObjectIsOneEventAndItsBytesAreKept() throws {
        let node = try GatewayHarness()
        let event = "{ \"n\" : 1.00 , \"e\":\"\\u00e9 é\" }"
        let reply = try node.post("orders", "  \(event)\n")
        #expect(reply.status == 201, "\(reply.text)")
        #expect(reply.number("accepted") == 1)
        #expect(reply.number("rejected") == 0)
        let result = try #require(reply.results.first)
        #expect(result["index"] as? Int == 0)
        #expect(result["status"] as? String == "ok")
        #expect(result["topic"] as? String == "orders")
        #expect(result["partition"] as? Int == 0)
        #expect(result["offset"] as? Int == 0)
        #expect(result["duplicate"] as? Bool == false)
        #expect((result["timestamp"] as? String)?.hasSuffix("Z") == true)
        let stored = try node.stored("orders").records
        #expect(stored.map(\.value) == [event])
        #expect(stored[0].headers == ["event_id": result["event_id"] as? String])
        #expect(stored[0].key == nil)
    }

    @Test func anArrayIsOneBatchInOrder() throws {
        let node = try GatewayHarness()
        let events = ["{\"a\":1}", "[1, 2]", "\"x\"", "-0.0", "null", "{ }"]
        let reply = try node.post("t", "[" + events.joined(separator: " ,\n") + "]")
        #expect(reply.status == 201)
        #expect(reply.offsets == Array(0..<6))
        let stored = try node.stored("t")
        #expect(stored.records.map(\.value) == events)
        #expect(stored.batches == 1)
        #expect(Set(stored.records.compactMap { $0.headers["event_id"] }).count == 6)
        #expect(stored.records.map { $0.headers["event_id"] } == reply.results.map { $0["event_id"] as? String })
    }

    @Test(arguments: ["application/x-ndjson", "application/jsonl", "Application/X-NDJSON; charset=utf-8"])
    func linesAreEvents(type: String) throws {
        let node = try GatewayHarness()
        let reply = try node.post("t", "{\"a\":1}\r\n\n {\"b\":2} \n{\"c\":3}", fields: ["Content-Type: \(type)"])
        #expect(reply.status == 201)
        #expect(try node.values("t") == ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"])
    }

    @Test func aPartitionKeyIsTheRecordsKeyAndChoosesThePartition() throws {
        let node = try GatewayHarness(partitions: 4)
        var partitions: [String: Set<Int>] = [:]
        for key in ["CAR-1", "CAR-2", "CAR-3", "CAR-4", "CAR-1", "CAR-2"] {
            let reply = try node.post("t", "[{},{}]", fields: ["Partition-Key: \(key)"])
            for result in reply.results { partitions[key, default: []].insert(result["partition"] as? Int ?? -1) }
        }
        #expect(partitions.values.allSatisfy { $0.count == 1 })
        for record in try node.stored("t").records {
            #expect(partitions[try #require(record.key)] == [Int(record.partition)])
        }
    }

    @Test func requestsWithoutAKeySpreadOverThePartitions() throws {
        let node = try GatewayHarness(partitions: 3)
        for _ in 0..<6 { #expect(try node.post("t", "[1,2]").status == 201) }
        let stored = try node.stored("t").records
        for partition: Int32 in 0..<3 { #expect(stored.filter { $0.partition == partition }.count == 4) }
    }

    @Test func resultsAreListedAsAskedAndUpToAHundredByDefault() throws {
        let node = try GatewayHarness()
        let hundred = "[" + Array(repeating: "1", count: 100).joined(separator: ",") + "]"
        let more = "[" + Array(repeating: "1", count: 101).joined(separator: ",") + "]"
        #expect(try node.post("t", hundred).results.count == 100)
        #expect(try node.post("t", more).results.count == 0)
        let all = try node.post("t", more, query: "?results=all")
        #expect(all.offsets == Array(201..<302))
        let none = try node.post("t", hundred, query: "?results=none")
        #expect(none.json["results"] == nil && none.number("accepted") == 100)
        #expect(try node.post("t", "1", query: "?results=some").string("code") == "invalid_parameter")
    }

    /// Two bytes of a request are some hundred of its reply.
    @Test func aLongListOfResultsIsCutAndSaysSo() throws {
        let node = try GatewayHarness()
        let fields = ["Content-Type: application/x-ndjson"]
        let count = 60_000
        let lines = String(repeating: "1\n", count: count)
        let all = try node.post("t", lines, query: "?results=all", fields: fields)
        #expect(all.number("accepted") == count)
        #expect(all.json["results_truncated"] as? Bool == true)
        #expect(all.offsets == Array(0..<all.results.count))
        #expect((1000..<count).contains(all.results.count))
        // What was refused is listed behind that.
        let mixed = try node.post("t", lines + "x\n", query: "?results=all", fields: fields)
        #expect(mixed.json["results_truncated"] as? Bool == true)
        #expect(mixed.results.last?["index"] as? Int == count)
        // And that, too, has an end.
        let wrong = try node.post(
            "t", "1\n" + String(repeating: "x\n", count: 99_999), query: "?results=errors", fields: fields)
        #expect(wrong.number("rejected") == 99_999)
        #expect(wrong.json["results_truncated"] as? Bool == true || wrong.results.count == 99_999)
        #expect(try node.post("t", "1\nx\n", query: "?results=all", fields: fields).json["results_truncated"] == nil)
    }

    @Test func aMixedBatchIs207AndTellsWhichEventsAreWrong() throws {
        let node = try GatewayHarness()
        let reply = try node.post(
            "t", "{\"a\":1}\n{\"b\":\n{\"c\":3}\n{\"d\":\"\u{1}\"}\n", fields: ["Content-Type: application/x-ndjson"])
        #expect(reply.status == 207)
        #expect(reply.statuses == ["ok", "invalid", "ok", "invalid"])
        #expect(reply.results[1]["code"] as? String == "invalid_json")
        #expect(reply.results[1]["position"] as? Int == 5)
        #expect(reply.number("accepted") == 2 && reply.number("rejected") == 2)
        #expect(reply.offsets == [0, 1])
        #expect(try node.values("t") == ["{\"a\":1}", "{\"c\":3}"])
        let errors = try node.post(
            "t", "1\nx\n2", query: "?results=errors", fields: ["Content-Type: application/x-ndjson"])
        #expect(errors.statuses == ["invalid"])
        #expect(errors.results[0]["index"] as? Int == 1)
    }

    @Test func anAtomicBatchIsAllOrNothing() throws {
        let node = try GatewayHarness()
        let fields = ["Content-Type: application/x-ndjson", "X-Batch-Mode: atomic"]
        let refused = try node.post("t", "{\"a\":1}\nx\n{\"c\":3}", fields: fields)
        #expect(refused.status == 422)
        #expect(refused.string("code") == "batch_rejected")
        let errors = try #require(refused.json["errors"] as? [[String: Any]])
        #expect(errors.count == 1 && errors[0]["index"] as? Int == 1)
        #expect(try node.values("t") == [])
        #expect(try node.post("t", "1\n2", fields: fields).status == 201)
        #expect(try node.post("t", "1", fields: ["X-Batch-Mode: sometimes"]).string("code") == "invalid_header")
    }

    @Test func whenNothingIsAcceptedTheStatusSaysSo() throws {
        let node = try GatewayHarness()
        let type = "Content-Type: application/x-ndjson"
        #expect(try node.post("t", "x\ny", fields: [type]).status == 422)
        #expect(try node.post("t", "x", fields: [type]).string("code") == "invalid_json")
        #expect(try node.post("t", "[]").string("code") == "empty_batch")
        #expect(try node.values("t") == [])
    }

    @Test func largeEventsAreRefusedOneByOne() throws {
        var options = GatewayOptions()
        options.maxEventBytes = 1000
        let node = try GatewayHarness(options)
        let large = "\"" + String(repeating: "x", count: 1000) + "\""
        let single = try node.post("t", large)
        #expect(single.status == 413)
        #expect(single.string("code") == "event_too_large")
        #expect(single.number("limit") == 1000)
        let mixed = try node.post("t", "[1,\(large),2]")
        #expect(mixed.status == 207)
        #expect(mixed.statuses == ["ok", "too_large", "ok"])
        #expect(try node.post("t", "[\(large),\(large)]").status == 413)
        #expect(try node.values("t") == ["1", "2"])
    }

    @Test func aTopicsLowerLimitCounts() throws {
        let node = try GatewayHarness(topicDefaults: ["max.message.bytes": "2000"])
        let event = "\"" + String(repeating: "x", count: 700) + "\""
        let reply = try node.post("t", "[\(event),\(event),\(event),\(event)]")
        #expect(reply.status == 201, "\(reply.text)")
        #expect(reply.offsets == [0, 1, 2, 3])
        #expect(try node.stored("t").batches > 1)
        let atomic = try node.post("t", "[\(event),\(event),\(event)]", fields: ["X-Batch-Mode: atomic"])
        #expect(atomic.status == 413)
        #expect(atomic.string("code") == "batch_too_large")
        #expect(try node.post("t", "\"" + String(repeating: "x", count: 2000) + "\"").status == 413)
        #expect(try node.values("t").count == 4)
    }

    @Test func manyEventsGetConsecutiveOffsetsOverSeveralBatches() throws {
        let node = try GatewayHarness()
        let events = (0..<20_000).map {
            "{\"id\":\($0),\"note\":\"some text to fill the batch with bytes, and more of it\"}"
        }
        let reply = try node.post("t", "[" + events.joined(separator: ",") + "]", query: "?results=all")
        #expect(reply.status == 201)
        #expect(reply.offsets == Array(0..<20_000))
        let stored = try node.stored("t")
        #expect(stored.batches > 1)
        #expect(stored.records.map(\.value) == events)
    }

    @Test func theNumberOfEventsIsLimited() throws {
        var options = GatewayOptions()
        options.maxEventsPerRequest = 3
        let node = try GatewayHarness(options)
        #expect(try node.post("t", "[1,2,3]").status == 201)
        #expect(try node.post("t", "[1,2,3,4]").string("code") == "too_many_events")
        let type = "Content-Type: application/jsonl"
        let atomic = try node.post("t", "1\n2\n3\n4", fields: [type, "X-Batch-Mode: atomic"])
        #expect(atomic.status == 413 && atomic.number("limit") == 3)
        #expect(try node.values("t").count == 3)
        // Lines need not be stored all at once, so there are as many as there are.
        let lines = try node.post("t", "1\n2\n3\n4\nno\n6\n7", query: "?results=all", fields: [type])
        #expect(lines.status == 207 && lines.number("accepted") == 6 && lines.number("rejected") == 1)
        #expect(
            lines.results.compactMap { $0["index"] as? Int } == Array(0..<7) && lines.offsets == [3, 4, 5, 6, 7, 8])
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func malformedBodiesAreRefusedWithTheirPlace() throws {
        let node = try GatewayHarness()
        let reply = try node.post("t", "[{\"a\":1},{\"b\":}]")
        #expect(reply.status == 400)
        #expect(reply.string("code") == "invalid_json")
        #expect(reply.string("detail")?.hasSuffix("at byte 14.") == true)
        #expect(try node.post("t", "").string("code") == "body_required")
        #expect(try node.post("t", " \n").string("code") == "body_required")
        let bad = try node.call("POST", "/v1/topics/t/events", bytes: Array("\"".utf8) + [0xff] + Array("\"".utf8))
        #expect(bad.string("code") == "invalid_utf8")
        let deep = String(repeating: "[", count: 70) + String(repeating: "]", count: 70)
        #expect(try node.post("t", deep).string("code") == "depth_exceeded")
        #expect(node.broker.catalog.topic(named: "t") == nil, "a refused request makes no topic")
    }

    @Test(arguments: [
        "text/plain", "application/xml", "application/jsonp", "nonsense", "application/json; charset=utf-16",
        "application/x-www-form-urlencoded",
    ])
    func otherMediaTypesAre415AndTheReplyListsTheGoodOnes(type: String) throws {
        let node = try GatewayHarness()
        let reply = try node.post("t", "{}", fields: ["Content-Type: \(type)"])
        #expect(reply.status == 415)
        #expect(reply.fields["accept"] == "application/json, application/x-ndjson, application/jsonl")
        #expect(reply.fields["content-type"] == "application/problem+json")
    }

    @Test(arguments: ["br", "deflate", "gzip, gzip", "x"])
    func otherContentCodingsAre415(coding: String) throws {
        let node = try GatewayHarness()
        let reply = try node.post("t", "{}", fields: ["Content-Encoding: \(coding)"])
        #expect(reply.status == 415)
        #expect(reply.fields["accept-encoding"] == "gzip, zstd, identity")
        #expect(try node.post("t", "{}", fields: ["Content-Encoding: identity"]).status == 201)
    }

    @Test func impossibleTopicsAreRefused() throws {
        let node = try GatewayHarness()
        for path in ["bad%20name", "..", "a%2Fb", "a%00b", "%zz", String(repeating: "x", count: 250)] {
            let reply = try node.post(path, "{}")
            #expect(reply.status == 400, "\(path)")
            #expect(reply.string("code") == "invalid_topic")
        }
        #expect(try node.post("__consumer_offsets", "{}").status != 201)
        // A second name of the same topic, by which a proxy's rules and keys of requests would be walked around.
        for path in ["b%6frders", "%62", "a%2Dc", "x%zz%61"] {
            let reply = try node.post(path, "{}")
            #expect(reply.status == 404 && reply.string("code") == "not_found", "\(path)")
        }
    }

    @Test func withoutAutoCreationAnUnknownTopicIs404() throws {
        let node = try GatewayHarness(autoCreate: false)
        let reply = try node.post("t", "{}")
        #expect(reply.status == 404)
        #expect(reply.string("code") == "topic_not_found")
    }

    @Test func aFullDiskIs507AndReadsGoOnUntilThereIsRoomAgain() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "1").status == 201)
        // Below the reserve, and far from an error of the disk.
        node.fileSystem.capacity = node.fileSystem.usedBytes + (32 << 20)
        // The free space is looked at every second.
        #expect(try eventually { try node.post("t", "2").status == 507 })
        let refused = try node.post("t", "3")
        #expect(refused.status == 507 && refused.string("code") == "insufficient_storage")
        #expect(refused.json["retryable"] as? Bool == true && refused.fields["retry-after"] != nil)
        let before = try node.values("t")
        #expect(before.first == "1" && !before.contains("3"))
        #expect(try node.call("GET", "/v1/topics/t/records?offset=0").status == 200)
        node.fileSystem.capacity = nil
        #expect(try eventually { try node.post("t", "4").status == 201 })
        #expect(try node.values("t") == before + ["4"])
    }

    @Test func aFailedDiskIs503AndReadsGoOn() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "1").status == 201)
        // The journal, so that the store fails with this very commit. Were it every file, the partition's own ones could
        // fail first, by writing behind: its appends are refused then, so nothing is committed, and the store stays ready.
        node.fileSystem.inject(.init(.fail(errno: 5), pathContains: ".journal", times: .max))
        let refused = try node.post("t", "2")
        #expect(refused.status == 503)
        #expect(refused.string("code") == "storage_unavailable")
        #expect(refused.json["retryable"] as? Bool == true)
        #expect(refused.fields["retry-after"] != nil)
        #expect(try node.values("t") == ["1"])
        #expect(try node.call("GET", "/readyz").status == 503)
        #expect(try node.call("GET", "/healthz").status == 200)
    }
}
