import BrokerCore
import BrokerTestKit
import Configuration
import IngestGateway
import Testing

/// Routes as a configuration says them: what they take, what they add, what they answer.
@Suite struct RoutedEventTests {
    private static let typed = """
        routes:
          - id: ingest
            path: [/ingest, /]
            prefix: ["", /dev]
            formats: [json, any-json]
            schema:
              type: object
              required: [event_type, payload]
              properties:
                event_type: {enum: [session_started, session_completed]}
                payload: {type: object}
                timestamp: {type: [string, number, "null"]}
            key: /event_type
            to: {topic: typed}
            enrich:
              members: {timestamp: now}
              headers: {event_id: uuidv7, ingested_at: now, source: "text:mobile"}
            reply: {form: shard, message: Event received successfully, echo: {eventType: /event_type}}
        """

    private func node(_ yaml: String, partitions: Int32 = 1, _ options: GatewayOptions = GatewayOptions()) throws
        -> GatewayHarness
    {
        try GatewayHarness(options, partitions: partitions, configuration: GatewayConfiguration(yaml: yaml, options))
    }

    @Test(arguments: ["/ingest", "/", "/dev/ingest", "/dev"])
    func refusalsAreInTheUseCasesWords(path: String) throws {
        let node = try node(Self.typed)
        let list = "Invalid event_type. Must be one of: session_started, session_completed"
        let cases = [
            ("", "Request body is required"), (" ", "Request body is required"),
            ("{\"payload\":{}}", "event_type is required"), ("{}", "event_type is required"),
            ("{\"event_type\":\"\",\"payload\":{}}", "event_type is required"),
            ("{\"event_type\":null,\"payload\":{}}", "event_type is required"),
            ("{\"event_type\":-0.0e5,\"payload\":{}}", "event_type is required"),
            ("{\"event_type\":\"invalid_event\",\"payload\":{}}", list), ("{\"event_type\":\"invalid_event\"}", list),
            ("{\"event_type\":5,\"payload\":{}}", list), ("{\"event_type\":[],\"payload\":{}}", list),
            ("{\"event_type\":\"session_started\"}", "payload is required"),
            ("{\"event_type\":\"session_started\",\"payload\":0}", "payload is required"),
            ("{\"event_type\":\"session_started\",\"payload\":[1]}", "payload must be a JSON object"),
            (
                "{\"event_type\":\"session_started\",\"payload\":{},\"timestamp\":{}}",
                "timestamp must be a string or a number or null"
            ),
            ("[]", "Request body must be a JSON object"),
        ]
        for (body, error) in cases {
            let reply = try node.call("POST", path, body)
            #expect(reply.status == 400 && reply.string("error") == error, "\(body): \(reply.text)")
        }
        let wrong = try node.call("POST", path, "{\"event_type\":\"x\",\"payload\":{}}")
        let errors = try #require(wrong.json["errors"] as? [[String: Any]])
        #expect(errors.first?["pointer"] as? String == "/event_type" && errors.first?["keyword"] as? String == "enum")
        #expect(try node.values("typed") == [])
    }

