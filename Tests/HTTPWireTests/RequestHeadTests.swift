import Testing

@testable import HTTPWire

/// What a test looks at, copied out of the head.
struct ParsedHead: Equatable {
    var method: HTTPMethod
    var path: String
    var query: String
    var authority: String
    var minorVersion: Int
    var body: BodyFraming
    var keepAlive: Bool
    var expectsContinue: Bool
    var fields: [String]
    var length: Int
}

enum Parsed: Equatable {
    case incomplete
    case head(ParsedHead)
    case failure(HTTPFailure)

    var head: ParsedHead? { if case .head(let head) = self { head } else { nil } }
    var failure: HTTPFailure? { if case .failure(let failure) = self { failure } else { nil } }
}

func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

/// Parses the first `count` bytes of `bytes`.
func parse(
    _ bytes: [UInt8], prefix count: Int? = nil, _ head: inout RequestHead, _ progress: inout HeadProgress
) -> Parsed {
    bytes.withUnsafeBytes { all in
        let outcome = head.parse(UnsafeRawBufferPointer(rebasing: all[..<(count ?? all.count)]), &progress)
        switch outcome {
        case .incomplete: return .incomplete
        case .failure(let failure): return .failure(failure)
        case .complete(let length):
            return .head(
                ParsedHead(
                    method: head.method, path: text(head.path), query: text(head.query),
                    authority: text(head.authority), minorVersion: head.minorVersion, body: head.body,
                    keepAlive: head.keepAlive, expectsContinue: head.expectsContinue,
                    fields: (0..<head.fieldCount).map { "\(text(head.fieldName($0)))=\(text(head.fieldValue($0)))" },
                    length: length))
        }
    }
}

func parse(_ request: String, limits: HTTPLimits = HTTPLimits()) -> Parsed {
    var head = RequestHead(limits: limits)
    var progress = HeadProgress()
    return parse(Array(request.utf8), &head, &progress)
}

/// The outcome when the bytes arrive one at a time: the first that is final.
func parseByteByByte(_ request: [UInt8], limits: HTTPLimits = HTTPLimits()) -> Parsed {
    var head = RequestHead(limits: limits)
    var progress = HeadProgress()
    for count in 1...request.count {
        // A copy that ends where the bytes end, so that reading further would be caught by a sanitizer.
        let outcome = parse(Array(request[..<count]), &head, &progress)
        if outcome != .incomplete { return outcome }
    }
    return .incomplete
}

