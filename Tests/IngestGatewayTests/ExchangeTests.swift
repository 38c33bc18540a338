import BrokerTestKit
import ByteBuffers
import StorageIO
import Telemetry
import Testing

@testable import IngestGateway
@testable import Transport

/// Requests that are not answered in one go: what names them, and what they keep.
@Suite struct ExchangeTests {
    private static func table() throws -> RouteTable {
        try RouteTable(
            RouteDefinition.builtIn(GatewayOptions()), GatewayOptions(),
            GatewayMetrics(registry: MetricsRegistry()))
    }

    private static func connection(_ slot: UInt32) -> ConnectionID { ConnectionID(loop: 0, slot: slot, generation: 1) }

    @Test func aNameIsGoneWithItsExchange() throws {
        let table = try Self.table()
        var pool = ExchangePool()
        let first = pool.take(for: Self.connection(1), table)
        let second = pool.take(for: Self.connection(2), table)
        let name = first.id
        #expect(pool[name] === first && pool[second.id] === second)
        first.head = Array("GET".utf8).withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        first.deadline = 7
        pool.end(first)
        #expect(pool[name] == nil)
        let third = pool.take(for: Self.connection(3), table)
        #expect(third === first && third.id != name && third.id.slot == name.slot)
        #expect(pool[name] == nil && pool[third.id] === third)
        #expect(third.head == nil && third.deadline == 0 && third.connection == Self.connection(3))
        #expect(pool[ExchangeID(slot: 9, generation: 0)] == nil)
    }

    @Test func anExchangeKeepsItsRequestID() throws {
        var pool = ExchangePool()
        let exchange = pool.take(for: Self.connection(1), try Self.table())
        for id in [String(repeating: "a", count: 128), "b"] {
            Array(id.utf8).withUnsafeBytes { exchange.requestID = $0 }
            #expect(String(decoding: exchange.requestID, as: UTF8.self) == id)
        }
    }

    /// Its topic is made on another thread; it is one request all the same.
    @Test func aRequestThatWaitedIsCountedOnce() throws {
        let node = try GatewayHarness()
        let reply = try node.post("fresh", "{}")
        #expect(reply.status == 201 && reply.string("request_id") == reply.fields["x-request-id"])
        #expect(node.metric("millrace_ingest_bytes_total") == 2)
        #expect(try node.values("fresh") == ["{}"])
    }

    @Test func aRequestThatWaitsForItsTopicIsGivenUpInTime() throws {
        var options = GatewayOptions()
        options.requestTimeout = .milliseconds(100)
        let node = try GatewayHarness(options)
        node.disk.stall([.write, .sync], pathContains: "/data")
        let client = try node.connect()
        try client.send(HTTPClient.request("POST", "/events", Array("{}".utf8)))
        let reply = try client.receive()
        #expect(reply.status == 504 && reply.string("code") == "commit_timeout")
        #expect(client.isClosed())
        node.disk.release()
        #expect(eventually { node.metric("millrace_http_connections") == 0 })
        #expect(eventually { (try? node.call("POST", "/events", "{}").status) == 201 })
    }

    /// As many may wait as there are connections.
    @Test func aBodyThatWaitsForItsTopicCountsAsItsPeers() throws {
        var options = GatewayOptions()
        options.maxInflightBytesPerPeer = 300_000
        let node = try GatewayHarness(options)
        node.disk.stall([.write, .sync], pathContains: "/data")
        let event = Array(("\"" + String(repeating: "a", count: 200_000) + "\"").utf8)
        let first = try node.connect()
        try first.send(HTTPClient.request("POST", "/v1/topics/one/events", event))
        // Whole, and let go of by then if nobody counted it.
        #expect(eventually { node.metric("millrace_ingest_bytes_total") == event.count })
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == event.count })
        let second = try node.connect()
        try second.send(HTTPClient.request("POST", "/v1/topics/two/events", event))
        let refused = try second.receive()
        #expect(refused.status == 503 && refused.string("code") == "overloaded")
        node.disk.release()
        #expect(try first.receive().status == 201)
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }

    /// Two that wait are both whole when they come, so neither is refused while it is received.
    @Test func whoIsRefusedForWantOfRoomGoesOn() throws {
        var options = GatewayOptions()
        options.maxInflightBytesPerPeer = 15_000
        let node = try GatewayHarness(options)
        node.disk.stall([.write, .sync], pathContains: "/data")
        let event = Array(("\"" + String(repeating: "a", count: 10_000) + "\"").utf8)
        let first = try node.connect()
        try first.send(HTTPClient.request("POST", "/v1/topics/one/events", event))
        #expect(eventually { node.metric("millrace_ingest_bytes_total") == event.count })
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == event.count })
        let second = try node.connect()
        try second.send(HTTPClient.request("POST", "/v1/topics/two/events", event))
        #expect(try second.receive().string("code") == "overloaded")
        node.disk.release()
        #expect(try first.receive().status == 201)
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }
}
