import ByteBuffers
import Foundation
import HTTPWire
import Testing

/// The table of errors, row by row as its file has it: a list beside it would be the one thing that is not checked.
@Suite struct ProblemKindTests {
    private struct Row {
        let status: Int
        let digits: Int
        let code: String
    }

    private static func rows() throws -> [Row] {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Sources/IngestGateway/Values/ProblemKind.swift")
        let text = try String(contentsOf: file, encoding: .utf8)
        return text.matches(of: #/static let \w+ = ProblemKind\(\s*(\d+), (\d+), "(\w+)"/#).map { row in
            Row(status: Int(row.1)!, digits: Int(row.2)!, code: String(row.3))
        }
    }

    private static func startLine(_ status: Int) -> String {
        var out = ByteWriter()
        ResponseHead.begin(&out, status: status, date: [], keepAlive: true)
        return String(decoding: out.bytes, as: UTF8.self).components(separatedBy: "\r\n")[0]
    }

    @Test func everyProblemsStatusHasItsPhrase() throws {
        let rows = try Self.rows()
        #expect(rows.count > 40)
        for row in rows {
            let line = Self.startLine(row.status)
            #expect(line.hasPrefix("HTTP/1.1 \(row.status) ") && line.last?.isLetter == true, "\(row.code): \(line)")
        }
    }

    @Test func everyProblemHasACodeAndANumberOfItsOwn() throws {
        let rows = try Self.rows()
        #expect(Set(rows.map(\.code)).count == rows.count)
        #expect(Set(rows.map { $0.status * 100 + $0.digits }).count == rows.count)
        #expect(rows.allSatisfy { $0.digits < 99 }, "99 is the parser's")
    }

    @Test func aStatusWithoutAPhraseIsAnsweredAllTheSame() {
        #expect(Self.startLine(418) == "HTTP/1.1 418 ")
    }
}
