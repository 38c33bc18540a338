import BrokerTestKit
import ByteBuffers
import HTTP2Wire
import HTTPWire

/// What a client of HTTP/2 sends: frames in any order, of any kind and length, cut anywhere. The first byte says to whom: an even one to
/// a session alone, an odd one to a small gateway over a socket (FuzzGateway.swift). The second is how long the pieces are (0: one).
/// Then frames, each a byte for what it is and what that needs (`FuzzFrames`).
///
/// To a session they come whole and in pieces, and it must hear of the same requests; then once more, and each request is answered:
/// what it sends must be frames that belong to a stream, in an order that a client understands, and no more than its share.
@Sendable func fuzzHTTP2(_ bytes: UnsafeRawBufferPointer) {
    var input = Input(bytes)
    let isForGateway = input.byte() & 1 == 1
    let piece = Int(input.byte())
    let sent = FuzzFrames.bytes(&input)
    if isForGateway {
        FuzzGateway.current().serve(sent, inPiecesOf: piece)
    } else {
        fuzzSession(sent, inPiecesOf: max(1, piece))
    }
}

/// Makes bytes of an input.
///
/// ```
///   0…9   type as it is: flags u8, stream u8, length u16, payload
///   10    fields: stream u8, flags u8, method and path u8, how many more u8, each: name u8, how it is spelled u8, length u8, value
///   11    fields as they are: stream u8, flags u8, length u16, block
///   12    bytes as they are: length u16
///   13    a body: stream u8, flags u8, length u16, the same byte over again
///   14    again what was there before, as often as u8 says, for the streams behind it
/// ```
enum FuzzFrames {
    private static let names = [
        "content-type", "content-length", "authorization", "x-forwarded-for", "idempotency-key", "partition-key",
        "content-encoding",
        "expect", "prefer", "accept", "te", "connection", "host", "cookie", "x-request-id", ":path", ":status", "Upper",
        "",
    ]
    private static let requests = [
        ("GET", "/healthz"), ("POST", "/v1/topics/t/events"), ("POST", "/events"), ("POST", "/typed"),
        ("GET", "/openapi.json"),
        ("GET", "/v1/topics/t/records?limit=5"), ("POST", "/topics/t"), ("GET", "/stats"), ("HEAD", "/"),
        ("OPTIONS", "*"),
        ("CONNECT", "a:1"), ("POST", ""),
    ]
    /// What is used most often is a byte.
    private static let values = [
        "application/json", "application/x-ndjson", "2", "Bearer good", "Bearer bad", "192.0.2.1", "192.0.2.2",
        "100-continue", "gzip",
        "\"key\"", "application/vnd.kafka.json.v2+json", "trailers",
    ]
    private static let mostBytes = 256 << 10

    static func bytes(_ input: inout Input) -> [UInt8] {
        let opening = input.byte()
        var out = opening == 0 ? [] : HTTP2Frame.opening([(4, UInt32(opening) << 8)])
        if opening > 1 { out += HTTP2Frame.settingsTaken.bytes }
        var last: [UInt8] = []
        while !input.isAtEnd, out.count < mostBytes {
            let kind = input.byte()
            if kind == 14 {
                for step in 1...Int(input.byte() & 127) + 1 where out.count < mostBytes {
                    out += shifted(last, by: 2 * step)
                }
                continue
            }
            last = frame(kind, &input)
            out += last
        }
        return out
    }

    private static func frame(_ kind: UInt8, _ input: inout Input) -> [UInt8] {
        if kind == 12 { return Array(input.take(input.uint16())) }
        if kind < 10 {
            let (flags, stream) = (input.byte(), UInt32(input.byte()))
            return HTTP2Frame(type: kind, flags: flags, stream: stream, Array(input.take(input.uint16()))).bytes
        }
        let (stream, flags) = (UInt32(input.byte()), input.byte())
        switch kind {
        case 11: return HTTP2Frame(.headers, flags: flags, stream: stream, Array(input.take(input.uint16()))).bytes
        case 13:
            let count = input.uint16()
            return HTTP2Frame(.body, flags: flags, stream: stream, [UInt8](repeating: input.byte(), count: count)).bytes
        default: return HTTP2Frame(.headers, flags: flags, stream: stream, fields(&input)).bytes
        }
    }

