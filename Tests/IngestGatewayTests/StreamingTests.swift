import BrokerCore
import BrokerTestKit
import ByteBuffers
import IngestGateway
import KafkaModel
import LogStorage
import RecordFormat
import Testing

/// Replies that are too long for one turn.
@Suite struct StreamingTests {
    private static let path = "/v1/topics/t/records"

    private func node(_ options: GatewayOptions = GatewayOptions()) throws -> GatewayHarness {
        try GatewayHarness(options, topicDefaults: ["max.message.bytes": "50000000"])
    }

    /// Appends one batch and waits until it can be read.
    private func append(
        _ records: [(key: [UInt8]?, value: [UInt8]?)], to node: GatewayHarness, headers: [RecordHeader] = [],
        timeMs: Int64 = BrokerClock.wallMs()
    ) throws {
        let topic = try node.broker.topicCreatingIfAllowed("t").get()
        var builder = RecordBatchBuilder()
        for record in records {
            builder.append(key: record.key, value: record.value, headers: headers, timestampMs: timeMs)
        }
        let batch = builder.finishUncompressed()
        let end = topic.partitions[0].logEndOffset.rawValue + Int64(records.count)
        _ = try topic.partitions[0].append(batch, origin: .client, nowMs: BrokerClock.wallMs()).get()
        node.broker.store.kick()
        #expect(eventually { topic.partitions[0].highWatermark.rawValue == end })
    }

    private func records(_ reply: HTTPReply) throws -> [[String: Any]] {
        try #require(reply.json["records"] as? [[String: Any]], "\(reply.text.prefix(300))")
    }

    /// Six bytes of text for each byte of the value.
    private static let controls = [UInt8](repeating: 1, count: 256 << 10)
    /// Whose text is more than the kernel keeps for a peer that does not read.
    private static let many = [UInt8](repeating: 1, count: 4 << 20)

