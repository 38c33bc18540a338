import BrokerCore
import BrokerTestKit
import Glibc
import IngestGateway
import Telemetry
import Testing
import Transport

@Suite struct FramingTests {
    @Test func requestsArriveByteByByte() throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        for byte in HTTPClient.request("POST", "/v1/topics/t/events", Array("{\"a\":1}".utf8)) {
            try client.send([byte])
        }
        #expect(try client.receive().status == 201)
        try client.send(HTTPClient.request("GET", "/healthz", nil))
        #expect(try client.receive().status == 200)
    }

    @Test func pipelinedRequestsAreAnsweredInOrder() throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        var all: [UInt8] = []
        for number in 0..<50 {
            all += HTTPClient.request("POST", "/v1/topics/t/events", Array("{\"n\":\(number)}".utf8))
            if number % 10 == 5 { all += HTTPClient.request("GET", "/healthz", nil) }
        }
        try client.send(all)
        var offsets: [Int] = []
        for number in 0..<50 {
            offsets += try client.receive().offsets
            if number % 10 == 5 { #expect(try client.receive().string("status") == "ok") }
        }
        #expect(offsets == Array(0..<50))
        #expect(try node.values("t") == (0..<50).map { "{\"n\":\($0)}" })
    }

    /// It is read for what stands behind it alone.
    @Test func aBodyThatNobodyWantsIsReadUpToItsBound() throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        let body = [UInt8](repeating: 0x20, count: 64 << 10)
        try client.send(HTTPClient.request("GET", "/healthz", body) + HTTPClient.request("GET", "/healthz", nil))
        for _ in 0..<2 { #expect(try client.receive().status == 200) }
        for chunked in [false, true] {
            let client = try node.connect()
            let framing = chunked ? "Transfer-Encoding: chunked\r\n\r\n10001\r\n" : "Content-Length: 65537\r\n\r\n"
            try client.send(Array("GET /healthz HTTP/1.1\r\nHost: h\r\n\(framing)".utf8))
            let reply = try client.receive()
            #expect(reply.status == 413 && reply.string("code") == "body_too_large" && reply.number("limit") == 65536)
        }
    }

    /// A round of the loop for each, when none of a connection's requests may follow another one at once.
    @Test func pipelinedRequestsShareTheLoop() throws {
        var options = GatewayOptions()
        options.maxTurnNanoseconds = 0
        let node = try GatewayHarness(options)
        let client = try node.connect()
        let before = node.group.counters.turns.value
        try client.send((0..<200).flatMap { _ in HTTPClient.request("GET", "/healthz", nil) })
        for _ in 0..<200 { #expect(try client.receive().string("status") == "ok") }
        #expect(node.group.counters.turns.value - before >= 190)
    }

    @Test(arguments: [1, 7, 1000, 100_000])
    func chunkedBodiesAreReadHoweverTheyAreCut(size: Int) throws {
        let node = try GatewayHarness()
        let count = size == 1 ? 20 : 2000
        let events = (0..<count).map { "{\"n\":\($0)}" }
        let body = Array(events.joined(separator: "\n").utf8)
        let client = try node.connect()
        var request = Array(
            "POST /v1/topics/t/events HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
                .utf8)
        for start in stride(from: 0, to: body.count, by: size) {
            let part = body[start..<min(start + size, body.count)]
            request += Array("\(String(part.count, radix: 16))\r\n".utf8) + part + Array("\r\n".utf8)
        }
        try client.send(request + Array("0\r\nX-Sum: 1\r\n\r\n".utf8) + HTTPClient.request("GET", "/healthz", nil))
        #expect(try client.receive().number("accepted") == count)
        #expect(try client.receive().status == 200)
        #expect(try node.values("t") == events)
    }

    @Test func largeBodiesByLengthAreRead() throws {
        let node = try GatewayHarness()
        let event = "{\"x\":\"" + String(repeating: "y", count: 900_000) + "\"}"
        let client = try node.connect()
        for _ in 0..<3 {
            try client.send(HTTPClient.request("POST", "/v1/topics/t/events", Array("[\(event),\(event)]".utf8)))
            #expect(try client.receive().status == 201)
        }
        #expect(try node.values("t") == Array(repeating: event, count: 6))
    }

    @Test func bodiesOverTheLimitAreRefusedBeforeTheyAreRead() throws {
        var options = GatewayOptions()
        options.maxRequestBytes = 1000
        let node = try GatewayHarness(options)
        let announced = try node.connect()
        try announced.send(
            "POST /v1/topics/t/events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 1001\r\n\r\n"
        )
        let reply = try announced.receive()
        #expect(reply.status == 413)
        #expect(reply.number("limit") == 1000)
        #expect(announced.isClosed())
        let chunked = try node.connect()
        try chunked.send(
            "POST /events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n"
        )
        #expect(try chunked.receive().status == 413)
        #expect(chunked.isClosed())
    }

    @Test func continueIsSaidOnlyForABodyThatWillBeRead() throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        let head = "Host: h\r\nExpect: 100-continue\r\nContent-Type: application/json\r\n"
        try client.send("POST /v1/topics/t/events HTTP/1.1\r\n\(head)Content-Length: 2\r\n\r\n")
        #expect(try client.receive().status == 100)
        try client.send("{}")
        #expect(try client.receive().status == 201)
        try client.send("POST /v1/topics/t/events HTTP/1.1\r\n\(head)Content-Length: 99999999\r\n\r\n")
        #expect(try client.receive().status == 413)
        #expect(client.isClosed())
        let lost = try node.connect()
        try lost.send("POST /nowhere HTTP/1.1\r\n\(head)Content-Length: 2\r\n\r\n")
        #expect(try lost.receive().status == 404)
        #expect(lost.isClosed())
    }

    /// A body of `length` is announced, and its first `sent` bytes sent. The interim reply shows that it was looked at.
    private func begin(_ node: GatewayHarness, _ length: Int, sending sent: Int) throws -> HTTPClient {
        let client = try node.connect()
        try client.send(
            "POST /events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
                + "Content-Length: \(length)\r\n\r\n")
        #expect(try client.receive().status == 100)
        try client.send(String(repeating: " ", count: sent))
        return client
    }

    @Test func anAnnouncedBodyTakesNoMemoryOfTheBudget() throws {
        var options = GatewayOptions()
        options.maxInflightBytes = 1 << 20
        options.maxInflightBytesPerPeer = 1 << 20
        let node = try GatewayHarness(options)
        let silent = try (0..<40).map { _ in try begin(node, 1 << 20, sending: 0) }
        let held = try #require(node.metric("millrace_http_inflight_bytes"))
        #expect(held == 40 * (16 << 10), "a first share each")
        #expect(
            try node.call("POST", "/events", "{\"x\":\"" + String(repeating: "y", count: 200_000) + "\"}").status == 201
        )
        withExtendedLifetime(silent) {}
    }

    @Test func whatHasArrivedIsLimitedAndGivenBack() throws {
        var options = GatewayOptions()
        options.maxInflightBytes = 190_000
        options.maxInflightBytesPerPeer = 190_000
        let node = try GatewayHarness(options)
        let first = try begin(node, 150_000, sending: 90_000)
        // Twice what was there at the last look.
        #expect(eventually { (node.metric("millrace_http_inflight_bytes") ?? 0) >= 90_000 })
        let second = try begin(node, 150_000, sending: 60_000)
        let refused = try second.receive()
        #expect(refused.status == 503)
        #expect(refused.string("code") == "overloaded")
        #expect(refused.fields["retry-after"] == "1")
        #expect(second.isClosed())
        try first.send("{}" + String(repeating: " ", count: 60_000 - 2))
        #expect(try first.receive().status == 201)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
        let third = try begin(node, 150_000, sending: 149_998)
        try third.send("{}")
        #expect(try third.receive().status == 201)
    }

    @Test(arguments: [false, true])
    func onePeerMayHaveItsShareOnly(chunked: Bool) throws {
        var options = GatewayOptions()
        options.maxInflightBytes = 1 << 20
        options.maxInflightBytesPerPeer = 100_000
        let node = try GatewayHarness(options)
        let client = try node.connect()
        try client.send(
            "POST /events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                + (chunked ? "Transfer-Encoding: chunked\r\n\r\n30d40\r\n" : "Content-Length: 200000\r\n\r\n"))
        try client.send(String(repeating: " ", count: 120_000))
        let reply = try client.receive()
        #expect(reply.status == 503)
        #expect(reply.string("detail")?.contains("from your address") == true)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    /// The memory of a chunked body doubles as it arrives, and what a peer may have is room for one of the longest.
    @Test func theLongestChunkedBodyFitsIntoAPeersShare() throws {
        var options = GatewayOptions()
        options.maxRequestBytes = 100_000
        options.maxInflightBytesPerPeer = 100_000
        let node = try GatewayHarness(options)
        let client = try node.connect()
        try client.send(
            "POST /events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n15f90\r\n"
                + String(repeating: " ", count: 60_000))
        #expect(eventually { (node.metric("millrace_http_inflight_bytes") ?? 0) >= 60_000 })
        try client.send(String(repeating: " ", count: 29_998) + "{}\r\n0\r\n\r\n")
        #expect(try client.receive().status == 201)
    }

    @Test func aCommitThatDoesNotComeIsA504ThatEndsTheConnection() throws {
        var options = GatewayOptions()
        options.requestTimeout = .milliseconds(200)
        let node = try GatewayHarness(options, holdsCommits: true)
        for fields in [[], ["Connection: close"]] {
            let client = try node.connect()
            try client.send(HTTPClient.request("GET", "/healthz", nil))
            #expect(try client.receive().status == 200)
            try client.send(HTTPClient.request("POST", "/events", Array("{}".utf8), fields: fields))
            let reply = try client.receive()
            #expect(reply.status == 504)
            #expect(reply.string("code") == "commit_timeout")
            #expect(reply.fields["retry-after"] == "5")
            #expect(reply.fields["connection"] == "close")
            #expect(client.isClosed())
        }
        #expect(node.metric("millrace_http_commit_timeouts_total") == 2)
        #expect(try node.values("events") == ["{}", "{}"], "it was appended all the same")
    }

    @Test func aConnectionTooManyIsToldSo() throws {
        var options = GatewayOptions()
        options.maxConnectionsPerIP = 1
        let node = try GatewayHarness(options)
        let first = try node.connect()
        try first.send(HTTPClient.request("GET", "/healthz", nil))
        #expect(try first.receive().status == 200)
        for round in 1...3 {
            let second = try node.connect()
            try second.send(HTTPClient.request("GET", "/healthz", nil))
            let reply = try second.receive()
            #expect(reply.status == 503)
            #expect(reply.string("code") == "overloaded")
            #expect(reply.fields["retry-after"] == "1")
            #expect(second.isClosed())
            try first.send(HTTPClient.request("GET", "/metrics", nil))
            let metrics = try first.receive().text
            #expect(metrics.contains("millrace_http_refused_connections_total \(round)\n"))
        }
    }

    @Test func whoGoesOnSendingAfterARefusalStillReadsIt() throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        try client.send(
            "POST /events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n")
        // Longer than a second in all, and never as long as five.
        for _ in 0..<6 {
            #expect(try client.sendAll([UInt8](repeating: 0x20, count: 1 << 20)), "the connection was reset")
            usleep(300_000)
        }
        #expect(try client.receive().status == 413)
        #expect(client.isClosed())
    }

    @Test func theWholeServerIsAskedWithAStar() throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        try client.send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
        let reply = try client.receive()
        #expect(reply.status == 204)
        #expect(reply.fields["allow"] == "GET, HEAD, POST, PUT, DELETE, OPTIONS")
        try client.send("OPTIONS /ingest HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(try client.receive().fields["allow"] == "POST, OPTIONS")
    }

    @Test func higherMinorVersionsAreAnsweredAsOurs() throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        for minor in 1...9 {
            try client.send("GET /healthz HTTP/1.\(minor)\r\nHost: h\r\n\r\n")
            let reply = try client.receive()
            #expect(reply.status == 200 && reply.fields["connection"] == nil, "1.\(minor) keeps the connection")
        }
    }

    @Test(arguments: [
        ("POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
        ("POST /events HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n{}", 501),
        (
            "POST /events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            400
        ),
        ("POST /events HTTP/1.1\nHost: h\nContent-Length: 2\n\n{}", 400), ("POST /events HTTP/1.1\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\u{2}\r\n\r\n", 400), ("BREW /events HTTP/1.1\r\nHost: h\r\n\r\n", 501),
        ("GET /healthz HTTP/2.0\r\nHost: h\r\n\r\n", 505), ("GET /healthz HTTP/0.9\r\nHost: h\r\n\r\n", 505),
    ])
    func malformedRequestsAreAnsweredOnceAndEndTheConnection(request: String, status: Int) throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        try client.send(request + "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        let reply = try client.receive()
        #expect(reply.status == status)
        #expect(reply.fields["connection"] == "close")
        #expect(reply.fields["content-type"] == "application/problem+json")
        #expect(reply.string("request_id")?.isEmpty == false)
        #expect(client.isClosed())
        #expect(node.broker.catalog.topic(named: "events") == nil)
    }

    @Test func slowHeadsAndBodiesGet408() throws {
        var options = GatewayOptions()
        options.headTimeout = .milliseconds(100)
        options.bodyIdleTimeout = .milliseconds(100)
        let node = try GatewayHarness(options)
        let head = try node.connect()
        try head.send("GET /healthz HTTP/1.1\r\nHost: h\r\nX-Slow: ")
        #expect(try head.receive().string("code") == "head_timeout")
        #expect(head.isClosed())
        for framing in ["Content-Length: 1000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n5\r\n{"] {
            let body = try node.connect()
            try body.send("POST /events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\(framing)")
            let reply = try body.receive()
            #expect(reply.status == 408)
            #expect(reply.string("code") == "body_timeout")
            #expect(body.isClosed())
        }
    }

    @Test func aRequestInTimeIsNotDisturbedByTheTimer() throws {
        var options = GatewayOptions()
        options.headTimeout = .milliseconds(50)
        let node = try GatewayHarness(options)
        let client = try node.connect()
        try client.send("GET /healthz HTTP/1.1\r\nHost")
        try client.send(": h\r\n\r\n")
        #expect(try client.receive().status == 200)
        let other = try node.connect()
        try other.send("GET /healthz HTTP/1.1\r\n")
        #expect(try other.receive().status == 408)
        try client.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(try client.receive().status == 200)
    }

    @Test func connectionsStayOpenAndCloseAsAsked() throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        for path in ["/healthz", "/nowhere", "/stats"] {
            try client.send(HTTPClient.request("GET", path, nil))
            #expect(try client.receive().fields["connection"] == nil)
        }
        try client.send(HTTPClient.request("GET", "/healthz", nil, fields: ["Connection: close"]))
        #expect(try client.receive().fields["connection"] == "close")
        #expect(client.isClosed())
        let old = try node.connect()
        try old.send("GET /healthz HTTP/1.0\r\n\r\n")
        #expect(try old.receive().status == 200)
        #expect(old.isClosed())
    }

    @Test func anOldConnectionEndsWithItsNextReply() throws {
        var options = GatewayOptions()
        options.maxConnectionAge = .seconds(3600)
        let lasting = try GatewayHarness(options)
        let young = try lasting.connect()
        for _ in 0..<2 {
            try young.send(HTTPClient.request("GET", "/healthz", nil))
            #expect(try young.receive().fields["connection"] == nil)
        }
        options.maxConnectionAge = .zero
        let harness = try GatewayHarness(options)
        let old = try harness.connect()
        try old.send(HTTPClient.request("POST", "/v1/topics/t/events", Array("{}".utf8)))
        let reply = try old.receive()
        #expect(reply.status == 201 && reply.fields["connection"] == "close" && old.isClosed())
    }

    @Test func refusedRequestsWithTheirBodyKeepTheConnection() throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        try client.send(HTTPClient.request("POST", "/nowhere", Array("{}".utf8)))
        #expect(try client.receive().status == 404)
        try client.send(HTTPClient.request("PUT", "/events", Array("{}".utf8)))
        #expect(try client.receive().status == 405)
        try client.send(HTTPClient.request("POST", "/events", Array("{}".utf8)))
        #expect(try client.receive().status == 201)
    }

    @Test func aDrainingGatewayClosesAfterItsReplies() throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        node.gateway.drain()
        try client.send(HTTPClient.request("POST", "/events", Array("{}".utf8)))
        let reply = try client.receive()
        #expect(reply.status == 201)
        #expect(reply.fields["connection"] == "close")
        #expect(client.isClosed())
        #expect(try node.call("GET", "/readyz").status == 503)
    }

    /// What a connection has appended and not been answered is bounded: no more of it is read.
    @Test func eventsThatWaitForTheirCommitAreBounded() throws {
        let node = try GatewayHarness(holdsCommits: true, maxUncommitted: 10_000)
        let client = try node.connect()
        let event = Array("{\"text\":\"\(String(repeating: "x", count: 4000))\"}".utf8)
        for _ in 0..<10 { try client.send(HTTPClient.request("POST", "/events", event)) }
        #expect(try eventually { try node.values("events").count == 3 })
        // All that was sent could have been handled by now.
        #expect(try node.call("GET", "/healthz").status == 200)
        #expect(try node.values("events").count == 3)
    }

    @Test func noReplyLeavesBeforeItsCommit() throws {
        let node = try GatewayHarness(holdsCommits: true)
        let client = try node.connect()
        try client.send(HTTPClient.request("POST", "/events", Array("{}".utf8)))
        // The append is on disk, the clock was not told: the reply waits, and so does every one behind it.
        try client.send(HTTPClient.request("GET", "/healthz", nil))
        while (try? node.values("events")) != ["{}"] {}
        let other = try node.connect()
        try other.send(HTTPClient.request("GET", "/healthz", nil))
        #expect(try other.receive().status == 200)
        #expect(client.hasNothingToRead)
    }
}
