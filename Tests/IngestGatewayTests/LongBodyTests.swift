import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import IngestGateway
import RecordFormat
import StorageIO
import Testing

/// Bodies that would hold their loop for longer than about a millisecond: workers handle them, and nobody else waits.
@Suite struct LongBodyTests {
    private static let routes = """
        routes:
          - id: typed
            path: /typed
            formats: [json, ndjson]
            schema:
              type: object
              required: [n]
              properties:
                n: {type: integer}
            to: {topic: typed}
        """
    private static let key = "Idempotency-Key: \"one\""
    private static let lines = "Content-Type: application/x-ndjson"

    private func node(_ options: GatewayOptions = GatewayOptions()) throws -> GatewayHarness {
        let node = try GatewayHarness(
            options, topicDefaults: ["max.message.bytes": "4000000"],
            configuration: GatewayConfiguration(yaml: Self.routes, options))
        // The topics are made, so that nothing else is waited for.
        #expect(try node.call("POST", "/typed", "{\"n\":0}").status < 300)
        #expect(try node.post("t", "0", fields: ["Idempotency-Key: \"zero\""]).status == 201)
        return node
    }

    private func events(_ count: Int) -> [String] {
        (1...count).map { "{\"n\":\($0),\"pad\":\"\(String(repeating: "x", count: 80))\"}" }
    }

    private func request(_ path: String, _ events: [String], _ fields: [String] = []) -> [UInt8] {
        HTTPClient.request(
            "POST", path + "?results=none", Array(events.joined(separator: "\n").utf8), fields: [Self.lines] + fields)
    }

    @Test(arguments: [("/typed", []), ("/v1/topics/t/events", [key]), ("/typed", [key])])
    func whatIsCheckedMoreThanOnceIsAWorkers(path: String, fields: [String]) throws {
        let node = try node()
        let events = events(3000)
        let workers = BusyWorkers(node.broker.workers.threadCount) { node.broker.workers.submit($0) }
        defer { workers.release() }
        let client = try node.connect()
        try client.send(request(path, events, fields))
        #expect(eventually { (node.metric("millrace_http_inflight_bytes") ?? 0) > 200_000 })
        #expect(try node.call("GET", "/healthz").status == 200)
        #expect(try node.call("POST", "/typed", "{\"n\":-1}").status < 300)
        #expect(client.hasNothingToRead)
        workers.release()
        let reply = try client.receive()
        #expect((200..<300).contains(reply.status) && reply.number("accepted") == 3000, "\(reply.text)")
        #expect(reply.string("request_id") == nil || reply.string("request_id") == reply.fields["x-request-id"])
        let stored = try node.values(path == "/typed" ? "typed" : "t")
        #expect(Array(stored.suffix(3000)) == events)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
        // The connection goes on.
        try client.send(HTTPClient.request("GET", "/healthz", nil))
        #expect(try client.receive().status == 200)
    }

    @Test func aLongBodyThatIsOnlyScannedIsAWorkersToo() throws {
        let node = try node()
        let events = events(8000)
        let workers = BusyWorkers(node.broker.workers.threadCount) { node.broker.workers.submit($0) }
        defer { workers.release() }
        let short = try node.connect()
        try short.send(request("/v1/topics/t/events", Array(events.prefix(3000))))
        #expect(try short.receive().status == 201)
        let long = try node.connect()
        try long.send(request("/v1/topics/t/events", events))
        #expect(eventually { (node.metric("millrace_http_inflight_bytes") ?? 0) > 600_000 })
        #expect(long.hasNothingToRead)
        workers.release()
        #expect(try long.receive().status == 201)
        #expect(Array(try node.values("t").suffix(8000)) == events)
    }

    @Test func refusalsAreTheSame() throws {
        let node = try node()
        var events = events(3000)
        events[7] = "{\"n\":\"seven\",\"pad\":\"\"}"
        let client = try node.connect()
        try client.send(request("/typed", events, ["X-Batch-Mode: atomic"]))
        let refused = try client.receive()
        #expect(refused.status == 422 && refused.string("code") == "batch_rejected", "\(refused.text)")
        #expect((refused.json["errors"] as? [[String: Any]])?.first?["index"] as? Int == 7)
        #expect(refused.fields["content-type"] == "application/problem+json")
        try client.send(request("/typed", events))
        let mixed = try client.receive()
        #expect(mixed.status == 207 && mixed.number("rejected") == 1, "\(mixed.text)")
        #expect(try node.values("typed").count == 1 + 2999)
    }

