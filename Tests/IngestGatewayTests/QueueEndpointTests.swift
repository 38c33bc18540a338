import BrokerCore
import BrokerTestKit
import Foundation
import IngestGateway
import KafkaModel
import Security
import Testing
import Transport

/// Queues by HTTP, through a whole gateway.
@Suite struct QueueEndpointTests {
    private static let type = ["Content-Type: application/json"]

    private func ask(
        _ harness: GatewayHarness, _ method: String, _ path: String, _ body: String? = nil
    ) throws -> HTTPReply {
        try harness.call(method, "/v1/queues" + path, body, fields: body == nil ? [] : Self.type)
    }

    private func receive(_ harness: GatewayHarness, _ queue: String, _ body: String = "{}") throws -> [[String: Any]] {
        let reply = try ask(harness, "POST", "/\(queue)/messages:receive", body)
        #expect(reply.status == 200, "\(reply.text)")
        return reply.json["messages"] as? [[String: Any]] ?? []
    }

    private func receipts(_ messages: [[String: Any]], _ more: String = "") -> String {
        let list = messages.map { "\"\($0["receipt"] as? String ?? "")\"" }.joined(separator: ",")
        return "{\"receipts\":[\(list)]\(more)}"
    }

    @Test func aMessageGoesFromSenderToReceiverAndEnds() throws {
        let harness = try GatewayHarness()
        #expect(try ask(harness, "PUT", "/orders", "{\"visibility_ms\":60000}").status == 201)
        let sent = try ask(harness, "POST", "/orders/messages", "[{\"n\":1},{\"n\":2}]")
        #expect(sent.status == 201 && sent.number("accepted") == 2)
        #expect(sent.results.compactMap { $0["offset"] as? Int } == [0, 1])
        let messages = try receive(harness, "orders")
        #expect(messages.count == 2)
        #expect(messages[0]["id"] as? String == sent.results[0]["id"] as? String)
        #expect((messages[0]["body"] as? [String: Int])?["n"] == 1)
        #expect(messages[0]["body_encoding"] as? String == "json")
        #expect(messages[0]["receive_count"] as? Int == 1)
        #expect(try receive(harness, "orders").isEmpty)
        let done = try ask(harness, "POST", "/orders/messages:ack", receipts(messages))
        #expect(done.status == 200 && done.statuses == ["ok", "ok"])
        let shown = try ask(harness, "GET", "/orders")
        #expect((shown.json["messages"] as? [String: Any])?["in_flight"] as? Int == 0)
        #expect(shown.number("visibility_ms") == 60_000 && shown.string("topic") == "q.orders")
        // The same messages are records.
        #expect(try harness.stored("q.orders").records.map(\.value) == ["{\"n\":1}", "{\"n\":2}"])
    }

    @Test func whatAKafkaProducerWroteIsReceivedAsItIs() throws {
        let harness = try GatewayHarness()
        #expect(try ask(harness, "PUT", "/orders", "{}").status == 201)
        #expect(try harness.post("q.orders", "{\"by\":\"the log\"}").status == 201)
        #expect(try receive(harness, "orders").count == 1)
    }

