import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import IngestGateway
import KafkaModel
import RecordFormat
import Security
import Testing

/// Where requests have come from and what they ask for: proxies, hosts, pages of other origins, listeners, rates of callers.
@Suite struct PerimeterTests {
    private func harness(
        _ yaml: String, _ options: GatewayOptions = GatewayOptions(), takesProxyHeader: Bool = false,
        mode: GatewayAuthentication.Mode? = .optional
    ) throws -> GatewayHarness {
        try GatewayHarness(
            options, configuration: GatewayConfiguration(yaml: yaml, options),
            listening: { $0.listenerOptions(host: "127.0.0.1", port: 0, takesProxyHeader: takesProxyHeader) },
            access: { $0.hasAuthorizer = true }
        ) { broker in try mode.map { GatewayAuthentication($0, passwords: try Authentication(broker)) } }
    }

    /// Only who comes from there may write.
    private func permit(host: String, on harness: GatewayHarness) {
        let results = harness.broker.createAcls(
            [AclOperation.write, .create].map {
                .init(
                    resource: ResourceType.topic.rawValue, name: "t", pattern: 3, principal: "User:*", host: host,
                    operation: $0.rawValue, permission: 3)
            })
        #expect(results == [nil, nil])
    }

    // MARK: Proxies

    @Test func aTrustedProxySaysForWhomItSends() throws {
        let harness = try harness("http.trusted.proxies: 127.0.0.0/8,10.0.0.0/8")
        permit(host: "192.0.2.1", on: harness)
        func post(_ fields: [String]) throws -> Int { try harness.post("t", "{}", fields: fields).status }
        #expect(try post(["X-Forwarded-For: 192.0.2.1"]) == 201)
        // From the right, over proxies of ours; what stands further left the client wrote.
        #expect(try post(["X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.1.2.3"]) == 201)
        #expect(try post(["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 10.1.2.3"]) == 201)
        #expect(try post(["X-Forwarded-For: 192.0.2.1, 6.6.6.6"]) == 404)
        #expect(try post([]) == 404)
        // The other header is not looked at.
        #expect(try post(["Forwarded: for=192.0.2.1"]) == 404)
        for bad in ["unknown", "", "192.0.2.1, x", "300.0.0.1"] {
            let reply = try harness.post("t", "{}", fields: ["X-Forwarded-For: \(bad)"])
            #expect(reply.status == 400 && reply.string("code") == "invalid_header", "\(bad): \(reply.text)")
        }
        // One connection brings requests of many.
        let client = try harness.connect()
        for (address, status) in [("192.0.2.1", 201), ("192.0.2.2", 404), ("192.0.2.1", 201)] {
            try client.send(
                HTTPClient.request(
                    "POST", "/v1/topics/t/events", Array("{}".utf8), fields: ["X-Forwarded-For: \(address)"]))
            #expect(try client.receive().status == status)
        }
    }

    @Test func theHeaderOfRFC7239MayBeTheOne() throws {
        let harness = try harness("{http.trusted.proxies: 127.0.0.1, http.forwarded.header: forwarded}")
        permit(host: "2001:db8:0:0:0:0:0:1", on: harness)
        func post(_ field: String) throws -> Int { try harness.post("t", "{}", fields: [field]).status }
        #expect(try post(#"Forwarded: for="[2001:db8::1]:4711";proto=https"#) == 201)
        #expect(try post("X-Forwarded-For: 2001:db8::1") == 404)
        #expect(try post("Forwarded: for=_hidden") == 400)
    }

    @Test func nobodyElseIsBelieved() throws {
        let harness = try harness("http.trusted.proxies: 10.0.0.0/8")
        permit(host: "192.0.2.1", on: harness)
        #expect(try harness.post("t", "{}", fields: ["X-Forwarded-For: 192.0.2.1"]).status == 404)
        permit(host: "127.0.0.1", on: harness)
        #expect(try harness.post("t", "{}", fields: ["X-Forwarded-For: 192.0.2.1"]).status == 201)
        #expect(try harness.post("t", "{}", fields: ["X-Forwarded-For: x"]).status == 201)
    }

