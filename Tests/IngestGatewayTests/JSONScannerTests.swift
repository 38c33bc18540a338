import ByteBuffers
import Testing

@testable import IngestGateway

/// The failure of a whole text; nil when it is JSON.
private func failure(_ bytes: [UInt8], limits: JSONLimits = JSONLimits()) -> JSONFailure? {
    bytes.withUnsafeBytes { bytes in
        var scanner = JSONScanner(bytes, limits: limits)
        do throws(JSONFailure) {
            _ = try scanner.onlyValue()
            return nil
        } catch {
            return error
        }
    }
}

private func failure(_ text: String, limits: JSONLimits = JSONLimits()) -> JSONFailure? {
    failure(Array(text.utf8), limits: limits)
}

private func elements(_ text: String) throws -> [String] {
    let bytes = Array(text.utf8)
    return try bytes.withUnsafeBytes { raw in
        var scanner = JSONScanner(raw)
        var ranges: [JSONRange] = []
        try scanner.elements(into: &ranges)
        try scanner.finish()
        return ranges.map { String(decoding: $0.bytes(of: raw), as: UTF8.self) }
    }
}

@Suite struct JSONScannerTests {
    static let valid = [
        "{}", "[]", "\"\"", "0", "-0", "1.5", "-12.5e+10", "1E5", "0.0", "1e-7", "true", "false", "null",
        " \t\r\n{} \n",
        "[1,2,3]", "[ [ [ ] ] ]", "{\"a\":1}", "{ \"a\" : { \"b\" : [ null , true ] } }", "{\"\":\"\"}",
        "{\"a\":1,\"a\":2}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"", "\"\\ud800\"", "\"\u{7f}\"", "\"é€😀\"", "\"\u{10ffff}\"",
        "12345678901234567890123456789", "[\"0123456\",\"01234567\",\"012345678\"]", "\"\u{feff}\"",
        "{\"key of some length\":\"a value of some length \\n with an escape\"}",
    ]

    static let invalid: [(String, JSONFailure.Reason)] = [
        ("", .unexpectedEnd), (" ", .unexpectedEnd), ("{", .unexpectedEnd), ("[", .unexpectedEnd),
        ("[1", .unexpectedEnd),
        ("{\"a\"", .unexpectedEnd), ("{\"a\":", .unexpectedEnd), ("{\"a\":1", .unexpectedEnd),
        ("{\"a\":1,", .unexpectedEnd),
        ("\"abc", .unexpectedEnd), ("\"abcdefghijkl", .unexpectedEnd), ("\"\\", .unexpectedEnd),
        ("\"\\u12", .unexpectedEnd),
        ("{,}", .unexpectedByte), ("{1:2}", .unexpectedByte), ("{a:1}", .unexpectedByte), ("{'a':1}", .unexpectedByte),
        ("{\"a\" 1}", .unexpectedByte), ("{\"a\":1,}", .unexpectedByte), ("[1,]", .unexpectedByte),
        ("[,1]", .unexpectedByte),
        ("[1 2]", .unexpectedByte), ("[1}", .unexpectedByte), ("{\"a\":1]", .unexpectedByte), ("]", .unexpectedByte),
        ("[1,,2]", .unexpectedByte), ("{\"a\":1 \"b\":2}", .unexpectedByte), ("{\"a\":/*x*/1}", .unexpectedByte),
        ("NaN", .unexpectedByte), ("Infinity", .unexpectedByte), ("+1", .unexpectedByte), (".5", .unexpectedByte),
        ("{} {}", .trailingBytes), ("1 2", .trailingBytes), ("{}\0", .trailingBytes), ("01", .badNumber),
        ("-", .badNumber),
        ("-01", .badNumber), ("1.", .badNumber), ("1.e5", .badNumber), ("1e", .badNumber), ("1e+", .badNumber),
        ("--1", .badNumber), ("0x10", .trailingBytes), ("1_000", .trailingBytes), ("tru", .badLiteral),
        ("True", .unexpectedByte),
        ("trux", .badLiteral), ("nul", .badLiteral), ("falsy", .badLiteral), ("fals", .badLiteral),
        ("nullx", .trailingBytes),
        ("\"\\x\"", .badEscape), ("\"\\u12g4\"", .badEscape), ("\"\\'\"", .badEscape), ("\"a\nb\"", .controlCharacter),
        ("\"a\tb\"", .controlCharacter), ("\"a\0b\"", .controlCharacter), ("\"0123456789\u{1f}\"", .controlCharacter),
        ("\u{feff}{}", .unexpectedByte), ("{\"a\":\u{a0}1}", .unexpectedByte),
    ]

