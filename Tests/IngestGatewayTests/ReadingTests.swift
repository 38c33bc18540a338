import BrokerCore
import IngestGateway
import LogStorage
import RecordFormat
import Testing

@Suite struct GetRecordsTests {
    @Test func recordsAreReadBackFromAnOffsetUpToALimit() throws {
        let node = try GatewayHarness()
        let events = (0..<30).map { "{\"n\": \($0)}" }
        #expect(try node.post("t", "[" + events.joined(separator: ",") + "]").status == 201)
        for path in [
            "/v1/topics/t/records?partition=0&offset=5&limit=10", "/v1/topics/t/partitions/0/records?offset=5&limit=10",
        ] {
            let reply = try node.call("GET", path)
            #expect(reply.status == 200)
            let records = try #require(reply.json["records"] as? [[String: Any]])
            #expect(records.map { $0["offset"] as? Int } == Array(5..<15))
            #expect((records[0]["value"] as? [String: Int]) == ["n": 5])
            #expect(reply.text.contains("\"value\":{\"n\": 5},\"value_encoding\":\"json\""))
            #expect(reply.number("next_offset") == 15)
            #expect(reply.number("high_watermark") == 30)
        }
        let end = try node.call("GET", "/v1/topics/t/records?offset=latest")
        #expect(end.number("next_offset") == 30)
        #expect((end.json["records"] as? [Any])?.isEmpty == true)
        #expect((try node.call("GET", "/v1/topics/t/records").json["records"] as? [Any])?.count == 30)
    }

    @Test func valuesThatAreNoJSONAreTextOrBase64() throws {
        let node = try GatewayHarness()
        let topic = try node.broker.topicCreatingIfAllowed("t").get()
        var builder = RecordBatchBuilder()
        // Not long ago, or retention would take them.
        let time = BrokerClock.wallMs() / 1000 * 1000
        builder.append(key: Array("k\"1".utf8), value: Array("plain \"text\"\n".utf8), timestampMs: time)
        builder.append(
            key: [0xff, 0xfe], value: [0xff, 0x00], headers: [RecordHeader(key: "h", value: nil)], timestampMs: time)
        builder.append(key: nil, value: nil, timestampMs: time)
        _ = try topic.partitions[0].append(builder.finishUncompressed(), origin: .broker, nowMs: time).get()
        #expect(try node.post("t", "1").status == 201)
        let reply = try node.call("GET", "/v1/topics/t/records")
        let records = try #require(reply.json["records"] as? [[String: Any]])
        try #require(records.count == 4, "\(reply.text)")
        #expect(records[0]["key"] as? String == "k\"1")
        #expect(records[0]["value"] as? String == "plain \"text\"\n")
        #expect(records[0]["value_encoding"] as? String == "text")
        #expect((records[0]["timestamp"] as? String)?.hasSuffix(".000Z") == true)
        #expect(records[0]["timestamp_ms"] as? Int == Int(time))
        #expect(records[1]["key"] as? String == "//4=")
        #expect(records[1]["key_encoding"] as? String == "base64")
        #expect(records[1]["value"] as? String == "/wA=")
        #expect(records[1]["value_encoding"] as? String == "base64")
        #expect((records[1]["headers"] as? [[String: Any]])?.first?["name"] as? String == "h")
        #expect(reply.text.contains("\"value\":null,\"headers\":[]"))
    }

    @Test func wrongQuestionsAreAnsweredWithTheirProblem() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "1").status == 201)
        for (path, code) in [
            ("/v1/topics/none/records", "topic_not_found"), ("/v1/topics/t/records?partition=1", "partition_not_found"),
            ("/v1/topics/t/partitions/x/records", "partition_not_found"),
            ("/v1/topics/t/records?offset=7", "offset_out_of_range"),
            ("/v1/topics/t/records?offset=x", "invalid_parameter"),
            ("/v1/topics/t/records?limit=0", "invalid_parameter"),
            ("/v1/topics/t/records?limit=99999", "invalid_parameter"),
            ("/v1/topics/t/records?max_bytes=-1", "invalid_parameter"),
        ] {
            let reply = try node.call("GET", path)
            #expect(reply.string("code") == code, "\(path)")
            #expect(reply.status == (code.hasSuffix("not_found") ? 404 : 400))
        }
    }
}

