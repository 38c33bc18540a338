import BrokerTestKit
import Telemetry
import Testing

@testable import IngestGateway

/// Routes as rows: what is a table, where a path leads, and how one table takes the place of another.
@Suite struct RouteTableTests {
    private static func table(_ definitions: [RouteDefinition]) throws(RouteRefusal) -> RouteTable {
        try RouteTable(definitions, GatewayOptions(), GatewayMetrics(registry: MetricsRegistry()))
    }

    private static func hook(_ id: String, _ paths: [String]) -> RouteDefinition {
        RouteDefinition(
            id: id, paths: paths, methods: .post, endpoint: WebhookEndpoint.self, maxBodyBytes: 1000, mediaTypes: .json,
            topic: "hooks")
    }

    private static func wrong(_ change: (inout RouteDefinition) -> Void) -> String? {
        var definition = hook("a", ["/a"])
        change(&definition)
        do {
            _ = try table([hook("other", ["/other", "/{topic}/x"]), definition])
            return nil
        } catch {
            return error.description
        }
    }

    @Test func definitionsThatAreWrongAreRefusedWithTheirRoute() throws {
        #expect(Self.wrong { _ in } == nil)
        let cases: [(String, (inout RouteDefinition) -> Void)] = [
            ("two routes have this id", { $0.id = "other" }), ("two routes have this id", { $0.id = "none" }),
            ("an id is 1 to 64", { $0.id = "a b" }), ("an id is 1 to 64", { $0.id = "" }),
            ("it has no path", { $0.paths = [] }), ("/other is a path of route other", { $0.paths = ["/other"] }),
            ("/{partition}/x is a path of route other", { $0.paths = ["/{partition}/x"] }),
            ("does not begin with /", { $0.paths = ["a"] }), ("ends with it", { $0.paths = ["/a/"] }),
            ("has a character", { $0.paths = ["/a?b"] }), ("has a character", { $0.paths = ["/é"] }),
            ("{name} is no place", { $0.paths = ["/{name}"] }), ("x{topic} is no place", { $0.paths = ["/x{topic}"] }),
            ("has {topic} twice", { $0.paths = ["/{topic}/{topic}"] }),
            ("a path has at most 255 bytes", { $0.paths = ["/" + String(repeating: "a", count: 255)] }),
            ("a body has at most", { $0.maxBodyBytes = 17 << 20 }), ("no media type", { $0.mediaTypes = [] }),
            ("nothing says which topic", { $0.topic = nil }), ("nothing says which topic", { $0.topic = "" }),
            ("nothing says which topic", { $0.endpoint = EventsEndpoint.self }),
        ]
        for (message, change) in cases {
            let found = Self.wrong(change)
            #expect(
                found?.hasPrefix("route ") == true && found?.contains(message) == true, "\(message): \(found ?? "")")
        }
    }

    @Test func thereAreNoMoreRoutesThanTheCountersHaveRoomFor() {
        func many(_ count: Int, _ path: (Int) -> String) -> [RouteDefinition] {
            (0..<count).map { Self.hook("r\($0)", [path($0)]) }
        }
        #expect(throws: Never.self) { _ = try Self.table(many(1000) { "/\($0)" }) }
        #expect(throws: RouteRefusal.self) { _ = try Self.table(many(1001) { "/\($0)" }) }
        #expect(throws: Never.self) { _ = try Self.table(many(128) { "/\($0)/{topic}" }) }
        #expect(throws: RouteRefusal.self) { _ = try Self.table(many(129) { "/\($0)/{topic}" }) }
    }

    @Test func aPathLeadsToTheRowThatSaysItMostExactly() throws {
        let table = try Self.table([
            Self.hook("pattern", ["/a/{topic}/b", "/{topic}"]), Self.hook("two", ["/p/{topic}/{partition}"]),
            Self.hook("exact", ["/a/x/b", "/x"]), Self.hook("root", ["/"]),
        ])
        func found(_ path: String) -> [String?] {
            Array(path.utf8).withUnsafeBytes { bytes in
                let route = table.paths.match(bytes)
                return [
                    table.rows[route.row].id, route.topic.isEmpty ? nil : String(decoding: route.topic, as: UTF8.self),
                    route.partition.map { String(decoding: $0, as: UTF8.self) },
                ]
            }
        }
        #expect(found("/a/x/b") == ["exact", nil, nil])
        #expect(found("/a/y/b") == ["pattern", "y", nil])
        #expect(found("/x") == ["exact", nil, nil])
        #expect(found("/y") == ["pattern", "y", nil])
        #expect(found("/p/t/3") == ["two", "t", "3"])
        #expect(found("") == ["root", nil, nil] && found("/") == ["root", nil, nil])
        let long = String(repeating: "t", count: 2000)
        #expect(found("/a/\(long)/b") == ["pattern", long, nil])
        for path in ["/p/t", "/p/t/", "/p//3", "/p/t/3/4", "/a/y/bc", "/a/y", "/a//b", "//", "/A/x/b", "*"] {
            #expect(found(path)[0] == "none", "\(path)")
        }
    }

    /// Its head was read by the old table, so its body is, too.
    @Test func aRequestEndsByTheRoutesThatItBeganWith() throws {
        let node = try GatewayHarness()
        let head = "POST /events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
        let framings = ["Content-Length: 2\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"]
        let begun = try framings.map { framing in
            let client = try node.connect()
            try client.send(head + framing)
            #expect(try client.receive().status == 100)
            return client
        }
        try node.gateway.replaceRoutes([Self.hook("hook", ["/hook"])])
        #expect(try node.call("POST", "/events", "{}").status == 404)
        #expect(try node.call("POST", "/hook", "{}").string("topic") == "hooks")
        for (client, rest) in zip(begun, ["{}", "2\r\n{}\r\n0\r\n\r\n"]) {
            try client.send(rest)
            #expect(try client.receive().string("topic") == "events")
            try client.send(HTTPClient.request("POST", "/events", Array("{}".utf8)))
            #expect(try client.receive().status == 404)
        }
        let page = try node.gateway.countedRequests()
        #expect(page["/events 201"] == 2 && page["/hook 201"] == 1 && page["none 404"] == 3)
    }

    /// Nor with workers that have nothing to do: the old routes have secrets that are no more.
    @Test func nobodyKeepsTheOldRoutes() throws {
        let node = try GatewayHarness()
        #expect(try node.call("POST", "/v1/topics/t/events", "1").status == 201)
        let long = "[\"\(String(repeating: "x", count: 700_000))\"]"
        #expect(try node.call("POST", "/v1/topics/t/events", long).status == 201)
        weak let old = node.gateway.routes
        #expect(old != nil)
        try node.gateway.replaceRoutes([Self.hook("hook", ["/hook"])])
        #expect(eventually { old == nil })
        #expect(try node.call("POST", "/hook", "{}").string("topic") == "hooks")
    }

    @Test func routesThatAreWrongChangeNothing() throws {
        let node = try GatewayHarness()
        #expect(throws: RouteRefusal.self) {
            try node.gateway.replaceRoutes([Self.hook("a", ["/a"]), Self.hook("b", ["/a"])])
        }
        #expect(try node.call("POST", "/events", "{}").status == 201)
        #expect(try node.call("POST", "/a", "{}").status == 404)
    }

    @Test func aRateThatStaysTheSameGoesOn() throws {
        var options = GatewayOptions()
        options.ingestRate = 1
        options.ingestBurst = 1
        let node = try GatewayHarness(options)
        let body = "{\"event_type\":\"a\",\"payload\":{}}"
        #expect(try node.call("POST", "/ingest", body).status == 202)
        try node.gateway.replaceRoutes(RouteDefinition.builtIn(options))
        let refused = try node.call("POST", "/ingest", body)
        #expect(refused.status == 429)
        #expect(refused.fields["ratelimit-policy"] == "\"ingest\";q=1;w=1")
        options.ingestBurst = 2
        try node.gateway.replaceRoutes(RouteDefinition.builtIn(options))
        #expect(try node.call("POST", "/ingest", body).status == 202)
    }
}

extension Gateway {
    /// Requests by route and status.
    fileprivate func countedRequests() throws -> [String: UInt64] {
        metrics.requestTotals.reduce(into: [:]) { $0["\($1.route) \($1.status)", default: 0] += $1.count }
    }
}

/// The routes that are there without configuration, for tests that name them.
extension Route {
    enum Name: String {
        case events, records, webhook, ingest, health, readiness, metrics, statistics, server
    }

    private static let table = try! RouteTable(
        RouteDefinition.builtIn(GatewayOptions()), GatewayOptions(), GatewayMetrics(registry: MetricsRegistry()))

    var name: Name? { Name(rawValue: Self.table.rows[row].id) }

    static func match(_ path: UnsafeRawBufferPointer) -> Route? { table.paths.match(path) }
}