    private static func fields(_ input: inout Input) -> [UInt8] {
        let (method, path) = requests[Int(input.byte()) % requests.count]
        var block: [UInt8] = []
        for (name, value) in [(":method", method), (":scheme", "http"), (":path", path), (":authority", "h")] {
            block += field(Array(name.utf8), Array(value.utf8), 0)
        }
        for _ in 0..<input.byte() & 127 {
            let (name, spelling, length) = (Int(input.byte()), input.byte(), Int(input.byte()))
            let value = length < values.count ? Array(values[length].utf8) : Array(input.take(length - values.count))
            block += field(Array(names[name % names.count].utf8), value, spelling)
        }
        return block
    }

    /// A field, spelled out and never remembered, remembered, or the newest that is.
    private static func field(_ name: [UInt8], _ value: [UInt8], _ spelling: UInt8) -> [UInt8] {
        switch spelling & 3 {
        case 3: [0xbe]
        case let how:
            [how == 0 ? 0 : how == 1 ? 0x40 : 0x10, UInt8(name.count)] + name
                + (value.count < 127 ? [UInt8(value.count)] : [127, UInt8(value.count - 127)]) + value
        }
    }

    /// The same frame for another stream.
    private static func shifted(_ frame: [UInt8], by streams: Int) -> [UInt8] {
        guard frame.count >= 9 else { return frame }
        var frame = frame
        let stream = Int(frame[7]) << 8 + Int(frame[8]) + streams
        (frame[7], frame[8]) = (UInt8(stream >> 8 & 255), UInt8(stream & 255))
        return frame
    }
}

// MARK: A session alone

private func fuzzSession(_ bytes: [UInt8], inPiecesOf piece: Int) {
    let whole = Recorder(answers: false)
    whole.receive(bytes, inPiecesOf: bytes.count)
    let pieces = Recorder(answers: false)
    pieces.receive(bytes, inPiecesOf: piece)
    // What ends a connection for being too much goes by the second, too: one of the two may have heard of more.
    let (more, fewer) = whole.heard.count >= pieces.heard.count ? (whole, pieces) : (pieces, whole)
    insist(fewer.isOver || more.heard.count == fewer.heard.count, "the pieces matter")
    for (at, event) in fewer.heard.enumerated() {
        let isCut = at == fewer.heard.count - 1 && fewer.isOver
        insist(more.heard[at] == event || isCut && more.heard[at].begins(with: event), "the pieces matter at \(at)")
    }
    let answering = Recorder(answers: true)
    answering.receive(bytes, inPiecesOf: piece)
    // The shortest request has 13 bytes, and its reply some thousand.
    answering.checkOutput(most: 128 * bytes.count + 64 << 10)
}

/// Hears of streams, and answers them when it shall.
private final class Recorder: HTTP2StreamEvents {
    enum Event: Equatable {
        case began(Int32, isWhole: Bool, [UInt8])
        case body(Int32, [UInt8])
        case ended(Int32)
        case closed(Int32)

        func begins(with other: Event) -> Bool {
            if case .body(let stream, let bytes) = self, case .body(stream, let first) = other {
                return bytes.starts(with: first)
            }
            return false
        }
    }

    private(set) var heard: [Event] = []
    /// Nothing more is taken.
    private(set) var isOver = false
    private let answers: Bool
    private var session: HTTP2Session!
    private var output: [UInt8] = []
    private var open: Set<Int32> = []
    /// Bytes of replies that are still to be sent.
    private var left: [Int32: Int] = [:]
    /// Streams whose reply had nothing once.
    private var waited: Set<Int32> = []

    init(answers: Bool) {
        self.answers = answers
        session = HTTP2Session(self)
    }

    func receive(_ bytes: [UInt8], inPiecesOf piece: Int) {
        bytes.withUnsafeBytes { bytes in
            var at = 0
            while at < bytes.count, !isOver {
                let end = min(at + max(1, piece), bytes.count)
                isOver = session.receive(UnsafeRawBufferPointer(rebasing: bytes[at..<end]), now: 1) != nil
                at = end
                if answers { send() }
            }
        }
        if answers { send() }
    }

    private func send() {
        for stream in left.keys where left[stream]! > 0 { session.resumeBody(stream) }
        while let bytes = session.nextOutput() { output += bytes }
    }

    // MARK: Streams

