import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import IngestGateway
import KafkaModel
import LogStorage
import StorageIO
import Testing

/// Requests with a key: stored once, however often they are sent.
@Suite struct IdempotencyTests {
    private static let key = "Idempotency-Key: \"8e03978e-40d5-43dd-bc93-6894a57f9324\""
    private static let typed = "{\"event_type\":\"a\",\"payload\":{}}"

    @Test(arguments: ["/v1/topics/t/events", "/events", "/ingest", "/"])
    func aRepeatGetsTheFirstReplyAndStoresNothing(path: String) throws {
        let node = try GatewayHarness()
        let first = try node.call("POST", path, Self.typed, fields: [Self.key])
        #expect((200..<300).contains(first.status), "\(first.text)")
        #expect(first.fields["idempotent-replayed"] == nil)
        for _ in 0..<3 {
            let second = try node.call("POST", path, Self.typed, fields: [Self.key])
            #expect(second.status == first.status)
            #expect(second.body == first.body)
            #expect(second.fields["content-type"] == first.fields["content-type"])
            #expect(second.fields["idempotent-replayed"] == "true")
        }
        let topic = path.hasPrefix("/v1") ? "t" : path == "/events" ? "events" : "ingest"
        #expect(try node.values(topic).count == 1)
        #expect(try node.stored(topic).records[0].headers["idempotency"]?.hasPrefix("1 ") == true)
        #expect(node.metric("millrace_idempotency_keys") == 1)
    }

