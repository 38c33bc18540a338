import BrokerCore
import BrokerTestKit
import IngestGateway
import KafkaModel
import Security
import Testing
import Transport

/// What is written by HTTP counts for the quotas of its user, as if it had come by Kafka's protocol.
@Suite struct GatewayQuotaTests {
    private func set(_ node: GatewayHarness, _ components: [QuotaEntity.Component], _ rate: Double?) throws {
        let entry = QuotaAlteration.Entry(
            components: components, operations: [(key: "producer_byte_rate", value: rate)])
        try #require(node.broker.alterQuotas([entry], validateOnly: false).allSatisfy { $0.refusal == nil })
    }

    private let nobody = [QuotaEntity.Component(type: "user", name: "ANONYMOUS")]

    @Test func bytesOverTheRateAreRefusedUntilTheyMayCome() throws {
        let node = try GatewayHarness()
        let body = "\"" + String(repeating: "x", count: 10_000) + "\""
        try set(node, nobody, 1)
        // One goes by, far over the rate as it is, and the next ones wait; what is refused is not counted.
        #expect(try node.post("t", body).status == 201)
        var waits: [Int] = []
        for _ in 0..<3 {
            let refused = try node.post("t", body)
            #expect(refused.status == 429 && refused.string("code") == "quota_exceeded")
            waits.append(try #require(refused.fields["retry-after"].flatMap { Int($0) }))
        }
        #expect(waits[0] >= waits[1] && waits[1] >= waits[2] && waits[2] > 9_000)
        // Reading costs nothing of it.
        #expect(try node.call("GET", "/v1/topics/t/records?offset=0").status == 200)
        try set(node, nobody, nil)
        #expect(try node.post("t", body).status == 201)
    }

    @Test func aBodyByChunksCountsWhenItIsHere() throws {
        let node = try GatewayHarness()
        try set(node, nobody, 1)
        let client = try node.connect()
        let fields = "Host: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        let chunk = "\"" + String(repeating: "x", count: 998) + "\""
        try client.send(Array("POST /v1/topics/t/events HTTP/1.1\r\n\(fields)3e8\r\n\(chunk)\r\n0\r\n\r\n".utf8))
        #expect(try client.receive().status == 201)
        #expect(try node.post("t", "1").status == 429)
    }

    /// One that is taken in windows goes on when its sender may, as Kafka's clients do.
    @Test func aLongBodyWaitsForItsSendersRate() throws {
        var options = GatewayOptions()
        (options.maxRequestBytes, options.windowBytes) = (50, 100)
        let node = try GatewayHarness(options)
        try set(node, nobody, 1)
        let client = try node.connect()
        let body = Array(String(repeating: "{\"n\":1}\n", count: 100).utf8)
        let lines = "Content-Type: application/x-ndjson"
        try client.send(HTTPClient.request("POST", "/v1/topics/t/events", body, fields: [lines]))
        // A window, and no more of it while others are served.
        #expect(try eventually { try node.values("t").count == 12 })
        for _ in 0..<20 { #expect(try node.call("GET", "/healthz").status == 200) }
        #expect(try node.values("t").count == 12)
        #expect(try node.post("t", "1").status == 429)
        #expect(client.hasNothingToRead)
    }

    /// Of a body by chunks what had come before it was known to be long counts as well.
    @Test func whatIsCollectedOfALongBodyCounts() throws {
        var options = GatewayOptions()
        (options.maxRequestBytes, options.windowBytes) = (10_000, 100_000)
        let node = try GatewayHarness(options)
        #expect(try node.post("t", "1").status == 201)
        try set(node, nobody, 1)
        let line = "\"\(String(repeating: "x", count: 9_990))\"\n"
        let lines = "Content-Type: application/x-ndjson"
        let client = try node.connect()
        try client.send(
            "POST /v1/topics/t/events HTTP/1.1\r\nHost: h\r\n\(lines)\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "\(String(line.utf8.count, radix: 16))\r\n\(line)\r\n9\r\n{\"n\":10}\n\r\n")
        #expect(try eventually { try wait(node) > 5_000 })
        let second = try GatewayHarness(options)
        #expect(try second.post("t", "1").status == 201)
        try set(second, nobody, 1)
        let other = try HTTP2Client(port: second.port)
        let stream = other.request(
            "POST", "/v1/topics/t/events", Array(line.utf8), [("content-type", "application/x-ndjson")], ends: false)
        other.body(stream, Array("{\"n\":10}\n".utf8), ends: false)
        #expect(try eventually { try wait(second) > 5_000 })
    }

    /// Seconds after which somebody may write again; 0: now.
    private func wait(_ node: GatewayHarness) throws -> Int {
        try node.post("u", "1").fields["retry-after"].flatMap { Int($0) } ?? 0
    }

    /// Who waits for his rate is told what is stored, and holds nobody up.
    @Test(arguments: [false, true])
    func aServerThatStopsEndsBodiesThatWaitForTheRate(isSecondVersion: Bool) throws {
        var options = GatewayOptions()
        (options.maxRequestBytes, options.windowBytes) = (50, 100)
        let node = try GatewayHarness(options)
        try set(node, nobody, 1)
        let body = Array(String(repeating: "{\"n\":1}\n", count: 100).utf8)
        let (path, type) = ("/v1/topics/t/events", "application/x-ndjson")
        let first = try node.connect()
        let second = try HTTP2Client(port: node.port)
        var stream: UInt32 = 0
        if isSecondVersion {
            stream = second.request("POST", path, body, [("content-type", type)])
        } else {
            try first.send(HTTPClient.request("POST", path, body, fields: ["Content-Type: \(type)"]))
        }
        #expect(try eventually { try node.values("t").count == 12 })
        node.gateway.drain()
        node.group.stop(within: .seconds(20))
        let reply = isSecondVersion ? try second.reply(stream) : try first.receive()
        #expect(reply.status == 207 && reply.number("accepted") == 12, "\(reply.text)")
        let stopped = try #require(reply.json["stopped"] as? [String: Any])
        #expect(stopped["index"] as? Int == 12 && stopped["code"] as? String == "overloaded")
        #expect((stopped["error"] as? String)?.contains("from the one with index 12 on") == true)
        #expect(try node.values("t").count == 12)
    }

    @Test func quotasOfOthersHoldForOthers() throws {
        let node = try GatewayHarness()
        try set(node, [QuotaEntity.Component(type: "user", name: "alice")], 1)
        try set(node, [QuotaEntity.Component(type: "client-id", name: nil)], 1)
        for _ in 0..<3 { #expect(try node.post("t", "1").status == 201) }
        try set(node, [QuotaEntity.Component(type: "user", name: nil)], 1)
        #expect(try node.post("t", "\"" + String(repeating: "x", count: 1_000) + "\"").status == 201)
        #expect(try node.post("t", "1").status == 429)
    }
}