    @Test func aLongRequestWithAKeyIsStoredOnce() throws {
        let node = try node()
        let events = events(3000)
        let first = try node.connect()
        try first.send(request("/v1/topics/t/events", events, [Self.key]))
        let stored = try first.receive()
        #expect(stored.status == 201, "\(stored.text)")
        try first.send(request("/v1/topics/t/events", events, [Self.key]))
        let repeated = try first.receive()
        #expect(repeated.status == 201 && repeated.body == stored.body)
        #expect(repeated.fields["idempotent-replayed"] == "true")
        try first.send(request("/v1/topics/t/events", Array(events.dropLast()), [Self.key]))
        #expect(try first.receive().status == 422)
        #expect(try node.values("t").count == 3001)
    }

    /// As many at a time as there are workers, and more: each worker claims keys in a place of its own.
    @Test func manyLongRequestsWithKeysAreEachStoredOnce() throws {
        let node = try node()
        let events = events(2000)
        let clients = try (0..<12).map { _ in try node.connect() }
        for round in 0..<2 {
            for (number, client) in clients.enumerated() {
                try client.send(request("/v1/topics/t/events", events, ["Idempotency-Key: k\(number / 2)"]))
            }
            let statuses = try clients.map { try $0.receive().status }
            #expect(statuses.allSatisfy { $0 == 201 || $0 == 409 || $0 == 503 }, "\(statuses)")
            if round == 1 { #expect(statuses.contains(201)) }
        }
        for number in 0..<6 {
            #expect(
                eventually {
                    let again = try? node.call(
                        "POST", "/v1/topics/t/events?results=none",
                        bytes: Array(events.joined(separator: "\n").utf8),
                        fields: [Self.lines, "Idempotency-Key: k\(number)"])
                    return again?.status == 201
                })
        }
        #expect(try node.values("t").count == 1 + 6 * 2000)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func aLongBodyMayComePackedAndInChunks() throws {
        let node = try node()
        let events = events(4000)
        let input = Array(events.joined(separator: "\n").utf8)
        let context = CompressionContext()
        var packed = [UInt8](repeating: 0, count: context.bound(.gzip, count: input.count))
        let count = try input.withUnsafeBytes { input in
            try packed.withUnsafeMutableBytes { try context.compress(.gzip, input, to: $0) }
        }
        let reply = try node.call(
            "POST", "/typed?results=none", bytes: Array(packed[..<count]),
            fields: [Self.lines, "Content-Encoding: gzip"])
        #expect(reply.number("accepted") == 4000, "\(reply.text)")
        let client = try node.connect()
        try client.send(
            "POST /typed?results=none HTTP/1.1\r\nHost: h\r\n\(Self.lines)\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in stride(from: 0, to: input.count, by: 50_000) {
            let piece = input[start..<min(start + 50_000, input.count)]
            try client.send(Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + Array("\r\n".utf8))
        }
        try client.send("0\r\n\r\n")
        #expect(try client.receive().number("accepted") == 4000)
        #expect(Array(try node.values("typed").suffix(8000)) == events + events)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func itsTopicIsMadeAndThenItIsHandled() throws {
        let node = try node()
        let events = events(8000)
        let reply = try node.call(
            "POST", "/v1/topics/fresh/events?results=none", events.joined(separator: "\n"), fields: [Self.lines])
        #expect(reply.status == 201, "\(reply.text)")
        #expect(try node.values("fresh") == events)
        let refused = try node.call(
            "POST", "/v1/topics/no%20name/events", events.joined(separator: "\n"), fields: [Self.lines])
        #expect(refused.status == 400)
    }

    @Test func whatIsLateIsToldThatItMayBeStored() throws {
        var options = GatewayOptions()
        options.requestTimeout = .milliseconds(200)
        let node = try node(options)
        let workers = BusyWorkers(node.broker.workers.threadCount) { node.broker.workers.submit($0) }
        defer { workers.release() }
        let client = try node.connect()
        try client.send(request("/typed", events(3000)))
        let reply = try client.receive()
        #expect(reply.status == 504 && reply.string("code") == "commit_timeout")
        #expect(client.isClosed())
        // The worker has the body all the same.
        #expect(eventually { node.metric("millrace_http_connections") == 0 })
        #expect((node.metric("millrace_http_inflight_bytes") ?? 0) > 200_000)
        workers.release()
        #expect(eventually { (try? node.values("typed").count) == 3001 })
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }
}
