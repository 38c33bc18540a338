import ByteBuffers
import Testing

@testable import IngestGateway

/// What routes read beside JSON and its lines.
@Suite struct FormatTests {
    private func node(_ route: String, partitions: Int32 = 1) throws -> GatewayHarness {
        try GatewayHarness(
            partitions: partitions,
            configuration: GatewayConfiguration(yaml: "routes:\n  - {path: /x, to: x, \(route)}\n"))
    }

    private func post(_ node: GatewayHarness, _ type: String, _ body: String, _ more: [String] = []) throws -> HTTPReply
    {
        try node.call("POST", "/x", body, fields: ["Content-Type: \(type)"] + more)
    }

    // MARK: CSV

    @Test func rowsBecomeObjects() throws {
        let node = try node(
            "formats: [csv], schema: {type: object, required: [name], properties: {km: {type: number}, "
                + "paid: {type: boolean}, count: {type: [integer, \"null\"]}}}")
        let text = "name,km,paid,count\r\na,12.50,true,3\r\n\"b \"\"x\"\", c\",\"1\",false,\r\n\r\n\"two\nlines\",,,\n"
        let reply = try post(node, "text/csv; charset=utf-8", text, ["X-Batch-Mode: partial"])
        #expect(reply.status == 207 && reply.number("accepted") == 2, "\(reply.text)")
        #expect(reply.results[1]["error"] as? String == "km must be a number")
        #expect(
            try node.values("x") == [
                "{\"name\":\"a\",\"km\":12.50,\"paid\":true,\"count\":3}", "{\"name\":\"two\\nlines\"}",
            ])
    }

    /// Every line end, a mark of the byte order, lines before the header, another delimiter, other names.
    @Test(arguments: ["\n", "\r\n", "\r"])
    func theShapeIsTheRoutes(lineEnd: String) throws {
        let node = try node("formats: csv, csv: {delimiter: \";\", skip_lines: 2, names: {Name: name}}")
        let lines = ["\u{feff}made by", "somebody", "Name;n", "ä;1", "b;2", ""]
        #expect(try post(node, "text/csv", lines.joined(separator: lineEnd)).status == 201)
        #expect(try node.values("x") == ["{\"name\":\"ä\",\"n\":\"1\"}", "{\"name\":\"b\",\"n\":\"2\"}"])
        let headless = try self.node("formats: csv, csv: {columns: [a, b], delimiter: tab}")
        #expect(try post(headless, "text/csv", "1\t2\(lineEnd)3\t4").status == 201)
        #expect(try headless.values("x") == ["{\"a\":\"1\",\"b\":\"2\"}", "{\"a\":\"3\",\"b\":\"4\"}"])
        let short = try post(headless, "text/csv", "1\(lineEnd)")
        #expect(
            short.string("error") == "The row has 1 cell, and the route names 2 columns, in line 1", "\(short.text)")
        let skipped = try post(node, "text/csv", "made by\(lineEnd)somebody\(lineEnd)")
        #expect(skipped.status == 400 && skipped.string("error")?.contains("lines that are skipped") == true)
    }

    @Test func rowsThatAreNoneAreToldByLine() throws {
        let node = try node("formats: csv")
        let reply = try post(node, "text/csv", "a,b\n1,2\n\"x\ny\",2\n3\n4,5,6\n7,8")
        #expect(reply.status == 207 && reply.number("accepted") == 3)
        #expect(
            reply.results.map { $0["error"] as? String } == [
                nil, nil, "The row has 1 cell, and the header 2, in line 5",
                "The row has 3 cells, and the header 2, in line 6",
                nil,
            ])
        for (text, words) in [
            ("a,b\n\"1,2", "A quoted cell does not end, in the row of line 2"),
            ("a,b\n\"1\"x,2", "Something follows the quote"), ("a,b\n1\"2,3", "A quote stands within a cell"),
            ("a,a\n1,2", "stands twice"), ("a,\n1,2", "is empty"),
            (String(repeating: "x", count: 257) + "\n1", "longer than 256"),
            (Array(repeating: "c", count: 1025).joined(separator: ","), "more than 1024 cells"),
            ("a,b\n", "has no rows"),
            ("", "Request body is required"),
        ] {
            let reply = try post(node, "text/csv", text)
            #expect(
                (400...422).contains(reply.status) && reply.string("error")?.contains(words) == true, "\(reply.text)")
        }
        #expect(
            try node.call("POST", "/x", bytes: [0x61, 0x0a, 0xff], fields: ["Content-Type: text/csv"]).status == 400)
    }

    /// Long names, once a row, are no way to make much of little.
    @Test func namesOfColumnsDoNotMultiply() throws {
        let node = try node("formats: csv")
        let header = (0..<4).map { "\($0)" + String(repeating: "n", count: 250) }.joined(separator: ",")
        let reply = try post(node, "text/csv", header + "\n" + String(repeating: "1,1,1,1\n", count: 40_000))
        #expect(reply.status == 413 && reply.string("code") == "repeated_too_much")
    }

    @Test func aTextIsCutIntoTheSameCellsAsByASlowReader() throws {
        var random = SystemRandomNumberGenerator()
        let letters = Array("ab,\"\n\r;".utf8)
        for _ in 0..<2000 {
            let rows = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                (0..<3).map { _ in
                    String(
                        decoding: (0..<Int.random(in: 0...4, using: &random)).map { _ in letters.randomElement()! },
                        as: UTF8.self)
                }
            }
            let text = rows.map { row in
                row.map { "\"" + $0.replacing("\"", with: "\"\"") + "\"" }.joined(separator: ",")
            }.joined(separator: "\r\n")
            var found: [[String]] = []
            Array(text.utf8).withUnsafeBytes { bytes in
                var reader = CSVRows(bytes, delimiter: UInt8(ascii: ","))
                var cells: [CSVRows.Cell] = []
                while case .row = reader.next(into: &cells) {
                    found.append(
                        cells.map {
                            String(decoding: $0.range.bytes(of: bytes), as: UTF8.self).replacing("\"\"", with: "\"")
                        })
                }
            }
            #expect(found == rows, "\(text)")
        }
    }

    // MARK: Forms and bytes

    @Test func aFormBecomesAnObject() throws {
        let node = try node("formats: form, reply: event, key: /user")
        let reply = try post(node, "application/x-www-form-urlencoded", "user=a+b&text=%22x%22%0a&tag=1&tag=2&empty&&")
        #expect(reply.status == 201)
        let record = try #require(try node.stored("x").records.first)
        #expect(record.value == "{\"user\":\"a b\",\"text\":\"\\\"x\\\"\\n\",\"tag\":[\"1\",\"2\"],\"empty\":\"\"}")
        #expect(record.key == "a b")
        for wrong in ["", "&", "a=%f", "a=%ff", "%zz=1"] {
            #expect(try post(node, "application/x-www-form-urlencoded", wrong).status == 400, "\(wrong)")
        }
        #expect(try post(node, "application/json", "{}").fields["accept"] == "application/x-www-form-urlencoded")
    }

    /// One event of megabytes is as rare as a thousand events.
    @Test func whatAnUnusualRequestHasTakenIsLetGoOf() {
        let events = RoutedEvents()
        for size in [1 << 20, (1 << 20) + 1] {
            events.source.removeAll()
            events.source.append(uninitialized: size).initializeMemory(as: UInt8.self, repeating: 0, count: size)
            events.trimBytes()
            #expect(events.source.count == (size > 1 << 20 ? 0 : size))
        }
    }

    @Test func aFormThatIsTooLongIsNotDecoded() throws {
        let node = try node("formats: form, reply: event")
        let longest = FormBody.longestEscape * GatewayOptions().maxEventBytes
        // Of which nothing is a form: to look at it would be another refusal.
        let wrong = "a=" + String(repeating: "%", count: longest - 2)
        #expect(try post(node, "application/x-www-form-urlencoded", wrong).status == 400)
        let reply = try post(node, "application/x-www-form-urlencoded", wrong + "%")
        #expect(reply.status == 413 && reply.string("code") == "event_too_large" && reply.number("limit") == 1 << 20)
    }

    @Test func aFormHasNoMoreFieldsThanThereMayBe() throws {
        let node = try node("formats: form, reply: event")
        func form(_ fields: Int) -> String { Array(repeating: "a", count: fields).joined(separator: "&") }
        #expect(try post(node, "application/x-www-form-urlencoded", form(FormBody.maxFields) + "&").status == 201)
        let reply = try post(node, "application/x-www-form-urlencoded", form(FormBody.maxFields + 1))
        #expect(reply.status == 400 && reply.string("code") == "too_complex")
        // The last one is all that is behind the limit: it is not looked at as a list of a million.
        let many = Array(form(1_000_000).utf8).withUnsafeBytes { body in
            var out = ByteWriter(capacity: 64)
            return FormBody.write(body, into: &out)
        }
        #expect(many?.kind.code.description == "too_complex")
    }

    @Test func bytesAreOneRecord() throws {
        let node = try node("formats: [json, raw]")
        #expect(try post(node, "image/png", "any bytes", ["Partition-Key: k"]).status == 201)
        #expect(try post(node, "application/json", "[{},{}]").status == 201)
        #expect(try post(node, "image/png", "").string("error") == "Request body is required")
        let stored = try node.stored("x").records
        #expect(stored.map(\.value) == ["any bytes", "{}", "{}"])
        #expect(stored[0].headers["content-type"] == "image/png" && stored[0].key == "k")
        #expect(stored[1].headers["content-type"] == nil)
    }

    // MARK: CloudEvents

    private static let event = #"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":1}}"#

    @Test func cloudEventsComeOneByOneAndInLists() throws {
        let node = try node("formats: cloudevents, schema: {required: [n]}")
        #expect(try post(node, "application/cloudevents+json", Self.event).status == 201)
        let keyed = Self.event.replacing("\"t\",", with: "\"t\",\"partitionkey\":\"k\",")
        let noData = #"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#
        let list = "[\(keyed),{},\(noData),\(Self.event.replacing("1.0", with: "0.3"))]"
        let reply = try post(node, "application/cloudevents-batch+json", list)
        #expect(
            reply.results.map { $0["error"] as? String } == [
                nil, "specversion is required", "data is required", "Invalid specversion. Must be one of: 1.0",
            ])
        let stored = try node.stored("x").records
        #expect(stored.map(\.value) == [Self.event, keyed] && stored.map(\.key) == [nil, "k"])
        #expect(stored[0].headers["content-type"] == "application/cloudevents+json")
    }

    @Test func aBinaryCloudEventKeepsItsContent() throws {
        let node = try node("formats: cloudevents, reply: event")
        let fields = ["ce-specversion: 1.0", "Ce-Id: 1", "ce-source: /s", "ce-type: %C3%A4", "ce-partitionkey: k"]
        #expect(try post(node, "text/plain", "content", fields).status == 201)
        let record = try #require(try node.stored("x").records.first)
        #expect(record.value == "content" && record.key == "k")
        #expect(record.headers["ce_type"] == "ä" && record.headers["ce_id"] == "1")
        #expect(record.headers["content-type"] == "text/plain")
        for wrong in [
            Array(fields.dropLast(3)), ["ce-specversion: 0.3"] + fields.dropFirst(), fields + ["ce-bad_name: x"],
            fields + ["ce-x: %ff"], fields + ["CE-ID: 2"],
        ] {
            #expect(try post(node, "text/plain", "content", wrong).status == 400, "\(wrong)")
        }
        // A key that is too long is not left out: its events would be anywhere.
        let long = Array(fields.dropLast()) + ["ce-partitionkey: " + String(repeating: "k", count: 1025)]
        #expect(try post(node, "text/plain", "content", long).status == 431)
        #expect(try node.values("x") == ["content"])
        #expect(try node.call("POST", "/events", "{}", fields: fields).string("code") == "unsupported_header")
    }
}
