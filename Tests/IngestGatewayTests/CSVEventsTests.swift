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
            var reader = CSVEvents(bytes, plan, nil)
            made.problem =
                reader.read(
                    into: &out, &ranges, &rejections,
                    limits ?? CSVEvents.Limits(rowBytes: 1 << 20, events: 100_000, madeBytes: 64 << 20))?.kind.code
                .description
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
