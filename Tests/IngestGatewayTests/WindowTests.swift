import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import IngestGateway
import RecordFormat
import StorageIO
import Testing
import Transport

/// Bodies of lines and rows that are longer than what is taken in one piece.
@Suite struct WindowTests {
    private static let yaml = """
        routes:
          - path: /rows
            to: {topic: rows}
            formats: [csv, ndjson]
            csv: {skip_lines: 1}
            schema: {properties: {n: {type: integer}}}
          - path: /keyed
            to: {topic: keyed}
            formats: [csv, ndjson]
            key: /user
            idempotency: {pointers: [/id]}
          - {path: /short, to: {topic: short}, formats: ndjson, max_body: 200}
          - {path: /field, to: {topic: field}, idempotency: {header: X-Key}}
        """
    private static let csv = "Content-Type: text/csv"
    private static let lines = "Content-Type: application/x-ndjson"

    /// One whose windows and longest bodies have so many bytes.
    private static func options(window: Int, most: Int = 16) -> GatewayOptions {
        var options = GatewayOptions()
        (options.windowBytes, options.maxRequestBytes) = (window, most)
        return options
    }

    private func node(
        _ options: GatewayOptions, partitions: Int32 = 1, holdsCommits: Bool = false,
        fileSystem: SimulatedFileSystem = SimulatedFileSystem()
    ) throws -> GatewayHarness {
        try GatewayHarness(
            options, partitions: partitions, holdsCommits: holdsCommits,
            configuration: GatewayConfiguration(
                yaml: Self.yaml.replacing("max_body: 200", with: "max_body: \(min(200, options.maxRequestBytes))"),
                options),
            fileSystem: fileSystem)
    }

    enum Framing: CaseIterable {
        case length, chunks, bytes, secondVersion
    }

    /// Sends a body that way.
    private func send(
        _ node: GatewayHarness, _ path: String, _ body: [UInt8], _ fields: [String], _ framing: Framing = .length
    ) throws -> HTTPReply {
        let client = try node.connect()
        func head(_ framing: String) -> [UInt8] {
            Array("POST \(path) HTTP/1.1\r\nHost: h\r\n\(framing)\r\n\(fields.joined(separator: "\r\n"))\r\n\r\n".utf8)
        }
        switch framing {
        case .length: try client.send(head("Content-Length: \(body.count)") + body)
        case .chunks:
            var text = head("Transfer-Encoding: chunked")
            for start in stride(from: 0, to: body.count, by: 7) {
                let part = body[start..<min(start + 7, body.count)]
                text += Array("\(part.count)\r\n".utf8) + part + Array("\r\n".utf8)
            }
            try client.send(text + Array("0\r\n\r\n".utf8))
        case .bytes:
            for byte in head("Content-Length: \(body.count)") + body { try client.send([byte]) }
        case .secondVersion:
            let second = try HTTP2Client(port: node.port)
            let parts = fields.map { $0.split(separator: ":", maxSplits: 1) }
            let stream = second.request(
                "POST", path, body, parts.map { ($0[0].lowercased(), String($0[1].dropFirst())) })
            return try second.reply(stream)
        }
        return try client.receive()
    }

    /// What a reply says of each event.
    private static func told(_ reply: HTTPReply) -> [String] {
        reply.results.map { "\($0["index"] ?? "") \($0["status"] ?? "") \($0["error"] ?? "") \($0["offset"] ?? "")" }
    }

    private static let rowTexts = """
        \u{feff}before, \"this is no row\r\nid,"te""xt",n\r\n1,"say ""hi"", é",5\n\n2,"two\r\nlines\n\n",\r3,東京\r\n\r4,"",x\n\
        "6","\u{1f600}"",",2\r\r\n7,end,3
        """
    private static let lineTexts = """
        {"id":1,"text":"é"}\n\n  {"id":2,\t"n":[1,2]}\r\nnothing\n{"id":3,"n":"x"}\n"東"\n{"id":4}
        """

