import BrokerTestKit
import HTTP2Wire
import HTTPWire
import Testing

/// What a session tells of, and answers.
final class Recorder: HTTP2StreamEvents {
    enum Event: Equatable {
        case began(Int32, String, isWhole: Bool)
        case body(Int32, [UInt8])
        case ended(Int32)
        case closed(Int32)
        case left(Int32)
    }

    var events: [Event] = []
    var failures: [Int32: HTTPFailure] = [:]
    /// Whether pieces of bodies are kept.
    var keeps = false
    var replies: [Int32: [UInt8]] = [:]
    private var sent: [Int32: Int] = [:]
    private var head = RequestHead()

    func requestBegan(_ stream: Int32, _ fields: consuming FieldBlock, isWhole: Bool) {
        failures[stream] = head.take(fields, bodyLength: isWhole ? 0 : nil)
        let target = failures[stream] == nil ? "\(head.method.name) \(String(decoding: head.path, as: UTF8.self))" : "-"
        events.append(.began(stream, target, isWhole: isWhole))
    }

    func bodyArrived(_ stream: Int32, _ piece: UnsafeRawBufferPointer) -> Bool {
        events.append(.body(stream, Array(piece)))
        return !keeps
    }

    func bodyEnded(_ stream: Int32) { events.append(.ended(stream)) }
    func streamClosed(_ stream: Int32) { events.append(.closed(stream)) }
    func replyLeft(_ stream: Int32) { events.append(.left(stream)) }

    func bodyWanted(_ stream: Int32, _ space: UnsafeMutableRawBufferPointer) -> HTTP2BodyPart {
        guard let reply = replies[stream] else { return .later }
        let start = sent[stream, default: 0]
        let count = min(reply.count - start, space.count)
        space.copyBytes(from: reply[start..<start + count])
        sent[stream] = start + count
        return start + count == reply.count ? .last(count) : .bytes(count)
    }

    /// Pieces of one body put together.
    func body(_ stream: Int32) -> [UInt8] {
        events.flatMap { event -> [UInt8] in if case .body(stream, let piece) = event { piece } else { [] } }
    }
}

/// A session, what it tells, and a peer that reads what it says.
final class Stage {
    let recorder = Recorder()
    let session: HTTP2Session
    let reader = HTTP2FrameReader()
    var failure: HTTP2Session.Failure?
    var now: Int64 = 1_000_000_000

    init(_ limits: HTTP2Limits = HTTP2Limits(), opens: Bool = true, space: HTTP2FrameSpace = HTTP2FrameSpace()) {
        session = HTTP2Session(recorder, limits: limits, space: space)
        if opens {
            send(HTTP2Frame.opening())
            send(HTTP2Frame.settingsTaken.bytes)
            _ = received()
        }
    }

    func send(_ bytes: [UInt8]) {
        guard failure == nil else { return }
        failure = bytes.withUnsafeBytes { session.receive($0, now: now) }
    }

    func send(_ frames: HTTP2Frame...) { send(frames.flatMap(\.bytes)) }

    func received() -> [HTTP2Frame] {
        while let bytes = session.nextOutput() { reader.take(bytes) }
        var frames: [HTTP2Frame] = []
        while let frame = reader.next() { frames.append(frame) }
        return frames
    }

    func respond(_ stream: Int32, _ status: Int, _ lines: String = "", hasBody: Bool = false) {
        Array(lines.utf8).withUnsafeBytes { session.respond(stream, status: status, head: $0, hasBody: hasBody) }
    }
}

@Suite struct HTTP2SessionTests {
    private static let post = HTTP2Frame.fields("POST", "/events?a=1", [("content-type", "application/json")])

