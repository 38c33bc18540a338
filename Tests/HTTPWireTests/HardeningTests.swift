import Testing

@testable import HTTPWire

/// Header floods: every limit at its last allowed byte, and one further.
@Suite struct HeaderFloodTests {
    private func request(target: Int) -> String {
        "GET /" + String(repeating: "a", count: target - 1) + " HTTP/1.1\r\nHost: h\r\n\r\n"
    }

    @Test func theLongestRequestLineIsReadAndOneByteMoreIs414() {
        let limit = HTTPLimits().requestLine
        let overhead = "GET  HTTP/1.1".utf8.count
        #expect(parse(request(target: limit - overhead)).head != nil)
        #expect(parse(request(target: limit - overhead + 1)).failure == .requestLineTooLong)
        #expect(parse(request(target: 60_000)).failure == .requestLineTooLong)
        #expect(HTTPFailure.requestLineTooLong.status == 414)
    }

    @Test func anEndlessRequestLineIsRefusedWithoutItsEnd() {
        #expect(parse("GET /" + String(repeating: "a", count: 9000)).failure == .requestLineTooLong)
        #expect(parse(String(repeating: "A", count: 9000)).failure != nil)
    }

    @Test func theLongestFieldIsReadAndOneByteMoreIs431() {
        let limit = HTTPLimits().fieldLine
        func request(_ length: Int) -> String {
            "GET / HTTP/1.1\r\nHost: h\r\nX-A: " + String(repeating: "v", count: length - 5) + "\r\n\r\n"
        }
        #expect(parse(request(limit)).head != nil)
        #expect(parse(request(limit + 1)).failure == .fieldLineTooLong)
        #expect(parse("GET / HTTP/1.1\r\nX-A: " + String(repeating: "v", count: 9000)).failure == .fieldLineTooLong)
        #expect(parse("GET / HTTP/1.1\r\n" + String(repeating: "n", count: 9000)).failure == .fieldLineTooLong)
        #expect(HTTPFailure.fieldLineTooLong.status == 431)
    }

    @Test func aHundredFieldsAreReadAndOneMoreIs431() {
        func request(_ count: Int) -> String {
            "GET / HTTP/1.1\r\nHost: h\r\n" + (1..<count).map { "X-\($0): v\r\n" }.joined() + "\r\n"
        }
        #expect(parse(request(100)).head?.fields.count == 100)
        #expect(parse(request(101)).failure == .tooManyFields)
        #expect(parse(request(60_000)).failure == .tooManyFields)
        #expect(HTTPFailure.tooManyFields.status == 431)
    }

    @Test func theFieldsTogetherAreLimited() {
        let line = "X-A: " + String(repeating: "v", count: 4000) + "\r\n"
        func request(_ count: Int) -> String { "GET / HTTP/1.1\r\n" + String(repeating: line, count: count) }
        #expect(parse(request(8) + "Host: h\r\n\r\n").head != nil)
        #expect(parse(request(9) + "Host: h\r\n\r\n").failure == .fieldBlockTooLong)
        #expect(parse(request(9)).failure == .fieldBlockTooLong)
        #expect(HTTPFailure.fieldBlockTooLong.status == 431)
    }

    @Test func aHeadThatNeverEndsIsRefusedByteByByteToo() {
        var limits = HTTPLimits()
        limits.requestLine = 64
        limits.fieldLine = 64
        limits.fieldBlock = 256
        let endless = Array(("GET / HTTP/1.1\r\n" + String(repeating: "a: b\r\n", count: 200)).utf8)
        #expect(parseByteByByte(endless, limits: limits).failure?.status == 431)
    }
}