    /// Windows of each size, so that they end at each byte, give what the whole gives.
    @Test(arguments: [(csv, rowTexts), (lines, lineTexts)], Framing.allCases)
    func whatIsCutGivesWhatTheWholeGives(kind: (type: String, text: String), framing: Framing) throws {
        let body = Array(kind.text.utf8)
        let whole = try node(Self.options(window: 1 << 20, most: 1 << 20))
        let wanted = try send(whole, "/rows?results=all", body, [kind.type])
        #expect(wanted.status == 207 && wanted.results.count >= 6, "\(wanted.text)")
        let values = try whole.values("rows")
        for size in stride(from: 1, through: body.count + 1, by: framing == .bytes ? 9 : 1) {
            let node = try node(Self.options(window: size))
            let reply = try send(node, "/rows?results=all", body, [kind.type], framing)
            #expect(reply.status == 207, "\(size): \(reply.text)")
            #expect(Self.told(reply) == Self.told(wanted), "\(size)")
            #expect(reply.number("accepted") == wanted.number("accepted"))
            #expect(reply.number("rejected") == wanted.number("rejected"))
            #expect(try node.values("rows") == values, "\(size)")
            #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        }
    }

    @Test(arguments: [Compression.gzip, .zstd], [Framing.length, .chunks, .secondVersion])
    func packedBodiesAreTakenInWindowsToo(codec: Compression, framing: Framing) throws {
        let rows = (0..<3000).map { "\($0),\"text \(String($0 &* 2_654_435_761, radix: 36))\"" }
        let body = try Self.pack("before\nid,text\n" + rows.joined(separator: "\n"), codec)
        // Packed it is shorter than the longest body, and longer.
        for most in [100_000, 10_000] {
            let node = try node(Self.options(window: 5000, most: most))
            try #require((body.count > 10_000) && (body.count < 100_000))
            let reply = try send(node, "/rows", body, [Self.csv, "Content-Encoding: \(codec.name)"], framing)
            #expect(reply.status == 201 && reply.number("accepted") == 3000, "\(reply.text)")
            let stored = try node.values("rows")
            #expect(stored.count == 3000)
            #expect(stored[7] == "{\"id\":\"7\",\"text\":\"text \(String(7 &* 2_654_435_761, radix: 36))\"}")
            #expect(stored[2999].hasPrefix("{\"id\":\"2999\""))
            #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        }
    }

    private static func pack(_ text: String, _ codec: Compression) throws -> [UInt8] {
        let context = CompressionContext()
        let input = Array(text.utf8)
        var output = [UInt8](repeating: 0, count: context.bound(codec, count: input.count))
        let count = try input.withUnsafeBytes { input in
            try output.withUnsafeMutableBytes { try context.compress(codec, input, to: $0) }
        }
        return Array(output[..<count])
    }

    @Test(arguments: [Compression.gzip, .zstd])
    func packedBodiesThatAreDamagedStopWhereTheyAre(codec: Compression) throws {
        let lines = (0..<20_000).map { "{\"k\":\"\(String($0 &* 2_654_435_761, radix: 36))\"}" }
        let body = try Self.pack(lines.joined(separator: "\n"), codec)
        let node = try node(Self.options(window: 5000, most: 10_000))
        for wrong in [Array(body.dropLast(10)), body + Array("garbage".utf8)] {
            let before = try node.values("rows").count
            let reply = try send(node, "/rows", wrong, [Self.lines, "Content-Encoding: \(codec.name)"])
            #expect(reply.status == 207 && reply.number("rejected") == 0, "\(reply.text)")
            let stopped = try #require(reply.json["stopped"] as? [String: Any])
            #expect(stopped["code"] as? String == "undecodable_body")
            #expect(stopped["index"] as? Int == reply.number("accepted"))
            let stored = Array(try node.values("rows").dropFirst(before))
            #expect(stored == Array(lines.prefix(stored.count)) && stored.count == reply.number("accepted"))
        }
        // Ten megabytes of spaces behind an event: what comes before them is stored.
        let before = try node.values("rows").count
        let bomb = try Self.pack("{}\n" + String(repeating: " ", count: 10 << 20) + "{}", codec)
        let refused = try send(node, "/rows", bomb, [Self.lines, "Content-Encoding: \(codec.name)"])
        #expect(refused.status == 207 && refused.number("accepted") == 1, "\(refused.text)")
        let stopped = try #require(refused.json["stopped"] as? [String: Any])
        #expect(stopped["code"] as? String == "body_too_large" && stopped["status"] as? Int == 413)
        #expect(try node.values("rows").count == before + 1)
    }

    /// More events than are taken in one piece; short, long and packed.
    @Test(arguments: [40, 4_000], [Framing.length, .secondVersion])
    func manyEventsAreTakenInWindows(count: Int, framing: Framing) throws {
        var options = GatewayOptions()
        options.maxEventsPerRequest = 30
        let node = try node(options)
        let rows = (0..<count).map { "\($0),\"text \(String($0 &* 2_654_435_761, radix: 36))\"" }
        let text = "before\nid,text\n" + rows.joined(separator: "\n")
        let reply = try send(node, "/rows", Array(text.utf8), [Self.csv], framing)
        #expect(reply.status == 201 && reply.number("accepted") == count, "\(reply.text)")
        let packed = try send(
            node, "/rows", try Self.pack(text, .gzip), [Self.csv, "Content-Encoding: gzip"], framing)
        #expect(packed.status == 201 && packed.number("accepted") == count, "\(packed.text)")
        let stored = try node.values("rows")
        #expect(stored.count == 2 * count && stored.prefix(count) == stored.suffix(count))
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }

    // MARK: Which are not

    @Test func whatIsStoredWholeOrNotAtAllHasItsLongestBody() throws {
        let node = try node(Self.options(window: 20, most: 100))
        let body = Array(repeating: "{\"id\":1}", count: 50).joined(separator: "\n")
        for (path, fields) in [
            ("/rows", ["X-Batch-Mode: atomic"]), ("/v1/topics/t/events", ["Idempotency-Key: one"]),
            ("/field", ["X-Key: one"]), ("/field", []), ("/short", []),
        ] {
            for framing in [Framing.length, .chunks, .secondVersion] {
                let reply = try send(node, path, Array(body.utf8), [Self.lines] + fields, framing)
                #expect(reply.status == 413 && reply.string("code") == "body_too_large", "\(path): \(reply.text)")
                #expect(reply.number("limit") == 100)
            }
        }
        let array = Array("[\(Array(repeating: "1", count: 200).joined(separator: ","))]".utf8)
        #expect(try send(node, "/v1/topics/t/events", array, ["Content-Type: application/json"]).status == 413)
        for topic in ["rows", "t", "field", "short"] { #expect(try node.values(topic).isEmpty) }
        let taken = try send(node, "/v1/topics/t/events", Array(body.utf8), [Self.lines])
        #expect(taken.status == 201 && taken.number("accepted") == 50, "\(taken.text)")
        #expect(try node.values("t").count == 50)
    }

    // MARK: What is wrong

    @Test func whatCannotBeReadOnStopsBehindWhatWasStored() throws {
        let text = "before\nid,text\n1,a\n2\n3,c\n4,d\"\n5,e\n"
        for size in [1, 10, 20, 100] {
            let node = try node(Self.options(window: size))
            let reply = try send(node, "/rows", Array(text.utf8), [Self.csv])
            #expect(
                reply.status == 207 && reply.number("accepted") == 2 && reply.number("rejected") == 1, "\(reply.text)")
            let stopped = try #require(reply.json["stopped"] as? [String: Any])
            #expect(stopped["index"] as? Int == 3 && stopped["code"] as? String == "invalid_csv")
            #expect(stopped["status"] as? Int == 400 && stopped["retryable"] as? Bool == false)
            #expect((stopped["error"] as? String)?.hasSuffix("in the row of line 6.") == true)
            #expect(reply.results.compactMap { $0["index"] as? Int } == [1])
            #expect(try node.values("rows").count == 2)
        }
    }

    @Test func whereNothingIsStoredThereIsAProblem() throws {
        let node = try node(Self.options(window: 10))
        let header = "a line of more than sixteen bytes\n"
        for (type, text, status, code) in [
            (Self.csv, header + "id,id\n1,2\n", 400, "invalid_csv"),
            (Self.csv, header + "id,text\n", 422, "empty_batch"),
            (Self.csv, header, 400, "body_required"), (Self.csv, header + "id,text\n1\n2\n", 422, "batch_rejected"),
            (Self.lines, String(repeating: "\n", count: 100), 400, "body_required"),
            (Self.lines, "nothing\nat all\nin JSON\n", 422, "batch_rejected"),
        ] {
            let reply = try send(node, "/rows", Array(text.utf8), [type])
            #expect(reply.status == status && reply.string("code") == code, "\(text): \(reply.text)")
            #expect(reply.fields["content-type"] == "application/problem+json")
            if code == "batch_rejected" { #expect((reply.json["errors"] as? [Any])?.isEmpty == false) }
        }
        #expect(try node.values("rows").isEmpty)
    }

    @Test func aRowThatIsLongerThanAnyStopsTheBody() throws {
        var options = Self.options(window: 100)
        options.maxEventBytes = 300
        let node = try node(options)
        let long = "{\"id\":\"\(String(repeating: "x", count: 320))\"}"
        let longest = "{\"id\":\"\(String(repeating: "x", count: 1000))\"}"
        let reply = try send(node, "/rows", Array("{}\n\(long)\n{}\n\(longest)\n{}".utf8), [Self.lines])
        #expect(reply.status == 207 && reply.number("accepted") == 2 && reply.number("rejected") == 1, "\(reply.text)")
        #expect(reply.results.first?["code"] as? String == "event_too_large")
        #expect((reply.json["stopped"] as? [String: Any])?["code"] as? String == "event_too_large")
        #expect(try node.values("rows").count == 2)
    }

    @Test(arguments: [Framing.length, .secondVersion])
    func aDiskThatFailsStopsTheBody(framing: Framing) throws {
        let fileSystem = SimulatedFileSystem()
        let node = try node(Self.options(window: 100), fileSystem: fileSystem)
        #expect(try send(node, "/rows", Array("{\"id\":0}".utf8), [Self.lines]).status == 201)
        fileSystem.inject(.init(.fail(errno: 5), pathContains: ".journal", times: .max))
        let body = Array(repeating: "{\"id\":1}", count: 50).joined(separator: "\n")
        let reply = try send(node, "/rows", Array(body.utf8), [Self.lines], framing)
        #expect(reply.status == 503 && reply.string("code") == "storage_unavailable", "\(reply.text)")
    }

    // MARK: Time

    @Test func whoStopsSendingIsToldWhatIsStored() throws {
        var options = Self.options(window: 20)
        options.bodyIdleTimeout = .milliseconds(200)
        let node = try node(options)
        let client = try node.connect()
        try client.send(
            "POST /rows HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\(Self.lines)\r\n\r\n{\"id\":1}\n{\"id\":2}\n{\"i"
        )
        let reply = try client.receive()
        #expect(reply.status == 207 && reply.number("accepted") == 2, "\(reply.text)")
        #expect((reply.json["stopped"] as? [String: Any])?["code"] as? String == "body_timeout")
        #expect(client.isClosed())
        let second = try HTTP2Client(port: node.port)
        let stream = second.request(
            "POST", "/rows", Array("{\"id\":3}\n{\"id\":4}\n{\"i".utf8),
            [("content-type", "application/x-ndjson"), ("content-length", "10000")], ends: false)
        let other = try second.reply(stream)
        #expect(other.status == 207 && other.number("accepted") == 2, "\(other.text)")
        #expect(try node.values("rows").count == 4)
    }

    @Test func aBodyMayTakeLongerThanARequest() throws {
        var options = Self.options(window: 20)
        options.requestTimeout = .seconds(2)
        let node = try node(options)
        let client = try node.connect()
        let event = "{\"id\":1}\n"
        try client.send(
            "POST /rows HTTP/1.1\r\nHost: h\r\nContent-Length: \(10 * event.utf8.count)\r\n\(Self.lines)\r\n\r\n")
        for _ in 0..<10 {
            try client.send(event)
            Thread.sleep(forTimeInterval: 0.25)
        }
        let reply = try client.receive()
        #expect(reply.status == 201 && reply.number("accepted") == 10, "\(reply.text)")
    }

    @Test func aServerThatStopsSaysWhatIsStored() throws {
        let node = try node(Self.options(window: 20))
        let first = try node.connect()
        try first.send(
            "POST /rows HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\(Self.lines)\r\n\r\n{\"id\":1}\n{\"id\":2}\n{\"i"
        )
        let second = try HTTP2Client(port: node.port)
        let stream = second.request(
            "POST", "/rows", Array("{\"id\":3}\n{\"id\":4}\n{\"i".utf8),
            [("content-type", "application/x-ndjson"), ("content-length", "10000")], ends: false)
        #expect(try eventually { try node.values("rows").count == 4 })
        node.gateway.drain()
        node.group.stop(within: .seconds(5))
        let reply = try first.receive()
        #expect(reply.status == 207 && reply.number("accepted") == 2, "\(reply.text)")
        let stopped = try #require(reply.json["stopped"] as? [String: Any])
        #expect(stopped["code"] as? String == "overloaded" && stopped["retryable"] as? Bool == true)
        #expect(reply.fields["retry-after"] == "1")
        let other = try second.reply(stream)
        #expect(other.status == 207 && other.number("accepted") == 2, "\(other.text)")
    }

    @Test(arguments: [Framing.length, .secondVersion])
    func aWindowThatIsNotOnDiskInTimeDoesNotCount(framing: Framing) throws {
        var options = Self.options(window: 20)
        options.requestTimeout = .milliseconds(200)
        let node = try node(options, holdsCommits: true)
        let body = Array(repeating: "{\"id\":1}", count: 50).joined(separator: "\n")
        let reply = try send(node, "/v1/topics/t/events", Array(body.utf8), [Self.lines], framing)
        #expect(reply.status == 504 && reply.string("code") == "commit_timeout", "\(reply.text)")
        // No window was begun behind it.
        #expect(try node.values("t").count <= 3)
    }

    // MARK: Keys

    @Test func eventsWithKeysAreStoredOnceOverAllWindows() throws {
        let node = try node(Self.options(window: 30), partitions: 3)
        let rows = (0..<40).map { "\($0 % 25),user\($0 % 4)" }
        let reply = try send(node, "/keyed", Array("id,user\n\(rows.joined(separator: "\n"))".utf8), [Self.csv])
        // The last fifteen are of other users: other events under keys that are known.
        #expect(
            reply.status == 207 && reply.number("accepted") == 25 && reply.number("rejected") == 15, "\(reply.text)")
        #expect(reply.statuses.allSatisfy { $0 == "conflict" })
        let same = (0..<40).map { "\($0 % 25),user\($0 % 25 % 4)" }
        let again = try send(
            node, "/keyed", Array("id,user\n\(same.joined(separator: "\n"))".utf8), [Self.csv], .chunks)
        #expect(
            again.status == 201 && again.number("accepted") == 40 && again.number("duplicates") == 40, "\(again.text)")
        #expect(again.fields["idempotent-replayed"] == "true")
        let lines = (20..<30).map { "{\"id\":\"\($0)\",\"user\":\"user\($0 % 4)\"}" }
        let mixed = try send(
            node, "/keyed?results=all", Array(lines.joined(separator: "\n").utf8), [Self.lines], .secondVersion)
        #expect(
            mixed.status == 201 && mixed.number("accepted") == 10 && mixed.number("duplicates") == 5, "\(mixed.text)")
        #expect(mixed.statuses == Array(repeating: "duplicate", count: 5) + Array(repeating: "ok", count: 5))
        #expect(try node.values("keyed").count == 30)
    }