    @Test func messagesAreGivenBackAndUpAndExtended() throws {
        let harness = try GatewayHarness()
        _ = try ask(harness, "PUT", "/dead", "{}")
        let made = try ask(harness, "PUT", "/orders", "{\"dead_letter_queue\":\"dead\",\"max_receives\":5}")
        #expect(made.status == 201, "\(made.text)")
        _ = try ask(harness, "POST", "/orders/messages", "[1,2,3]")
        let messages = try receive(harness, "orders")
        let back = try ask(
            harness, "POST", "/orders/messages:nack", receipts([messages[0]], ",\"delay_ms\":0"))
        #expect(back.statuses == ["ok"])
        let extended = try ask(
            harness, "POST", "/orders/messages:extend", receipts([messages[1]], ",\"visibility_ms\":90000"))
        #expect(extended.statuses == ["ok"])
        let dead = try ask(
            harness, "POST", "/orders/messages:nack", receipts([messages[2]], ",\"dead_letter\":true"))
        #expect(dead.statuses == ["ok"])
        let again = try receive(harness, "orders")
        #expect(again.map { $0["receive_count"] as? Int } == [2])
        let letters = try receive(harness, "dead", "{\"wait_ms\":10000}")
        #expect((letters.first?["dead_letter"] as? [String: Any])?["reason"] as? String == "rejected")
        // And back again.
        _ = try ask(harness, "POST", "/dead/messages:nack", receipts(letters, ",\"delay_ms\":0"))
        let dry = try ask(harness, "POST", "/dead/messages:redrive", #"{"dry_run":true,"reason":"rejected"}"#)
        #expect(
            dry.status == 200 && dry.json["moving"] as? Int == 1 && dry.json["complete"] as? Bool == true, "\(dry.text)"
        )
        let look = try ask(harness, "GET", "/dead/messages:browse?from_queue=orders&reason=rejected&contains=3")
        #expect((look.json["messages"] as? [[String: Any]])?.count == 1, "\(look.text)")
        #expect(try ask(harness, "GET", "/dead/messages:browse?contains=4").json["next"] is NSNull)
        let wrong = #"{"edit":{"set":{"a":1}}}"#
        #expect(try ask(harness, "POST", "/dead/messages:redrive", wrong).status == 400)
        #expect(try ask(harness, "POST", "/dead/messages:redrive", #"{"edit":{"no":1}}"#).status == 400)
        let order = #"{"from_queue":"orders","max":5,"edit":{"set":{"mended":"yes"},"body":{"b":4}}}"#
        let move = try ask(harness, "POST", "/dead/messages:redrive", order)
        #expect(move.status == 202, "\(move.text)")
        let moved = try receive(harness, "orders", "{\"wait_ms\":10000}")
        #expect(moved.count == 1 && (moved[0]["body"] as? [String: Int]) == ["b": 4], "\(moved)")
        #expect((moved[0]["headers"] as? [[String: String]])?.contains(["name": "mended", "value": "yes"]) == true)
        #expect(
            try eventually {
                let moves = try ask(harness, "GET", "/dead/moves").json["moves"] as? [[String: Any]]
                return moves?.first?["state"] as? String == "completed"
            })
        #expect(try ask(harness, "POST", "/dead/moves:cancel", "{\"id\":\"none\"}").status == 404)
        let job = try harness.call("GET", "/v1/jobs/\(move.json["id"] as? String ?? "")").json
        #expect(job["kind"] as? String == "redrive" && job["moved"] as? Int == 1 && job["from"] as? String == "dead")
    }

    /// A page that somebody looks at can send what needs no body of JSON.
    @Test func whatAPageCouldSendChangesNothing() throws {
        let harness = try GatewayHarness()
        _ = try ask(harness, "PUT", "/orders", "{}")
        _ = try ask(harness, "POST", "/orders/messages", "1")
        for call in ["messages:purge", "messages:receive", "messages:redrive"] {
            #expect(try harness.call("POST", "/v1/queues/orders/\(call)").status == 400)
            let text = try harness.call("POST", "/v1/queues/orders/\(call)", "{}", fields: ["Content-Type: text/plain"])
            #expect(text.status == 415)
        }
        for (path, body) in [
            ("/sqs", "Action=PurgeQueue&QueueUrl=orders"), ("/sqs", "Action=DeleteQueue&QueueUrl=orders"),
        ] {
            let form = try harness.call(
                "POST", path, body, fields: ["Content-Type: application/x-www-form-urlencoded"])
            #expect(form.status == 400 && form.text.contains("signed"), "\(form.text)")
        }
        #expect(try receive(harness, "orders").count == 1)
    }

    @Test func aQueueKeepsItsPartitions() throws {
        let harness = try GatewayHarness()
        #expect(try ask(harness, "PUT", "/orders", "{\"partitions\":2}").status == 201)
        #expect(try ask(harness, "PUT", "/orders", "{\"partitions\":2}").status == 200)
        #expect(try ask(harness, "PUT", "/orders", "{}").status == 200)
        let other = try ask(harness, "PUT", "/orders", "{\"partitions\":3}")
        #expect(other.status == 409 && other.text.contains("2 partitions"), "\(other.text)")
    }

    @Test func aReceiveWaitsForAMessageThatComes() throws {
        let harness = try GatewayHarness()
        _ = try ask(harness, "PUT", "/orders", "{}")
        let client = try harness.connect()
        try client.send(
            HTTPClient.request(
                "POST", "/v1/queues/orders/messages:receive", Array("{\"wait_ms\":20000}".utf8), fields: Self.type))
        _ = try ask(harness, "POST", "/orders/messages", "\"now\"")
        let reply = try client.receive()
        #expect((reply.json["messages"] as? [[String: Any]])?.count == 1)
    }

    @Test func aFIFOQueueKeepsOrderAndIDs() throws {
        let harness = try GatewayHarness()
        #expect(try ask(harness, "PUT", "/line.fifo", "{\"order\":\"fifo\"}").status == 201)
        let path = "/line.fifo/messages?group=a&deduplication_id="
        #expect(try ask(harness, "POST", path + "1", "1").status == 201)
        #expect(try ask(harness, "POST", path + "1", "1").results.first?["duplicate"] as? Bool == true)
        #expect(try ask(harness, "POST", path + "2", "2").status == 201)
        #expect(try ask(harness, "POST", path + "3", "[3,4]").status == 422)
        #expect(try ask(harness, "POST", "/line.fifo/messages", "5").status == 422)
        let first = try receive(harness, "line.fifo", "{\"max\":1,\"attempt_id\":\"x\"}")
        #expect(first.first?["group"] as? String == "a")
        #expect(try receive(harness, "line.fifo").isEmpty)
        _ = try ask(harness, "POST", "/line.fifo/messages:ack", receipts(first))
        #expect(try receive(harness, "line.fifo").first?["deduplication_id"] as? String == "2")
    }

    @Test func queuesAreListedChangedPurgedAndDeleted() throws {
        let harness = try GatewayHarness()
        for name in ["b", "a", "c"] { _ = try ask(harness, "PUT", "/\(name)", "{}") }
        #expect(try ask(harness, "GET", "").json["queues"] as? [String] == ["a", "b", "c"])
        let page = try ask(harness, "GET", "?count=1&after=a")
        #expect(page.json["queues"] as? [String] == ["b"] && page.string("next") == "b")
        let changed = try ask(harness, "PUT", "/a", "{\"backoff_ms\":[1000,5000],\"max_receives\":3}")
        #expect(changed.status == 200 && changed.json["backoff_ms"] as? [Int] == [1000, 5000])
        #expect(try ask(harness, "PUT", "/a", "{\"order\":\"fifo\"}").status == 409)
        _ = try ask(harness, "POST", "/a/messages", "[1,2]")
        #expect(try ask(harness, "POST", "/a/messages:purge", "{}").status == 200)
        #expect(try receive(harness, "a").isEmpty)
        #expect(try ask(harness, "DELETE", "/a").status == 200)
        #expect(try ask(harness, "GET", "/a").status == 404)
        #expect(try ask(harness, "GET", "").json["queues"] as? [String] == ["b", "c"])
    }

    @Test func badRequestsAreToldWhatIsWrong() throws {
        let harness = try GatewayHarness()
        _ = try ask(harness, "PUT", "/orders", "{}")
        let cases: [(String, String, String?, Int)] = [
            ("POST", "/none/messages", "1", 404), ("POST", "/none/messages:receive", "{}", 404),
            ("POST", "/none/messages:ack", "{\"receipts\":[\"x\"]}", 404), ("DELETE", "/none", nil, 404),
            ("PUT", "/a%20b", "{}", 400), ("PUT", "/a", "{\"delay_ms\":-1}", 422),
            ("PUT", "/a", "{\"order\":\"lifo\"}", 400), ("PUT", "/a", "{\"unknown\":1}", 400),
            ("PUT", "/a", "{\"dead_letter_queue\":\"none\"}", 422), ("PUT", "/a", "[]", 400),
            ("POST", "/orders/messages", "{", 400), ("POST", "/orders/messages", "[]", 422),
            ("POST", "/orders/messages?delay_ms=900001", "1", 422), ("POST", "/orders/messages?delay_ms=x", "1", 400),
            ("POST", "/orders/messages?colour=red", "1", 400),
            ("POST", "/orders/messages:receive", "{\"max\":1001}", 400),
            ("POST", "/orders/messages:receive", "{\"max\":\"1\"}", 400),
            ("POST", "/orders/messages:receive", "{\"wait_ms\":20001}", 422),
            ("POST", "/orders/messages:receive", "{\"visibility_ms\":43200001}", 422),
            ("POST", "/orders/messages:receive", "\u{0}", 400), ("PUT", "/a", "\u{1}", 400),
            ("POST", "/orders/messages:receive", "{\"max\":1.5}", 400),
            ("POST", "/orders/messages:receive", "{\"max\":2.0}", 200),
            ("POST", "/orders/messages:receive", " \t\r\n", 400), ("GET", "/none/moves", nil, 404),
            ("POST", "/orders/messages:ack", "{}", 400), ("POST", "/orders/messages:ack", "{\"receipts\":[1]}", 400),
            ("POST", "/orders/messages:extend", "{\"receipts\":[\"x\"]}", 400),
            ("POST", "/orders/messages:redrive", "{}", 422), ("GET", "?count=0", nil, 400),
        ]
        for (method, path, body, status) in cases {
            let reply = try ask(harness, method, path, body)
            #expect(reply.status == status, "\(method) \(path) \(body ?? ""): \(reply.text)")
            #expect(status == 200 || reply.string("code") != nil)
        }
        #expect(
            try ask(harness, "POST", "/orders/messages:ack", "{\"receipts\":[\"x\"]}").statuses == ["invalid_receipt"])
        let typed = ["Content-Type: text/plain"]
        #expect(try harness.call("POST", "/v1/queues/orders/messages", "1", fields: typed).status == 415)
    }

    @Test func noRouteOfQueuesTakesMoreThanAnyRequestMayHave() throws {
        var options = GatewayOptions()
        options.maxRequestBytes = 1000
        let harness = try GatewayHarness(options)
        #expect(try ask(harness, "PUT", "/orders", "{}").status == 201)
        let long = String(repeating: " ", count: 1001)
        #expect(try ask(harness, "POST", "/orders/messages:receive", "{" + long + "}").status == 413)
    }

    @Test func aTextAndBytesAreReceivedAsWhatTheyAre() throws {
        let harness = try GatewayHarness()
        _ = try ask(harness, "PUT", "/orders", "{}")
        for body in [Array("plain words".utf8), [0xff, 0xfe]] {
            let sent = harness.broker.queues.send([QueueMessage(body: body)], to: "orders")
            #expect(sent.answer.count == 1)
        }
        var found: [[String: Any]] = []
        while found.count < 2 { found += try receive(harness, "orders", "{\"wait_ms\":20000}") }
        #expect(found.map { $0["body_encoding"] as? String } == ["text", "base64"])
        #expect(found.map { $0["body"] as? String } == ["plain words", "//4="])
    }

    @Test func messagesAreLookedAtWithoutBeingReceived() throws {
        let harness = try GatewayHarness()
        _ = try ask(harness, "PUT", "/orders", "{}")
        _ = try ask(harness, "POST", "/orders/messages", "[1,2,3]")
        let first = try receive(harness, "orders", "{\"max\":2}")
        _ = try ask(harness, "POST", "/orders/messages:ack", receipts([first[0]]))
        func look(_ query: String) throws -> HTTPReply { try ask(harness, "GET", "/orders/messages:browse" + query) }
        let page = try look("?count=1")
        let shown = page.json["messages"] as? [[String: Any]] ?? []
        #expect(shown.map { $0["state"] as? String } == ["in_flight"] && shown.first?["receive_count"] as? Int == 1)
        let rest = try look("?after=" + (page.string("next") ?? ""))
        let others = rest.json["messages"] as? [[String: Any]] ?? []
        #expect(others.map { $0["state"] as? String } == ["visible"] && others.first?["body"] as? Int == 3)
        #expect(others.first?["receipt"] == nil && rest.string("next") == nil)
        #expect(try receive(harness, "orders").count == 1)
        for wrong in ["?count=0", "?after=x", "?after=1", "?limit=1"] {
            #expect(try look(wrong).status == 400, "\(wrong)")
        }
    }

    /// -2^63 - 1 is not -2^63.
    @Test(arguments: [("-9223372036854775809", 400), ("-9223372036854775808", 422), ("1e3", 200), ("1.5", 400)])
    func numbersOutOfRangeAreNoOthers(number: String, status: Int) throws {
        let harness = try GatewayHarness()
        _ = try ask(harness, "PUT", "/orders", "{}")
        let body = "{\"receipts\":[\"x\"],\"delay_ms\":\(number)}"
        #expect(try ask(harness, "POST", "/orders/messages:nack", body).status == status)
    }

    @Test func whatWasReceivedForSomebodyWhoHasGoneIsThereAtOnce() throws {
        let harness = try GatewayHarness()
        _ = try ask(harness, "PUT", "/orders", "{\"visibility_ms\":3600000}")
        var client: HTTPClient? = try harness.connect()
        try client?.send(
            HTTPClient.request(
                "POST", "/v1/queues/orders/messages:receive", Array("{\"wait_ms\":20000}".utf8), fields: Self.type))
        // Else it could be taken in when all that follows is over.
        #expect(eventually { harness.metric("millrace_http_connections") == 1 })
        client = nil
        #expect(eventually { harness.metric("millrace_http_connections") == 0 })
        _ = try ask(harness, "POST", "/orders/messages", "1")
        var found: [[String: Any]] = []
        #expect(
            try eventually {
                found += try receive(harness, "orders")
                return !found.isEmpty
            })
        #expect(found.first?["receive_count"] as? Int == 1)
    }

    @Test func onlyWhoMayUsesAQueue() throws {
        let harness = try GatewayHarness(access: { $0.hasAuthorizer = true }) { broker in
            GatewayAuthentication(
                .required, passwords: try Authentication(broker), tokens: nil, takesBareTokens: false)
        }
        let (key, text) = GatewayKeyText.make()
        var change = GatewayKeyChange(id: key.id.text, action: 1)
        (change.owner, change.hash) = ("User:alice", key.hash)
        #expect(harness.broker.alterKeys([change]) == [nil])
        let field = "Authorization: Bearer " + text.withBytes { String(decoding: $0, as: UTF8.self) }
        func call(_ method: String, _ path: String, _ body: String? = nil) throws -> Int {
            try harness.call(
                method, "/v1/queues" + path, body, fields: [field] + (body == nil ? [] : Self.type)
            ).status
        }
        func permit(_ operation: AclOperation) {
            let results = harness.broker.createAcls([
                .init(
                    resource: ResourceType.topic.rawValue, name: "q.orders", pattern: 3, principal: "User:alice",
                    host: "*", operation: operation.rawValue, permission: 3)
            ])
            #expect(results == [nil])
        }
        #expect(try harness.call("GET", "/v1/queues").status == 401)
        #expect(try call("PUT", "/orders", "{}") == 404)
        permit(.create)
        #expect(try call("PUT", "/orders", "{}") == 201)
        #expect(try call("POST", "/orders/messages", "1") == 404)
        permit(.write)
        #expect(try call("POST", "/orders/messages", "1") == 201)
        #expect(try call("POST", "/orders/messages:receive", "{}") == 403)
        #expect(try call("DELETE", "/orders") == 403)
        permit(.read)
        #expect(try call("POST", "/orders/messages:receive", "{}") == 200)
        #expect(try call("POST", "/orders/messages:purge", "{}") == 403)
        #expect(try call("PUT", "/orders", "{\"delay_ms\":5}") == 403)
        permit(.alterConfigs)
        #expect(try call("PUT", "/orders", "{\"delay_ms\":5}") == 200)
        // Queues of others stand before and behind, and no page tells of them.
        for name in ["a", "b", "y", "z"] {
            _ = try harness.broker.queues.createQueue(name, QueueSettings(), partitions: 1, tags: [:]).get()
        }
        for path in ["", "?count=1", "?count=2"] {
            let page = try harness.call("GET", "/v1/queues" + path, fields: [field])
            #expect(page.json["queues"] as? [String] == ["orders"] && page.json["next"] is NSNull, "\(page.text)")
        }
    }
}