@Suite struct RequestHeadTests {
    @Test func aCommonRequestIsParsed() throws {
        let request =
            "POST /v1/topics/orders/events?results=none&x=1 HTTP/1.1\r\nHost: localhost:8080\r\n"
            + "User-Agent: curl/8.5.0\r\naccept:*/*\r\nContent-Type:  application/json \t \r\nX-Empty:\r\n"
            + "CONTENT-LENGTH: 42\r\n\r\n{"
        let head = try #require(parse(request).head)
        #expect(
            head
                == ParsedHead(
                    method: .post, path: "/v1/topics/orders/events", query: "results=none&x=1",
                    authority: "localhost:8080", minorVersion: 1, body: .length(42), keepAlive: true,
                    expectsContinue: false,
                    fields: [
                        "Host=localhost:8080", "User-Agent=curl/8.5.0", "accept=*/*", "Content-Type=application/json",
                        "X-Empty=", "CONTENT-LENGTH=42",
                    ],
                    length: request.utf8.count - 1))
    }

    @Test func knownFieldsAreFoundWhateverTheirCase() {
        for field in KnownField.allCases where field.isSingleton == false || field.rawValue > KnownField.expect.rawValue
        {
            for name in [field.name.description, field.name.description.uppercased()] {
                var head = RequestHead()
                var progress = HeadProgress()
                let bytes = Array("GET / HTTP/1.1\r\nHost: h\r\nfoo: 1\r\n\(name): some value\r\n\r\n".utf8)
                bytes.withUnsafeBytes {
                    guard case .complete = head.parse($0, &progress) else {
                        Issue.record("\(name) was refused")
                        return
                    }
                    #expect(head[field].map(text) == "some value", "\(name)")
                }
            }
        }
    }

    @Test func namesThatOnlyResembleAKnownOneAreNotKnown() {
        for name in [
            "hos", "hosts", "h\u{6f}s~", "content-lengtg", "content-length1", "xontent-length", "content_length",
        ] {
            let head = parse("GET / HTTP/1.1\r\nHost: h\r\n\(name): 7\r\n\r\n").head
            #expect(head?.body == .length(0), "\(name)")
            #expect(head?.authority == "h")
        }
    }

    @Test(arguments: [HTTPMethod.get, .head, .post, .put, .patch, .delete, .options])
    func everyMethodIsKnown(method: HTTPMethod) {
        #expect(parse("\(method.name) /x HTTP/1.1\r\nHost: h\r\n\r\n").head?.method == method)
    }

    @Test func keepAliveFollowsVersionAndConnection() {
        func keepAlive(_ version: String, _ fields: String) -> Bool? {
            parse("GET / HTTP/\(version)\r\nHost: h\r\n\(fields)\r\n").head?.keepAlive
        }
        #expect(keepAlive("1.1", "") == true)
        #expect(keepAlive("1.1", "Connection: close\r\n") == false)
        #expect(keepAlive("1.1", "Connection: Upgrade, CLOSE\r\n") == false)
        #expect(keepAlive("1.1", "Connection: keep-alive\r\nConnection: close\r\n") == false)
        #expect(keepAlive("1.0", "") == false)
        #expect(keepAlive("1.0", "Connection: Keep-Alive\r\n") == true)
    }

    @Test func http10NeedsNoHost() {
        #expect(parse("GET /a HTTP/1.0\r\n\r\n").head?.minorVersion == 0)
    }

    @Test func absoluteFormCountsMoreThanHost() {
        let head = parse("GET http://example.org:81/a/b?c HTTP/1.1\r\nHost: other\r\n\r\n").head
        #expect(head?.authority == "example.org:81")
        #expect(head?.path == "/a/b")
        #expect(head?.query == "c")
        let bare = parse("GET http://example.org HTTP/1.1\r\nHost: example.org\r\n\r\n").head
        #expect(bare?.path == "")
    }

    @Test func optionsMayAskForTheServer() {
        #expect(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").head?.path == "*")
        #expect(parse("GET * HTTP/1.1\r\nHost: h\r\n\r\n").failure == .badTarget)
    }

    @Test func oneEmptyLineBeforeARequestIsForgiven() {
        #expect(parse("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").head?.path == "/")
        #expect(parse("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").failure == .badRequestLine)
    }

    @Test func expectationIsSeenOnlyWithABodyAndHTTP11() {
        let fields = "Host: h\r\nExpect: 100-Continue\r\n"
        #expect(parse("POST / HTTP/1.1\r\n\(fields)Content-Length: 3\r\n\r\n").head?.expectsContinue == true)
        #expect(parse("POST / HTTP/1.1\r\n\(fields)Transfer-Encoding: chunked\r\n\r\n").head?.expectsContinue == true)
        #expect(parse("POST / HTTP/1.1\r\n\(fields)\r\n").head?.expectsContinue == false)
        #expect(parse("POST / HTTP/1.0\r\n\(fields)Content-Length: 3\r\n\r\n").head?.expectsContinue == false)
        #expect(parse("POST / HTTP/1.1\r\nHost: h\r\nExpect: a-pony\r\n\r\n").failure == .unsupportedExpectation)
    }

    @Test func pipelinedRequestsAreReadOneAfterAnother() {
        let requests = [
            "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /b?x HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /c HTTP/1.1\r\nHost: i\r\n\r\n",
        ]
        var bytes = Array(requests.joined().utf8)
        var head = RequestHead()
        var progress = HeadProgress()
        var paths: [String] = []
        while let parsed = parse(bytes, &head, &progress).head {
            paths.append(parsed.path)
            bytes.removeFirst(parsed.length)
        }
        #expect(paths == ["/a", "/b", "/c"])
        #expect(bytes.isEmpty)
    }
}

@Suite struct HeadInPiecesTests {
    static let request =
        "POST /v1/topics/t/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-A: \tb\tc \r\n"
        + "Content-Length: 5\r\n\r\n"

    @Test func byteByByteGivesTheSameHead() {
        let bytes = Array(Self.request.utf8)
        #expect(parseByteByByte(bytes) == parse(Self.request))
        #expect(parse(Self.request).head != nil)
    }

    @Test func noPrefixOfAValidHeadIsFinal() {
        let bytes = Array(Self.request.utf8)
        for count in 1..<bytes.count {
            var head = RequestHead()
            var progress = HeadProgress()
            #expect(parse(Array(bytes[..<count]), &head, &progress) == .incomplete, "\(count) bytes")
        }
    }

    @Test func everySplitInTwoGivesTheSameHead() {
        let bytes = Array(Self.request.utf8)
        for count in 1..<bytes.count {
            var head = RequestHead()
            var progress = HeadProgress()
            #expect(parse(bytes, prefix: count, &head, &progress) == .incomplete)
            #expect(parse(bytes, &head, &progress) == parse(Self.request))
        }
    }

    @Test func garbageIsRefusedLongBeforeTheLimits() {
        // The start of a TLS handshake, and of a Kafka frame.
        for garbage: [UInt8] in [[0x16, 0x03, 0x01, 0x02, 0x00, 0x01], [0, 0, 0, 0x23, 0, 0x12, 0, 4]] {
            #expect(parseByteByByte(garbage).failure != nil)
        }
    }
}