    @Test(arguments: [1, 2, 7, 100_000])
    func aRequestIsToldHoweverItsBytesCome(piece: Int) {
        let stage = Stage(opens: false)
        let bytes =
            HTTP2Frame.opening() + HTTP2Frame.settingsTaken.bytes + HTTP2Frame.headers(1, Self.post, ends: false).bytes
            + HTTP2Frame.body(1, [1, 2, 3], ends: false).bytes + HTTP2Frame.body(1, [4]).bytes
            + HTTP2Frame.headers(3, HTTP2Frame.fields("GET", "/healthz")).bytes
        for start in stride(from: 0, to: bytes.count, by: piece) {
            stage.send(Array(bytes[start..<min(start + piece, bytes.count)]))
        }
        #expect(stage.failure == nil)
        #expect(stage.recorder.body(1) == [1, 2, 3, 4])
        let told = stage.recorder.events.filter { if case .body = $0 { false } else { true } }
        #expect(
            told == [
                .began(1, "POST /events", isWhole: false), .ended(1), .began(3, "GET /healthz", isWhole: true),
            ])
    }

    @Test func theOpeningSaysTheLimits() {
        let stage = Stage(opens: false)
        let settings = stage.received()[0]
        #expect(settings.kind == .settings)
        var said: [UInt16: UInt32] = [:]
        for place in stride(from: 0, to: settings.payload.count, by: 6) {
            let id = UInt16(settings.payload[place]) << 8 | UInt16(settings.payload[place + 1])
            said[id] = settings.number(at: place + 2)
        }
        #expect(said == [3: 100, 4: 256 << 10, 6: 40 << 10, 9: 1])
    }

    /// Frames of several sessions are put together in one place, in turn, and each says what is its own. The fields of these replies are
    /// longer than a frame.
    @Test func sessionsShareTheSpaceOfFrames() {
        let space = HTTP2FrameSpace()
        let stages = (0..<3).map { _ in Stage(space: space) }
        func body(_ number: Int) -> [UInt8] { (0..<50_000).map { UInt8(truncatingIfNeeded: $0 / 7 + number * 50) } }
        func field(_ number: Int, _ index: Int) -> String { String(repeating: "\(number)\(index)", count: 3_000) }
        for (number, stage) in stages.enumerated() {
            stage.send(HTTP2Frame.headers(1, HTTP2Frame.fields("GET", "/")))
            stage.recorder.replies[1] = body(number)
            let lines = (0..<5).map { "X-\($0): \(field(number, $0))\r\n" }.joined()
            stage.respond(1, 200, lines, hasBody: true)
        }
        var isMore = true
        while isMore {
            isMore = false
            for stage in stages {
                guard let bytes = stage.session.nextOutput() else { continue }
                stage.reader.take(bytes)
                isMore = true
            }
        }
        for (number, stage) in stages.enumerated() {
            var block: [UInt8] = []
            var found: [UInt8] = []
            var frames = 0
            while let frame = stage.reader.next() {
                frames += 1
                switch frame.kind {
                case .headers, .continuation: block += frame.payload
                case .body: found += frame.payload
                default: continue
                }
            }
            #expect(frames > 5)
            #expect(stage.reader.fields(of: block).map(\.value) == ["200"] + (0..<5).map { field(number, $0) })
            #expect(found == body(number))
        }
    }

    /// What was given back is there again when it is used.
    @Test func aSessionThatHasRestedGoesOn() throws {
        let stage = Stage()
        for round in 0..<3 {
            let first = Int32(round * 20 + 1)
            stage.session.rest()
            for stream in stride(from: first, to: first + 20, by: 2) {
                stage.send(HTTP2Frame.headers(UInt32(stream), HTTP2Frame.fields("GET", "/a\(stream)")))
                // With streams it keeps what it has.
                stage.session.rest()
            }
            for stream in stride(from: first, to: first + 20, by: 2) { stage.respond(stream, 204) }
            #expect(stage.received().map(\.kind) == Array(repeating: .headers, count: 10))
        }
        #expect(stage.failure == nil)
        let begun = stage.recorder.events.filter { if case .began = $0 { true } else { false } }
        #expect(begun == stride(from: Int32(1), to: 60, by: 2).map { .began($0, "GET /a\($0)", isWhole: true) })
    }

    @Test func aReplyIsFieldsAndABody() {
        let stage = Stage()
        stage.send(HTTP2Frame.headers(1, HTTP2Frame.fields("GET", "/")))
        stage.recorder.replies[1] = Array("hello".utf8)
        stage.respond(1, 201, "Content-Type: text/plain\r\nX-Request-Id: a: b\r\n", hasBody: true)
        let frames = stage.received()
        #expect(frames.map(\.kind) == [.headers, .body])
        let fields = stage.reader.fields(of: frames[0].payload)
        #expect(fields.map(\.name) == [":status", "content-type", "x-request-id"])
        #expect(fields.map(\.value) == ["201", "text/plain", "a: b"])
        #expect(frames[1].payload == Array("hello".utf8) && frames[1].flags & HTTP2Frame.Flag.endStream != 0)
        _ = stage.received()
        #expect(stage.recorder.events.last == .closed(1))
    }

    @Test func aReplyWithoutABodyEndsWithItsFields() {
        let stage = Stage()
        stage.send(HTTP2Frame.headers(1, HTTP2Frame.fields("OPTIONS", "/")))
        stage.respond(1, 204)
        let frames = stage.received()
        #expect(frames.count == 1 && frames[0].flags & HTTP2Frame.Flag.endStream != 0)
    }

    /// RFC 9113, 8.1: the client may stop sending, and has its reply.
    @Test func whatIsAnsweredEarlyGoesOnUntilItIsReset() {
        let stage = Stage()
        stage.send(HTTP2Frame.headers(1, Self.post, ends: false))
        stage.recorder.replies[1] = [1]
        stage.respond(1, 413, hasBody: true)
        #expect(stage.received().map(\.kind) == [.headers, .body])
        _ = stage.received()
        #expect(stage.recorder.events.last == .left(1))
        stage.send(HTTP2Frame.body(1, [1], ends: false))
        #expect(stage.recorder.body(1) == [1])
        stage.session.reset(1, .noError)
        let frames = stage.received()
        #expect(frames.map(\.kind) == [.reset] && frames[0].number(at: 0) == 0)
        stage.send(HTTP2Frame.body(1, [1, 2, 3]))
        #expect(stage.failure == nil && stage.recorder.body(1) == [1])
    }

    @Test func aBodyThatIsKeptClosesItsWindow() {
        let stage = Stage()
        stage.recorder.keeps = true
        stage.send(HTTP2Frame.headers(1, Self.post, ends: false))
        let piece = [UInt8](repeating: 7, count: 16 << 10)
        for _ in 0..<16 { stage.send(HTTP2Frame.body(1, piece, ends: false)) }
        // All of the stream's window is used, and only the connection's is opened again.
        #expect(stage.received().filter { $0.kind == .windowUpdate }.allSatisfy { $0.stream == 0 })
        stage.session.bodyTaken(1, 256 << 10)
        let updates = stage.received().filter { $0.kind == .windowUpdate }
        #expect(updates.map(\.stream) == [1] && updates[0].number(at: 0) == 256 << 10)
        stage.send(HTTP2Frame.body(1, piece, ends: false))
        #expect(stage.recorder.body(1).count == 17 * piece.count)
    }

    @Test func aBodyThatIsTakenOpensItsWindow() {
        let stage = Stage()
        stage.send(HTTP2Frame.headers(1, Self.post, ends: false))
        for _ in 0..<64 {
            stage.send(HTTP2Frame.body(1, [UInt8](repeating: 7, count: 16 << 10), ends: false))
            #expect(!stage.received().contains { $0.kind == .reset })
        }
        #expect(stage.recorder.body(1).count == 1 << 20)
    }

    @Test func windowsOfThePeerAreKept() {
        let stage = Stage(opens: false)
        // A window of 10 bytes for each stream.
        stage.send(HTTP2Frame.opening([(4, 10)]))
        _ = stage.received()
        stage.send(HTTP2Frame.headers(1, HTTP2Frame.fields("GET", "/")))
        stage.recorder.replies[1] = [UInt8](repeating: 1, count: 25)
        stage.respond(1, 200, hasBody: true)
        func sent() -> Int {
            stage.received().filter { $0.kind == .body }.reduce(0) { $0 + $1.payload.count }
        }
        #expect(sent() == 10)
        stage.send(HTTP2Frame.windowUpdate(1, 12))
        #expect(sent() == 12)
        stage.send(HTTP2Frame.windowUpdate(1, 100))
        #expect(sent() == 3)
    }

    @Test func aBodyThatComesLaterIsResumed() {
        let stage = Stage()
        stage.send(HTTP2Frame.headers(1, HTTP2Frame.fields("GET", "/")))
        stage.respond(1, 200, hasBody: true)
        #expect(stage.received().map(\.kind) == [.headers])
        stage.recorder.replies[1] = [9]
        #expect(stage.received().isEmpty)
        stage.session.resumeBody(1)
        #expect(stage.received().map(\.payload) == [[9]])
    }

    @Test func anEndIsAnnouncedAndThenSaid() {
        let stage = Stage()
        stage.send(HTTP2Frame.headers(1, HTTP2Frame.fields("GET", "/")))
        stage.session.announceEnd()
        var away = stage.received()
        #expect(away.map(\.kind) == [.goAway] && away[0].number(at: 0) == 0x7fff_ffff)
        // Had been sent before it heard of it.
        stage.send(HTTP2Frame.headers(3, HTTP2Frame.fields("GET", "/")))
        #expect(stage.recorder.events.count == 2)
        stage.session.goAway()
        away = stage.received()
        #expect(away[0].kind == .goAway && away[0].number(at: 0) == 3)
        stage.send(HTTP2Frame.headers(5, HTTP2Frame.fields("GET", "/")))
        #expect(stage.recorder.events.count == 2 && !stage.session.isOver)
        for id in [Int32(1), 3] { stage.respond(id, 200) }
        _ = stage.received()
        #expect(stage.session.isOver)
    }

    @Test func continueIsSaidBeforeTheReply() {
        let stage = Stage()
        stage.send(HTTP2Frame.headers(1, Self.post + [("expect", "100-continue")], ends: false))
        stage.session.sendContinue(1)
        stage.send(HTTP2Frame.body(1, [1]))
        stage.respond(1, 200)
        let statuses = stage.received().filter { $0.kind == .headers }
            .map { stage.reader.fields(of: $0.payload)[0].value }
        #expect(statuses == ["100", "200"])
    }

    @Test func trailersEndABody() {
        let stage = Stage()
        stage.send(HTTP2Frame.headers(1, Self.post, ends: false), HTTP2Frame.body(1, [1], ends: false))
        stage.send(HTTP2Frame.headers(1, [("x-check", "1")]))
        #expect(stage.recorder.events.last == .ended(1))
    }
}
