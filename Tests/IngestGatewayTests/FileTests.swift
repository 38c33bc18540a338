import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import IngestGateway
import JobLedger
import KafkaModel
import RecordFormat
import Security
import StorageIO
import Testing
import Transport

/// Files: rows that are stored, rows that are quarantined, and the job that tells of both.
@Suite struct FileTests {
    private static let yaml = """
        routes:
          - path: /file/ingest
            to: {topic: rows}
            file: true
            csv: {skip_lines: 1}
            schema: {properties: {n: {type: integer}}}
          - path: /keyed
            to: {topic: keyed}
            file: {quarantine: bad.rows}
            formats: csv
            key: /user
          - path: /fhv
            to: {topic: fhv}
            file: true
            formats: csv
            csv: {skip_lines: 6, columns: [row, base, name, x, date, trips, vehicles]}
            schema: {required: [base]}
          - {path: /messages, to: {queue: jobs}, file: true, formats: ndjson}
        """
    private static let csv = "Content-Type: text/csv"
    private static let lines = "Content-Type: application/x-ndjson"

    private static func options(window: Int = 1 << 20, file: Int = 1 << 30) -> GatewayOptions {
        var options = GatewayOptions()
        (options.windowBytes, options.maxFileBytes) = (window, file)
        return options
    }

    private func node(
        _ options: GatewayOptions = options(), partitions: Int32 = 1,
        fileSystem: SimulatedFileSystem = SimulatedFileSystem()
    ) throws -> GatewayHarness {
        try GatewayHarness(
            options, partitions: partitions, configuration: GatewayConfiguration(yaml: Self.yaml, options),
            fileSystem: fileSystem)
    }

    enum Framing: CaseIterable {
        case length, chunks, secondVersion
    }

    private func send(
        _ node: GatewayHarness, _ path: String, _ body: [UInt8], _ fields: [String], _ framing: Framing = .length
    ) throws -> HTTPReply {
        if framing == .secondVersion {
            let second = try HTTP2Client(port: node.port)
            let parts = fields.map { $0.split(separator: ":", maxSplits: 1) }
            let stream = second.request(
                "POST", path, body, parts.map { ($0[0].lowercased(), String($0[1].dropFirst())) })
            return try second.reply(stream)
        }
        let client = try node.connect()
        func head(_ framing: String) -> [UInt8] {
            Array("POST \(path) HTTP/1.1\r\nHost: h\r\n\(framing)\r\n\(fields.joined(separator: "\r\n"))\r\n\r\n".utf8)
        }
        if framing == .length {
            try client.send(head("Content-Length: \(body.count)") + body)
        } else {
            var text = head("Transfer-Encoding: chunked")
            for start in stride(from: 0, to: body.count, by: 7) {
                let part = body[start..<min(start + 7, body.count)]
                text += Array("\(part.count)\r\n".utf8) + part + Array("\r\n".utf8)
            }
            try client.send(text + Array("0\r\n\r\n".utf8))
        }
        return try client.receive()
    }

    private func send(
        _ node: GatewayHarness, _ path: String, _ text: String, _ fields: [String], _ framing: Framing = .length
    ) throws -> HTTPReply { try send(node, path, Array(text.utf8), fields, framing) }

    private func job(_ node: GatewayHarness, _ reply: HTTPReply) throws -> HTTPReply {
        try node.call("GET", "/v1/jobs/\(try #require(reply.string("job_id"), "\(reply.text)"))")
    }

    private static func errors(_ reply: HTTPReply) -> [String] {
        (reply.json["errors"] as? [[String: Any]] ?? []).map {
            "\($0["line"] ?? "") \($0["column"] ?? "-") \($0["reason"] ?? "")"
        }
    }

    // MARK: Rows

    private static let rowTexts = """
        preamble \"that is no row\nid,text,n\r\n1,"say ""hi""\",5\n2,two,x\n3,a"b,1\n4,short\n\n5,"two\nlines",7\n6,a,b,c,d\n7,\u{e9},8
        """
    private static let rowValues = [
        "{\"id\":\"1\",\"text\":\"say \\\"hi\\\"\",\"n\":5}", "{\"id\":\"5\",\"text\":\"two\\nlines\",\"n\":7}",
        "{\"id\":\"7\",\"text\":\"\u{e9}\",\"n\":8}",
    ]
    private static let rowErrors = [
        "4 3 n must be an integer", "5 2 A quote stands within a cell that has none around it",
        "6 3 The row has 2 cells, and the header 3", "10 4 The row has 5 cells, and the header 3",
    ]

