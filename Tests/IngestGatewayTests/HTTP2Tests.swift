import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import IngestGateway
import StorageIO
import Testing
import Transport

/// The same routes over HTTP/2, by clients that know that it is spoken.
@Suite struct HTTP2Tests {
    private func node(_ options: GatewayOptions = GatewayOptions(), yaml: String = "{}") throws -> GatewayHarness {
        try GatewayHarness(options, configuration: GatewayConfiguration(yaml: yaml, options))
    }

    private func client(
        _ node: GatewayHarness, settings: [(id: UInt16, value: UInt32)] = []
    ) throws -> HTTP2Client { try HTTP2Client(port: node.port, settings: settings) }

    @Test func anEventIsStoredAndAnswered() throws {
        let node = try node()
        let client = try client(node)
        let reply = try client.call("POST", "/v1/topics/t/events", "{\"a\":1}")
        #expect(reply.status == 201 && reply.offsets == [0], "\(reply.text)")
        #expect(reply.fields["content-type"] == "application/json")
        #expect(reply.fields["content-length"] == String(reply.body.count))
        #expect(reply.fields["x-request-id"] == reply.string("request_id"))
        #expect(reply.fields["date"] != nil && reply.fields["connection"] == nil)
        let second = try client.call("POST", "/v1/topics/t/events", "[1,2]", [("partition-key", "k")])
        #expect(second.offsets == [1, 2])
        #expect(try node.values("t") == ["{\"a\":1}", "1", "2"])
        #expect(node.metric("millrace_http2_connections_total") == 1)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test(arguments: [1, 5, 23])
    func theBeginningMayComeInPieces(piece: Int) throws {
        let node = try node()
        let client = try HTTP2Client(port: node.port, opens: false)
        let bytes =
            HTTP2Frame.opening() + HTTP2Frame.headers(1, HTTP2Frame.fields("GET", "/healthz")).bytes
        for start in stride(from: 0, to: bytes.count, by: piece) {
            client.send(Array(bytes[start..<min(start + piece, bytes.count)]))
        }
        #expect(try client.reply(1).string("status") == "ok")
    }

    @Test func whereItIsOffItIsAnUnknownVersion() throws {
        var options = GatewayOptions()
        options.servesHTTP2 = false
        let node = try node(options)
        let client = try node.connect()
        try client.send(HTTP2Frame.opening())
        #expect(try client.receive().status == 505)
    }

    /// It is the beginning of a connection, and nothing else.
    @Test func aConnectionDoesNotChangeItsVersion() throws {
        let node = try node()
        let client = try node.connect()
        try client.send(HTTPClient.request("GET", "/healthz", nil))
        #expect(try client.receive().status == 200)
        try client.send(HTTP2Frame.opening())
        #expect(try client.receive().status == 505)
        #expect(client.isClosed())
    }

    // MARK: The same answers

    /// What each request is answered is what HTTP/1.1 answers.
    @Test func repliesAreThoseOfTheFirstVersion() throws {
        let node = try node(yaml: Self.routes)
        let client = try client(node)
        let long = String(repeating: "k", count: 2000)
        let requests: [(String, String, String?, [(String, String)])] = [
            ("GET", "/healthz", nil, []), ("HEAD", "/healthz", nil, []), ("OPTIONS", "/events", nil, []),
            ("GET", "/nothing", nil, []), ("GET", "/events", nil, []), ("POST", "/events", "", []),
            ("POST", "/events", "{", []), ("POST", "/events", "[1]", []), ("POST", "/events", "{\"a\":1,\"a\":2}", []),
            ("POST", "/events", "{}", [("content-type", "text/plain")]),
            ("POST", "/events", "{}", [("content-encoding", "br")]), ("POST", "/events", "{}", [("prefer", "x")]),
            ("POST", "/events?x=1", "{}", []), ("POST", "/events", "{}", [("partition-key", long)]),
            ("POST", "/v1/topics/no%20name/events", "1", []), ("POST", "/v1/topics/t/events", "[]", []),
            ("POST", "/typed", "{\"n\":\"a\"}", []), ("POST", "/typed", "[{\"n\":1},{}]", []),
            ("POST", "/topics/t", "{}", [("content-type", "application/vnd.kafka.json.v2+json")]),
            ("GET", "/v1/topics/none/records", nil, []), ("GET", "/openapi.json", nil, []),
            ("TRACE", "/events", nil, []), ("LINK", "/events", nil, []),
            ("POST", "/events", "{}", [("idempotency-key", "")]),
        ]
        for (method, path, body, fields) in requests {
            let lines = fields.map { "\($0.0): \($0.1)" }
            let first = try node.call(method, path, body, fields: lines)
            let second = try client.call(method, path, body, fields)
            #expect(second.status == first.status, "\(method) \(path)")
            for name in ["content-type", "content-length", "allow", "accept", "accept-encoding", "retry-after"] {
                #expect(second.fields[name] == first.fields[name], "\(method) \(path): \(name)")
            }
            guard first.status >= 400 else { continue }
            #expect(Self.anonymous(second) == Self.anonymous(first), "\(method) \(path)")
        }
    }

    /// The body without what is another of each request.
    private static func anonymous(_ reply: HTTPReply) -> String {
        guard let id = reply.string("request_id") else { return reply.text }
        return reply.text.replacingOccurrences(of: id, with: "ID")
    }

    private static let routes = """
        routes:
          - id: typed
            path: /typed
            schema:
              type: object
              required: [n]
              properties:
                n: {type: integer}
            to: {topic: typed}
        """

    @Test func aRepeatIsReplayed() throws {
        let node = try node()
        let client = try client(node)
        let key = [("idempotency-key", "\"one\"")]
        let first = try client.call("POST", "/v1/topics/t/events", "1", key)
        let second = try client.call("POST", "/v1/topics/t/events", "1", key)
        #expect(first.status == 201 && second.body == first.body)
        #expect(second.fields["idempotent-replayed"] == "true")
        #expect(try client.call("POST", "/v1/topics/t/events", "2", key).status == 422)
        #expect(try node.values("t") == ["1"])
    }

    @Test func headsThatCannotBeReadAreAnswered() throws {
        let node = try node()
        let client = try client(node)
        let line = client.request("GET", "/" + String(repeating: "a", count: 9000))
        #expect(try client.reply(line).status == 414)
        let field = client.request("GET", "/", nil, [("a", String(repeating: "b", count: 9000))])
        #expect(try client.reply(field).status == 431)
        let many = client.request("GET", "/", nil, (0..<101).map { ("a\($0)", "b") })
        let refused = try client.reply(many)
        #expect(refused.status == 431 && refused.string("code") == "header_too_large")
        #expect(refused.fields["content-type"] == "application/problem+json")
        #expect(try client.call("GET", "/healthz").status == 200)
    }

    // MARK: Bodies

    @Test func aBodyComesInManyFrames() throws {
        let node = try node()
        let client = try client(node)
        let text = "\"" + String(repeating: "x", count: 900_000) + "\""
        for fields in [[], [("content-length", String(text.utf8.count))]] {
            let stream = client.request("POST", "/v1/topics/t/events", Array(text.utf8), fields)
            #expect(try client.reply(stream).status == 201)
        }
        #expect(try node.values("t") == [text, text])
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
        #expect(node.metric("millrace_ingest_bytes_total") == 2 * text.utf8.count)
    }

    @Test func aLongBodyIsAWorkers() throws {
        let node = try node(yaml: Self.routes)
        let client = try client(node)
        #expect(try client.call("POST", "/typed", "{\"n\":0}").status == 201)
        let events = (0..<5000).map { "{\"n\":\($0),\"pad\":\"\(String(repeating: "x", count: 40))\"}" }
        let workers = BusyWorkers(node.broker.workers.threadCount) { node.broker.workers.submit($0) }
        defer { workers.release() }
        let long = client.request(
            "POST", "/typed?results=none", Array(events.joined(separator: "\n").utf8),
            [("content-type", "application/x-ndjson")])
        // Others of the connection pass it.
        #expect(try client.call("GET", "/healthz").status == 200)
        #expect(try client.call("POST", "/typed", "{\"n\":1}").status == 201)
        #expect(!client.finished.contains(long))
        workers.release()
        #expect(try client.reply(long).number("accepted") == 5000)
        #expect(try node.values("typed").count == 5002)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    /// A worker has it also when nobody waits for the reply any more.
    @Test func aLongBodyCountsAsLongAsAWorkerHasIt() throws {
        let node = try node(yaml: Self.routes)
        let client = try client(node)
        #expect(try client.call("POST", "/typed", "{\"n\":0}").status == 201)
        let events = (0..<5000).map { "{\"n\":\($0),\"pad\":\"\(String(repeating: "x", count: 40))\"}" }
        let body = Array(events.joined(separator: "\n").utf8)
        let workers = BusyWorkers(node.broker.workers.threadCount) { node.broker.workers.submit($0) }
        defer { workers.release() }
        let long = client.request("POST", "/typed?results=none", body, [("content-type", "application/x-ndjson")])
        #expect(eventually { (node.metric("millrace_http_inflight_bytes") ?? 0) >= body.count })
        client.send(HTTP2Frame.reset(long))
        // Behind the reset: the stream is gone by then.
        #expect(try client.call("GET", "/healthz").status == 200)
        #expect((node.metric("millrace_http_inflight_bytes") ?? 0) >= body.count)
        workers.release()
        #expect(eventually { (try? node.values("typed").count) == 5001 })
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }

    @Test func bodiesThatAreTooLongAreRefusedAsSoonAsThatIsKnown() throws {
        var options = GatewayOptions()
        options.maxRequestBytes = 100_000
        options.bodyIdleTimeout = .milliseconds(200)
        let node = try node(options)
        let client = try client(node)
        let told = client.request(
            "POST", "/events", nil, [("content-type", "application/json"), ("content-length", "100001")], ends: false)
        let refused = try client.reply(told)
        #expect(
            refused.status == 413 && refused.string("code") == "body_too_large" && refused.number("limit") == 100_000)
        client.read { client.resets[told] != nil }
        #expect(client.resets[told] == 0)
        // Who reads nothing before it has sent everything comes to its reply, and to an end.
        let patient = client.request(
            "POST", "/events", nil, [("content-type", "application/json"), ("content-length", "900000")], ends: false)
        client.body(patient, [UInt8](repeating: 32, count: 900_000))
        #expect(try client.reply(patient).status == 413)
        let grown = client.request("POST", "/events", [UInt8](repeating: 32, count: 90_000), ends: false)
        client.body(grown, [UInt8](repeating: 32, count: 20_000), ends: false)
        #expect(try client.reply(grown).status == 413)
        // Its fields are kept as long as it is there.
        client.read { client.resets[grown] != nil }
        #expect(try client.call("GET", "/healthz").status == 200)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func continueIsSaidToABodyThatWillBeRead() throws {
        let node = try node()
        let client = try client(node)
        let fields = [("content-type", "application/json"), ("expect", "100-continue")]
        let stream = client.request("POST", "/events", nil, fields, ends: false)
        client.read { !client.interim.isEmpty }
        #expect(client.interim == [100])
        client.body(stream, Array("{}".utf8))
        #expect(try client.reply(stream).status == 201)
        let wrong = client.request("POST", "/nothing", nil, fields, ends: false)
        #expect(try client.reply(wrong).status == 404)
        #expect(client.interim == [100])
    }

    @Test func memoryOfBodiesHasItsShares() throws {
        var options = GatewayOptions()
        options.maxInflightBytesPerPeer = 200_000
        let node = try node(options)
        let client = try client(node)
        let half = [UInt8](repeating: 32, count: 100_000)
        var open: [UInt32] = []
        for _ in 0..<4 { open.append(client.request("POST", "/events", half, ends: false)) }
        client.read { client.finished.count >= 2 }
        #expect(client.finished.count >= 2)
        for stream in client.finished {
            let refused = try client.reply(stream)
            #expect(refused.status == 503 && refused.string("code") == "overloaded")
        }
        #expect((node.metric("millrace_http_inflight_bytes") ?? 0) <= 200_000)
        for stream in open { client.send(HTTP2Frame.reset(stream)) }
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        #expect(try client.call("GET", "/healthz").status == 200)
    }

    @Test func slowBodiesGet408() throws {
        var options = GatewayOptions()
        options.bodyIdleTimeout = .milliseconds(100)
        let node = try node(options)
        let client = try client(node)
        let slow = client.request("POST", "/events", Array("{".utf8), ends: false)
        let reply = try client.reply(slow)
        #expect(reply.status == 408 && reply.string("code") == "body_timeout")
        #expect(try client.call("GET", "/healthz").status == 200)
    }

    @Test func fieldsThatDoNotEndEndTheConnection() throws {
        var options = GatewayOptions()
        options.headTimeout = .milliseconds(100)
        let node = try node(options)
        let client = try client(node)
        client.send(HTTP2Frame.headers(1, HTTP2Frame.fields("GET", "/"), areWhole: false))
        client.readToTheEnd()
        #expect(client.ends.last?.code == 11)
        #expect(eventually { node.metric("millrace_http_connections") == 0 })
    }

    // MARK: Each stream for itself

    @Test func aStreamWaitsForItsOwnCommitAlone() throws {
        let node = try node()
        let client = try client(node)
        #expect(try client.call("POST", "/v1/topics/t/events", "0").status == 201)
        node.disk.stall([.write, .sync])
        let slow = client.request("POST", "/v1/topics/t/events", Array("1".utf8))
        #expect(eventually { node.disk.waitingCalls > 0 })
        for _ in 0..<3 { #expect(try client.call("GET", "/healthz").status == 200) }
        #expect(!client.finished.contains(slow))
        node.disk.release()
        #expect(try client.reply(slow).status == 201)
        #expect(try node.values("t") == ["0", "1"])
    }

    @Test func manyStreamsAtATimeAreEachAnswered() throws {
        let node = try node()
        let client = try client(node)
        for round in 0..<5 {
            let streams = (0..<90).map { number in
                client.request("POST", "/v1/topics/t/events", Array("\(round * 100 + number)".utf8))
            }
            for stream in streams { #expect(try client.reply(stream).status == 201) }
        }
        #expect(Set(try node.values("t")).count == 450)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func aFailedCommitIsItsStreamsAlone() throws {
        let node = try node()
        let client = try client(node)
        #expect(try client.call("POST", "/v1/topics/t/events", "0").status == 201)
        node.fileSystem.inject(.init(.fail(errno: 5), pathContains: ".journal", times: .max))
        let failed = client.request("POST", "/v1/topics/t/events", Array("1".utf8))
        let reply = try client.reply(failed)
        #expect(reply.status == 503 && reply.string("code") == "storage_unavailable", "\(reply.text)")
        #expect(try client.call("GET", "/healthz").status < 600)
        #expect(!client.isClosed)
    }

    @Test func aCommitThatDoesNotComeIsA504OfItsStream() throws {
        var options = GatewayOptions()
        options.requestTimeout = .milliseconds(200)
        let node = try GatewayHarness(options, holdsCommits: true)
        let client = try client(node)
        let reply = try client.call("POST", "/v1/topics/t/events", "1")
        #expect(reply.status == 504 && reply.string("code") == "commit_timeout")
        #expect(node.metric("millrace_http_commit_timeouts_total") == 1)
        #expect(try client.call("GET", "/healthz").status == 200)
    }

    @Test func whoResetsAStreamLeavesNothing() throws {
        let node = try node()
        let client = try client(node)
        #expect(try client.call("POST", "/v1/topics/t/events", "0").status == 201)
        node.disk.stall([.write, .sync])
        for number in 1...20 {
            let stream = client.request("POST", "/v1/topics/t/events", Array("\(number)".utf8))
            client.send(HTTP2Frame.reset(stream))
        }
        node.disk.release()
        #expect(eventually { (try? node.values("t").count) == 21 })
        #expect(try client.call("POST", "/v1/topics/t/events", "21").status == 201)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    // MARK: Long replies and slow readers

    @Test func recordsAreReadInParts() throws {
        let node = try node()
        let client = try client(node)
        let event = "\"" + String(repeating: "y", count: 100_000) + "\""
        for _ in 0..<8 { #expect(try node.post("t", event).status == 201) }
        let path = "/v1/topics/t/records?limit=100&max_bytes=2000000"
        let streams = (0..<10).map { _ in client.request("GET", path) }
        for stream in streams {
            let reply = try client.reply(stream)
            #expect(reply.status == 200 && reply.fields["content-length"] == nil)
            #expect((reply.json["records"] as? [Any])?.count == 8)
        }
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
        let head = try client.call("HEAD", path)
        #expect(head.status == 200 && head.body.isEmpty)
    }

    /// A peer whose windows stay closed is kept little for, and nobody else waits for it.
    @Test func whoDoesNotReadIsKeptLittleFor() throws {
        var options = GatewayOptions()
        options.maxInflightBytesPerPeer = 8 << 20
        let node = try node(options)
        let event = "\"" + String(repeating: "y", count: 100_000) + "\""
        for _ in 0..<10 { #expect(try node.post("t", event).status == 201) }
        let before = node.pool.outstandingBytes
        let client = try client(node, settings: [(4, 0)])
        client.opensWindows = false
        let streams = (0..<30).map { _ in client.request("GET", "/v1/topics/t/records?limit=100&max_bytes=4000000") }
        let other = try self.client(node)
        for _ in 0..<20 { #expect(try other.call("POST", "/v1/topics/u/events", "1").status == 201) }
        #expect(node.pool.outstandingBytes - before < 16 << 20)
        client.send(HTTP2Frame.settings([(4, 1 << 24)]))
        client.send(HTTP2Frame.windowUpdate(0, 1 << 30))
        client.opensWindows = true
        for stream in streams {
            let status = try client.reply(stream).status
            #expect(status == 200 || status == 503)
        }
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }

    /// Small requests with long replies: those behind wait until the first are read.
    @Test func requestsWaitWhileRepliesAreNotRead() throws {
        let node = try node()
        #expect(try node.post("t", "0").status == 201)
        let client = try client(node, settings: [(4, 0)])
        client.opensWindows = false
        let events = "[" + (0..<5000).map { "\($0)" }.joined(separator: ",") + "]"
        let streams = (0..<20).map { _ in
            client.request("POST", "/v1/topics/t/events?results=all", Array(events.utf8))
        }
        #expect(eventually { (try? node.values("t").count) ?? 0 > 5000 })
        let other = try self.client(node)
        #expect(try other.call("GET", "/healthz").status == 200)
        // Some 500 KB a reply: the second finds more unread than is kept.
        #expect(try node.values("t").count <= 1 + 2 * 5000)
        client.opensWindows = true
        client.send(HTTP2Frame.settings([(4, 1 << 24)]))
        client.send(HTTP2Frame.windowUpdate(0, 1 << 30))
        for stream in streams { #expect(try client.reply(stream).number("accepted") == 5000) }
        #expect(try node.values("t").count == 1 + 20 * 5000)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func aStreamWhoseReplyIsNotReadIsReset() throws {
        var options = GatewayOptions()
        options.requestTimeout = .milliseconds(200)
        let node = try node(options)
        let client = try client(node, settings: [(4, 5)])
        client.opensWindows = false
        let stalled = client.request("GET", "/openapi.json")
        client.read { client.resets[stalled] != nil }
        #expect(client.resets[stalled] == 8)
        #expect(client.part(stalled).count == 5)
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }

    // MARK: The end

    @Test func aDrainEndsAfterWhatWasBegun() throws {
        let node = try node()
        let client = try client(node)
        #expect(try client.call("POST", "/v1/topics/t/events", "0").status == 201)
        node.disk.stall([.write, .sync])
        let begun = client.request("POST", "/v1/topics/t/events", Array("1".utf8))
        #expect(eventually { node.disk.waitingCalls > 0 })
        node.gateway.drain()
        client.read { !client.ends.isEmpty }
        #expect(client.ends.first?.last == 0x7fff_ffff && client.ends.first?.code == 0)
        // Was on its way before the client had heard of it.
        let late = client.request("POST", "/v1/topics/t/events", Array("2".utf8))
        node.disk.release()
        #expect(try client.reply(begun).status == 201)
        #expect(try client.reply(late).status == 201)
        client.readToTheEnd()
        #expect(client.ends.last?.last == late && client.ends.last?.code == 0)
        #expect(try node.values("t") == ["0", "1", "2"])
    }

    @Test func aStopSaysWhichStreamWasTheLast() throws {
        let node = try node()
        let client = try client(node)
        #expect(try client.call("GET", "/healthz").status == 200)
        node.group.stop(within: .seconds(5))
        client.readToTheEnd()
        #expect(client.ends.last?.last == 1 && client.ends.last?.code == 0)
    }

    /// Also the last bytes of the last stream, which nghttp2 hands out when it has told that the stream is closed.
    @Test func aReplyThatIsOwedAtAStopLeavesWhole() throws {
        let node = try node()
        let client = try client(node)
        #expect(try client.call("POST", "/v1/topics/t/events", "0").status == 201)
        node.disk.stall([.write, .sync])
        let owed = client.request("POST", "/v1/topics/t/events", Array("1".utf8))
        #expect(eventually { node.disk.waitingCalls > 0 })
        Foundation.Thread.detachNewThread { node.group.stop(within: .seconds(20)) }
        client.read { client.ends.last?.last == owed }
        node.disk.release()
        let reply = try client.reply(owed)
        #expect(reply.status == 201 && reply.number("accepted") == 1, "\(reply.text)")
        client.readToTheEnd()
    }

    @Test func anOldConnectionEnds() throws {
        var options = GatewayOptions()
        options.maxConnectionAge = .milliseconds(1)
        let node = try node(options)
        let client = try client(node)
        #expect(try client.call("GET", "/healthz").status == 200)
        client.readToTheEnd()
        #expect(client.ends.map(\.code) == [0, 0] && client.ends.last?.last == 1, "\(client.ends)")
    }

    @Test func floodsEndTheConnection() throws {
        let node = try node()
        let ping = HTTP2Frame(.ping, [UInt8](repeating: 1, count: 8)).bytes
        do {
            let client = try client(node)
            for _ in 0..<100 { client.send((0..<20).flatMap { _ in ping }) }
            client.readToTheEnd()
            #expect(client.isClosed)
        }
        #expect(eventually { node.metric("millrace_http_connections") == 0 })
        let other = try self.client(node)
        #expect(try other.call("GET", "/healthz").status == 200)
    }

    // MARK: Who asks

    @Test func aProxySaysForWhomEachRequestIs() throws {
        let node = try GatewayHarness(
            configuration: GatewayConfiguration(yaml: "http.trusted.proxies: 127.0.0.1"))
        let client = try client(node)
        let wrong = try client.call("GET", "/events", nil, [("x-forwarded-for", "nobody")])
        #expect(wrong.status == 400 && wrong.string("code") == "invalid_header")
        #expect(try client.call("POST", "/events", "{}", [("x-forwarded-for", "192.0.2.1")]).status == 201)
        #expect(try client.call("POST", "/events", "{}", [("x-forwarded-for", "192.0.2.2")]).status == 201)
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }
}