    @Test(arguments: valid) func validTextIsAccepted(text: String) {
        #expect(failure(text) == nil, "\(text.debugDescription)")
    }

    @Test func invalidTextIsRefusedWithItsReason() {
        for (text, reason) in Self.invalid { #expect(failure(text)?.reason == reason, "\(text.debugDescription)") }
    }

    @Test func invalidUTF8IsRefused() {
        let sequences: [[UInt8]] = [
            [0xff], [0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xc3], [0xc3, 0x28], [0xe0, 0x80, 0x80],
            [0xe0, 0x9f, 0xbf],
            [0xe2, 0x82], [0xe2, 0x28, 0xa1], [0xe2, 0x82, 0x28], [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf],
            [0xf0, 0x80, 0x80, 0x80], [0xf0, 0x8f, 0xbf, 0xbf], [0xf0, 0x9f, 0x98], [0xf4, 0x90, 0x80, 0x80],
            [0xf5, 0x80, 0x80, 0x80], [0xfe],
        ]
        for sequence in sequences {
            for before in ["", "abc", "abcdefgh", "é"] {
                let text = [0x22] + Array(before.utf8) + sequence + Array("\" ".utf8)
                #expect(failure(text)?.reason == .invalidUTF8, "\(sequence)")
                #expect(failure(Array("{\"k\":".utf8) + text + [0x7d]) != nil)
            }
        }
    }

    @Test func everyScalarOfTheEdgesIsAccepted() {
        for scalar: UInt32 in [
            0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x3ffff, 0x40000, 0xfffff, 0x100000,
            0x10ffff,
        ] {
            #expect(failure("\"" + String(Unicode.Scalar(scalar)!) + "\"") == nil)
        }
    }

    @Test func noPrefixOfAnObjectIsAccepted() {
        let text = Array("{\"a\":[1.5,\"é\\u00e9\",{\"b\":null}],\"c\":true,\"long enough\":\"to use words\"}".utf8)
        for count in 0..<text.count { #expect(failure(Array(text[..<count])) != nil, "\(count) bytes") }
        #expect(failure(text) == nil)
    }

    @Test func positionsPointAtTheError() {
        #expect(failure("{\"a\":1,}")?.position == 7)
        #expect(failure("[1,2,x]")?.position == 5)
        #expect(failure("{} x")?.position == 3)
        #expect(failure("\"abcdefghij\u{1}\"")?.position == 11)
        #expect(failure("[1,2")?.position == 4)
    }

    @Test func depthIsLimitedAtSixtyFour() {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(failure(nested(64)) == nil)
        #expect(failure(nested(65))?.reason == .tooDeep)
        #expect(failure(String(repeating: "{\"a\":", count: 64) + "1" + String(repeating: "}", count: 64)) == nil)
        #expect(failure(String(repeating: "{\"a\":", count: 100_000))?.reason == .tooDeep)
        #expect(failure(String(repeating: "[{\"a\":", count: 32) + "1" + String(repeating: "}]", count: 32)) == nil)
    }

    @Test func keysAndTokensOfAnEventAreLimited() {
        var limits = JSONLimits()
        limits.keys = 3
        limits.tokens = 8
        #expect(failure("{\"a\":1,\"b\":{\"c\":1}}", limits: limits) == nil)
        #expect(failure("{\"a\":1,\"b\":{\"c\":1,\"d\":2}}", limits: limits)?.reason == .tooManyTokens)
        #expect(failure("[1,2,3,4,5,6,7]", limits: limits) == nil)
        #expect(failure("[1,2,3,4,5,6,7,8]", limits: limits)?.reason == .tooManyTokens)
        limits.tokens = 100
        #expect(failure("{\"a\":1,\"b\":{\"c\":1,\"d\":2}}", limits: limits)?.reason == .tooManyKeys)
    }

    @Test func randomChangesNeverCrashAndNeverPassWhenTheGrammarForbids() {
        var random = SmallGenerator(state: 42)
        let seed = Array("{\"a\":[1.5,\"é\\u00e9\",{\"b\":null}],\"c\":true,\"d\":\"0123456789abcdef\"}".utf8)
        for _ in 0..<50_000 {
            var text = seed
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let at = Int.random(in: 0..<text.count, using: &random)
                if Bool.random(using: &random) {
                    text[at] = UInt8.random(in: 0...255, using: &random)
                } else {
                    text.remove(at: at)
                }
            }
            // What is accepted is UTF-8 and balanced.
            if failure(text) == nil {
                #expect(String(validating: text, as: UTF8.self) != nil)
                #expect(failure([UInt8(ascii: "[")] + text + [UInt8(ascii: "]")]) == nil)
            }
        }
    }
}

struct SmallGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state ^ (state >> 33)) &* 0xff51_afd7_ed55_8ccd
    }
}

