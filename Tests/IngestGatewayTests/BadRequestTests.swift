import BrokerCore
import BrokerTestKit
import ByteBuffers
import Glibc
import IngestGateway
import Testing

/// Bad input over HTTP: each gets its status and one body that every client can read, or a closed connection; nothing is stored.
/// What each part of the parsers refuses is tested with them; here it is what a client meets.
@Suite struct BadRequestTests {
    private static let json = "Content-Type: application/json"
    private static let lines = "Content-Type: application/x-ndjson"
    private static let events = "/v1/topics/t/events"

    private func expectProblem(_ reply: HTTPReply, _ status: Int, _ code: String? = nil, _ what: String = "") {
        #expect(reply.status == status, "\(what): \(reply.text.prefix(300))")
        #expect(reply.fields["content-type"] == "application/problem+json", "\(what)")
        for member in ["type", "title", "status", "detail", "code", "error", "message", "request_id"] {
            #expect(reply.json[member] != nil, "\(what): \(member) is missing")
        }
        #expect(reply.number("status") == reply.status, "\(what)")
        if let code { #expect(reply.string("code") == code, "\(what)") }
    }

    private func expectNothingStored(_ node: GatewayHarness) {
        // A refused request does not even make its topic.
        #expect(node.broker.catalog.topic(named: "t") == nil)
    }

    // MARK: Bodies

    private static let invalidJSON = [
        "{\"a\":1", "[{\"a\":1}", "{\"a\":\"b", "{\"a\":1,}", "[{\"a\":1} {\"b\":2}]", "{\"a\" 1}", "{'a':1}", "{a:1}",
        "{\"a\":tru}", "{\"a\":NaN}", "{\"a\":01}", "{\"a\":+1}", "{\"a\":1.}", "{\"a\":1e}", "{\"a\":\"\u{1}\"}",
        "{\"a\":\"\n\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":1} x", "{\"a\":1}{\"b\":2}", "{\"a\":1/*x*/}",
        "{1:2}", "[,{\"a\":1}]", "{\"a\":1}\0", "\u{feff}{\"a\":1}",
    ]

    private static let invalidUTF8: [[UInt8]] = [
        [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xf4, 0x90, 0x80, 0x80], [0x80],
    ]

    @Test func bodiesThatAreNoJSONAre400() throws {
        let node = try GatewayHarness()
        for body in Self.invalidJSON {
            expectProblem(try node.post("t", body), 400, "invalid_json", body.debugDescription)
        }
        for bytes in Self.invalidUTF8 {
            for (before, behind) in [("{\"a\":\"", "\"}"), ("{\"", "\":1}")] {
                let body = Array(before.utf8) + bytes + Array(behind.utf8)
                let reply = try node.call("POST", Self.events, bytes: body)
                expectProblem(reply, 400, nil, "\(bytes)")
                #expect(["invalid_utf8", "invalid_json"].contains(reply.string("code")), "\(bytes)")
            }
        }
        for body in ["", "  \n "] { expectProblem(try node.post("t", body), 400, "body_required") }
        expectProblem(try node.post("t", "", fields: [Self.lines]), 400, "body_required")
        expectNothingStored(node)
    }

    @Test(arguments: [(60, true), (64, true), (65, false), (100_000, false)])
    func nestingHasALimit(depth: Int, fits: Bool) throws {
        let node = try GatewayHarness()
        let body = String(repeating: "{\"a\":", count: depth - 1) + "{}" + String(repeating: "}", count: depth - 1)
        let reply = try node.post("t", body)
        if fits {
            #expect(reply.status == 201)
        } else {
            expectProblem(reply, 400, "depth_exceeded")
            expectNothingStored(node)
        }
    }

    @Test func aContentTypeMayHaveItsParameters() throws {
        let node = try GatewayHarness()
        for type in ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8"] {
            #expect(try node.post("t", "{}", fields: ["Content-Type: \(type)"]).status == 201)
        }
        expectProblem(try node.post("t", "{}", fields: ["Content-Type: image/png"]), 415)
    }