    @Test func anEventIsAcceptedWithSequenceNumberAndShard() throws {
        let node = try node(Self.typed, partitions: 2)
        // The media type is that of curl's -d.
        let reply = try node.call(
            "POST", "/", "{\"event_type\":\"session\\u005fstarted\",\"payload\":{\"a\":1} }",
            fields: ["Content-Type: application/x-www-form-urlencoded"])
        #expect(reply.status == 202)
        #expect(reply.string("message") == "Event received successfully")
        #expect(reply.string("eventType") == "session_started" && reply.string("sequenceNumber") == "0")
        #expect(reply.string("shardId") == "shardId-00000000000\(reply.number("partition") ?? -1)")
        let record = try #require(try node.stored("typed").records.first)
        #expect(record.key == "session_started")
        let time = try #require(record.headers["ingested_at"])
        #expect(
            record.value
                == "{\"event_type\":\"session\\u005fstarted\",\"payload\":{\"a\":1} ,\"timestamp\":\"\(time)\"}")
        #expect(record.headers == ["event_id": reply.string("event_id"), "ingested_at": time, "source": "mobile"])
    }

    @Test func whatTheEventHasIsNotOverwritten() throws {
        let node = try node(Self.typed)
        let event = "{\"event_type\":\"session_started\",\"payload\":{},\"timest\\u0061mp\":null}"
        #expect(try node.call("POST", "/ingest", event).status == 202)
        #expect(try node.values("typed") == [event])
    }

    @Test func failuresOfOursAreToldInTheWordsThatItsClientsKnow() throws {
        let node = try node(Self.typed)
        let event = "{\"event_type\":\"session_started\",\"payload\":{}}"
        #expect(try node.call("POST", "/ingest", event).status == 202)
        node.fileSystem.inject(.init(.fail(errno: 5), pathContains: ".journal", times: .max))
        // The first fails with its commit, which is its connection's affair; from then on the store takes nothing.
        #expect(try node.call("POST", "/ingest", event).status == 503)
        let reply = try node.call("POST", "/ingest", event)
        #expect(reply.status >= 500 && reply.string("error") == "Internal server error")
        #expect(reply.string("message")?.isEmpty == false && reply.string("message") != "Internal server error")
    }

    private static let batch = """
        routes:
          - path: /rides
            to: rides
            key: /car
            schema: {type: object, properties: {car: {type: string}, km: {type: number, minimum: 0}}, required: [car]}
        """

    @Test func eventsGoToThePartitionsOfTheirKeys() throws {
        let node = try node(Self.batch, partitions: 4)
        let cars = ["a", "b", "c", "a", "d", "b", "a"]
        let lines = cars.enumerated().map { "{\"car\":\"\($1)\",\"km\":\($0)}" }
        let reply = try node.call(
            "POST", "/rides", lines.joined(separator: "\n"), fields: ["Content-Type: application/x-ndjson"])
        #expect(reply.status == 201 && reply.number("accepted") == 7)
        let stored = try node.stored("rides").records
        #expect(Set(stored.map(\.partition)).count > 1)
        for (index, result) in reply.results.enumerated() {
            let record = try #require(
                stored.first {
                    Int($0.partition) == result["partition"] as? Int && Int($0.offset) == result["offset"] as? Int
                })
            #expect(record.value == lines[index] && record.key == cars[index])
            #expect(record.headers["event_id"] == result["event_id"] as? String)
        }
        let ofA = stored.filter { $0.key == "a" }
        #expect(Set(ofA.map(\.partition)).count == 1)
        #expect(ofA.map(\.value) == [lines[0], lines[3], lines[6]])
    }

    @Test func whatIsWrongIsToldByEventAndTheRestIsStored() throws {
        let node = try node(Self.batch)
        let lines = "{\"car\":\"a\"}\n{\"car\":5}\nnot json\n{\"km\":1}\n{\"car\":\"b\",\"km\":-1}\n{\"car\":\"c\"}"
        let reply = try node.call("POST", "/rides", lines, fields: ["Content-Type: application/x-ndjson"])
        #expect(reply.status == 207 && reply.number("accepted") == 2 && reply.number("rejected") == 4)
        #expect(reply.statuses == ["ok", "invalid", "invalid", "invalid", "invalid", "ok"])
        #expect(
            reply.results.map { $0["error"] as? String } == [
                nil, "car must be a string", "Only true, false and null are literals", "car is required",
                "km must be 0 or more", nil,
            ])
        #expect(reply.results[3]["pointer"] as? String == "/car")
        #expect(try node.values("rides") == ["{\"car\":\"a\"}", "{\"car\":\"c\"}"])
        let atomic = try node.call(
            "POST", "/rides", lines, fields: ["Content-Type: application/x-ndjson", "X-Batch-Mode: atomic"])
        #expect(atomic.status == 422 && (atomic.json["errors"] as? [Any])?.count == 4)
        #expect(try node.values("rides").count == 2)
    }

    @Test func anAtomicBatchGoesToOnePartitionOrNowhere() throws {
        let node = try node(Self.batch, partitions: 4)
        let fields = ["X-Batch-Mode: atomic"]
        #expect(try node.call("POST", "/rides", "[{\"car\":\"a\"},{\"car\":\"a\"}]", fields: fields).status == 201)
        let spread = "[" + ["a", "b", "c", "d", "e"].map { "{\"car\":\"\($0)\"}" }.joined(separator: ",") + "]"
        let refused = try node.call("POST", "/rides", spread, fields: fields)
        #expect(refused.status == 413 && refused.string("code") == "batch_too_large")
        #expect(try node.values("rides").count == 2)
    }

    @Test func aRouteTakesThePathOfABuiltInOneAndLeavesTheRest() throws {
        let node = try node(
            "routes:\n  - {id: mine, path: /events, to: mine, reply: event}\n  - {id: ingest, enabled: false}")
        #expect(try node.call("POST", "/events", "{\"a\":1}").string("topic") == "mine")
        #expect(try node.call("POST", "/ingest", "{\"event_type\":\"a\",\"payload\":{}}").status == 404)
        #expect(try node.post("other", "{}").status == 201)
        #expect(try node.call("GET", "/healthz").status == 200)
    }

    @Test func aReplyThatDoesNotWaitIsCounted() throws {
        let yaml = "routes:\n  - {path: /log, to: log, ack: none, success: 202}"
        let node = try GatewayHarness(
            holdsCommits: true, configuration: GatewayConfiguration(yaml: yaml))
        let topic = node.broker.createTopic("log")
        #expect(throws: Never.self) { _ = try topic.get() }
        #expect(try node.call("POST", "/log", "[{},{}]").status == 202)
        #expect(node.metric("millrace_http_unacknowledged_total") == 2)
    }

    @Test func theRateOfARouteIsHeldWith429() throws {
        let node = try node("routes:\n  - {path: /r, to: r, rate: {rps: 1, burst: 3}}")
        let client = try node.connect()
        for _ in 0..<5 { try client.send(HTTPClient.request("POST", "/r", Array("{}".utf8))) }
        let replies = try (0..<5).map { _ in try client.receive() }
        #expect(replies.map(\.status) == [201, 201, 201, 429, 429])
        #expect(replies[4].fields["retry-after"] == "1")
        #expect(replies[4].fields["ratelimit-policy"] == "\"r\";q=3;w=3")
    }

    @Test func keysAreTextAndOfBoundedLength() throws {
        let node = try node(
            "routes:\n  - {path: /k, to: k, key: /a/1, key_required: true}\n  - {path: /o, to: o, key: /a}\n"
                + "  - {path: /f, to: f}")
        #expect(try node.call("POST", "/k", "{\"a\":[0,12.50]}").status == 201)
        #expect(try node.stored("k").records.map(\.key) == ["12.50"])
        for body in ["{}", "{\"a\":[]}", "{\"a\":[1,{}]}", "{\"a\":[1,\"\\u0000\"]}", "{\"a\":[1,\"\\ud800\"]}"] {
            #expect(try node.call("POST", "/k", body).status == 400, "\(body)")
        }
        let long = String(repeating: "x", count: 1025)
        #expect(try node.call("POST", "/o", "{\"a\":\"\(long)\"}").string("error") == "a is longer than 1024 bytes")
        #expect(try node.call("POST", "/o", "{}").status == 201)
        #expect(try node.stored("o").records.map(\.key) == [nil])
        #expect(try node.call("POST", "/o", "{}", fields: ["Partition-Key: x"]).string("code") == "unsupported_header")
        #expect(try node.call("POST", "/f", "{}", fields: ["Partition-Key: x"]).status == 201)
        #expect(try node.stored("f").records.map(\.key) == ["x"])
    }

    @Test func aKeyThatIsRequiredIsAskedForWhereverItComesFrom() throws {
        let node = try node(
            """
            routes:
              - {path: /usual, to: usual, key_required: true, formats: [json, ndjson, csv, raw]}
              - {path: /named, to: named, key: Partition-Key, key_required: true, formats: [json, cloudevents]}
              - {path: /inside, to: inside, key: /a, key_required: true, formats: [raw, ndjson]}
            """)
        for (type, body) in [
            ("application/json", "{}"), ("application/x-ndjson", "{}\n{}\n"), ("text/csv", "a\n1\n"), ("x/y", "z"),
        ] {
            let reply = try node.call("POST", "/usual", body, fields: ["Content-Type: \(type)"])
            #expect(reply.status == 400 && reply.string("code") == "missing_field", "\(type): \(reply.text)")
            #expect(reply.string("error") == "The header field Partition-Key is required")
            let keyed = try node.call("POST", "/usual", body, fields: ["Content-Type: \(type)", "Partition-Key: k"])
            #expect(keyed.status == 201, "\(type): \(keyed.text)")
        }
        #expect(try node.stored("usual").records.allSatisfy { $0.key == "k" })
        #expect(try node.call("POST", "/named", "{}").string("code") == "missing_field")
        // An event of its own kind may have its key among its attributes.
        func cloud(_ more: String) -> String {
            "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/t\",\"type\":\"t\"\(more)}"
        }
        let structured = ["Content-Type: application/cloudevents+json"]
        #expect(try node.call("POST", "/named", cloud(""), fields: structured).string("code") == "missing_field")
        #expect(try node.call("POST", "/named", cloud(",\"partitionkey\":\"k\""), fields: structured).status == 201)
        let binary = ["ce-specversion: 1.0", "ce-id: 1", "ce-source: /t", "ce-type: t"]
        #expect(try node.call("POST", "/named", "x", fields: binary).string("code") == "missing_field")
        #expect(try node.call("POST", "/named", "x", fields: binary + ["ce-partitionkey: k"]).status == 201)
        #expect(try node.stored("named").records.map(\.key) == ["k", "k"])
        #expect(try node.call("POST", "/inside", "x", fields: ["Content-Type: x/y"]).string("code") == "missing_field")
    }

    // MARK: What is no configuration

    @Test(arguments: [
        ("routes: 1", "line 1): must be a list"),
        ("routes:\n  - /a", "line 2): must be a mapping"),
        ("routes:\n  - {path: /a}", "line 2): nothing says where its events go"),
        ("routes:\n  - {to: a}", "there is no path"),
        (
            "routes:\n  - path: /a\n    too: a",
            "routes[0].too=a (from FILE, line 3): there is no such key; did you mean to?"
        ),
        ("routes:\n  - path: /a\n    to: a\n    rate: {rps: lots}", "routes[0].rate.rps=lots (from FILE, line 4)"),
        ("routes:\n  - path: /a\n    to: a b", "routes[0].to=a b (from FILE, line 3)"),
        ("routes:\n  - {path: /a, to: a}\n  - {path: /a, to: b, id: x}", "line 3): route x: /a is a path of route a"),
        (
            "routes:\n  - {path: /healthz, to: a, id: x}",
            "(from FILE, line 2): route x: /healthz is a path of route health, which is there by itself"
        ),
        ("routes:\n  - {path: /a, to: a, key: event_type}", "JSON pointer"),
        ("routes:\n  - {path: /a, to: a, key: none, key_required: true}", "the route's events have no key"),
        ("routes:\n  - {path: /a, to: a, ack: none}", "the reply would say that the event is stored"),
        ("routes:\n  - {path: /a, to: a, reply: event, formats: [ndjson]}", "the reply is of one event"),
        ("routes:\n  - {path: /a, to: a, formats: [any-json, raw]}", "cannot be JSON and something else"),
        ("routes:\n  - {path: /a, to: a, formats: raw, schema: {}}", "cannot be held against a schema"),
        ("routes:\n  - {path: /a, to: a, formats: csv, csv: {delimiter: ab}}", "must be one character"),
        ("routes:\n  - {path: /a, to: a, csv: {skip_lines: 1}, formats: json}", "csv is not among them"),
        ("routes:\n  - {path: /a, to: a, formats: csv, csv: {columns: [b, c], names: {c: b}}}", "stands twice"),
        (
            "routes:\n  - {path: /a, to: a, formats: csv, csv: {columns: ["
                + (0...1024).map { "c\($0)" }.joined(separator: ", ") + "]}}", "at most 1024 cells"
        ),
        (
            "routes:\n  - {path: /a, to: a, reply: {form: shard, echo: {"
                + (0...16).map { "e\($0): /a" }.joined(separator: ", ") + "}}}", "echoes more than 16 values"
        ),
        ("routes:\n  - {path: /a, to: a, max_body: 17MiB}", "http.max.request.bytes"),
        (
            "routes:\n  - {path: /a, to: a, schema: {pattern: \"(?=a)\"}}",
            "is no pattern that is matched here: '(?' other"
        ),
        (
            "routes:\n  - {path: /a, to: a, schema: {patternProperties: {}}}",
            "this keyword of JSON Schema is not checked here"
        ),
        ("routes:\n  - {path: /a, to: a, schema: {$ref: \"#\"}}", "refers to itself"),
        ("routes:\n  - {path: /a, to: a, schema: {$ref: \"#/$defs/a\"}}", "there is no such part"),
        ("routes:\n  - {path: /a, to: a, enrich: {headers: {x: never}}}", "must be uuidv7"),
        ("routes:\n  - {id: other, enabled: false}", "there is no route other by itself"),
        ("topics: {a: {partitions: 0}}", "topics.a.partitions=0"),
        ("topics: {a: {retention: soon}}", "topics.a.retention=soon"),
        ("topics: {a: {retension: 1}}", "did you mean retention?"), ("alarms: {a: {above: 1}}", "must say metric"),
    ])
    func whatIsWrongIsToldWithItsPlace(yaml: String, expected: String) throws {
        do {
            _ = try GatewayConfiguration(yaml: yaml)
            Issue.record("\(yaml) was taken")
        } catch let error as ConfigurationError {
            let text = error.description.replacing(#/\/[^ ,]*\.yaml/#, with: "FILE")
            #expect(text.contains(expected), "\(text)")
        }
    }

    @Test func everythingThatIsWrongIsToldAtOnce() throws {
        do {
            _ = try GatewayConfiguration(yaml: "topics: {a: {partitions: 0}}\nroutes:\n  - {path: /a}\n  - {to: b}")
            Issue.record("it was taken")
        } catch let error as ConfigurationError {
            #expect(error.problems.count == 3)
        }
    }
}