    @Test func aLargeRecordIsSentInPieces() throws {
        let node = try node()
        try append([(Array("k".utf8), Self.controls)], to: node)
        let reply = try node.call("GET", Self.path)
        #expect(reply.status == 200)
        #expect(reply.fields["transfer-encoding"] == "chunked")
        #expect(reply.fields["content-length"] == nil)
        let found = try records(reply)
        #expect(found.count == 1)
        #expect((found[0]["value"] as? String)?.utf8.elementsEqual(Self.controls) == true)
        #expect(found[0]["value_encoding"] as? String == "text")
        #expect(reply.number("next_offset") == 1)
        // 1.5 MiB in slices of 64 KiB.
        #expect(try #require(node.metric("millrace_http_reply_slices_total")) >= 20)
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test func aShortReplyHasItsLength() throws {
        let node = try node()
        try append([(nil, Array("1".utf8))], to: node)
        let reply = try node.call("GET", Self.path)
        #expect(reply.fields["content-length"] == String(reply.body.count))
        #expect(node.metric("millrace_http_reply_slices_total") == 0)
    }

    @Test func oldClientsReadToTheEndOfTheConnection() throws {
        let node = try node()
        try append([(nil, Self.controls)], to: node)
        let client = try node.connect()
        try client.send("GET \(Self.path) HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        let reply = try client.receive()
        #expect(reply.fields["transfer-encoding"] == nil)
        #expect(reply.fields["connection"] == "close")
        #expect((try records(reply)[0]["value"] as? String)?.utf8.count == Self.controls.count)
    }

    @Test func theHeadAloneIsSentWhenItIsAskedFor() throws {
        let node = try node()
        try append([(nil, Self.controls)], to: node)
        let client = try node.connect()
        try client.send(HTTPClient.request("HEAD", Self.path, nil))
        #expect(try client.receive(toHead: true).fields["transfer-encoding"] == "chunked")
        try client.send(HTTPClient.request("GET", "/healthz", nil))
        #expect(try client.receive().string("status") == "ok")
    }

    @Test func requestsBehindALongReplyAreAnsweredAfterIt() throws {
        let node = try node()
        try append([(nil, Self.controls)], to: node)
        let client = try node.connect()
        for _ in 0..<3 {
            try client.send(
                HTTPClient.request("GET", Self.path, nil) + HTTPClient.request("POST", "/events", Array("{}".utf8)))
        }
        try client.send(HTTPClient.request("GET", Self.path, nil, fields: ["Connection: close"]))
        for _ in 0..<3 {
            #expect(try client.receive().number("next_offset") == 1)
            #expect(try client.receive().status == 201)
        }
        let last = try client.receive()
        #expect(last.number("next_offset") == 1 && last.fields["connection"] == "close")
        #expect(client.isClosed())
    }

    @Test func theBoundHoldsWithinABatch() throws {
        let node = try node()
        let value = [UInt8](repeating: 0x20, count: 10_000)
        try append(Array(repeating: (nil, value), count: 300), to: node)
        var next = 0
        while next < 300 {
            let reply = try node.call("GET", "\(Self.path)?offset=\(next)&max_bytes=50000&limit=1000")
            #expect(reply.body.count < 50_000 + 11_000)
            let offsets = try records(reply).map { $0["offset"] as? Int }
            #expect(offsets.count == 5 && offsets.first == next)
            next = try #require(reply.number("next_offset"))
            #expect(offsets.last == next - 1)
        }
        let all = try node.call("GET", "\(Self.path)?max_bytes=4000000&limit=1000")
        #expect(try records(all).count == 300)
        #expect(all.number("next_offset") == 300)
    }

    @Test func whoDoesNotReadHoldsLittleAndKeepsNobodyWaiting() throws {
        let node = try node()
        try append([(nil, Self.many)], to: node)
        let before = node.pool.outstandingBytes
        var slow: [HTTPClient] = []
        for _ in 0..<7 {
            let client = try node.connect()
            try client.send(HTTPClient.request("GET", Self.path, nil))
            slow.append(client)
        }
        #expect(eventually { (node.metric("millrace_http_inflight_bytes") ?? 0) >= 28 << 20 })
        for _ in 0..<20 { #expect(try node.call("GET", "/healthz").status == 200) }
        // Built whole they would be 168 MiB. What was read is counted; of the text each holds less than a MiB. The count only
        // grows until the clients go, so it is taken behind the memory that it is held against.
        let outstanding = node.pool.outstandingBytes
        let counted = try #require(node.metric("millrace_http_inflight_bytes"))
        #expect(outstanding - before < counted + (8 << 20))
        slow = []
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }

    @Test func whatAReplyKeepsIsItsPeersShare() throws {
        var options = GatewayOptions()
        options.maxInflightBytes = 1 << 20
        options.maxInflightBytesPerPeer = 900_000
        let node = try node(options)
        try append([(nil, Self.many)], to: node)
        try append([(nil, [0x31])], to: node)
        var first: HTTPClient? = try node.connect()
        try first?.send(HTTPClient.request("GET", Self.path, nil))
        // The batch is larger than the share, and takes all of it.
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 900_000 })
        let second = try node.call("GET", Self.path)
        #expect(second.status == 503)
        #expect(second.string("code") == "overloaded")
        // What is done in one turn keeps nothing.
        #expect(try records(node.call("GET", "\(Self.path)?offset=1")).count == 1)
        first = nil
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }

    @Test func longTextsKeepTheirBytesWhateverTheyAre() throws {
        var options = GatewayOptions()
        options.maxEventBytes = 200_000
        let node = try node(options)
        // Characters of two to four bytes over every seam, with each offset to it.
        let wide = Array("x".utf8) + Array(String(repeating: "é€😀", count: 9000).utf8)
        let broken = [UInt8](repeating: 0x61, count: 100_000) + [0xff]
        let cut = [UInt8](repeating: 0x61, count: 24_575) + [0xe2, 0x82]
        let json = Array(("[" + String(repeating: "\"é\" , ", count: 20_000) + "1]").utf8)
        let largeJSON = Array(("\"" + String(repeating: "a", count: 200_000) + "\"").utf8)
        let values: [[UInt8]] = [wide, broken, cut, json, largeJSON, [], Array(repeating: 0x80, count: 50_000)]
        try append(
            values.map { ($0, $0) }, to: node,
            headers: [RecordHeader(key: String(decoding: wide, as: UTF8.self), value: broken)])
        let reply = try node.call("GET", "\(Self.path)?max_bytes=4000000")
        let found = try records(reply)
        try #require(found.count == values.count)
        let encodings = found.map { $0["value_encoding"] as? String }
        #expect(encodings == ["text", "base64", "base64", "json", "text", "text", "base64"])
        for (record, value) in zip(found, values) {
            for member in ["key", "value"] {
                guard let text = record[member] as? String else { continue }
                let isBase64 = record["\(member)_encoding"] as? String == "base64"
                #expect(isBase64 ? decoded(text) == value : Array(text.utf8) == value)
            }
            let header = try #require((record["headers"] as? [[String: Any]])?.first)
            #expect((header["name"] as? String).map { Array($0.utf8) } == wide)
            #expect((header["value"] as? String).flatMap(decoded) == broken)
        }
        #expect(reply.text.contains("\"value\":\(String(decoding: json, as: UTF8.self)),\"value_encoding\":\"json\""))
    }

    @Test func recordsAreFoundByTheirTime() throws {
        let node = try node()
        let time = BrokerClock.wallMs() - 100_000
        for step in 0..<5 {
            try append([(nil, Array("\(step)".utf8))], to: node, timeMs: time + Int64(step) * 1000)
        }
        for (wanted, offset) in [(0, 0), (1000, 1), (1001, 2), (4000, 4), (4001, 5)] {
            let path = wanted == 0 ? "timestamp=0" : "timestamp=\(time + Int64(wanted))"
            let reply = try node.call("GET", "\(Self.path)?\(path)")
            #expect(try records(reply).compactMap { $0["offset"] as? Int } == Array(offset..<5))
            #expect(reply.number("next_offset") == 5)
        }
        for query in ["timestamp=now", "timestamp=-1", "timestamp=1&offset=1", "offset=latest&timestamp=1"] {
            #expect(try node.call("GET", "\(Self.path)?\(query)").string("code") == "invalid_parameter")
        }
    }

    /// Standard base64.
    private func decoded(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for character in text.utf8 where character != UInt8(ascii: "=") {
            let value: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0") + 52
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            default: return nil
            }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bytes
    }
}