    @Test func limitsOfAnAddressAreTheClients() throws {
        var options = GatewayOptions()
        options.maxConnectionsPerIP = 2
        let harness = try harness("http.trusted.proxies: 127.0.0.1", options)
        permit(host: "*", on: harness)
        func ask(_ address: String, _ fields: [String] = []) throws -> (HTTPClient, HTTPReply) {
            let client = try harness.connect()
            try client.send(
                HTTPClient.request(
                    "POST", "/v1/topics/t/events", Array("{}".utf8), fields: ["X-Forwarded-For: \(address)"] + fields))
            return (client, try client.receive())
        }
        var open: [HTTPClient] = []
        for (address, status) in [("192.0.2.1", 201), ("192.0.2.1", 201), ("192.0.2.1", 503), ("192.0.2.2", 201)] {
            let (client, reply) = try ask(address)
            #expect(reply.status == status, "\(reply.text)")
            if status == 503 {
                #expect(reply.fields["retry-after"] == "1" && client.isClosed())
            } else {
                open.append(client)
            }
        }
        // A connection that goes over to another client leaves room.
        try open[0].send(
            HTTPClient.request("POST", "/v1/topics/t/events", Array("{}".utf8), fields: ["X-Forwarded-For: 192.0.2.2"]))
        #expect(try open[0].receive().status == 201)
        #expect(try ask("192.0.2.1").1.status == 201)
        // Wrong credentials are counted by who sends them, not by who brings them.
        options.maxConnectionsPerIP = 200
        let guarded = try self.harness("http.trusted.proxies: 127.0.0.1", options)
        guarded.forgivesNoGuess()
        let client = try guarded.connect()
        func guess(_ address: String) throws -> Int {
            try client.send(
                HTTPClient.request(
                    "GET", "/stats", nil, fields: ["X-API-Key: gk_wrong", "X-Forwarded-For: \(address)"]))
            return try client.receive().status
        }
        let statuses = try Set((0..<80).map { _ in try guess("192.0.2.1") })
        #expect(statuses == [401, 429])
        #expect(try guess("192.0.2.2") == 401)
    }

    // MARK: The PROXY protocol

    private static func header(_ source: [UInt8]?, command: UInt8 = 1) -> [UInt8] {
        let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
        guard let source else { return signature + [0x20, 0x00, 0, 0] }
        return signature + [0x20 | command, 0x11, 0, 12] + source + [127, 0, 0, 1, 0x12, 0x34, 0x00, 0x50]
    }

    @Test func aConnectionIsWhoseItsHeaderSays() throws {
        let harness = try harness("http.trusted.proxies: 127.0.0.1", takesProxyHeader: true)
        permit(host: "192.0.2.1", on: harness)
        let request = HTTPClient.request("POST", "/v1/topics/t/events", Array("{}".utf8))
        func status(_ header: [UInt8], pieces: Bool = false, _ fields: [String] = []) throws -> Int {
            let client = try harness.connect()
            let bytes = header + HTTPClient.request("POST", "/v1/topics/t/events", Array("{}".utf8), fields: fields)
            if pieces { for byte in bytes { try client.send([byte]) } } else { try client.send(bytes) }
            return try client.receive().status
        }
        #expect(try status(Self.header([192, 0, 2, 1])) == 201)
        #expect(try status(Self.header([192, 0, 2, 1]), pieces: true) == 201)
        #expect(try status(Self.header([192, 0, 2, 2])) == 404)
        // It is not a proxy's any more: what it says of others is not believed.
        #expect(try status(Self.header([192, 0, 2, 2]), ["X-Forwarded-For: 192.0.2.1"]) == 404)
        // The proxy's own.
        #expect(try status(Self.header(nil)) == 404)
        for bad in [
            request, Self.header([1, 2, 3, 4], command: 2) + request, Array("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n".utf8),
        ] {
            let client = try harness.connect()
            try client.send(bad)
            #expect(client.isClosed())
        }
    }

    @Test func theHeaderIsTakenFromProxiesAlone() throws {
        let harness = try harness("http.trusted.proxies: 10.0.0.0/8", takesProxyHeader: true)
        // Before it has sent a byte.
        let client = try harness.connect()
        #expect(client.isClosed())
    }