    /// Each chunk is short, and all of them are sent, whatever is answered meanwhile.
    @Test func chunksTogetherHaveTheLimitOfABody() throws {
        var options = GatewayOptions()
        options.maxRequestBytes = 100_000
        let node = try GatewayHarness(options)
        let client = try node.connect()
        try client.send(
            "POST \(Self.events) HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        let event = "{\"a\":\"" + String(repeating: "x", count: 9_000) + "\"}\n"
        for _ in 0..<40 { try client.send("\(String(event.utf8.count, radix: 16))\r\n\(event)\r\n") }
        try client.send("0\r\n\r\n")
        expectProblem(try client.receive(), 413, "body_too_large")
        #expect(client.isClosed())
        expectNothingStored(node)
    }

    @Test func pathsThatLeadNowhere() throws {
        let node = try GatewayHarness()
        let unnamed = try node.call("POST", "/v1/topics//events", "{}")
        expectProblem(unnamed, unnamed.status)
        #expect([400, 404].contains(unnamed.status))
        expectProblem(try node.call("GET", "/nothing/here"), 404, "not_found")
        let reply = try node.call("DELETE", Self.events)
        expectProblem(reply, 405, "method_not_allowed")
        #expect(reply.fields["allow"]?.contains("POST") == true)
        expectNothingStored(node)
    }

    // MARK: Framing

    /// What one server reads as one request and another as two, by its status.
    static let framing: [(name: String, request: String, status: Int)] = {
        let head = "POST \(Self.events) HTTP/1.1\r\nHost: x\r\n\(Self.json)\r\n"
        let chunked = head + "Transfer-Encoding: chunked\r\n\r\n"
        return [
            ("length and chunked", head + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            ("lengths that differ", head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
            ("lengths alike", head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
            ("lengths as a list", head + "Content-Length: 2, 2\r\n\r\n{}", 400),
            ("length with a plus", head + "Content-Length: +2\r\n\r\n{}", 400),
            ("length negative", head + "Content-Length: -2\r\n\r\n{}", 400),
            ("length in hexadecimal", head + "Content-Length: 0x2\r\n\r\n{}", 400),
            ("length empty", head + "Content-Length: \r\n\r\n{}", 400),
            ("length with words", head + "Content-Length: 2 bytes\r\n\r\n{}", 400),
            ("length beyond 64 bits", head + "Content-Length: 99999999999999999999999\r\n\r\n{}", 400),
            ("unknown coding", head + "Transfer-Encoding: gzip\r\n\r\n{}", 501),
            ("chunked not last", head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501),
            (
                "chunked twice", head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400
            ),
            ("chunked misspelt", head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
            ("chunked behind a control character", head + "Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n", 400),
            ("folded field", head + "X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}", 400),
            ("space before the colon", head + "Content-Length : 2\r\n\r\n{}", 400),
            ("field without a colon", head + "Nonsense\r\nContent-Length: 2\r\n\r\n{}", 400),
            ("field without a name", head + ": x\r\nContent-Length: 2\r\n\r\n{}", 400),
            ("field name with a space", head + "X A: b\r\nContent-Length: 2\r\n\r\n{}", 400),
            ("NUL in a value", head + "X-A: b\0c\r\nContent-Length: 2\r\n\r\n{}", 400),
            ("CR in a value", head + "X-A: b\rc\r\nContent-Length: 2\r\n\r\n{}", 400),
            ("lines end in LF", head.replacing("\r\n", with: "\n") + "Content-Length: 2\n\n{}", 400),
            ("one line ends in LF", head + "X-A: b\nContent-Length: 2\r\n\r\n{}", 400),
            ("no host", "POST \(Self.events) HTTP/1.1\r\n\(Self.json)\r\nContent-Length: 2\r\n\r\n{}", 400),
            ("two hosts", head + "Host: y\r\nContent-Length: 2\r\n\r\n{}", 400),
            ("version 2.0", head.replacing("1.1", with: "2.0") + "Content-Length: 2\r\n\r\n{}", 505),
            ("version of words", head.replacing("HTTP/1.1", with: "HTTP/one") + "Content-Length: 2\r\n\r\n{}", 400),
            ("two spaces", head.replacing("POST ", with: "POST  ") + "Content-Length: 2\r\n\r\n{}", 400),
            ("tab in the request line", head.replacing("POST ", with: "POST\t") + "Content-Length: 2\r\n\r\n{}", 400),
            ("unknown method", head.replacing("POST", with: "BREW") + "Content-Length: 2\r\n\r\n{}", 501),
            ("chunk size of words", chunked + "xyz\r\n{}\r\n0\r\n\r\n", 400),
            ("chunk size with 0x", chunked + "0x2\r\n{}\r\n0\r\n\r\n", 400),
            ("chunk size negative", chunked + "-2\r\n{}\r\n0\r\n\r\n", 400),
            ("chunk size beyond 64 bits", chunked + "fffffffffffffffff2\r\n{}\r\n0\r\n\r\n", 400),
            ("chunk without its end", chunked + "2\r\n{}0\r\n\r\n", 400),
            ("chunk lines end in LF", chunked + "2\n{}\n0\n\n", 400),
            ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}" + String(repeating: "\0", count: 50) + "\r\n\r\n", 400),
        ]
    }()

    private static let second = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

    /// A second request rides behind: whoever mistakes where the first one ends would answer it.
    @Test func badFramingEndsTheConnectionAfterOneRefusal() throws {
        let node = try GatewayHarness()
        for (name, request, status) in Self.framing {
            let client = try node.connect()
            try client.send(request + Self.second)
            expectProblem(try client.receive(), status, nil, name)
            #expect(client.isClosed(), "\(name): more came")
        }
        expectNothingStored(node)
    }

    /// Without a length there is no body, so where the next request begins is known.
    @Test func aPostWithoutALengthKeepsItsConnection() throws {
        let node = try GatewayHarness()
        let client = try node.connect()
        try client.send("POST \(Self.events) HTTP/1.1\r\nHost: x\r\n\(Self.json)\r\n\r\n" + Self.second)
        expectProblem(try client.receive(), 411, "length_required")
        #expect(try client.receive().status == 200)
        expectNothingStored(node)
    }

    @Test func headsOverTheirLimitsEndTheirConnection() throws {
        let node = try GatewayHarness()
        let start = "GET /healthz HTTP/1.1\r\nHost: x\r\n"
        let many = (0..<120).map { "X-\($0): y\r\n" }.joined()
        let long = (0..<6).map { "X-\($0): \(String(repeating: "y", count: 7_000))\r\n" }.joined()
        for (head, status) in [
            ("GET /" + String(repeating: "x", count: 9_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414),
            (start + "X-Long: " + String(repeating: "x", count: 9_000) + "\r\n\r\n", 431),
            (start + many + "\r\n", 431), (start + long + "\r\n", 431),
        ] {
            let client = try node.connect()
            try client.send(head)
            expectProblem(try client.receive(), status, nil, "\(head.prefix(40).debugDescription)")
            #expect(client.isClosed())
        }
        let endless = try node.connect()
        try endless.send(String(repeating: "X", count: 200_000))
        let reply = try endless.receive()
        expectProblem(reply, reply.status)
        #expect([400, 414, 431].contains(reply.status))
        #expect(endless.isClosed())
    }

    // MARK: Slow peers

    /// Sends a byte now and then for as long as nothing is answered: what trickles has no more time than what stands still.
    private func trickle(_ byte: String, to client: HTTPClient) throws -> HTTPReply {
        for _ in 0..<20_000 where client.hasNothingToRead {
            try client.send(byte)
            usleep(5_000)
        }
        return try client.receive()
    }

    @Test func whatTricklesIsCutOff() throws {
        var options = GatewayOptions()
        options.headTimeout = .milliseconds(100)
        options.bodyIdleTimeout = .milliseconds(100)
        // Some hundred bytes a second are too few.
        options.minimumBodyRate = 100_000
        let node = try GatewayHarness(options)
        let head = try node.connect()
        try head.send("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        expectProblem(try trickle("x", to: head), 408, "head_timeout")
        #expect(head.isClosed())
        let body = try node.connect()
        try body.send("POST \(Self.events) HTTP/1.1\r\nHost: x\r\n\(Self.json)\r\nContent-Length: 1000000\r\n\r\n{")
        expectProblem(try trickle(" ", to: body), 408, "body_timeout")
        #expect(body.isClosed())
        expectNothingStored(node)
    }

    // MARK: What they leave

    /// Bytes of the pool that the loop itself keeps once it has worked.
    private func warmed(_ node: GatewayHarness) throws -> Int {
        for _ in 0..<3 { #expect(try node.call("GET", "/healthz").status == 200) }
        #expect(eventually { node.metric("millrace_http_connections") == 0 })
        return node.pool.outstandingBytes
    }

    private func expectNothingLeft(_ node: GatewayHarness, _ before: Int) {
        #expect(eventually { node.metric("millrace_http_connections") == 0 })
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        #expect(eventually { node.pool.outstandingBytes <= before })
    }

    @Test func peersThatVanishLeaveNothing() throws {
        let node = try GatewayHarness()
        let before = try warmed(node)
        let whole =
            "POST \(Self.events) HTTP/1.1\r\nHost: x\r\n\(Self.json)\r\nContent-Length: 100000\r\n\r\n"
            + String(repeating: " ", count: 50_000)
        for cut in [1, 20, 80, whole.utf8.count] { try node.connect().send(String(whole.prefix(cut))) }
        expectNothingLeft(node, before)
        #expect(try node.call("GET", "/healthz").status == 200)
        expectNothingStored(node)
    }

    @Test func announcedBodiesCostWhatHasArrived() throws {
        let node = try GatewayHarness()
        let before = try warmed(node)
        let announced = 15 << 20
        let peers = try (0..<150).map { _ in
            let client = try node.connect()
            try client.send(
                "POST \(Self.events) HTTP/1.1\r\nHost: x\r\n\(Self.json)\r\nContent-Length: \(announced)\r\n\r\n["
                    + String(repeating: " ", count: 1000))
            return client
        }
        #expect(eventually { node.metric("millrace_http_connections") == peers.count })
        // Each holds its first share, of the budget and of memory.
        let firstShares = 150 * (16 << 10)
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == firstShares })
        let most = before + firstShares + (1 << 20)
        #expect(node.pool.outstandingBytes <= most)
        #expect(try node.call("GET", "/healthz").status == 200)
        withExtendedLifetime(peers) {}
    }

    @Test func badRequestsLeaveNothing() throws {
        let node = try GatewayHarness()
        let before = try warmed(node)
        for _ in 0..<5 {
            // Some go before they could read their answer.
            for (_, request, _) in Self.framing { try node.connect().send(request) }
            let client = try node.connect()
            for body in Self.invalidJSON {
                try client.send(HTTPClient.request("POST", Self.events, Array(body.utf8)))
                #expect(try client.receive().status == 400)
            }
        }
        expectNothingLeft(node, before)
        expectNothingStored(node)
    }
}