    // MARK: Bounds

    /// What it reserves is what it may hold; that it holds no more is looked at by each window, where assertions are on.
    @Test func aLongBodyTakesTheMemoryOfAWindow() throws {
        var options = GatewayOptions()
        options.maxRequestBytes = 1 << 20
        options.windowBytes = 64 << 10
        let node = try node(options)
        for (coding, packed, decoder) in [
            (nil, 64 << 10, 0), ("gzip", 64 << 10, 64 << 10), ("zstd", 64 << 10, (8 << 20) + (640 << 10)),
        ] {
            let client = try node.connect()
            let more = coding.map { "Content-Encoding: \($0)\r\n" } ?? ""
            try client.send(
                "POST /v1/topics/t/events HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\(Self.lines)\r\n\(more)\r\n"
            )
            // What has come, and what may come at once; the text; results; the decoder.
            let price = packed + (512 << 10) + options.maxEventBytes + (64 << 10) + (1 << 20) + decoder
            #expect(eventually { node.metric("millrace_http_inflight_bytes") == price }, "\(more)")
            client.resetsAtItsEnd()
        }
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        let line = "{\"id\":1,\"pad\":\"\(String(repeating: "x", count: 980))\"}\n"
        let piece = Array(String(repeating: line, count: 1000).utf8)
        let client = try node.connect()
        try client.send(
            "POST /v1/topics/t/events HTTP/1.1\r\nHost: h\r\nContent-Length: \(20 * piece.count)\r\n\(Self.lines)\r\n\r\n"
        )
        var most = 0
        for _ in 0..<20 {
            try client.send(piece)
            most = max(most, node.metric("millrace_http_inflight_bytes") ?? 0)
        }
        let reply = try client.receive()
        #expect(reply.status == 201 && reply.number("accepted") == 20_000 && reply.results.isEmpty, "\(reply.text)")
        #expect(most > 0 && most <= 2 * options.windowBytes + options.maxEventBytes + (1 << 20) + (512 << 10))
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        #expect(try node.stored("t").records.count == 20_000)
        try client.send(HTTPClient.request("GET", "/healthz", nil))
        #expect(try client.receive().status == 200)
    }