    /// Whatever the windows and however the body comes, each row is where it belongs.
    @Test(arguments: Framing.allCases)
    func rowsAreStoredAndBadOnesAreQuarantined(framing: Framing) throws {
        for size in [1 << 20, 1, 5, 16, 40, 100] {
            let node = try node(Self.options(window: size))
            let reply = try send(node, "/file/ingest", Self.rowTexts, [Self.csv], framing)
            #expect(reply.status == 201, "\(size): \(reply.text)")
            #expect(try node.values("rows") == Self.rowValues, "\(size)")
            #expect(reply.number("rows") == 7 && reply.number("accepted") == 3 && reply.number("rejected") == 4)
            #expect(reply.number("bytes") == Self.rowTexts.utf8.count && reply.number("line") == 11, "\(reply.text)")
            #expect(Self.errors(reply) == Self.rowErrors, "\(size): \(reply.text)")
            let id = try #require(reply.string("job_id"))
            let kept = try node.stored("quarantine.rows").records
            #expect(kept.map(\.value) == ["2,two,x", "3,a\"b,1", "4,short", "6,a,b,c,d"])
            #expect(
                kept.map { "\($0.headers["line"] ?? "") \($0.headers["column"] ?? "-") \($0.headers["reason"] ?? "")" }
                    == Self.rowErrors)
            #expect(kept.allSatisfy { $0.headers["job_id"] == id && $0.headers["file"] == nil })
            // The first of each batch says whose it is.
            let stored = try node.stored("rows")
            #expect(stored.records.count { $0.headers["job_id"] == id } == stored.batches)
            let told = try job(node, reply)
            #expect(told.status == 200 && told.string("state") == "finished" && told.string("topic") == "rows")
            #expect(told.number("accepted") == 3 && told.number("rejected") == 4 && told.number("line") == 11)
            #expect(told.string("quarantine") == "quarantine.rows" && Self.errors(told) == Self.rowErrors)
            #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        }
    }

