import Testing

@testable import HTTPWire

/// The body of `input` and what is left behind it, fed in pieces of `piece` bytes; a failure otherwise.
private func decode(
    _ input: String, piece: Int = .max, maxBody: Int = 1 << 20, limits: HTTPLimits = HTTPLimits()
) -> Result<(body: String, rest: Int), HTTPFailure>? {
    var decoder = ChunkedDecoder(maxBody: maxBody, limits: limits)
    var body: [UInt8] = []
    let bytes = Array(input.utf8)
    var from = 0
    while from < bytes.count {
        let end = min(bytes.count, from + min(piece, bytes.count))
        let part = Array(bytes[from..<end])
        var at = 0
        while true {
            switch part.withUnsafeBytes({ decoder.next($0, &at) }) {
            case .needMore:
                #expect(at == part.count)
            case .data(let range):
                body += part[range]
                continue
            case .end: return .success((String(decoding: body, as: UTF8.self), bytes.count - from - at))
            case .failure(let failure): return .failure(failure)
            }
            break
        }
        from = end
    }
    return nil
}

private func failure(
    _ input: String, maxBody: Int = 1 << 20, limits: HTTPLimits = HTTPLimits()
) -> HTTPFailure? {
    guard case .failure(let whole) = decode(input, maxBody: maxBody, limits: limits) else { return nil }
    guard case .failure(let pieces) = decode(input, piece: 1, maxBody: maxBody, limits: limits) else { return nil }
    #expect(whole == pieces)
    return whole
}

@Suite struct ChunkedDecoderTests {
    static let body = "5\r\nhello\r\n6;name=\"v\"\r\n world\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\nGET /"

    @Test(arguments: [1, 2, 3, 7, 1000])
    func chunksAreJoinedHoweverTheyArrive(piece: Int) throws {
        let decoded = try #require(decode(Self.body, piece: piece)).get()
        #expect(decoded.body == "hello world0123456789")
        #expect(decoded.rest == 5)
    }

    @Test func anEmptyBodyEndsAtOnce() throws {
        #expect(try #require(decode("0\r\n\r\n")).get().body == "")
    }

    @Test func noPrefixIsAnEnd() {
        let whole = Array(Self.body.utf8.dropLast(5))
        for count in 1..<whole.count { #expect(decode(String(decoding: whole[..<count], as: UTF8.self)) == nil) }
    }

    @Test func malformedChunkIsRefused() {
        let inputs = [
            "x\r\n", "\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "0x5\r\nhello\r\n", "+5\r\nhello\r\n", "-1\r\n",
            "5\nhello\r\n", "5\r\nhello\n", "5\r\nhelloX\r\n", "5\r\nhel\r\nlo", "5\rhello",
            "5;a\nb\r\nhello\r\n", "5;a\0\r\n", "123456789\r\n", "000000000\r\n\r\n",
        ]
        for input in inputs { #expect(failure(input) == .badChunk, "\(input.debugDescription)") }
    }

    @Test func malformedTrailerIsRefused() {
        let inputs = [
            "0\r\n bad: v\r\n\r\n", "0\r\na b: v\r\n\r\n", "0\r\na: v\n\r\n", "0\r\na: \0\r\n\r\n", "0\r\n\rX",
            "0\r\n\n",
        ]
        for input in inputs { #expect(failure(input) == .badTrailer, "\(input.debugDescription)") }
    }

    @Test func bodyOverTheLimitIsRefusedByItsAnnouncement() {
        #expect(failure("5\r\nhello\r\n6\r\n", maxBody: 10) == .bodyTooLarge)
        #expect(failure("ffffffff\r\n", maxBody: 10) == .bodyTooLarge)
        #expect(failure("5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n", maxBody: 10) == nil)
        #expect(HTTPFailure.bodyTooLarge.status == 413)
    }

    @Test func extensionsChunksAndTrailersAreLimited() {
        let long = String(repeating: "e", count: 65)
        #expect(failure("1;\(long)\r\n") == .chunkExtensionTooLong)
        let half = String(repeating: "1;\(long.prefix(50))\r\nx\r\n", count: 100)
        #expect(failure(half) == .chunkExtensionTooLong)
        var limits = HTTPLimits()
        limits.chunks = 3
        #expect(failure(String(repeating: "1\r\nx\r\n", count: 4), limits: limits) == .tooManyChunks)
        #expect(failure("0\r\n" + String(repeating: "a: b\r\n", count: 17)) == .trailersTooLong)
        #expect(failure("0\r\na: " + String(repeating: "b", count: 5000)) == .trailersTooLong)
    }
}