    @Test func aKeyIsTheSameQuotedAndBare() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "1", fields: ["Idempotency-Key: \"a\\\"b\""]).status == 201)
        #expect(
            try node.post("t", "1", fields: ["idempotency-key: \"a\\\"b\""]).fields["idempotent-replayed"] == "true")
        #expect(try node.post("t", "2", fields: ["Idempotency-Key: c"]).status == 201)
        #expect(try node.post("t", "2", fields: ["Idempotency-Key: \"c\""]).fields["idempotent-replayed"] == "true")
        #expect(try node.values("t") == ["1", "2"])
    }

    @Test func anotherBodyWithTheSameKeyIsRefused() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "1", fields: [Self.key]).status == 201)
        let reply = try node.post("t", "2", fields: [Self.key])
        #expect(reply.status == 422)
        #expect(reply.string("code") == "idempotency_mismatch")
        #expect(try node.values("t") == ["1"])
        // A topic each: the key is one of its route and what the path names.
        #expect(try node.post("u", "2", fields: [Self.key]).status == 201)
    }

    @Test(arguments: [
        "Idempotency-Key: ", "Idempotency-Key: \"", "Idempotency-Key: \"\"", "Idempotency-Key: \"a\\",
        "Idempotency-Key: \"a\"b", "Idempotency-Key: \"a\\b\"",
        "Idempotency-Key: " + String(repeating: "k", count: 256),
    ])
    func aKeyThatIsNoneIsRefused(field: String) throws {
        let node = try GatewayHarness()
        let reply = try node.post("t", "1", fields: [field])
        #expect(reply.status == 400)
        #expect(reply.string("code") == "invalid_header")
        #expect(try node.values("t").isEmpty)
    }

    @Test func twoKeysAreNone() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "1", fields: ["Idempotency-Key: a", "Idempotency-Key: a"]).status == 400)
    }

    @Test func aRefusedRequestLeavesItsKeyFree() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "{", fields: [Self.key]).status == 400)
        #expect(try node.post("t", "1", fields: [Self.key]).status == 201)
        #expect(try node.values("t") == ["1"])
    }

    @Test func aMixedBatchIsRepeatedAsItWas() throws {
        let node = try GatewayHarness()
        let fields = [Self.key, "Content-Type: application/x-ndjson"]
        let first = try node.post("t", "1\n{\n2\n", fields: fields)
        #expect(first.status == 207)
        let second = try node.post("t", "1\n{\n2\n", fields: fields)
        #expect(second.status == 207)
        #expect(second.body == first.body)
        #expect(try node.values("t") == ["1", "2"])
    }

    @Test func aLongReplyIsRepeatedAsASummary() throws {
        let node = try GatewayHarness()
        let body = "[" + (0..<100).map(String.init).joined(separator: ",") + "]"
        let first = try node.post("t", body, fields: [Self.key])
        #expect(first.status == 201)
        #expect(first.body.count > 8 << 10)
        let second = try node.post("t", body, fields: [Self.key])
        #expect(second.status == 201)
        #expect(second.number("accepted") == 100)
        #expect(second.number("offset") == 0)
        #expect(second.json["results_truncated"] as? Bool == true)
        #expect(try node.values("t").count == 100)
    }

    @Test func whatNeedsSeveralBatchesTakesNoKey() throws {
        let node = try GatewayHarness(topicDefaults: ["max.message.bytes": "2000"])
        let body = "[" + (0..<40).map { "\"\($0)\(String(repeating: "x", count: 90))\"" }.joined(separator: ",") + "]"
        let reply = try node.post("t", body, fields: [Self.key])
        #expect(reply.status == 413)
        #expect(reply.string("code") == "batch_too_large")
        #expect(try node.values("t").isEmpty)
        #expect(try node.post("t", body).status == 201)
    }

    @Test func aConcurrentRepeatIsToldSo() throws {
        let node = try GatewayHarness()
        #expect(try node.post("t", "0", fields: ["Idempotency-Key: first"]).status == 201)
        node.disk.stall([.write, .sync])
        let first = try node.connect()
        try first.send(HTTPClient.request("POST", "/v1/topics/t/events", Array("1".utf8), fields: [Self.key]))
        #expect(eventually { node.disk.waitingCalls > 0 })
        let busy = try node.post("t", "1", fields: [Self.key])
        #expect(busy.status == 409)
        #expect(busy.string("code") == "idempotency_in_flight")
        #expect(busy.fields["retry-after"] == "1")
        #expect(try node.post("t", "2", fields: [Self.key]).status == 422)
        node.disk.release()
        #expect(try first.receive().status == 201)
        #expect(try node.post("t", "1", fields: [Self.key]).fields["idempotent-replayed"] == "true")
        #expect(try node.values("t") == ["0", "1"])
    }

    @Test func noRoomForAnotherKeyIsToldAndNothingIsForgotten() throws {
        var options = GatewayOptions()
        options.maxIdempotencyKeys = 2
        options.idempotencySharePercent = 100
        let node = try GatewayHarness(options)
        #expect(try node.post("t", "1", fields: ["Idempotency-Key: 1"]).status == 201)
        #expect(try node.post("t", "2", fields: ["Idempotency-Key: 2"]).status == 201)
        let full = try node.post("t", "3", fields: ["Idempotency-Key: 3"])
        #expect(full.status == 503)
        #expect(full.string("code") == "idempotency_full")
        #expect(Int(full.fields["retry-after"] ?? "") ?? 0 > 80_000)
        #expect(try node.post("t", "1", fields: ["Idempotency-Key: 1"]).fields["idempotent-replayed"] == "true")
        #expect(try node.post("t", "3").status == 201)
        #expect(try node.values("t") == ["1", "2", "3"])
    }

    @Test func oneCallerHasHisShareOfTheKeysOnly() throws {
        var options = GatewayOptions()
        options.maxIdempotencyKeys = 4
        let configuration = try GatewayConfiguration(
            yaml: "http.trusted.proxies: 127.0.0.1\n")
        let node = try GatewayHarness(options, configuration: configuration)
        func post(_ number: Int, from address: String) throws -> HTTPReply {
            try node.post(
                "t", "\(number)", fields: ["Idempotency-Key: \(number)", "X-Forwarded-For: \(address)"])
        }
        #expect(try post(1, from: "192.0.2.1").status == 201)
        #expect(try post(2, from: "192.0.2.1").status == 201)
        let full = try post(3, from: "192.0.2.1")
        #expect(full.status == 429)
        #expect(full.string("code") == "idempotency_share_full")
        #expect(full.json["retryable"] as? Bool == true)
        #expect(Int(full.fields["retry-after"] ?? "") ?? 0 > 80_000)
        #expect(try post(1, from: "192.0.2.1").fields["idempotent-replayed"] == "true")
        #expect(try post(3, from: "192.0.2.2").status == 201)
        #expect(try node.post("t", "4", fields: ["X-Forwarded-For: 192.0.2.1"]).status == 201)
        #expect(try node.values("t") == ["1", "2", "3", "4"])
    }

    @Test func packedBodiesAreTheSameRequestWhenTheirContentIs() throws {
        let node = try GatewayHarness()
        let plain = try node.post("t", "1", fields: [Self.key])
        // "1", by gzip without compression.
        let packed: [UInt8] = [
            0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 1, 0, 0xfe, 0xff, 0x31, 0xb7, 0xef, 0xdc, 0x83, 1, 0, 0, 0,
        ]
        let reply = try node.call(
            "POST", "/v1/topics/t/events", bytes: packed, fields: [Self.key, "Content-Encoding: gzip"])
        #expect(reply.body == plain.body, "\(reply.text)")
        #expect(try node.values("t") == ["1"])
    }

    @Test func theTopicOfRequestsIsTheBrokersOwn() throws {
        let node = try GatewayHarness()
        #expect(try node.post("__gateway_requests", "1").status == 404)
        #expect(try node.post("t", "1", fields: [Self.key]).status == 201)
        #expect(try node.post("__gateway_requests", "1").status == 403)
        #expect(node.broker.catalog.topic(named: "__gateway_requests")?.isInternal == true)
    }

    // MARK: Routes

    private static let yaml = """
        routes:
          - path: /hooks
            to: {topic: hooks}
            reply: event
            idempotency: {header: Webhook-Id, required: true}
          - path: /orders
            to: {topic: orders}
            idempotency: {pointers: [/kind, /order/id]}
          - path: /cloud
            formats: cloudevents
            to: {topic: cloud}
            idempotency: {cloudevents: true}
        """

    private func node() throws -> GatewayHarness {
        try GatewayHarness(configuration: GatewayConfiguration(yaml: Self.yaml))
    }

    @Test func aProvidersOwnFieldIsTheKey() throws {
        let node = try node()
        #expect(try node.call("POST", "/hooks", "{}", fields: ["webhook-id: m1"]).status == 201)
        #expect(
            try node.call("POST", "/hooks", "{}", fields: ["webhook-id: m1"]).fields["idempotent-replayed"] == "true")
        let missing = try node.call("POST", "/hooks", "{}")
        #expect(missing.status == 400)
        #expect(missing.string("error") == "The header field webhook-id is required")
        let other = try node.call("POST", "/hooks", "{}", fields: ["webhook-id: m2", Self.key])
        #expect(other.string("code") == "unsupported_header")
        #expect(try node.values("hooks").count == 1)
    }

    @Test func valuesOfTheEventAreTheKey() throws {
        let node = try node()
        func send(_ body: String) throws -> HTTPReply { try node.call("POST", "/orders", body) }
        let order = "{\"kind\":\"new\",\"order\":{\"id\":17}}"
        #expect(try send(order).status == 201)
        #expect(try send(order).fields["idempotent-replayed"] == "true")
        #expect(try send("{\"order\":{\"id\":17},\"kind\":\"new\",\"more\":1}").status == 422)
        #expect(try send("{\"kind\":\"new\",\"order\":{\"id\":\"17\"}}").status == 201)
        // Without one of them there is no key.
        #expect(try send("{\"kind\":\"new\"}").status == 201)
        #expect(try send("{\"kind\":\"new\"}").fields["idempotent-replayed"] == nil)
        let again = try send("[\(order),\(order)]")
        #expect(again.status == 201 && again.statuses == ["duplicate", "duplicate"])
        #expect(try node.values("orders").count == 4)
    }

    @Test func aCloudEventsSourceAndIDAreTheKey() throws {
        let node = try node()
        let binary = ["ce-specversion: 1.0", "ce-id: 1", "ce-source: /s", "ce-type: t", "Content-Type: text/plain"]
        #expect(try node.call("POST", "/cloud", "x", fields: binary).status == 201)
        #expect(try node.call("POST", "/cloud", "x", fields: binary).fields["idempotent-replayed"] == "true")
        let event = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/t\",\"type\":\"t\",\"data\":1}"
        let structured = ["Content-Type: application/cloudevents+json"]
        #expect(try node.call("POST", "/cloud", event, fields: structured).status == 201)
        #expect(try node.call("POST", "/cloud", event, fields: structured).fields["idempotent-replayed"] == "true")
        #expect(try node.values("cloud").count == 2)
    }

    @Test(arguments: [
        ("{header: \"a b\"}", "is no name of a header field"), ("{pointers: []}", "has 1 to 8 pointers"),
        ("{pointers: [id]}", "id is no JSON pointer such as /id"),
        ("{header: a, cloudevents: true}", "takes a key from several places"), ("{field: a}", "field"),
    ])
    func aRuleThatIsNoneIsRefused(rule: String, words: String) {
        let yaml = "routes:\n  - {path: /a, to: a, idempotency: \(rule)}"
        let error = #expect(throws: ConfigurationError.self) { _ = try GatewayConfiguration(yaml: yaml) }
        #expect("\(error!)".contains(words), "\(error!)")
    }

    // MARK: Starts

    @Test func keysSurviveKillAndStart() throws {
        let node = try GatewayHarness(partitions: 3)
        var replies: [[UInt8]] = []
        for number in 0..<10 {
            let reply = try node.post("t", "\(number)", fields: ["Idempotency-Key: \(number)"])
            #expect(reply.status == 201)
            replies.append(reply.body)
        }
        let next = try GatewayHarness(partitions: 3, fileSystem: node.fileSystem.kill())
        for number in 0..<10 {
            let reply = try next.post("t", "\(number)", fields: ["Idempotency-Key: \(number)"])
            #expect(reply.body == replies[number])
            #expect(reply.fields["idempotent-replayed"] == "true")
        }
        #expect(try next.post("t", "x", fields: ["Idempotency-Key: 3"]).status == 422)
        #expect(try next.values("t").count == 10)
    }

    /// The power fails at every call of the file system in turn, also while the next start repairs: each request that is sent
    /// until it is acknowledged is stored once.
    @Test func noCrashSeparatesEventsFromTheirKeys() throws {
        var call = 0
        var isOver = false
        while !isOver {
            let seed = UInt64(call + 1)
            let node = try GatewayHarness(fileSystem: SimulatedFileSystem(seed: seed))
            #expect(try node.post("t", "\"before\"", fields: ["Idempotency-Key: before"]).status == 201)
            node.fileSystem.haltAtCall(node.fileSystem.callCount + call)
            var acknowledged: Set<Int> = []
            for number in 0..<4 where send(number, node) == 201 { acknowledged.insert(number) }
            isOver = !node.fileSystem.isHalted
            let second = try GatewayHarness(fileSystem: node.fileSystem.crash(keeping: .random, seed: seed))
            let found = try second.values("t")
            for number in acknowledged { #expect(found.count { $0 == body(number) } == 1, "call \(call): \(found)") }
            // A second crash, before anything else is said.
            let third = try GatewayHarness(fileSystem: second.fileSystem.crash(keeping: .random, seed: seed))
            #expect(try third.post("t", "\"between\"").status == 201)
            for number in 0..<4 {
                let reply = try third.post("t", body(number), fields: ["Idempotency-Key: \(number)"])
                #expect((200..<300).contains(reply.status), "call \(call): \(reply.text)")
                if acknowledged.contains(number) { #expect(reply.fields["idempotent-replayed"] == "true") }
            }
            let values = try third.values("t")
            #expect(values.sorted() == (["\"before\"", "\"between\""] + (0..<4).map(body)).sorted(), "call \(call)")
            call += 1
        }
        #expect(call > 8)
    }

    private func body(_ number: Int) -> String { "\"event \(number)\"" }

    /// nil: no reply.
    private func send(_ number: Int, _ node: GatewayHarness) -> Int? {
        try? node.post("t", body(number), fields: ["Idempotency-Key: \(number)"]).status
    }
}