    func requestBegan(_ stream: Int32, _ fields: consuming FieldBlock, isWhole: Bool) {
        insist(open.insert(stream).inserted, "a stream begins twice")
        var head = RequestHead()
        var text: [UInt8] = []
        if head.take(fields, bodyLength: isWhole ? 0 : nil) == nil {
            text += Array("\(head.method.name)".utf8) + Array(head.path) + Array(head.query) + Array(head.authority)
            for index in 0..<head.fieldCount { text += Array(head.fieldName(index)) + Array(head.fieldValue(index)) }
        }
        heard.append(.began(stream, isWhole: isWhole, text))
        if answers, isWhole || stream % 4 == 1 { answer(stream) }
    }

    func bodyArrived(_ stream: Int32, _ piece: UnsafeRawBufferPointer) -> Bool {
        insist(open.contains(stream), "a body of nobody")
        if case .body(stream, let bytes)? = heard.last {
            heard[heard.count - 1] = .body(stream, bytes + piece)
        } else if piece.count > 0 {
            heard.append(.body(stream, Array(piece)))
        }
        // Some of it is kept for ever, and some given back later.
        if stream % 8 != 3 { return true }
        if stream % 16 == 3 { session.bodyTaken(stream, piece.count) }
        return false
    }

    func bodyEnded(_ stream: Int32) {
        insist(open.contains(stream), "the end of nobody's body")
        heard.append(.ended(stream))
        if answers, stream % 4 != 1 { answer(stream) }
    }

    func replyLeft(_ stream: Int32) {
        insist(answers && open.contains(stream), "a reply of nobody left")
        session.reset(stream, .noError)
    }

    func streamClosed(_ stream: Int32) {
        // Of one whose fields were never whole nothing was heard.
        guard open.remove(stream) != nil else { return }
        left[stream] = nil
        heard.append(.closed(stream))
    }

    private func answer(_ stream: Int32) {
        let head: StaticString = "Content-Type: text/plain\r\nX-Request-Id: abc\r\n"
        let hasBody = stream % 3 != 0
        if hasBody { left[stream] = min(Int(stream) * 10, 1_000) }
        session.respond(
            stream, status: 200, head: UnsafeRawBufferPointer(start: head.utf8Start, count: head.utf8CodeUnitCount),
            hasBody: hasBody)
    }

    func bodyWanted(_ stream: Int32, _ space: UnsafeMutableRawBufferPointer) -> HTTP2BodyPart {
        guard let rest = left[stream] else { return .last(0) }
        if stream % 5 == 0, waited.insert(stream).inserted { return .later }
        let count = min(rest, space.count, 100)
        for index in 0..<count { space[index] = 0x61 }
        left[stream] = rest - count
        return rest == count ? .last(count) : .bytes(count)
    }

    /// What was sent is what a client may get.
    func checkOutput(most: Int) {
        insist(output.count <= most, "\(output.count) bytes are sent for too few")
        FuzzReplies().take(output)
    }
}

/// What a server sends, as its client understands it; one that does not is told by a trap.
final class FuzzReplies {
    private let reader = HTTP2FrameReader()
    private var ended: Set<UInt32> = []
    private var answered: Set<UInt32> = []

    func take(_ bytes: some Sequence<UInt8>) {
        reader.take(bytes)
        while let frame = reader.next() {
            insist(frame.payload.count <= 16 << 10, "a frame of \(frame.payload.count) bytes")
            switch frame.kind {
            case .headers:
                insist(!ended.contains(frame.stream), "fields behind the end of stream \(frame.stream)")
                let fields = reader.fields(of: frame.payload)
                insist(fields.first?.name == ":status", "a reply without its status")
                if fields.first?.value != "100" {
                    insist(answered.insert(frame.stream).inserted, "stream \(frame.stream) is answered twice")
                }
            case .body:
                insist(answered.contains(frame.stream) && !ended.contains(frame.stream), "a body of no reply")
            case .settings, .ping, .goAway:
                insist(frame.stream == 0)
                continue
            case .reset:
                ended.insert(frame.stream)
                continue
            case .windowUpdate: continue
            default: fatalError("a server sends a frame of type \(frame.type)")
            }
            if frame.flags & HTTP2Frame.Flag.endStream != 0 { ended.insert(frame.stream) }
        }
    }
}