    @Test func listsOfResultsHaveABound() throws {
        let node = try node(Self.options(window: 1 << 20, most: 1 << 20))
        let body = Array(String(repeating: "0\n", count: 600_000).utf8)
        let reply = try send(node, "/v1/topics/t/events?results=all", body, [Self.lines])
        #expect(reply.status == 201 && reply.number("accepted") == 600_000)
        #expect(reply.json["results_truncated"] as? Bool == true && reply.body.count < 1 << 20)
        let wrong = Array(String(repeating: "no\n", count: 400_000).utf8) + Array("0\n".utf8)
        let other = try send(node, "/v1/topics/t/events", wrong, [Self.lines])
        #expect(other.status == 207 && other.number("rejected") == 400_000 && other.number("accepted") == 1)
        #expect(other.json["results_truncated"] as? Bool == true && other.body.count < 1_100_000)
    }

    @Test func oneAddressHasAsManyAsItsShareHasRoomFor() throws {
        var options = Self.options(window: 1000, most: 1000)
        options.maxInflightBytesPerPeer = 6 << 20
        let node = try node(options)
        let head = "POST /rows HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\(Self.lines)\r\n\r\n"
        let clients = try (0..<3).map { _ in try node.connect() }
        for client in clients.prefix(2) { try client.send(head) }
        #expect(eventually { (node.metric("millrace_http_inflight_bytes") ?? 0) > 5 << 20 })
        try clients[2].send(head)
        #expect(try clients[2].receive().status == 503)
        for client in clients.prefix(2) {
            try client.send([UInt8](repeating: 0x0a, count: 9990) + Array("0123456789".utf8))
        }
        for client in clients.prefix(2) { #expect(try client.receive().status == 422) }
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }
}
