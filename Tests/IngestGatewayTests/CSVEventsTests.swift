import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import Testing

@testable import IngestGateway

/// Events made of rows of CSV, held against the cells that the text was made of.
@Suite struct CSVEventsTests {
    private struct Made {
        var events: [String] = []
        var rejected: [Int] = []
        var problem: String?
        var bytes = 0
    }

    private static func make(
        _ text: String, _ plan: CSVPlan = CSVPlan(), limits: CSVEvents.Limits? = nil
    ) -> Made {
        var made = Made()
        var out = ByteWriter(capacity: 64)
        var ranges: [JSONRange] = []
        var rejections: [Rejection] = []
        Array(text.utf8).withUnsafeBytes { bytes in
            var reader = CSVEvents(plan, nil)
            made.problem =
                reader.read(
                    bytes, into: &out, &ranges, &rejections,
                    limits ?? CSVEvents.Limits(rowBytes: 1 << 20, events: 100_000, madeBytes: 64 << 20)
                ).problem?.kind.code.description
        }
        made.events = ranges.map { String(decoding: $0.bytes(of: out.bytes), as: UTF8.self) }
        made.rejected = rejections.map(\.index)
        made.bytes = out.count
        return made
    }

    private static func quoted(_ cell: String) -> String { "\"\(cell.replacing("\"", with: "\"\""))\"" }

    /// Cells of all lengths around a word, with a byte that matters at each of their places.
    @Test func eachByteIsSeenAtEachPlace() throws {
        let plain = "abcdefghijklmnopqrstuvwxyz"
        for length in 1...20 {
            let cell = String(plain.prefix(length))
            #expect(Self.make("n,m\n\(cell),\(cell)\n").events == ["{\"n\":\"\(cell)\",\"m\":\"\(cell)\"}"])
            for place in 0..<length {
                for special in ["\\", "\u{1}", "\u{7f}", "\u{85}", "\u{b0}", "\u{e9}", "\u{1f600}", "\t", "'", " "] {
                    let start = cell.index(cell.startIndex, offsetBy: place)
                    let text = cell.replacingCharacters(in: start...start, with: special)
                    let made = Self.make("n,m\n\(text),x\nx,\(text)")
                    try #require(made.events.count == 2)
                    for (event, name) in zip(made.events, ["n", "m"]) {
                        let read = try JSONSerialization.jsonObject(with: Data(event.utf8)) as? [String: String]
                        #expect(read?[name] == text && read?.count == 2, "\(text): \(event)")
                    }
                }
                // A quote is none within a cell without any, wherever it stands but in front.
                if place > 0 {
                    let start = cell.index(cell.startIndex, offsetBy: place)
                    let text = cell.replacingCharacters(in: start...start, with: "\"")
                    #expect(Self.make("n\n\(text)\n").problem == "invalid_csv", "\(text)")
                }
            }
        }
    }

    @Test(arguments: 0..<20)
    func randomCellsComeBack(round: Int) throws {
        var random = SeededRandom(seed: UInt64(round) + 77)
        let pieces = [
            "a", "bc", "word ", "0", "12.5", "\"", "\\", ",", "\n", "\r\n", "\u{e9}", "\u{b0}", "\u{85}", "\u{7f}",
            "\u{3}", "東",
            "\u{1f600}", ";", "true",
        ]
        let columns = Int.random(in: 1...6, using: &random)
        let names = (0..<columns).map {
            "name\($0)\(String(repeating: "x", count: Int.random(in: 0...12, using: &random)))"
        }
        let end = ["\n", "\r\n", "\r"].randomElement(using: &random)!
        var rows: [[String]] = []
        var text = names.joined(separator: ",") + end
        for _ in 0..<200 {
            var cells = (0..<columns).map { _ in
                (0..<Int.random(in: 0...9, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined()
            }
            // A row of one empty cell is an empty line, and none.
            if cells.allSatisfy(\.isEmpty) { cells[0] = "x" }
            rows.append(cells)
            let isPlain = { (cell: String) in !cell.contains { "\",\n\r\r\n".contains($0) } }
            text +=
                cells.map { isPlain($0) && Bool.random(using: &random) ? $0 : Self.quoted($0) }.joined(separator: ",")
                + end
        }
        let made = Self.make(text)
        #expect(made.problem == nil && made.rejected.isEmpty)
        try #require(made.events.count == rows.count)
        for (event, cells) in zip(made.events, rows) {
            let read = try #require(JSONSerialization.jsonObject(with: Data(event.utf8)) as? [String: String])
            for (name, cell) in zip(names, cells) { #expect(read[name] ?? "" == cell, "\(event)") }
        }
    }

    @Test func rowsKeepTheirLinesBehindQuotedLineEnds() {
        let made = Self.make("a,b\n\"1\n2\n3\",x\ny\n")
        #expect(made.events.count == 2 && made.rejected == [1])
        var rows = CSVRows(UnsafeRawBufferPointer(start: nil, count: 0), delimiter: 0x2c)
        var cells: [CSVRows.Cell] = []
        if case .end = rows.next(into: &cells) {} else { Issue.record("a row of nothing") }
        Array("\"1\n2\n3\",x\ny\n".utf8).withUnsafeBytes { bytes in
            var rows = CSVRows(bytes, delimiter: 0x2c)
            _ = rows.next(into: &cells)
            #expect(rows.line == 1 && cells.count == 2)
            _ = rows.next(into: &cells)
            #expect(rows.line == 4 && cells.count == 1)
        }
        // Any end of a line is one.
        for ends in ["\r", "\r\n", "\n"] {
            Array("\"1\(ends)some words more\(ends)\(ends)3\",x\(ends)y".utf8).withUnsafeBytes { bytes in
                var rows = CSVRows(bytes, delimiter: 0x2c)
                _ = rows.next(into: &cells)
                _ = rows.next(into: &cells)
                #expect(rows.line == 5 && cells.count == 1, "\(ends.utf8.map { $0 })")
            }
        }
    }

    /// What comes of a text in parts: each but the last has so many bytes more than those that the one before has left.
    private static func makeInParts(_ text: [UInt8], _ plan: CSVPlan, of size: Int, events most: Int = 100) -> [String]
    {
        var reader = CSVEvents(plan, nil)
        var (told, index): ([String], Int) = ([], 0)
        var (start, end) = (0, 0)
        while true {
            end = min(text.count, end + size)
            var out = ByteWriter(capacity: 64)
            var ranges: [JSONRange] = []
            var rejections: [Rejection] = []
            let limits = CSVEvents.Limits(rowBytes: 30, events: most, madeBytes: 1 << 20, leavesMore: true)
            let outcome = text[start..<end].withUnsafeBytes {
                reader.read($0, isLast: end == text.count, into: &out, &ranges, &rejections, limits)
            }
            var next = rejections[...]
            let first = index
            for range in ranges {
                if let refused = next.first, refused.index == index - first {
                    told.append("refused: \(refused.finding?.words ?? "")")
                    next.removeFirst()
                } else {
                    told.append(String(decoding: range.bytes(of: out.bytes), as: UTF8.self))
                }
                index += 1
            }
            if let problem = outcome.problem { return told + ["stopped: \(problem.detail)"] }
            start += outcome.used
            if start == text.count, end == text.count { return told }
        }
    }

    /// Lines before the header, a mark of the byte order, all line ends, quotes with all that they may hold, rows that are none.
    static let trickyText = """
        \u{feff}before, \"this is no row\r\nid,"te""xt",n\r\n1,"say ""hi"", é",\n\n2,"two\r\nlines\n\n",x\r3,東京\r\n\r4,"",7\n\
        5,"a very long cell of more than thirty bytes",1\r\n"6","\u{1f600}"",",2\r\r\n7,end,3
        """

    @Test func aTextIsReadAlikeWhereverItIsCut() throws {
        let plan = CSVPlan(skippedLines: 1)
        let text = Array(Self.trickyText.utf8)
        let whole = Self.makeInParts(text, plan, of: text.count)
        #expect(
            whole == [
                #"{"id":"1","te\"xt":"say \"hi\", é"}"#, #"{"id":"2","te\"xt":"two\r\nlines\n\n","n":"x"}"#,
                "refused: The row has 2 cells, and the header 3, in line 9", #"{"id":"4","te\"xt":"","n":"7"}"#,
                "refused: The row is longer than 30 bytes, in line 12",
                #"{"id":"6","te\"xt":"😀\",","n":"2"}"#,
                #"{"id":"7","te\"xt":"end","n":"3"}"#,
            ])
        for size in 1...text.count {
            #expect(Self.makeInParts(text, plan, of: size) == whole, "\(size)")
            #expect(Self.makeInParts(text, plan, of: size, events: 1) == whole, "\(size)")
        }
    }

    /// What comes before something that cannot be read is given, and nothing behind it.
    @Test(arguments: [
        ("1,a\n2,b\n3,\"c", "A quoted cell does not end, in the row of line 4."),
        ("1,a\n2,b\n3,c\"\n4,d\n", "A quote stands within a cell that has none around it, in the row of line 4."),
        ("1,a\n2,b\n3,\"c\"d\n4,d\n", "Something follows the quote that ends a cell, in the row of line 4."),
        ("1,a\n2,b\n3,\u{0}\n4,d\n", "The body is not UTF-8, in the row of line 4."),
    ])
    func aTextStopsAtTheSameRowWhereverItIsCut(rows: String, why: String) throws {
        let text = Array(("id,text\n" + rows).utf8).map { $0 == 0 ? 0xff : $0 }
        for size in 1...text.count {
            let told = Self.makeInParts(text, CSVPlan(), of: size)
            #expect(
                told == [#"{"id":"1","text":"a"}"#, #"{"id":"2","text":"b"}"#, "stopped: \(why)"], "\(size): \(told)")
        }
    }

    @Test func formulasAreToldOfAndKept() throws {
        let yaml = "routes:\n  - {path: /in, to: t, formats: [csv]}\n"
        var options = GatewayOptions()
        (options.maxRequestBytes, options.windowBytes) = (300, 20)
        let node = try GatewayHarness(options, configuration: GatewayConfiguration(yaml: yaml, options))
        let cells = [
            "=1+1", "+cmd", "-2+3", "@SUM(A1)", "\"\t=1\"", "\"=A1\"", "-5", "+1.5e3", "- ", "", "\"\"", "a=b", "-",
        ]
        let text = "a,b\n" + cells.map { "x,\($0)\n" }.joined()
        for (body, count) in [(text, 7), (text + String(repeating: "x,y\n", count: 100), 7)] {
            let reply = try node.call("POST", "/in", body, fields: ["Content-Type: text/csv"])
            #expect(reply.number("formula_cells") == count && reply.number("rejected") == 0, "\(reply.text)")
        }
        #expect(try node.values("t").contains("{\"a\":\"x\",\"b\":\"@SUM(A1)\"}"))
        #expect(node.metric("millrace_ingest_formula_cells_total") == 14)
        let none = try node.call("POST", "/in", "a,b\n-1,x\n", fields: ["Content-Type: text/csv"])
        #expect(none.status == 201 && none.number("formula_cells") == nil)
    }

    /// The room for the events is taken once: what they come to and little more, whatever their number.
    @Test func aLongTextHasItsRoomAtOnce() {
        let rows = (0..<20_000).map { "value\($0),\($0)" }
        let made = Self.make("column_one,column_two\n" + rows.joined(separator: "\n"))
        #expect(made.events.count == 20_000)
        #expect(made.events[7] == "{\"column_one\":\"value7\",\"column_two\":\"7\"}")
        let limits = CSVEvents.Limits(rowBytes: 100, events: 100_000, madeBytes: 500_000)
        let stopped = Self.make("column_one,column_two\n" + rows.joined(separator: "\n"), limits: limits)
        #expect(stopped.problem == "repeated_too_much" && stopped.bytes < 500_000 + 100)
    }

    @Test func aLongBodyIsAWorkersAndIsStoredAsAShortOneIs() throws {
        let yaml = "routes:\n  - {path: /in, to: t, formats: [csv], key: /id, csv: {columns: [id, text]}}\n"
        let node = try GatewayHarness(partitions: 2, configuration: GatewayConfiguration(yaml: yaml))
        let rows = (0..<4000).map { "\($0),\"words, and \($0) more\"" }
        let body = rows.joined(separator: "\r\n")
        let reply = try node.call("POST", "/in", body, fields: ["Content-Type: text/csv"])
        #expect(reply.status == 201 && reply.number("accepted") == 4000)
        let stored = try node.stored("t").records
        #expect(stored.count == 4000)
        #expect(
            Set(stored.map(\.value)) == Set((0..<4000).map { "{\"id\":\"\($0)\",\"text\":\"words, and \($0) more\"}" }))
        #expect(stored.allSatisfy { $0.value.hasPrefix("{\"id\":\"\($0.key ?? "")\"") })
    }
}
