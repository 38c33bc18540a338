import ByteBuffers
import Testing

@testable import HTTPWire

@Suite struct RequestTargetTests {
    private func decoded(_ text: String, plusIsSpace: Bool = false) -> String? {
        Array(text.utf8).withUnsafeBytes { PercentDecoding.string($0, plusIsSpace: plusIsSpace) }
    }

    @Test func escapesAreDecodedOnce() {
        #expect(decoded("a%2Fb%c3%a9+%2541") == "a/bé+%41")
        #expect(decoded("a+b", plusIsSpace: true) == "a b")
    }

    @Test func brokenEscapesNULAndBadUTF8AreRefused() {
        for text in ["%", "%4", "%zz", "a%0", "%00", "%ff", "%c3%28", "%ed%a0%80"] {
            #expect(decoded(text) == nil, "\(text)")
        }
    }

    @Test func queryItemsKeepTheirWireForm() {
        let items: [String] = Array("a=1&b&&c==2&=x&d=".utf8).withUnsafeBytes { bytes in
            var list: [String] = []
            var items = QueryItems(bytes)
            while let item = items.next() { list.append("\(text(item.name)):\(text(item.value))") }
            return list
        }
        #expect(items == ["a:1", "b:", "c:=2", ":x", "d:"])
    }
}

@Suite struct ResponseHeadTests {
    private func written(_ body: (inout ByteWriter) -> Void) -> String {
        var writer = ByteWriter()
        body(&writer)
        return text(writer.bytes)
    }

    @Test func aReplyHasStatusDateFieldsAndLength() {
        var date = HTTPDate()
        let stamp = date.bytes(atSecond: 784_111_777)
        let head = written {
            ResponseHead.begin(&$0, status: 202, date: stamp, keepAlive: true)
            ResponseHead.field(&$0, "Content-Type", "application/json")
            ResponseHead.end(&$0, contentLength: 19)
        }
        #expect(
            head
                == "HTTP/1.1 202 Accepted\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n"
        )
    }

    @Test func connectionIsSaidOnlyWhenItIsNotTheDefault() {
        let close = written { ResponseHead.begin(&$0, status: 400, date: [], keepAlive: false) }
        #expect(close.hasSuffix("\r\nConnection: close\r\n"))
        let old = written { ResponseHead.begin(&$0, status: 200, date: [], keepAlive: true, minorVersion: 0) }
        #expect(old.hasSuffix("\r\nConnection: keep-alive\r\n"))
        let plain = written { ResponseHead.begin(&$0, status: 200, date: [], keepAlive: true) }
        #expect(!plain.contains("Connection"))
    }

    @Test func theDateChangesWithTheSecond() {
        var date = HTTPDate()
        let first = date.bytes(atSecond: 0)
        #expect(String(decoding: first, as: UTF8.self) == "Thu, 01 Jan 1970 00:00:00 GMT")
        #expect(date.bytes(atSecond: 0) == first)
        #expect(date.bytes(atSecond: 1) != first)
    }

    @Test(arguments: [
        0, 9, 10, 99, 100, 12345, -1, -10, Int.max, Int.min, 999_999_999_999_999_999, 1_000_000_000_000_000_000,
    ])
    func decimalsAreWrittenExactly(value: Int) {
        #expect(written { ResponseHead.decimal(&$0, value) } == String(value))
    }

    @Test(arguments: [
        ("", false), ("/a-b_c.d~e", false), ("%", false), ("%6", false), ("%zz", false), ("%2F%00%20%c3%A9", false),
        ("%%61", true),
        ("%61", true), ("%5A", true), ("%30", true), ("a%2db", true), ("%2e", true), ("%5f", true), ("x%7Ex", true),
        ("%2F%2", false),
    ])
    func anEscapeOfWhatNeedsNoneIsSeen(text: String, isThere: Bool) {
        #expect(Array(text.utf8).withUnsafeBytes { PercentDecoding.hasEscapedUnreserved($0) } == isThere, "\(text)")
    }

    @Test func numbersOfEveryLengthAreWrittenExactly() {
        let powers = (0...18).map { place in (0..<place).reduce(1) { power, _ in power * 10 } }
        for value in Array(0...12_000) + powers.flatMap({ [$0 - 1, $0, $0 + 1, $0 / 3 * 7] }) {
            let text = written { ResponseHead.decimal(&$0, value) }
            guard text == String(value) else {
                Issue.record("\(value) was written as \(text)")
                return
            }
        }
    }

    @Test func everyFailureHasAStatusLineAndCode() {
        let failures: [HTTPFailure] = [
            .requestLineTooLong, .badRequestLine, .badTarget, .unsupportedVersion, .unsupportedMethod,
            .fieldLineTooLong,
            .badFieldName, .missingHost, .unsupportedExpectation, .badContentLength, .unknownTransferEncoding,
            .badChunk,
            .bodyTooLarge,
        ]
        for failure in failures {
            #expect(
                ResponseHead.statusLine(failure.status)?.description.hasPrefix("HTTP/1.1 \(failure.status) ") == true)
            #expect(!failure.code.description.isEmpty && failure.detail.description.hasSuffix("."))
        }
    }
}