@Suite struct JSONElementsTests {
    @Test func elementsKeepTheirBytesWithoutTheSpaceAround() throws {
        #expect(try elements("[]") == [])
        #expect(try elements(" [ \n ] ") == [])
        #expect(
            try elements(" [ {\"a\" : 1.0} ,\r\n\t[1, 2] , \"x,]\" , -0.0e1 ] ")
                == ["{\"a\" : 1.0}", "[1, 2]", "\"x,]\"", "-0.0e1"])
    }

    @Test(arguments: ["[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1]x", "{}", "[1}", "[[1]"])
    func brokenArraysAreRefused(text: String) {
        #expect(throws: JSONFailure.self) { try elements(text) }
    }

    @Test func limitsCountForEachElementAndElementsAreLimited() {
        let bytes = Array("[[1,2,3],[1,2,3],[1,2,3]]".utf8)
        var limits = JSONLimits()
        limits.tokens = 4
        limits.elements = 3
        bytes.withUnsafeBytes { raw in
            var ranges: [JSONRange] = []
            var scanner = JSONScanner(raw, limits: limits)
            #expect(throws: Never.self) { try scanner.elements(into: &ranges) }
            limits.elements = 2
            ranges = []
            scanner = JSONScanner(raw, limits: limits)
            #expect(throws: JSONFailure(reason: .tooManyElements, position: 17)) { try scanner.elements(into: &ranges) }
        }
    }

    @Test func linesAreSplitAndTrimmedAndEmptyOnesLeftOut() {
        let bytes = Array("{\"a\":1}\n\n  {\"b\":2} \r\n\t\r\n3".utf8)
        bytes.withUnsafeBytes { raw in
            var lines = NDJSONLines(raw)
            var found: [String] = []
            while let line = lines.next() { found.append(String(decoding: line.bytes(of: raw), as: UTF8.self)) }
            #expect(found == ["{\"a\":1}", "{\"b\":2}", "3"])
        }
    }
}

@Suite struct JSONEnvelopeTests {
    private func read(_ text: String) throws -> [String?] {
        let bytes = Array(text.utf8)
        return try bytes.withUnsafeBytes { raw in
            var scanner = JSONScanner(raw)
            var envelope = JSONEnvelope(["type", "payload"])
            try envelope.read(&scanner)
            try scanner.finish()
            return [0, 1].map { index in
                envelope[index].map { "\($0.kind) \(String(decoding: $0.range.bytes(of: raw), as: UTF8.self))" }
            }
        }
    }

    @Test func membersAreFoundWhereverTheyStand() throws {
        #expect(
            try read("{ \"x\" : [1] , \"payload\" : {\"type\":5} , \"type\" : \"a\" }") == [
                "string \"a\"", "object {\"type\":5}",
            ])
        #expect(try read("{}") == [nil, nil])
        #expect(try read("{\"types\":1,\"typ\":2,\"Type\":3}") == [nil, nil])
    }

    @Test func aKeyThatStandsTwiceIsRefusedAlsoWhenItIsEscaped() {
        for text in ["{\"type\":1,\"type\":2}", "{\"type\":1,\"t\\u0079pe\":2}", "{\"t\\u0079pe\":1,\"type\":2}"] {
            #expect(throws: (any Error).self) { try read(text) }
        }
        #expect(throws: Never.self) { try read("{\"other\":1,\"other\":2,\"type\":{\"type\":1,\"type\":2}}") }
    }

    @Test func escapedKeysAreTheSameKeys() throws {
        #expect(try read("{\"\\u0074ype\":\"a\"}")[0] == "string \"a\"")
    }

    @Test func escapesAreResolved() {
        func resolved(_ text: String) -> String? {
            Array(text.utf8).withUnsafeBytes { JSONText.unescaped($0).map { String(decoding: $0, as: UTF8.self) } }
        }
        #expect(resolved("a\\n\\\"\\\\\\/\\u00e9\\ud83d\\ude00") == "a\n\"\\/é😀")
        #expect(resolved("\\ud800") == nil)
        #expect(resolved("\\ud800\\u0041") == nil)
        #expect(resolved("\\udc00") == nil)
    }

    @Test func writtenStringsAreReadBack() {
        for text in ["", "plain", "a\"b\\c\n\r\t\u{1}\u{7f}é😀", "\u{1f}x"] {
            var writer = ByteWriter()
            JSONText.write(text, into: &writer)
            let bytes = writer.array
            #expect(failure(bytes) == nil)
            let inside = Array(bytes.dropFirst().dropLast())
            #expect(inside.withUnsafeBytes { JSONText.unescaped($0) } == Array(text.utf8))
        }
    }
}