@Suite struct OperationsTests {
    @Test func healthReadinessMetricsAndStatisticsAreServed() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "[1,2]").status == 201)
        #expect(try node.post("t", "x").status == 400)
        #expect(try node.call("GET", "/healthz").string("status") == "ok")
        #expect(try node.call("GET", "/readyz").string("status") == "ready")
        let metrics = try node.call("GET", "/metrics")
        #expect(metrics.fields["content-type"]?.hasPrefix("text/plain; version=0.0.4") == true)
        #expect(
            metrics.text.contains(
                "millrace_ingest_records_total{route=\"/v1/topics/{topic}/events\",result=\"accepted\"} 2\n"))
        #expect(metrics.text.contains("millrace_ingest_rejected_total{reason=\"invalid_json\"} 1\n"))
        #expect(
            metrics.text.contains(
                "millrace_http_requests_total{route=\"/v1/topics/{topic}/events\",status=\"201\",code=\"\"} 1\n"))
        let sample = #/[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_]\w*="([^"\\]|\\.)*",?)*\})? [-+0-9.eE]+(Inf|NaN)?/#
        for line in metrics.text.split(separator: "\n") where !line.hasPrefix("#") {
            #expect(line.wholeMatch(of: sample) != nil, "\(line)")
        }
        let statistics = try node.call("GET", "/stats")
        #expect(statistics.fields["content-type"]?.hasPrefix("application/json") == true)
        #expect(statistics.number("accepted") == 2)
        #expect(statistics.number("rejected") == 1)
        #expect((statistics.json["rejected_by_reason"] as? [String: Int]) == ["invalid_json": 1])
    }

    @Test func headGivesTheHeadAndOptionsTheMethods() throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        try client.send(HTTPClient.request("HEAD", "/healthz", nil))
        let head = try client.receive(toHead: true)
        #expect(head.status == 200 && head.fields["content-length"] == "16")
        try client.send(HTTPClient.request("OPTIONS", "/events", nil))
        let options = try client.receive()
        #expect(options.status == 204 && options.fields["allow"] == "POST, OPTIONS")
        try client.send(HTTPClient.request("DELETE", "/stats", nil))
        let refused = try client.receive()
        #expect(refused.status == 405 && refused.fields["allow"] == "GET, HEAD, OPTIONS")
        try client.send(HTTPClient.request("GET", "/healthz", nil))
        #expect(try client.receive().status == 200)
    }

    @Test func theProblemBodyHasEveryFamilysMembers() throws {
        let node = try GatewayHarness()
        let reply = try node.call("GET", "/no\"thing?x", fields: ["X-Request-Id: r-1"])
        #expect(reply.status == 404)
        #expect(reply.fields["content-type"] == "application/problem+json")
        #expect(reply.string("type") == "urn:millrace:problem:not_found")
        #expect(reply.string("title") == "Not found")
        #expect(reply.number("status") == 404)
        #expect(reply.string("instance") == "/no\"thing")
        #expect(reply.string("code") == "not_found")
        #expect(reply.number("error_code") == 40400)
        #expect(reply.string("request_id") == "r-1")
        #expect(reply.json["retryable"] as? Bool == false)
        for member in ["detail", "error", "message"] { #expect(reply.string(member)?.isEmpty == false) }
    }

    @Test func harmfulRequestIDsAreReplaced() throws {
        let node = try GatewayHarness()
        let kept = try node.post("t", "{}", fields: ["X-Request-Id: trace-1.a:b_c"])
        #expect(kept.string("request_id") == "trace-1.a:b_c")
        for harmful in ["<script>", "a b", String(repeating: "x", count: 129), "\"", "é"] {
            let reply = try node.post("t", "{}", fields: ["X-Request-Id: \(harmful)"])
            #expect(reply.string("request_id")?.utf8.count == 36)
            #expect(!reply.text.contains(harmful) || harmful == "\"")
        }
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        #expect(try node.post("t", "{}", fields: ["traceparent: \(trace)"]).string("request_id") == trace)
    }
}
