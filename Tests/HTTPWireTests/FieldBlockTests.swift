import HTTPWire
import Testing

/// Heads whose fields come apart, as those of HTTP/2 do.
@Suite struct FieldBlockTests {
    private static let usual = [(":method", "POST"), (":scheme", "https"), (":path", "/v1/a?b=c"), (":authority", "h:80")]

    private static func block(_ fields: [(String, String)], _ limits: HTTPLimits = HTTPLimits()) -> FieldBlock {
        var block = FieldBlock(limits: limits)
        for (name, value) in fields {
            Array(name.utf8).withUnsafeBytes { name in Array(value.utf8).withUnsafeBytes { block.append(name, $0) } }
        }
        return block
    }

    private static func text(_ bytes: UnsafeRawBufferPointer?) -> String? {
        bytes.map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func aHeadIsTakenAsFromAText() {
        let block = Self.block(
            Self.usual + [("content-type", "application/json"), ("x-other", " spaced\t"), ("content-length", "5")])
        var head = RequestHead()
        #expect(head.take(block) == nil)
        #expect(head.method == .post && head.minorVersion == 1 && head.keepAlive)
        #expect(Self.text(head.path) == "/v1/a" && Self.text(head.query) == "b=c" && Self.text(head.authority) == "h:80")
        #expect(head.body == .length(5))
        #expect(Self.text(head[.contentType]) == "application/json")
        #expect(head.fieldCount == 3 && Self.text(head.fieldValue(1)) == "spaced")
        #expect(head.isField(1, named: "x-other") && head.present.contains(KnownFields(.contentLength)))
    }

    @Test func aBodyThatNothingIsSaidOfEndsWithItsStream() {
        var head = RequestHead()
        #expect(head.take(Self.block(Self.usual)) == nil && head.body == .chunked)
        #expect(head.take(Self.block(Self.usual), bodyLength: 0) == nil && head.body == .length(0))
    }

    @Test func aHeadIsTakenAgain() {
        let first = Self.block(Self.usual + [("x-api-key", "a")])
        let second = Self.block([(":method", "GET"), (":path", "/"), (":authority", "x")])
        var head = RequestHead()
        for _ in 0..<2 {
            #expect(head.take(first) == nil && Self.text(head[.apiKey]) == "a")
            #expect(head.take(second, bodyLength: 0) == nil && head[.apiKey] == nil && head.fieldCount == 0)
        }
    }

    @Test func hostMayStandForTheAuthority() {
        var head = RequestHead()
        let without = Self.usual.filter { $0.0 != ":authority" }
        #expect(head.take(Self.block(without + [("host", "a")])) == nil && Self.text(head.authority) == "a")
        #expect(head.take(Self.block(without)) == .missingHost)
        #expect(head.take(Self.block(Self.usual + [("host", "other")])) == .badHost)
        #expect(head.take(Self.block(Self.usual + [("host", "h:80")])) == nil)
        #expect(head.take(Self.block(without + [(":authority", "user@h")])) == .badHost)
    }

    @Test func whatIsWrongIsRefusedAsInAText() {
        let cases: [([(String, String)], HTTPFailure)] = [
            ([("a", "b\u{1}")], .badFieldValue), ([("a b", "c")], .badFieldName), ([("", "c")], .badFieldName),
            ([("content-length", "x")], .badContentLength),
            ([("content-length", "1"), ("content-length", "1")], .duplicateContentLength),
            ([("content-type", "a"), ("content-type", "a")], .duplicateField),
            ([("transfer-encoding", "chunked")], .unknownTransferEncoding), ([("expect", "a")], .unsupportedExpectation),
        ]
        for (fields, failure) in cases {
            var head = RequestHead()
            #expect(head.take(Self.block(Self.usual + fields)) == failure, "\(fields)")
        }
        let targets: [(String, String, HTTPFailure)] = [
            (":method", "LINK", .unsupportedMethod), (":path", "a", .badTarget), (":path", "/a b", .badTarget),
            (":path", "/a#b", .badTarget), (":path", "*", .badTarget), (":path", "", .badTarget),
            (":path", "http://other/", .badTarget), (":path", "/a\\b", .badTarget),
        ]
        for (name, value, failure) in targets {
            var head = RequestHead()
            let fields = Self.usual.map { $0.0 == name ? (name, value) : $0 }
            #expect(head.take(Self.block(fields)) == failure, "\(name) \(value)")
        }
        var head = RequestHead()
        #expect(head.take(Self.block(Self.usual.filter { $0.0 != ":path" })) == .badRequestLine)
    }

    @Test func whatIsTooMuchIsCountedAndNotKept() {
        var limits = HTTPLimits()
        (limits.fields, limits.fieldLine, limits.fieldBlock, limits.requestLine) = (3, 20, 40, 30)
        let cases: [([(String, String)], HTTPFailure)] = [
            ([("a", "b"), ("c", "d"), ("e", "f"), ("g", "h")], .tooManyFields),
            ([("a", String(repeating: "b", count: 20))], .fieldLineTooLong),
            ([("a", String(repeating: "b", count: 19)), ("c", String(repeating: "d", count: 19)), ("e", "f")], .fieldBlockTooLong),
            ([(":path", "/" + String(repeating: "b", count: 30))], .requestLineTooLong),
        ]
        for (fields, failure) in cases {
            let pseudo = fields[0].0 == ":path" ? Self.usual.filter { $0.0 != ":path" } : Self.usual
            let block = Self.block(pseudo + fields, limits)
            let size = (pseudo + fields).reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count + FieldBlock.overhead }
            #expect(block.size == size && block.byteCount < 1000)
            var head = RequestHead(limits: limits)
            #expect(head.take(block) == failure)
        }
    }
}