    @Test func connectionsOfAClientBehindAProxyAreCounted() throws {
        var options = GatewayOptions()
        options.maxConnectionsPerIP = 1
        let harness = try harness("http.trusted.proxies: 127.0.0.1", options, takesProxyHeader: true)
        func connect(_ last: UInt8) throws -> (HTTPClient, Int) {
            let client = try harness.connect()
            try client.send(Self.header([192, 0, 2, last]) + HTTPClient.request("GET", "/healthz", nil))
            return (client, try client.receive().status)
        }
        let (first, status) = try connect(1)
        #expect(try status == 200 && connect(1).1 == 503 && connect(2).1 == 200)
        _ = first
    }

    // MARK: Hosts

    @Test func onlyHostsThatAreServedAreAnswered() throws {
        let yaml = "http.allowed.hosts: events.example.com,192.0.2.1,[2001:db8::1]"
        let harness = try harness(yaml, mode: nil)
        func status(_ target: String, host: String) throws -> Int {
            let client = try harness.connect()
            try client.send("GET \(target) HTTP/1.1\r\nHost: \(host)\r\n\r\n")
            return try client.receive().status
        }
        for host in [
            "events.example.com", "EVENTS.example.com:8080", "events.example.com.", "192.0.2.1:1", "[2001:db8::1]:80",
        ] {
            #expect(try status("/stats", host: host) == 200, "\(host)")
        }
        for host in [
            "localhost", "example.com", "x.events.example.com", "events.example.com.evil", "[2001:db8::2]", "",
        ] {
            #expect(try status("/stats", host: host) == 421 && status("/nothing", host: host) == 421, "\(host)")
            #expect(try status("/healthz", host: host) == 200, "\(host)")
        }
        // That of an absolute target counts, whatever Host says.
        #expect(try status("http://evil.example/stats", host: "events.example.com") == 421)
        #expect(try status("http://events.example.com/stats", host: "evil.example") == 200)
        let reply = try harness.call("GET", "/stats")
        #expect(reply.status == 421 && reply.string("code") == "misdirected_request")
    }