/// Requests that two servers in a row could split differently. Each is refused, whole and byte by byte.
@Suite struct SmugglingTests {
    static let corpus: [(String, HTTPFailure)] = [
        // Length given twice.
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
            .contentLengthWithTransferEncoding
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
            .contentLengthWithTransferEncoding
        ),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", .duplicateContentLength),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", .duplicateContentLength),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4, 4\r\n\r\n", .badContentLength),
        // Lengths that parsers read differently.
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +4\r\n\r\n", .badContentLength),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", .badContentLength),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x4\r\n\r\n", .badContentLength),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4 4\r\n\r\n", .badContentLength),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n", .badContentLength),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", .badContentLength),
        // Transfer codings.
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", .unknownTransferEncoding),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .unknownTransferEncoding),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n", .unknownTransferEncoding),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", .unknownTransferEncoding),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
            .duplicateField
        ),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n", .badFieldValue),
        ("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInHTTP10),
        // Names and line ends.
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 4\r\n\r\n", .badFieldName),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding\t: chunked\r\n\r\n", .badFieldName),
        ("POST / HTTP/1.1\r\nHost: h\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n", .foldedField),
        ("POST / HTTP/1.1\r\n Host: h\r\n\r\n", .foldedField),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent\rLength: 4\r\n\r\n", .badFieldName),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer\rEncoding: chunked\r\n\r\n", .badFieldName),
        ("POST / HTTP/1.1\r\nHost: h\nContent-Length: 4\r\n\r\n", .badLineEnd),
        ("POST / HTTP/1.1\nHost: h\r\n\r\n", .badLineEnd),
        ("POST / HTTP/1.1\r\nHost: h\r\n\nX: y\r\n\r\n", .badLineEnd),
        ("POST / HTTP/1.1\r\nHost: h\r\nX: a\rContent-Length: 4\r\n\r\n", .badFieldValue),
        ("POST / HTTP/1.1\r\nHost: h\r\n\rX: y\r\n\r\n", .badLineEnd),
        ("POST / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", .badFieldValue),
        ("POST / HTTP/1.1\r\nHost: h\r\nX: a\u{7f}b\r\n\r\n", .badFieldValue),
        ("POST / HTTP/1.1\r\nHost: h\r\n: empty\r\n\r\n", .badFieldName),
        ("POST / HTTP/1.1\r\nHost: h\r\nno colon here\r\n\r\n", .badFieldName),
        ("POST / HTTP/1.1\r\nHost: h\r\nX@Y: v\r\n\r\n", .badFieldName),
        ("POST / HTTP/1.1\r\nHost: h\r\nX\u{e9}: v\r\n\r\n", .badFieldName),
        // Host.
        ("GET / HTTP/1.1\r\nX: y\r\n\r\n", .missingHost),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", .duplicateField),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", .badHost),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", .badHost),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", .badHost),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Type: a\r\nContent-Type: b\r\n\r\n", .duplicateField),
        // The request line.
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", .badRequestLine),
        ("GET /  HTTP/1.1\r\nHost: h\r\n\r\n", .badRequestLine),
        ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", .badLineEnd),
        (" GET / HTTP/1.1\r\nHost: h\r\n\r\n", .badRequestLine),
        ("GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", .badRequestLine),
        ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", .badRequestLine),
        ("GET /\r\n\r\n", .badRequestLine),
        ("GET / HTTP/1.1\rHost: h\r\n\r\n", .badLineEnd),
        ("GET / http/1.1\r\nHost: h\r\n\r\n", .badRequestLine),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", .unsupportedVersion),
        ("GET / HTTP/0.9\r\nHost: h\r\n\r\n", .unsupportedVersion),
        ("GET / HTTP/1.a\r\nHost: h\r\n\r\n", .badRequestLine),
        ("GET / HTTP/1./\r\nHost: h\r\n\r\n", .badRequestLine),
        ("GET / HTTP/one\r\nHost: h\r\n\r\n", .badRequestLine),
        ("GET / HTTP/1.2\r\n\r\n", .missingHost),
        ("G@T / HTTP/1.1\r\nHost: h\r\n\r\n", .badRequestLine),
        ("get / HTTP/1.1\r\nHost: h\r\n\r\n", .unsupportedMethod),
        ("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", .unsupportedMethod),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .unsupportedVersion),
        ("GET a HTTP/1.1\r\nHost: h\r\n\r\n", .badTarget),
        ("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", .badTarget),
        ("GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n", .badTarget),
        ("GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n", .badRequestLine),
        ("GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", .badTarget),
        ("GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", .badTarget),
        ("GET ftp://h/x HTTP/1.1\r\nHost: h\r\n\r\n", .badTarget),
    ]

    @Test(arguments: corpus.indices)
    func ambiguousRequestIsRefused(index: Int) {
        let (request, failure) = Self.corpus[index]
        #expect(parse(request) == .failure(failure), "\(request.debugDescription)")
    }

    @Test(arguments: corpus.indices)
    func ambiguousRequestIsRefusedByteByByte(index: Int) {
        let (request, failure) = Self.corpus[index]
        #expect(parseByteByByte(Array(request.utf8)).failure?.status == failure.status, "\(request.debugDescription)")
    }

    @Test func everyByteThatIsNoTokenIsRefusedInAName() {
        let token = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        for byte in UInt8.min...UInt8.max where byte != UInt8(ascii: ":") {
            let bytes = Array("GET / HTTP/1.1\r\nHost: h\r\na".utf8) + [byte] + Array("b: v\r\n\r\n".utf8)
            var head = RequestHead()
            var progress = HeadProgress()
            #expect((parse(bytes, &head, &progress).head != nil) == token.contains(byte), "byte \(byte)")
        }
    }

    @Test func everyControlCharacterIsRefusedInAValueAndNothingElse() {
        for byte in UInt8.min...UInt8.max {
            let bytes = Array("GET / HTTP/1.1\r\nHost: h\r\na: some".utf8) + [byte] + Array("more value\r\n\r\n".utf8)
            var head = RequestHead()
            var progress = HeadProgress()
            let allowed = byte >= 0x20 && byte != 0x7f || byte == 0x09
            #expect((parse(bytes, &head, &progress).head != nil) == allowed, "byte \(byte)")
        }
    }

    @Test func randomBytesNeverPassAsARequestAndNeverCrash() {
        var generator = SeededGenerator(seed: 20_261_121)
        let seedRequest = Array(HeadInPiecesTests.request.utf8)
        for _ in 0..<20_000 {
            var bytes = seedRequest
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let at = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[at] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes.remove(at: at)
                default: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: at)
                }
            }
            var head = RequestHead()
            var progress = HeadProgress()
            // Whole and in pieces agree on whether it is a request.
            let whole = parse(bytes, &head, &progress)
            let pieces = parseByteByByte(bytes)
            #expect((whole.head == nil) == (pieces.head == nil), "\(bytes)")
            if let head = whole.head { #expect(head == pieces.head) }
        }
    }
}

/// A small generator whose sequence its seed fixes (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

/// A known field is found by words, without a look at each byte of its name.
@Suite struct KnownFieldTests {
    /// Every other byte in every place of every name: the other case of a letter is the field, and nothing else is.
    @Test(arguments: KnownField.allCases) func nothingButTheOtherCaseIsTheField(_ field: KnownField) {
        let name = Array(field.name.description.utf8)
        for place in name.indices {
            for byte in UInt8.min...UInt8.max where byte != name[place] {
                var changed = name
                changed[place] = byte
                let isOtherCase = (0x61...0x7a).contains(name[place]) && byte == name[place] - 0x20
                // With what follows a name on the wire, and at the end of what may be read.
                for bytes in [changed + Array(": value!".utf8), changed] {
                    let found = bytes.withUnsafeBytes {
                        KnownFieldTable.shared.find($0.baseAddress!, 0, name.count, end: $0.count)
                    }
                    #expect(found == (isOtherCase ? field : nil), "byte \(byte) at \(place) of \(field.name)")
                }
            }
        }
    }
}
