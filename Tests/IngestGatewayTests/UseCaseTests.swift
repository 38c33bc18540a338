import IngestGateway
import Testing

@Suite struct WebhookTests {
    @Test func theEventIsKeptAndTheAdditionsStandBesideIt() throws {
        let node = try GatewayHarness()
        let event = "{\"event_id\":\"the client's own\", \"timestamp\":1.50}"
        let reply = try node.call("POST", "/events", event, fields: ["X-Correlation-Id: abc-1"])
        #expect(reply.status == 201)
        #expect(reply.string("request_id") == "abc-1")
        #expect(reply.fields["x-request-id"] == "abc-1")
        #expect(reply.string("topic") == "events")
        #expect(reply.number("offset") == 0 && reply.number("partition") == 0)
        let record = try #require(try node.stored("events").records.first)
        #expect(record.value == event)
        #expect(record.headers["event_id"] == reply.string("event_id"))
        #expect(record.headers["received_at"] == reply.string("received_at"))
        #expect(record.headers["request_id"] == "abc-1")
    }

    @Test func onlyAnObjectIsTaken() throws {
        let node = try GatewayHarness()
        #expect(try node.call("POST", "/events", "{\"a\":1}").status == 201)
        for body in ["[]", "1", "\"x\"", "{", "{}x"] { #expect(try node.call("POST", "/events", body).status == 400) }
        #expect(try node.call("POST", "/events", "").string("error") == "Request body is required")
        #expect(try node.call("POST", "/events").string("error") == "Request body is required")
        #expect(try node.values("events") == ["{\"a\":1}"])
    }
}

@Suite struct TypedEventTests {
    private func node() throws -> GatewayHarness {
        var options = GatewayOptions()
        options.ingestEventTypes = ["session_started", "session_completed"]
        return try GatewayHarness(options, partitions: 2)
    }

    @Test func anEventIsAcceptedWithSequenceNumberAndShard() throws {
        let node = try node()
        let body =
            "{\"event_type\":\"session_started\",\"payload\":{\"session_id\":\"sess_123\",\"student_id\":\"stu_456\"}}"
        for round in 0..<2 {
            let reply = try node.call("POST", "/ingest", body)
            #expect(reply.status == 202)
            #expect(reply.string("message") == "Event accepted")
            #expect(reply.string("eventType") == "session_started")
            #expect(reply.string("sequenceNumber") == String(round))
            #expect(reply.number("offset") == round)
            let partition = try #require(reply.number("partition"))
            #expect(reply.string("shardId") == "shardId-00000000000\(partition)")
            #expect(reply.string("event_id")?.utf8.count == 36)
        }
        let stored = try node.stored("ingest").records
        #expect(stored.map(\.value) == [body, body])
        #expect(stored.map(\.key) == ["session_started", "session_started"])
        #expect(stored[0].headers.keys.sorted() == ["event_id", "received_at", "request_id"])
    }

    @Test(arguments: ["/ingest", "/"])
    func refusalsAreInTheUseCasesWords(path: String) throws {
        let node = try node()
        let list = "Invalid event_type. Must be one of: session_started, session_completed"
        let cases = [
            ("", "Request body is required"), (" ", "Request body is required"),
            ("{\"payload\":{}}", "event_type is required"),
            ("{\"event_type\":\"\",\"payload\":{}}", "event_type is required"),
            ("{\"event_type\":null,\"payload\":{}}", "event_type is required"),
            ("{\"event_type\":0,\"payload\":{}}", "event_type is required"),
            ("{\"event_type\":-0.0e5,\"payload\":{}}", "event_type is required"),
            ("{\"event_type\":false,\"payload\":{}}", "event_type is required"),
            ("{\"event_type\":\"invalid_event\",\"payload\":{}}", list), ("{\"event_type\":5,\"payload\":{}}", list),
            ("{\"event_type\":[],\"payload\":{}}", list),
            ("{\"event_type\":\"session_started\"}", "payload is required"),
            ("{\"event_type\":\"session_started\",\"payload\":null}", "payload is required"),
            ("{\"event_type\":\"session_started\",\"payload\":0}", "payload is required"),
            ("{\"event_type\":\"session_started\",\"payload\":\"\"}", "payload is required"),
            ("{\"event_type\":\"session_started\",\"payload\":[1]}", "payload must be a JSON object"),
        ]
        for (body, error) in cases {
            let reply = try node.call("POST", path, body)
            #expect(reply.status == 400, "\(body)")
            #expect(reply.string("error") == error, "\(body)")
            #expect(reply.string("message") == error)
        }
        #expect(try node.call("POST", path, nil).string("error") == "Request body is required")
        #expect(try node.values("ingest") == [])
    }

    @Test func malformedTextIs400AndDuplicateKeysAreRefused() throws {
        let node = try node()
        let start = "{\"event_type\":\"session_started\",\"payload\":"
        for body in ["{", "[]", "1", "\"x\"", start + "{}", start + "1}"] {
            let reply = try node.call("POST", "/ingest", body)
            #expect(reply.status == 400 && reply.string("error")?.isEmpty == false, "\(body)")
        }
        let broken = try node.call("POST", "/ingest", bytes: [0xff])
        #expect(broken.status == 400 && broken.string("error")?.isEmpty == false)
        let twice = "{\"event_type\":\"session_started\",\"payload\":{},\"event_\\u0074ype\":\"session_completed\"}"
        #expect(try node.call("POST", "/ingest", twice).string("code") == "duplicate_key")
        let escaped = "{\"event_type\":\"session\\u005fstarted\",\"payload\":{}}"
        #expect(try node.call("POST", "/ingest", escaped).string("eventType") == "session_started")
    }

    @Test func withoutAListEveryTypeIsTaken() throws {
        let node = try GatewayHarness()
        #expect(try node.call("POST", "/ingest", "{\"event_type\":\"any \\u00e9\",\"payload\":{}}").status == 202)
        #expect(
            try node.call("POST", "/ingest", "{\"event_type\":\"\\ud800\",\"payload\":{}}").string("code")
                == "invalid_utf8")
        #expect(
            try node.call("POST", "/ingest", "{\"event_type\":\"a\\u0000\",\"payload\":{}}").string("code")
                == "invalid_json")
    }

    @Test func theRateIsHeldWith429() throws {
        var options = GatewayOptions()
        options.ingestRate = 1
        options.ingestBurst = 3
        let node = try GatewayHarness(options)
        let client = try node.connect()
        let body = Array("{\"event_type\":\"a\",\"payload\":{}}".utf8)
        for _ in 0..<5 { try client.send(HTTPClient.request("POST", "/ingest", body)) }
        let replies = try (0..<5).map { _ in try client.receive() }
        #expect(replies.prefix(3).map(\.status) == [202, 202, 202])
        let last = replies[4]
        #expect(last.status == 429)
        #expect(last.string("code") == "quota_exceeded")
        #expect(last.fields["retry-after"] == "1")
        #expect(last.fields["ratelimit-policy"] == "\"ingest\";q=3;w=3")
        #expect(last.fields["ratelimit"]?.contains("r=0") == true)
        #expect(try node.call("POST", "/events", "{}").status == 201)
    }
}