    /// A client that got the certificate of one host asks for another by the same connection.
    @Test func hostsOutsideOfTheCertificateAreRefused() throws {
        let asked = Lock<[String]>([])
        let harness = try GatewayHarness(listening: {
            $0.listenerOptions(
                host: "127.0.0.1", port: 0,
                serves: { _, host in
                    asked.withLock { $0.append(host) }
                    return host == "a.example" || host == "[2001:db8::1]"
                })
        })
        let client = try harness.connect()
        func status(_ target: String, _ host: String) throws -> Int {
            try client.send("GET \(target) HTTP/1.1\r\nHost: \(host)\r\n\r\n")
            let reply = try client.receive()
            if reply.status == 421 { #expect(reply.string("code") == "misdirected_request") }
            return reply.status
        }
        #expect(try status("/stats", "a.example:8443") == 200 && status("/stats", "a.example:8443") == 200)
        #expect(try status("/stats", "b.example") == 421 && status("/nothing", "b.example") == 421)
        #expect(try status("/stats", "[2001:db8::1]:1") == 200 && status("/stats", "a.example.") == 200)
        // Probes ask by addresses of their own, and nobody is asked who he is.
        #expect(try status("/healthz", "b.example") == 200)
        #expect(asked.withLock { $0 } == ["a.example", "b.example", "b.example", "[2001:db8::1]", "a.example"])
    }

    @Test func whatIsWrongInThePerimeterIsTold() throws {
        for (yaml, words) in [
            ("http.allowed.hosts: a:80", "is no host"), ("http.allowed.hosts: 'a b'", "is no host"),
            ("http.allowed.hosts: '[::g]'", "is no host"), ("http.trusted.proxies: 10.0.0.1/8", "is no range"),
            ("http.trusted.proxies: proxy.example.com", "is no range"),
            ("http.trusted.proxies: 10.0.0.0/33", "is no range"),
            (
                "http.allowed.hosts: " + (0..<65).map { "h\($0)" }.joined(separator: ","), "more than 64 names"
            ),
            (
                "http.trusted.proxies: " + (0..<65).map { "10.0.0.\($0)" }.joined(separator: ","), "more than 64 ranges"
            ),
        ] {
            do {
                _ = try GatewayConfiguration(yaml: yaml)
                Issue.record("\(yaml) is taken")
            } catch {
                #expect("\(error)".contains(words), "\(yaml): \(error)")
            }
        }
    }

    // MARK: Pages of other origins

    private static let pages = """
        routes:
          - path: /named
            to: t
            cors: {origins: [https://app.example.com, "http://localhost:3000"], max_age: 1h, credentials: true, headers: [X-A, Content-Type]}
          - {path: /any, to: t, cors: {origins: "*"}}
          - {path: /plain, to: t}
        """

    @Test func preflightsAreAnsweredWithoutACredential() throws {
        let harness = try harness(Self.pages, mode: .required)
        func ask(_ path: String, _ origins: String...) throws -> HTTPReply {
            try harness.call(
                "OPTIONS", path,
                fields: origins.map { "Origin: \($0)" } + [
                    "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-a",
                ]
            )
        }
        let named = try ask("/named", "https://app.example.com")
        #expect(named.status == 204 && named.fields["access-control-allow-origin"] == "https://app.example.com")
        #expect(named.fields["access-control-allow-methods"] == "POST" && named.fields["vary"] == "Origin")
        #expect(named.fields["access-control-allow-headers"] == "X-A, Content-Type")
        #expect(named.fields["access-control-max-age"] == "3600")
        #expect(named.fields["access-control-allow-credentials"] == "true")
        let any = try ask("/any", "https://evil.example")
        #expect(any.status == 204 && any.fields["access-control-allow-origin"] == "*" && any.fields["vary"] == nil)
        #expect(any.fields["access-control-allow-credentials"] == nil && any.fields["access-control-max-age"] == "600")
        #expect(any.fields["access-control-allow-headers"]?.contains("Authorization") == true)
        for origins in [
            ["https://evil.example"], ["null"], ["https://app.example.com.evil"], ["https://APP.example.com"], [],
        ] {
            let client = try harness.connect()
            try client.send(
                HTTPClient.request(
                    "OPTIONS", "/named", nil,
                    fields: origins.map { "Origin: \($0)" } + ["Access-Control-Request-Method: POST"]))
            let reply = try client.receive()
            #expect(reply.status == 204 && reply.fields["vary"] == "Origin", "\(origins)")
            #expect(!reply.fields.keys.contains { $0.hasPrefix("access-control") }, "\(origins)")
        }
        let two = try ask("/named", "https://app.example.com", "https://app.example.com")
        #expect(!two.fields.keys.contains { $0.hasPrefix("access-control") })
        let none = try ask("/plain", "https://app.example.com")
        #expect(none.status == 204 && none.fields["vary"] == nil && none.fields["access-control-allow-origin"] == nil)
    }

    /// A page reads the refusal of what it has sent, too.
    @Test func repliesSayWhoMayReadThem() throws {
        let harness = try harness(Self.pages, mode: .required)
        let refused = try harness.call("POST", "/named", "{}", fields: ["Origin: http://localhost:3000"])
        #expect(refused.status == 401 && refused.fields["access-control-allow-origin"] == "http://localhost:3000")
        #expect(refused.fields["access-control-expose-headers"]?.contains("X-Request-Id") == true)
        #expect(refused.fields["access-control-allow-methods"] == nil)
        let other = try harness.call("POST", "/named", "{}", fields: ["Origin: https://evil.example"])
        #expect(
            other.status == 401 && other.fields["access-control-allow-origin"] == nil
                && other.fields["vary"] == "Origin")
    }

    @Test func originsThatCannotBeMeantAreRefused() throws {
        for (cors, words) in [
            ("{}", "names no origins"), ("{origins: []}", "1 to 64 origins"),
            ("{origins: '*', credentials: true}", "would act in the name"),
            ("{origins: ['*', 'https://a.example']}", "every origin, and some"),
            ("{origins: 'null'}", "must be an origin"), ("{origins: https://A.example}", "must be an origin"),
            ("{origins: 'https://a.example/'}", "must be an origin"),
            ("{origins: 'https://a.example:443'}", "must be an origin"),
            ("{origins: a.example}", "must be an origin"),
            ("{origins: https://a.example, headers: 'a b'}", "names of header fields"),
            ("{origins: https://a.example, max_age: 2d}", "whole number"),
        ] {
            do {
                _ = try GatewayConfiguration(yaml: "routes: [{path: /a, to: t, cors: \(cors)}]")
                Issue.record("\(cors) is taken")
            } catch {
                #expect("\(error)".contains(words), "\(cors): \(error)")
            }
        }
    }

