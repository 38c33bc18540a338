import ByteBuffers
import IngestGateway
import RecordFormat
import Testing

/// Bodies that come packed by gzip or zstd.
@Suite struct PackedBodyTests {
    static func pack(_ text: String, _ codec: Compression) throws -> [UInt8] {
        let context = CompressionContext()
        let input = Array(text.utf8)
        var output = [UInt8](repeating: 0, count: context.bound(codec, count: input.count))
        let count = try input.withUnsafeBytes { input in
            try output.withUnsafeMutableBytes { try context.compress(codec, input, to: $0) }
        }
        return Array(output[..<count])
    }

    private static func post(
        _ node: GatewayHarness, _ path: String, _ body: [UInt8], _ coding: String, _ more: [String] = []
    ) throws -> HTTPReply {
        try node.call("POST", path, bytes: body, fields: ["Content-Encoding: \(coding)"] + more)
    }

    /// The topic is made first, so the request waits after it was unpacked, and goes on with what it was unpacked to.
    @Test(arguments: [("gzip", Compression.gzip), ("x-gzip", .gzip), ("GZIP", .gzip), ("zstd", .zstd)], [1, 3000])
    func whatWasPackedIsStoredAsItWas(coding: (String, Compression), events: Int) throws {
        let node = try GatewayHarness()
        let lines = (0..<events).map { "{\"n\":\($0),\"pad\":\"\(String($0 &* 2_654_435_761, radix: 36))\"}" }
        let body = try Self.pack(lines.joined(separator: "\n"), coding.1)
        for round in 1...2 {
            let reply = try Self.post(
                node, "/v1/topics/t/events?results=none", body, coding.0, ["Content-Type: application/x-ndjson"])
            #expect(reply.status == 201 && reply.number("accepted") == events, "\(reply.text)")
            #expect(try node.values("t").count == round * events)
        }
        #expect(try node.values("t").prefix(events) == lines[...])
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test(arguments: [10, 200_000])
    func aBodyMayComePackedAndInChunks(length: Int) throws {
        let node = try GatewayHarness()
        let event =
            "{\"a\":\"" + String((0..<length).map { Character(Unicode.Scalar(UInt8(97 + $0 * $0 % 23))) }) + "\"}"
        let body = try Self.pack(event, .gzip)
        for _ in 1...2 {
            let client = try node.connect()
            try client.send(
                "POST /events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n")
            for byte in body.prefix(20) { try client.send(Array("1\r\n".utf8) + [byte] + Array("\r\n".utf8)) }
            let rest = body.dropFirst(20)
            try client.send(Array("\(String(rest.count, radix: 16))\r\n".utf8) + rest + Array("\r\n0\r\n\r\n".utf8))
            #expect(try client.receive().status == 201)
            try client.send(HTTPClient.request("POST", "/events", Array("{}".utf8)))
            #expect(try client.receive().status == 201)
        }
        #expect(try node.values("events") == [event, "{}", event, "{}"])
        #expect(node.metric("millrace_http_inflight_bytes") == 0)
    }

    @Test(arguments: [Compression.gzip, .zstd])
    func bombsAreRefused(codec: Compression) throws {
        let node = try GatewayHarness()
        let coding = codec.name
        // Above the route's longest body, and above a hundred times its own size.
        for size in [17 << 20, 2 << 20] {
            let reply = try Self.post(
                node, "/events", try Self.pack(String(repeating: " ", count: size), codec), coding)
            #expect(reply.status == 413 && reply.string("code") == "body_too_large", "\(size)")
            #expect((reply.number("limit") ?? 0) <= 16 << 20)
            #expect(reply.string("error")?.contains("more than 100 times its size") == true, "\(reply.text)")
        }
        // Below a mebibyte nobody asks for the ratio.
        let spaces = "{}" + String(repeating: " ", count: 900_000)
        #expect(try Self.post(node, "/events", try Self.pack(spaces, codec), coding).status == 201)
    }

    @Test(arguments: [Compression.gzip, .zstd])
    func whatIsLongerThanItsRouteTakesIsToldApart(codec: Compression) throws {
        var options = GatewayOptions()
        options.maxRequestBytes = 4096
        let event = "{\"a\":\"" + String(repeating: "x", count: 5000) + "\"}"
        let reply = try Self.post(GatewayHarness(options), "/events", try Self.pack(event, codec), codec.name)
        #expect(reply.status == 413 && reply.number("limit") == 4096, "\(reply.text)")
        #expect(reply.string("error")?.hasSuffix("The route takes no more: send it in smaller parts.") == true)
    }

    @Test(arguments: [Compression.gzip, .zstd], [100, 100_000])
    func whatCannotBeUnpackedIsRefused(codec: Compression, length: Int) throws {
        let node = try GatewayHarness()
        let text = "{\"a\":\"" + String((0..<length).map { Character(Unicode.Scalar(UInt8(97 + $0 * 7 % 25))) }) + "\"}"
        let body = try Self.pack(text, codec)
        var damaged = body
        damaged[body.count / 2] ^= 0x55
        damaged[body.count - 1] ^= 0x55
        for wrong in [Array(body.dropLast()), body + [1, 2, 3], damaged, Array(text.utf8)] {
            let reply = try Self.post(node, "/events", wrong, codec.name)
            // What a codec without a checksum took is no JSON, or another text.
            #expect(reply.status == 422 || codec == .zstd && reply.status < 500, "\(reply.status)")
        }
        #expect(try Self.post(node, "/events", [], codec.name).string("error") == "Request body is required")
    }

    @Test func aFrameThatWantsALargeWindowIsRefused() throws {
        let node = try GatewayHarness()
        // A window of 16 MiB, then a raw block that is the last, of two bytes.
        let body: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 0x11, 0, 0, 0x7b, 0x7d]
        let refused = try Self.post(node, "/events", body, "zstd")
        #expect(refused.string("code") == "undecodable_body" && refused.string("error")?.contains("8 MiB") == true)
        var fine = body
        fine[5] = 13 << 3
        #expect(try Self.post(node, "/events", fine, "zstd").status == 201)
    }
}