    @Test func linesAreStoredAndBadOnesAreQuarantined() throws {
        let text = "{\"n\":1}\n\nnothing\n  {\"n\":\"x\"}\r\n{\"n\":2}\n{\"n\":2,\n{}"
        for size in [1 << 20, 1, 7, 20] {
            let node = try node(Self.options(window: size))
            let reply = try send(node, "/v1/files?topic=rows&format=ndjson", text, [Self.lines])
            #expect(
                reply.status == 201 && reply.number("accepted") == 4 && reply.number("rejected") == 2, "\(reply.text)")
            #expect(try node.values("rows") == ["{\"n\":1}", "{\"n\":\"x\"}", "{\"n\":2}", "{}"])
            #expect(try node.values("quarantine.rows") == ["nothing", "{\"n\":2,"])
            #expect(Self.errors(reply).map { $0.prefix(4) } == ["3 1 ", "6 8 "], "\(size): \(reply.text)")
            #expect(reply.number("line") == 7)
        }
    }

    private static let arrayText = """
         [{"n":1},{"n":2,}, {"a":"]},","n":3}x ,
        {"n":"x"} {"n":4},,
          {
            "n": 5, "s": "two\\"\\\\"
          }, nul, 7,"raw
        line", {"s":[1}, [8]
        , {"n":9 ]

        """
    private static let arrayValues = [
        "{\"n\":1}", "{\n    \"n\": 5, \"s\": \"two\\\"\\\\\"\n  }", "7", "[8]",
    ]
    private static let arrayBad = [
        "{\"n\":2,}", "{\"a\":\"]},\",\"n\":3}x ", "{\"n\":\"x\"}", "{\"n\":4}", "", "nul", "\"raw\nline\"",
        "{\"s\":[1}",
        "{\"n\":9 ",
    ]
    private static let arrayErrors = [
        "1 18 Unexpected character in the JSON text", "1 38 Unexpected character in the JSON text",
        "2 1 n must be an integer", "2 11 Unexpected character in the JSON text",
        "2 19 Unexpected character in the JSON text", "5 6 Only true, false and null are literals",
        "5 17 A string has an unescaped control character", "6 15 Unexpected character in the JSON text",
        "7 10 Unexpected character in the JSON text",
    ]

    /// Wherever its windows end, and whether it has many lines or elements in one.
    @Test(arguments: Framing.allCases)
    func elementsOfAnArrayAreStoredAndBadOnesAreQuarantined(framing: Framing) throws {
        let json = "Content-Type: application/json"
        for size in [1 << 20, 1, 2, 3, 7, 20, 64] {
            let node = try node(Self.options(window: size))
            let reply = try send(node, "/file/ingest", Self.arrayText, [json], framing)
            #expect(reply.status == 201, "\(size): \(reply.text)")
            #expect(try node.values("rows") == Self.arrayValues, "\(size)")
            #expect(reply.number("accepted") == 4 && reply.number("rejected") == 9, "\(reply.text)")
            #expect(reply.number("bytes") == Self.arrayText.utf8.count && reply.number("line") == 7, "\(reply.text)")
            #expect(Self.errors(reply) == Self.arrayErrors, "\(size): \(reply.text)")
            #expect(try node.values("quarantine.rows") == Self.arrayBad, "\(size)")
        }
        let node = try node()
        let empty = try send(node, "/file/ingest", "[ ]", [json], framing)
        #expect(empty.status == 201 && empty.number("rows") == 0 && empty.number("line") == 1, "\(empty.text)")
    }

    /// What is before the end of what is there is stored, and what is not read to its end is quarantined.
    @Test func anArrayThatDoesNotEndOrGoesOnIsToldOf() throws {
        for (text, words, bad) in [
            ("[1,2,{\"a\":3,", "does not end", 1), ("[1,2", "does not end", 1),
            ("[1,2] 3", "follows the JSON array", 0),
            ("[1,2,", "does not end", 0), ("[1,2][", "follows the JSON array", 0),
        ] {
            for size in [1 << 20, 1] {
                let node = try node(Self.options(window: size))
                let reply = try send(node, "/v1/files?topic=rows", text, ["Content-Type: application/json"])
                #expect(reply.status == 400 && reply.text.contains(words), "\(text): \(reply.text)")
                // Nobody knows whether a number at the very end is all of it.
                let good = text == "[1,2" ? ["1"] : ["1", "2"]
                #expect(try node.values("rows") == good, "\(text)")
                #expect(
                    reply.number("accepted") == good.count && reply.number("rejected") == bad, "\(text): \(reply.text)")
                #expect(try job(node, reply).string("state") == "failed")
            }
        }
    }

    /// Its elements are as long as events may be, and no window grows with the array.
    @Test func anElementThatIsLongerThanAnyStopsTheFile() throws {
        var options = Self.options(window: 64)
        options.maxEventBytes = 300
        let node = try node(options)
        func text(_ count: Int) -> String { "[1,\"\(String(repeating: "x", count: count))\",2]" }
        let json = ["Content-Type: application/json"]
        let long = try send(node, "/v1/files?topic=rows", text(310), json)
        #expect(long.status == 201 && long.number("accepted") == 2 && long.number("rejected") == 1, "\(long.text)")
        let tooLong = try send(node, "/v1/files?topic=rows", text(1000), json)
        #expect(tooLong.status == 413 && tooLong.number("accepted") == 1, "\(tooLong.text)")
        #expect(tooLong.string("code") == "event_too_large")
        let all = "[" + (0..<2000).map { "{\"row\":\($0)}" }.joined(separator: ",") + "]"
        let reply = try send(node, "/v1/files?topic=all", all, json)
        #expect(reply.status == 201 && reply.number("accepted") == 2000, "\(reply.text)")
        #expect(try node.values("all") == (0..<2000).map { "{\"row\":\($0)}" })
    }

    /// What is mended is sent again, and is stored then.
    @Test func quarantinedRowsAreSubmittedAgain() throws {
        let node = try node()
        _ = try send(node, "/file/ingest", Self.rowTexts, [Self.csv])
        let bad = try node.values("quarantine.rows")
        let mended = bad.map { row in
            row == "2,two,x" ? "2,two,6" : row == "4,short" ? "4,short,1" : row == "6,a,b,c,d" ? "6,a,1" : "3,ab,1"
        }
        let text = "-\nid,text,n\n" + mended.joined(separator: "\n")
        let reply = try send(node, "/file/ingest", text, [Self.csv])
        #expect(reply.status == 201 && reply.number("accepted") == 4 && reply.number("rejected") == 0, "\(reply.text)")
        #expect(reply.json["quarantine"] == nil)
        #expect(try node.values("rows").count == 7)
    }

    @Test func aQuoteThatDoesNotEndCostsItsLineAlone() throws {
        var options = Self.options(window: 64)
        options.maxEventBytes = 300
        let node = try node(options)
        let rows = (0..<100).map { "\($0),b" }
        let text = "a,b\n1,\"open\n" + rows.joined(separator: "\n") + "\n2,\"last\n3,c"
        let reply = try send(node, "/v1/files?topic=rows", text, [Self.csv])
        #expect(reply.status == 201, "\(reply.text)")
        #expect(reply.number("accepted") == 101 && reply.number("rejected") == 2)
        #expect(try node.values("quarantine.rows") == ["1,\"open", "2,\"last"])
        #expect(Self.errors(reply) == ["2 2 A quoted cell does not end", "103 2 A quoted cell does not end"])
    }

    @Test func bytesThatAreNoTextCostTheirRowAlone() throws {
        let node = try node()
        let body = Array("a\nx\n".utf8) + [0xff, 0x0a] + Array("y\n".utf8)
        let reply = try send(node, "/v1/files?topic=rows", body, [Self.csv])
        #expect(reply.status == 201 && reply.number("accepted") == 2, "\(reply.text)")
        #expect(Self.errors(reply) == ["3 - The row is not UTF-8"])
        #expect(try node.values("rows") == ["{\"a\":\"x\"}", "{\"a\":\"y\"}"])
    }

    /// A row that no record has room for is told of, with what there is room for.
    @Test func aRowThatIsTooLongIsCutInTheQuarantine() throws {
        let node = try GatewayHarness(
            Self.options(window: 4000), topicDefaults: ["max.message.bytes": "2000"],
            configuration: GatewayConfiguration())
        let text = "a\nshort\n" + String(repeating: "x", count: 3000) + "\nend\n"
        let reply = try send(node, "/v1/files?topic=rows", text, [Self.csv])
        #expect(reply.status == 201 && reply.number("accepted") == 2 && reply.number("rejected") == 1, "\(reply.text)")
        let kept = try #require(try node.stored("quarantine.rows").records.first)
        #expect(kept.headers["cut"] == "3000" && kept.headers["line"] == "3")
        #expect(kept.value.count > 500 && kept.value.allSatisfy { $0 == "x" })
    }

    @Test func aKeyLeadsToAPartitionAndTheRouteNamesTheQuarantine() throws {
        let node = try node(Self.options(window: 50), partitions: 4)
        let rows = (0..<200).map { "\($0 % 10),\($0)" }
        let reply = try send(node, "/keyed", "user,n\n" + rows.joined(separator: "\n") + "\nbad", [Self.csv])
        #expect(reply.status == 201 && reply.number("accepted") == 200, "\(reply.text)")
        let stored = try node.stored("keyed").records
        #expect(stored.count == 200 && Set(stored.map(\.partition)).count > 1)
        #expect(try node.values("bad.rows") == ["bad"])
    }

    @Test func aQueueTakesTheRowsOfAFileAsMessages() throws {
        let node = try node()
        #expect(try send(node, "/messages", "{}\n", [Self.lines]).string("code") == "queue_not_found")
        #expect(try node.call("PUT", "/v1/queues/jobs", "{}").status == 201)
        let reply = try send(node, "/messages", "{\"a\":1}\nx\n{}", [Self.lines])
        #expect(reply.status == 201 && reply.number("accepted") == 2, "\(reply.text)")
        let page = try node.call("POST", "/v1/queues/jobs/messages:receive", "{\"max\":10}")
        #expect((page.json["messages"] as? [Any])?.count == 2, "\(page.text)")
        #expect(try node.values("quarantine.q.jobs") == ["x"])
    }

    // MARK: Forms

    private static func form(_ file: String, name: String = "C:\\dir\\trips.csv", type: String? = "text/csv") -> String
    {
        "--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\(name)\"\r\n"
            + (type.map { "Content-Type: \($0)\r\n" } ?? "") + "\r\n\(file)\r\n--XyZ--\r\n"
    }
    private static let multipart = "Content-Type: multipart/form-data; boundary=XyZ"

    @Test(arguments: Framing.allCases, [nil, Compression.gzip, .zstd])
    func aFormHasTheFile(framing: Framing, codec: Compression?) throws {
        for size in [1 << 20, 3, 50] {
            let node = try node(Self.options(window: size))
            let body = try Self.pack(Self.form(Self.rowTexts), codec)
            let coding = codec.map { ["Content-Encoding: \($0.name)"] } ?? []
            let reply = try send(node, "/file/ingest", body, [Self.multipart] + coding, framing)
            #expect(reply.status == 201, "\(size): \(reply.text)")
            #expect(try node.values("rows") == Self.rowValues)
            #expect(Self.errors(reply) == Self.rowErrors && reply.number("bytes") == Self.rowTexts.utf8.count)
            #expect(try job(node, reply).string("file") == "trips.csv")
            #expect(try node.stored("quarantine.rows").records.allSatisfy { $0.headers["file"] == "trips.csv" })
            #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        }
    }

    private static func pack(_ text: String, _ codec: Compression?) throws -> [UInt8] {
        let input = Array(text.utf8)
        guard let codec else { return input }
        let context = CompressionContext()
        var output = [UInt8](repeating: 0, count: context.bound(codec, count: input.count))
        let count = try input.withUnsafeBytes { input in
            try output.withUnsafeMutableBytes { try context.compress(codec, input, to: $0) }
        }
        return Array(output[..<count])
    }

    @Test func aFormIsReadByItsPartsTypeOrItsName() throws {
        let node = try node()
        for (name, type) in [("a.csv", nil), ("a.bin", "text/csv"), ("a.CSV", "application/octet-stream")] {
            let reply = try send(
                node, "/v1/files?topic=rows", Self.form("a\n1", name: name, type: type), [Self.multipart])
            #expect(reply.status == 201 && reply.number("accepted") == 1, "\(name): \(reply.text)")
        }
        let said = try send(
            node, "/v1/files?topic=rows&format=ndjson", Self.form("{}", name: "x", type: nil), [Self.multipart])
        #expect(said.status == 201)
        let unknown = try send(node, "/v1/files?topic=rows", Self.form("a\n1", name: "x", type: nil), [Self.multipart])
        #expect(unknown.status == 415 && unknown.text.contains("curl -F"), "\(unknown.text)")
        let lines = try send(node, "/keyed", Self.form("{}", name: "a.ndjson", type: nil), [Self.multipart])
        #expect(lines.status == 415, "\(lines.text)")
    }

    @Test func aFormWithoutAnEndSaysWhatIsStored() throws {
        let node = try node(Self.options(window: 20))
        let rows = (0..<20).map { "row \($0)" }.joined(separator: "\n")
        let form = Self.form("a\n" + rows)
        let reply = try send(node, "/v1/files?topic=rows", String(form.dropLast(9)), [Self.multipart])
        #expect(reply.status == 400 && reply.string("code") == "invalid_form", "\(reply.text)")
        let stored = try node.values("rows").count
        #expect(stored > 0 && reply.number("accepted") == stored)
        let told = try job(node, reply)
        #expect(told.string("state") == "failed" && told.number("accepted") == stored)
        #expect(told.string("reason")?.contains("last boundary") == true)
    }

    @Test func noPageOfAnotherOriginSendsAForm() throws {
        let node = try node()
        let fields = [Self.multipart, "Origin: https://evil.example"]
        let reply = try send(node, "/v1/files?topic=rows", Self.form("a\n1"), fields)
        #expect(reply.status == 403, "\(reply.text)")
        #expect(node.broker.catalog.topic(named: "rows") == nil)
    }

    // MARK: Requests

    @Test(
        arguments: [
            ("/v1/files", csv, 400, "topic says where"), ("/v1/files?topic=a%00", csv, 400, "percent-encoded"),
            ("/v1/files?topic=rows&format=xml", csv, 400, "csv, ndjson or json"),
            ("/v1/files?topic=rows&delimiter=ab", csv, 400, "one character"),
            ("/v1/files?topic=rows&skip_lines=-1", csv, 400, "0 to 1000"),
            ("/v1/files?topic=rows&header=a,a", csv, 400, "stands twice"),
            ("/v1/files?topic=rows&x=1", csv, 400, "not supported"),
            ("/v1/files?topic=a%20b", csv, 400, "topic's name"),
            ("/v1/files?topic=rows", "Content-Type: application/xml", 415, "text/csv"),
            ("/v1/files?topic=rows", "Content-Type: application/json", 400, "no JSON array"),
            ("/v1/files?topic=rows", csv + "; header=absent", 415, "the parameter header"),
            ("/v1/files?topic=rows&header=a", csv + "; header=present", 415, "header=absent"),
            ("/v1/files?topic=rows", "Content-Type: multipart/form-data", 400, "boundary"),
            ("/v1/files?topic=rows", csv + "\r\nIdempotency-Key: a", 400, "row by row"),
            ("/v1/files?topic=rows", csv + "\r\nX-Batch-Mode: atomic", 400, "for itself"),
            ("/v1/files?topic=rows", csv + "\r\nContent-Encoding: br", 415, "gzip and zstd"),
        ])
    func whatIsNotUnderstoodIsRefused(request: (path: String, fields: String, status: Int, words: String)) throws {
        let node = try node()
        let reply = try send(node, request.path, "a\n1\n", [request.fields])
        #expect(
            reply.status == request.status && reply.text.contains(request.words), "\(reply.status) \(reply.text)")
        #expect(try node.values("rows").isEmpty)
    }

    /// What has no meaning for a file is refused where the route is written.
    @Test(
        arguments: [
            "file: false", "file: true, reply: event", "file: true, success: 200", "file: true, max_body: 2KiB",
            "file: true, ack: none, success: 202", "file: true, idempotency: {header: X-Key}",
            "file: true, formats: [csv, form]", "file: {quarantine: 'a b'}", "file: {quarantine: a}",
            "file: {quarantine: __queue_state}, formats: csv", "file: {quarantine: __jobs}", "file: {other: 1}",
        ])
    func aRouteOfFilesSaysNothingElse(keys: String) throws {
        #expect(throws: ConfigurationError.self) {
            try GatewayConfiguration(yaml: "routes:\n  - {path: /a, to: a, \(keys)}\n")
        }
        _ = try GatewayConfiguration(yaml: "routes:\n  - {path: /a, to: a, file: {quarantine: b}, formats: csv}\n")
    }

    @Test func columnsDelimiterAndLinesToSkipAreParameters() throws {
        let node = try node()
        let reply = try send(
            node, "/v1/files?topic=rows&header=a,b&delimiter=tab&skip_lines=2", "x\ny\n1\t2\n3\t4", [Self.csv])
        #expect(reply.status == 201, "\(reply.text)")
        #expect(try node.values("rows") == ["{\"a\":\"1\",\"b\":\"2\"}", "{\"a\":\"3\",\"b\":\"4\"}"])
    }

    @Test func nothingIsNoFileAndAHeaderAloneIsOneWithoutRows() throws {
        let node = try node()
        #expect(try send(node, "/v1/files?topic=rows", "", [Self.csv]).status == 400)
        let reply = try send(node, "/v1/files?topic=rows", "a,b\n", [Self.csv])
        #expect(reply.status == 201 && reply.number("rows") == 0 && reply.number("line") == 1, "\(reply.text)")
        let wrong = try send(node, "/v1/files?topic=rows", "a,a\n1,2\n", [Self.csv])
        #expect(wrong.status == 400 && wrong.string("code") == "invalid_csv", "\(wrong.text)")
        #expect(try job(node, wrong).string("state") == "failed")
    }

    @Test func ofAFileThatIsTooLongTheRowsBeforeAreToldOf() throws {
        let node = try node(Self.options(window: 40, file: 1000))
        let text = "a\n" + (0..<300).map { "row \($0)" }.joined(separator: "\n")
        for framing in [Framing.chunks, .length] {
            let reply = try send(node, "/v1/files?topic=rows", text, [Self.csv], framing)
            #expect(reply.status == 413 && reply.number("limit") == 1000, "\(reply.text)")
            let stored = try node.values("rows").count
            let told = try job(node, reply)
            #expect(told.string("state") == "failed" && told.number("accepted") == reply.number("accepted"))
            #expect((reply.number("bytes") ?? 0) <= 1000 && stored > 50)
        }
        let counts = try #require(try node.call("GET", "/v1/jobs").json["jobs"] as? [[String: Any]])
        #expect(counts.compactMap { $0["accepted"] as? Int }.reduce(0, +) == (try node.values("rows").count))
        // One whose length says so is not begun.
        let long = try send(node, "/v1/files?topic=rows", String(repeating: "x", count: 6000), [Self.csv])
        #expect(long.status == 413 && long.string("job_id") == nil)
    }

    /// What the description of the routes says of replies is what comes.
    @Test func repliesAreAsTheyAreDescribed() throws {
        let node = try node()
        let reply = try send(node, "/file/ingest", Self.form(Self.rowTexts), [Self.multipart])
        let document = try node.call("GET", "/openapi.json").json
        let schemas = ((document["components"] as? [String: Any])?["schemas"] as? [String: [String: Any]]) ?? [:]
        func check(_ object: [String: Any], _ name: String) throws {
            let schema = try #require(schemas[name])
            let members = Set(object.keys)
            #expect(members.isSuperset(of: schema["required"] as? [String] ?? []), "\(name): \(members)")
            #expect(members.isSubset(of: (schema["properties"] as? [String: Any] ?? [:]).keys), "\(name): \(members)")
        }
        try check(reply.json, "File")
        try check(try #require((reply.json["errors"] as? [[String: Any]])?.first), "RejectedRow")
        try check(try job(node, reply).json, "Job")
        let list = try node.call("GET", "/v1/jobs").json
        try check(list, "Jobs")
        try check(try #require((list["jobs"] as? [[String: Any]])?.first), "Job")
        let paths = document["paths"] as? [String: [String: Any]] ?? [:]
        for path in ["/v1/files", "/file/ingest"] {
            let operation = try #require(paths[path]?["post"] as? [String: Any])
            #expect(Set((operation["responses"] as? [String: Any] ?? [:]).keys) == ["201", "default"])
            let content = (operation["requestBody"] as? [String: Any])?["content"] as? [String: Any] ?? [:]
            #expect(
                Set(content.keys)
                    == [
                        "text/csv", "application/x-ndjson", "application/jsonl", "application/json",
                        "multipart/form-data",
                    ])
        }
        #expect(paths["/v1/jobs/{job}:cancel"]?.keys.contains("post") == true)
    }

    // MARK: Jobs

    /// Begins a file, and waits until some of it is stored.
    private func begin(
        _ node: GatewayHarness, topic: String = "rows", fields: String = ""
    ) throws -> (client: HTTPClient, id: String) {
        let client = try node.connect()
        try client.send(
            "POST /v1/files?topic=\(topic) HTTP/1.1\r\nHost: h\r\n\(Self.csv)\r\n\(fields)Content-Length: 1000\r\n\r\n"
                + "a\nrow 1\nrow 2\nrow 3\nrow 4\nrow 5\n")
        var id = ""
        #expect(
            eventually {
                let jobs = (try? node.broker.jobs.jobs()) ?? []
                id = jobs.first?.id.text ?? ""
                return ((try? node.values(topic).count) ?? 0) >= 2
            })
        return (client, id)
    }

    @Test func aJobIsCancelledAtItsNextWindow() throws {
        let node = try node(Self.options(window: 10))
        let (client, id) = try begin(node)
        let running = try node.call("GET", "/v1/jobs/\(id)")
        #expect(running.string("state") == "running" && running.json["errors"] != nil, "\(running.text)")
        #expect(try node.call("POST", "/v1/jobs/\(id):cancel", "{}").status == 202)
        try client.send("row 6\nrow 7\nrow 8\n")
        let reply = try client.receive()
        #expect(reply.status == 409 && reply.string("code") == "job_cancelled", "\(reply.text)")
        let stored = try node.values("rows").count
        #expect(reply.number("accepted") == stored && reply.string("job_id") == id)
        let told = try node.call("GET", "/v1/jobs/\(id)")
        #expect(told.string("state") == "cancelled" && told.number("accepted") == stored, "\(told.text)")
        #expect(try node.call("POST", "/v1/jobs/\(id):cancel", "{}").string("code") == "job_ended")
    }

    @Test func aClientThatGoesLeavesAJobThatSaysWhatIsStored() throws {
        let node = try node(Self.options(window: 10))
        var id = ""
        do {
            let (client, begun) = try begin(node)
            client.resetsAtItsEnd()
            id = begun
        }
        #expect(eventually { (try? node.call("GET", "/v1/jobs/\(id)").string("state")) == "failed" })
        let told = try node.call("GET", "/v1/jobs/\(id)")
        #expect(told.number("accepted") == (try node.values("rows").count), "\(told.text)")
        #expect(told.string("reason")?.contains("ended before the file") == true)
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }

    /// A commit that nobody hears of in time: the job says what its topic has.
    @Test func aCommitThatIsTooLateLeavesAJobThatIsCounted() throws {
        var options = Self.options(window: 10)
        options.requestTimeout = .seconds(2)
        let node = try GatewayHarness(options)
        let (client, id) = try begin(node)
        node.holdCommits()
        try client.send("row 6\nrow 7\nrow 8\nrow 9\n")
        let reply = try client.receive()
        #expect(reply.status == 504 && reply.string("code") == "commit_timeout", "\(reply.text)")
        #expect(eventually { ((try? node.broker.jobs.jobs()) ?? []).first?.state == .failed })
        let job = try #require(try node.broker.jobs.jobs().first)
        let stored = try node.values("rows").count
        #expect(job.id.text == id && stored > 0 && job.progress.accepted == Int64(stored), "\(job)")
        // The reply tells of less: of what it has heard.
        #expect(try #require(reply.number("accepted")) < stored, "\(reply.text)")
    }

    @Test func jobsAreListedNewestFirst() throws {
        let node = try node()
        #expect(try node.call("GET", "/v1/jobs").text == "{\"jobs\":[]}")
        for count in 1...3 {
            #expect(
                try send(node, "/v1/files?topic=rows", "a\n" + String(repeating: "x\n", count: count), [Self.csv])
                    .status
                    == 201)
        }
        func counts(_ query: String) throws -> [Int] {
            let jobs = try node.call("GET", "/v1/jobs\(query)").json["jobs"] as? [[String: Any]] ?? []
            return jobs.compactMap { $0["accepted"] as? Int }
        }
        #expect(try counts("") == [3, 2, 1] && counts("?count=2") == [3, 2])
        #expect(try node.call("GET", "/v1/jobs?count=0").status == 400)
        for path in ["/v1/jobs/x", "/v1/jobs/0192f3a4-b5c6-7d8e-9fab-cdef01234567"] {
            #expect(try node.call("GET", path).string("code") == "job_not_found")
            #expect(try node.call("POST", path + ":cancel", "{}").string("code") == "job_not_found")
        }
        #expect(try node.call("POST", "/v1/jobs/x:other", "{}").status == 404)
    }

    /// After a stop in order and after any cut of the power a job tells of all rows that there are, once each.
    @Test func afterACrashAJobSaysWhatIsStored() throws {
        let rows = (0..<400).map { $0 % 9 == 0 ? "\($0),x" : "\($0 % 5)" }
        let text = "user\n" + rows.joined(separator: "\n")
        var failed = 0
        for seed in testSeeds(12) {
            let options = Self.options(window: 60)
            let node = try node(options, partitions: 3)
            let client = try node.connect()
            // All but the end: the file never finishes.
            try client.send(
                "POST /keyed HTTP/1.1\r\nHost: h\r\n\(Self.csv)\r\nContent-Length: \(text.utf8.count + 10)\r\n\r\n")
            let bytes = Array(text.utf8)
            let half = Int(seed % 7 + 1) * bytes.count / 8
            try client.send(Array(bytes[..<half]))
            if seed % 3 != 0 { #expect(eventually { ((try? node.values("keyed").count) ?? 0) > 0 }) }
            let image = node.fileSystem.crash(keeping: .random, seed: seed)
            let second = try self.node(options, partitions: 3, fileSystem: image)
            let jobs = try second.broker.jobs.jobs()
            let (stored, bad) = (try second.values("keyed").count, try second.values("bad.rows").count)
            guard let job = jobs.first else {
                #expect(stored == 0 && bad == 0, "seed \(seed)")
                continue
            }
            failed += 1
            #expect(jobs.count == 1 && job.state == .failed, "seed \(seed)")
            #expect(
                job.progress.accepted == Int64(stored) && job.progress.rejected == Int64(bad), "seed \(seed): \(job)")
            #expect(job.reason?.contains("server stopped") == true)
            // The next start tells the same, whether or not the end was on disk by then.
            let third = try self.node(
                options, partitions: 3, fileSystem: second.fileSystem.crash(keeping: .random, seed: seed))
            let again = try #require(try third.broker.jobs.jobs().first)
            #expect(again.state == .failed && again.progress == job.progress, "seed \(seed): \(again)")
        }
        #expect(failed > 0)
    }

    @Test func noMoreFilesAreTakenThanJobsMayRun() throws {
        var options = Self.options(window: 10)
        (options.maxEventBytes, options.maxInflightBytes, options.maxInflightBytesPerPeer) = (1000, 1 << 30, 1 << 30)
        let node = try node(options)
        var clients: [HTTPClient] = []
        for _ in 0..<64 {
            let client = try node.connect()
            try client.send(
                "POST /v1/files?topic=rows HTTP/1.1\r\nHost: h\r\n\(Self.csv)\r\nContent-Length: 1000\r\n\r\na\nrow 1\nrow 2\n"
            )
            clients.append(client)
        }
        #expect(eventually { ((try? node.broker.jobs.jobs()) ?? []).count == 64 })
        let reply = try send(node, "/v1/files?topic=rows", "a\n1\n", [Self.csv])
        #expect(reply.status == 429 && reply.string("code") == "job_limit", "\(reply.text)")
        #expect(reply.fields["retry-after"] != nil)
        clients = []
        #expect(eventually { (try? send(node, "/v1/files?topic=rows", "a\n1\n", [Self.csv]).status) == 201 })
    }

    // MARK: Real files

    /// What the for-hire vehicles' file of New York is like: ends of lines of CR alone, lines before the header, quoted numbers, a row of nothing.
    @Test func aFileAsItIsReceivedIsTaken() throws {
        let rows = (0..<500).map { row in
            row % 100 == 7 ? ",,,,,," : ",B0\(row),\"NAME \(row), INC.\",,01/01/2015,\" 1,\(100 + row) \", - "
        }
        let text =
            ",,,,,,\r,,,,,,\rBase Report,,,,,,\r,,,,,,\r,,,,,,\r,Base,Name,,Date,Trips,Vehicles\r"
            + rows.joined(separator: "\r")
        for size in [1 << 20, 100] {
            let node = try node(Self.options(window: size))
            try check(try send(node, "/fhv", text, [Self.csv]), Array(text.utf8), node)
            #expect(
                try node.values("fhv")[0]
                    == "{\"base\":\"B00\",\"name\":\"NAME 0, INC.\",\"date\":\"01/01/2015\",\"trips\":\" 1,100 \",\"vehicles\":\" - \"}"
            )
        }
    }

    private static let realFile = ProcessInfo.processInfo.environment["MILLRACE_FHV_CSV"]

    @Test(.enabled(if: realFile != nil)) func theRealFileIsTaken() throws {
        let body = Array(try Data(contentsOf: URL(fileURLWithPath: try #require(Self.realFile))))
        let node = try node()
        try check(try send(node, "/fhv", body, [Self.csv]), body, node)
    }

    /// Holds a reply against the file, whose cells have no line ends in them.
    private func check(_ reply: HTTPReply, _ body: [UInt8], _ node: GatewayHarness) throws {
        let lines = body.split(separator: 0x0d, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        let bad = lines.indices.dropFirst(6).filter { lines[$0].hasPrefix(",,") }
        #expect(reply.status == 201 && reply.number("rows") == lines.count - 6, "\(reply.text.prefix(500))")
        #expect(reply.number("rejected") == bad.count && !bad.isEmpty)
        #expect(try node.values("fhv").count == lines.count - 6 - bad.count)
        let kept = try node.stored("quarantine.fhv").records
        #expect(kept.map(\.value) == bad.map { lines[$0] })
        #expect(kept.map { $0.headers["line"] } == bad.map { String($0 + 1) })
        #expect(kept.allSatisfy { $0.headers["reason"]?.contains("base") == true })
    }
}