    // MARK: Operators

    @Test func whatIsForOperatorsMayHaveAListenerOfItsOwn() throws {
        let harness = try GatewayHarness(separatesOperators: true)
        let admin = try harness.listen { $0.listenerOptions(host: "127.0.0.1", port: 0, isForOperators: true) }
        func statuses(_ port: UInt16) throws -> [Int] {
            try ["/metrics", "/stats", "/trace", "/healthz", "/readyz", "/v1/topics/t/records"].map { path in
                let client = try HTTPClient(port: port)
                try client.send(HTTPClient.request("GET", path, nil))
                return try client.receive().status
            }
        }
        _ = try harness.post("t", "{}")
        #expect(try statuses(harness.port) == [404, 404, 404, 200, 200, 200])
        #expect(try statuses(admin) == [200, 200, 200, 200, 200, 404])
        let client = try HTTPClient(port: admin)
        try client.send(HTTPClient.request("POST", "/v1/topics/t/events", Array("{}".utf8)))
        #expect(try client.receive().status == 404)
        #expect(try harness.values("t") == ["{}"])
    }

    // MARK: Rates of callers

    @Test func eachCallerHasARateOfHisOwn() throws {
        var options = GatewayOptions()
        (options.callerRate, options.callerBurst) = (1, 3)
        let yaml = "{http.trusted.proxies: 127.0.0.1, routes: [{path: /rated, to: t, rate: {rps: 1, burst: 100}}]}"
        let harness = try harness(yaml, options)
        permit(host: "*", on: harness)
        func key() -> String {
            let (key, text) = GatewayKeyText.make()
            var change = GatewayKeyChange(id: key.id.text, action: 1)
            (change.owner, change.hash) = ("User:alice", key.hash)
            #expect(harness.broker.alterKeys([change]) == [nil])
            return "X-API-Key: " + text.withBytes { String(decoding: $0, as: UTF8.self) }
        }
        let (one, other) = (key(), key())
        // The bucket has three, and gets one more a second: far fewer than are asked for.
        func untilRefused(_ field: String) throws -> (taken: Int, refused: HTTPReply) {
            for taken in 0..<1000 {
                let reply = try harness.post("t", "{}", fields: [field])
                if reply.status != 201 { return (taken, reply) }
            }
            return (1000, try harness.post("t", "{}", fields: [field]))
        }
        var refused = try untilRefused(one).refused
        for field in [other, "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"] {
            let (taken, reply) = try untilRefused(field)
            #expect((3..<1000).contains(taken) && reply.status == 429)
            refused = reply
        }
        #expect(refused.status == 429 && refused.fields["retry-after"] == "1")
        #expect(refused.json["violated-policies"] as? [String] == ["caller"])
        #expect(
            refused.fields["ratelimit-policy"] == #""caller";q=3;w=3"#
                && refused.fields["ratelimit"] == #""caller";r=0;t=1"#)
        let both = try harness.call("POST", "/rated", "{}", fields: ["X-Forwarded-For: 192.0.2.3"])
        #expect(both.fields["ratelimit-policy"] == #""rated";q=100;w=100, "caller";q=3;w=3"#)
        #expect(both.fields["ratelimit"] == #""rated";r=99;t=1, "caller";r=2;t=1"#)
        // Who asks nothing of anybody is not counted.
        for _ in 0..<5 { #expect(try harness.call("GET", "/healthz").status == 200) }
    }

    /// Bodies that are on the way count with their caller's, over all connections; whole requests that are answered at once do not.
    @Test func oneCallerHasSoManyRequestsOpen() throws {
        var options = GatewayOptions()
        options.maxOpenRequestsPerCaller = 2
        let harness = try harness("{http.trusted.proxies: 127.0.0.1}", options)
        permit(host: "*", on: harness)
        func begin(_ host: String) throws -> HTTPClient {
            let client = try HTTPClient(port: harness.port)
            try client.send(
                Array(
                    """
                    POST /v1/topics/t/events HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: \(host)\r\nContent-Type: application/json\r\n\
                    Content-Length: 2\r\n\r\n{
                    """.utf8))
            return client
        }
        func post(_ host: String) throws -> HTTPReply {
            try harness.post("t", "{}", fields: ["X-Forwarded-For: \(host)"])
        }
        func becomes(_ status: Int, _ host: String) -> Bool { eventually { (try? post(host).status) == status } }
        var open = [try begin("192.0.2.1"), try begin("192.0.2.1")]
        #expect(becomes(429, "192.0.2.1"))
        let refused = try post("192.0.2.1")
        #expect(
            refused.fields["retry-after"] == "1" && refused.json["violated-policies"] as? [String] == ["caller-open"])
        #expect(refused.json["limit"] as? Int == 2, "\(refused.text)")
        #expect(try begin("192.0.2.1").receive().status == 429)
        #expect(try post("192.0.2.2").status == 201, "another caller has his own")
        // One is answered, one is given up: both give their places back.
        try open[0].send(Array("}".utf8))
        #expect(try open[0].receive().status == 201)
        #expect(try post("192.0.2.1").status == 201)
        open.append(try begin("192.0.2.1"))
        #expect(becomes(429, "192.0.2.1"))
        open.removeAll()
        #expect(becomes(201, "192.0.2.1"))
        // Streams of one connection are as many requests.
        let client = try HTTP2Client(port: harness.port)
        let fields = [("x-forwarded-for", "192.0.2.3")]
        let streams = (0..<2).map { _ in client.request("POST", "/v1/topics/t/events", [0x7B], fields, ends: false) }
        #expect(becomes(429, "192.0.2.3"))
        client.body(streams[0], [0x7D])
        client.send(HTTP2Frame.reset(streams[1]))
        #expect(becomes(201, "192.0.2.3"))
    }

