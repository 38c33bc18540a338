import Testing

@testable import IngestGateway

/// A text in parts gives what it gives as a whole, wherever it is cut.
@Suite struct ArrayPartsTests {
    private struct Found: Equatable {
        var values: [String] = []
        /// Of those that are wrong: which, and at which of their bytes.
        var wrong: [String] = []
        var problem: String?
        var lastLine = 0
    }

    /// Reads a text that comes in two parts, and what is left of the first one again with the second.
    private static func read(_ text: [UInt8], cutAt cut: Int, most: Int = .max) -> Found {
        var found = Found()
        var reader = JSONElements()
        var (at, end) = (0, cut)
        while found.problem == nil {
            var (events, rejections): ([JSONRange], [Rejection]) = ([], [])
            let isLast = end == text.count
            let part = Array(text[at..<end])
            let outcome = part.withUnsafeBytes { part in
                let outcome = reader.read(
                    part, isLast: isLast, most: most, JSONLimits(), into: &events, &rejections)
                for rejection in rejections {
                    found.wrong.append(
                        "\(found.values.count + rejection.index) \(rejection.position ?? -1) \(rejection.detail)")
                }
                found.values += events.map { String(decoding: $0.bytes(of: part), as: UTF8.self) }
                return outcome
            }
            at += outcome.used
            found.problem = outcome.problem?.detail
            if isLast, at == text.count { break }
            if outcome.used == 0 || most == .max { end = text.count }
        }
        found.lastLine = reader.lastLine
        return found
    }

    private static let texts = [
        "[]", " [ 1 , 2 ] ", "[1,2.5e-3,-7,0]\n", "[\"a\\\"b\",\"\\u00e9é\",{\"a\":[1,{\"b\":\"]\"}]}]",
        "[true,false,null,nul,tru e,12x,1 2,01]", "[,]", "[1,]", "[1,,2]", "[{]", "[{\"a\":1, {\"b\":2}]", "[[1},2],3]",
        "[}},1]", "[\"open]", "[\"raw\nline\",1]\n\n", "[1] 2", "[1]]", "{}", "", "  ", "[", "[1", "[1,", "[1,12",
        "[-1.5e1", "[\"\\",
        "[\"a\" \"b\"]",
        "[\n{\"a\":1},\n{\"a\":x},\r\n\t{\"b\":[\n1]}\n]", "[\"\u{1F600}\",\"\\ud800\",{\"k\":1}:2,\u{7f}]",
        "\u{feff}[1]",
    ]

    @Test(arguments: texts) func aTextIsCutAtEachByte(text: String) {
        let bytes = Array(text.utf8)
        let whole = Self.read(bytes, cutAt: bytes.count)
        for cut in bytes.indices {
            #expect(Self.read(bytes, cutAt: cut) == whole, "at \(cut)")
        }
        // An element a call.
        #expect(Self.read(bytes, cutAt: bytes.count, most: 1) == whole)
    }

    @Test func whatIsWrongEndsWhereItsBracketsSay() {
        func found(_ text: String) -> Found { Self.read(Array(text.utf8), cutAt: text.utf8.count) }
        let lines = found("[\n{\"a\":1},\n{\"a\":x},\r\n\t{\"b\":[\n1]}\n]")
        #expect(lines.values == ["{\"a\":1}", "{\"a\":x}", "{\"b\":[\n1]}"] && lines.problem == nil)
        #expect(lines.wrong == ["1 5 Unexpected character in the JSON text"] && lines.lastLine == 6)
        #expect(found("[[1},2],3]").values == ["[1},2]", "3"])
        #expect(found("[{\"a\":1, {\"b\":2}]").values == ["{\"a\":1, {\"b\":2}"])
        #expect(found("[1,,2]").values == ["1", "", "2"] && found("[1,]").values == ["1", ""])
        #expect(found("[\"a\" \"b\"]").values == ["\"a\"", "\"b\""])
        #expect(found("[\"a\" \"b\"]").wrong == ["1 0 Unexpected character in the JSON text"])
        #expect(found("[1,\"open]").problem?.contains("does not end") == true)
        // A number that the end may have cut off is no row; what says its own end is one.
        #expect(found("[1,12").wrong.count == 1 && found("[1,12").problem?.contains("does not end") == true)
        #expect(found("[1,12 ").wrong.isEmpty && found("[1,{\"a\":2}").wrong.isEmpty)
        #expect(found("[1,\"open]").values == ["1", "\"open]"])
    }
}