    /// Who resets his requests leaves what they have with the workers, and has it counted: memory and places.
    @Test func whatWorkersHaveCountsAlsoWhenItsClientHasGone() throws {
        var options = GatewayOptions()
        options.maxOpenRequestsPerCaller = 3
        let harness = try GatewayHarness(
            options, configuration: GatewayConfiguration(yaml: "{http.trusted.proxies: 127.0.0.1}", options))
        #expect(try harness.post("t", "{}").status == 201)
        _ = try harness.broker.queues.createQueue("jobs", QueueSettings(), partitions: 1, tags: [:]).get()
        let workers = BusyWorkers(harness.broker.workers.threadCount) { harness.broker.workers.submit($0) }
        defer { workers.release() }
        let client = try HTTP2Client(port: harness.port)
        let fields = [("x-forwarded-for", "192.0.2.1")]
        let text = Array("\"\(String(repeating: "x", count: 20_000))\"".utf8)
        let packed = try PackedBodyTests.pack(String(repeating: " ", count: 200_000) + "{}", .gzip)
        // A message of a queue, a body that is long to unpack, and one that is long.
        let streams = [
            client.request("POST", "/v1/queues/jobs/messages", text, fields),
            client.request("POST", "/v1/topics/t/events", packed, fields + [("content-encoding", "gzip")]),
            client.request(
                "POST", "/v1/topics/t/events", Array(repeating: UInt8(ascii: " "), count: 150_000) + Array("{}".utf8),
                fields + [("idempotency-key", "k1")]),
        ]
        func bytes() -> Int { Int(harness.metric("millrace_http_inflight_bytes") ?? 0) }
        func post() -> Int? { try? harness.post("t", "{}", fields: ["X-Forwarded-For: 192.0.2.1"]).status }
        #expect(eventually { bytes() >= 170_000 && post() == 429 })
        for stream in streams { client.send(HTTP2Frame.reset(stream)) }
        #expect(try client.call("GET", "/healthz").status == 200)
        #expect(bytes() >= 170_000 && post() == 429, "the workers still have all of it")
        workers.release()
        #expect(eventually { bytes() == 0 && post() == 201 })
        // What nobody had begun is not done for nobody.
        let answer = harness.broker.queues.counts(of: "jobs", withOldest: false).answer
        #expect(try answer.get().visible == 0)
    }

    /// No reply pays for telling of a limit that nobody has set.
    @Test func theLimitThatIsThereByItselfIsNotTold() throws {
        let harness = try GatewayHarness()
        let reply = try harness.post("t", "{}")
        #expect(reply.status == 201 && reply.fields["ratelimit"] == nil && reply.fields["ratelimit-policy"] == nil)
    }
}
