import BrokerTestKit
import HTTP2Wire
import HTTPWire
import Testing

/// What a peer does too much of ends its connection.
@Suite struct HTTP2AbuseTests {
    private static let get = HTTP2Frame.fields("GET", "/")

    /// Sends until the session refuses more; gives how often. The output is read now and then, or not at all.
    private func flood(_ stage: Stage, reads: Bool = true, _ frame: (Int) -> [HTTP2Frame]) -> Int {
        for round in 0..<5000 {
            stage.send(frame(round).flatMap(\.bytes))
            let isOver = reads && stage.received().contains { $0.kind == .goAway }
            if stage.failure != nil || isOver || reads && stage.session.isOver { return round + 1 }
        }
        return 5000
    }

    /// CVE-2023-44487.
    @Test func streamsThatAreResetAtOnceEndTheConnection() {
        let stage = Stage()
        let count = flood(stage) { round in
            let stream = UInt32(2 * round + 1)
            return [HTTP2Frame.headers(stream, Self.get), HTTP2Frame.reset(stream)]
        }
        #expect((200...400).contains(count), "\(count)")
    }

    /// CVE-2019-9512, CVE-2019-9515: who reads the answers, and who does not.
    @Test(arguments: [true, false])
    func pingsAndSettingsEndTheConnection(reads: Bool) {
        for frame in [
            HTTP2Frame(.ping, [UInt8](repeating: 1, count: 8)), HTTP2Frame.settings([(4, 65_535)]),
        ] {
            let count = flood(Stage(), reads: reads) { _ in [frame] }
            #expect(count < 600, "\(frame.type): \(count)")
        }
    }

    /// CVE-2019-9518, with and without padding; windows that nobody waits for.
    @Test func framesThatBringNothingEndTheConnection() {
        let frames = [
            HTTP2Frame.body(1, [], ends: false),
            HTTP2Frame.padding(1, 9),
            HTTP2Frame.windowUpdate(1, 1), HTTP2Frame.windowUpdate(0, 1),
        ]
        for frame in frames {
            let stage = Stage()
            stage.send(HTTP2Frame.headers(1, Self.get, ends: false))
            let count = flood(stage) { _ in [frame] }
            #expect((100...600).contains(count), "\(frame): \(count)")
        }
    }

    /// Clients open a window for each frame that comes, and one of the connection beside it.
    @Test func windowsForWhatWasSentAreTaken() {
        let stage = Stage(opens: false)
        stage.send(HTTP2Frame.opening([(4, 1 << 30)]) + HTTP2Frame.windowUpdate(0, 1 << 30).bytes)
        stage.send(HTTP2Frame.headers(1, Self.get))
        stage.recorder.replies[1] = [UInt8](repeating: 1, count: 10 << 20)
        stage.respond(1, 200, hasBody: true)
        let count = stage.received().count { $0.kind == .body }
        #expect(count > 600)
        for _ in 0..<count { stage.send(HTTP2Frame.windowUpdate(0, 1), HTTP2Frame.windowUpdate(1, 1)) }
        #expect(stage.failure == nil && !stage.session.isOver)
    }

    /// What is allowed comes back with time.
    @Test func aPingNowAndThenIsTaken() {
        let stage = Stage()
        for _ in 0..<2000 {
            stage.now += 20_000_000
            stage.send(HTTP2Frame(.ping, [UInt8](repeating: 1, count: 8)))
            #expect(stage.received().count == 1)
        }
        #expect(stage.failure == nil)
    }

    /// CVE-2025-8671: frames that have the server reset the stream.
    @Test func streamsThatAreSpoiltEndTheConnection() {
        let stage = Stage()
        let count = flood(stage) { round in
            let stream = UInt32(2 * round + 1)
            return [HTTP2Frame.headers(stream, Self.get, ends: false), HTTP2Frame.windowUpdate(stream, 0)]
        }
        #expect(count < 200, "\(count)")
    }

    /// CVE-2024-28182.
    @Test func continuationsAreCounted() {
        let stage = Stage()
        stage.send(HTTP2Frame.headers(1, Self.get, areWhole: false))
        var count = 0
        while stage.failure == nil, !stage.session.isOver, count < 100 {
            stage.send(HTTP2Frame(.continuation, stream: 1, HTTP2Frame.block([("a", "b")])))
            _ = stage.received()
            count += 1
        }
        #expect(count <= 7 && stage.recorder.events.isEmpty)
    }

    @Test func moreStreamsThanAllowedAreNoMoreRequests() {
        let stage = Stage()
        for number in 0..<101 { stage.send(HTTP2Frame.headers(UInt32(2 * number + 1), Self.get)) }
        #expect(stage.recorder.events.count == 100)
    }

    /// Between what a head may have and what is gone through at all the request is answered.
    @Test func fieldsThatAreTooMuchAreToldSo() {
        for (fields, failure) in [
            ([("a", String(repeating: "b", count: 8 << 10))], HTTPFailure.fieldLineTooLong),
            ((0..<5).map { ("a\($0)", String(repeating: "b", count: 8000)) }, .fieldBlockTooLong),
            ((0..<101).map { ("a\($0)", "b") }, .tooManyFields),
            ([(":path", "/" + String(repeating: "b", count: 8 << 10))], .requestLineTooLong),
        ] {
            let stage = Stage()
            let named = Set(fields.map(\.0))
            let all = Self.get.filter { !named.contains($0.0) } + fields
            let bytes = HTTP2Frame.block(all)
            let pieces = stride(from: 0, to: bytes.count, by: 16_000).map {
                Array(bytes[$0..<min($0 + 16_000, bytes.count)])
            }
            for (number, piece) in pieces.enumerated() {
                let isLast = number == pieces.count - 1
                stage.send(
                    HTTP2Frame(
                        number == 0 ? .headers : .continuation,
                        flags: (number == 0 ? HTTP2Frame.Flag.endStream : 0)
                            | (isLast ? HTTP2Frame.Flag.endHeaders : 0), stream: 1, piece))
            }
            #expect(stage.recorder.failures[1] == failure)
        }
    }

    /// A byte stands for a field of 4 KB that was sent once.
    @Test func fieldsThatAreFarTooMuchAreNotGoneThrough() {
        let stage = Stage()
        // With incremental indexing: a name of one byte, a value of 3,000; then by its place in the table.
        let value = [UInt8](repeating: UInt8(ascii: "v"), count: 3000)
        let length: [UInt8] = [0x7f, UInt8((3000 - 127) & 127) | 128, UInt8((3000 - 127) >> 7)]
        let bomb = [0x40, 1, UInt8(ascii: "a")] + length + value + [UInt8](repeating: 0x80 | 62, count: 10_000)
        stage.send(
            HTTP2Frame(
                .headers, flags: HTTP2Frame.Flag.endStream | HTTP2Frame.Flag.endHeaders, stream: 1,
                HTTP2Frame.block(Self.get) + bomb))
        let frames = stage.received()
        #expect(frames.contains { $0.kind == .reset && $0.stream == 1 } || stage.failure != nil)
        #expect(!stage.recorder.events.contains { if case .began = $0 { true } else { false } })
    }
}

/// The cases of RFC 9113 that tests of conformance ask for: what ends a stream, and what a connection, and by which code.
@Suite struct HTTP2ConformanceTests {
    enum End: Equatable {
        case stream(UInt32)
        case connection(UInt32)
        case nothing
    }

    private static let get = HTTP2Frame.fields("GET", "/")
    private static let post = HTTP2Frame.fields("POST", "/")
    private static let protocolError: UInt32 = 1
    private static let flowControl: UInt32 = 3
    private static let closed: UInt32 = 5
    private static let frameSize: UInt32 = 6
    private static let compression: UInt32 = 9

    private static func frames(_ frames: HTTP2Frame...) -> [UInt8] { frames.flatMap(\.bytes) }

    /// Added one by one: as one literal the compiler would look at all of them at once.
    static let cases: [(name: String, bytes: [UInt8], end: End)] = {
        var all: [(name: String, bytes: [UInt8], end: End)] = []
        func add(_ name: String, _ bytes: [UInt8], _ end: End) { all.append((name, bytes, end)) }
        // 3.4
        add("a frame of a kind that nobody knows", frames(HTTP2Frame(type: 0xee, [1, 2])), .nothing)
        // 4.2, 4.3
        add("a frame longer than it may be", frames(HTTP2Frame.headers(1, get, ends: false), HTTP2Frame.body(1, [UInt8](repeating: 0, count: 16_385))), .connection(frameSize))
        add("fields that cannot be unpacked", frames(HTTP2Frame(type: 1, flags: 5, stream: 1, [0xff, 0xff, 0xff, 0xff, 0xff])), .connection(compression))
        add("a place in a table that is not there", frames(HTTP2Frame(type: 1, flags: 5, stream: 1, [0x80])), .connection(compression))
        // 5.1
        add("a body of a stream that was not begun", frames(HTTP2Frame.body(1, [1])), .connection(protocolError))
        add("a reset of a stream that was not begun", frames(HTTP2Frame.reset(1)), .connection(protocolError))
        add("a window of a stream that was not begun", frames(HTTP2Frame.windowUpdate(1, 5)), .connection(protocolError))
        add("a continuation of nothing", frames(HTTP2Frame(type: 9, flags: 4, stream: 1, [])), .connection(protocolError))
        add("a body behind the end", frames(HTTP2Frame.headers(1, get), HTTP2Frame.body(1, [1])), .stream(closed))
        add("fields behind the end", frames(HTTP2Frame.headers(1, get), HTTP2Frame.headers(1, get)), .connection(closed))
        // 5.1.1
        add("a stream of an even number", frames(HTTP2Frame.headers(2, get)), .connection(protocolError))
        // The library takes the lower one for one that was closed, and passes over it.
        add("streams that go down", frames(HTTP2Frame.headers(5, get), HTTP2Frame.headers(3, get)), .nothing)
        // 6.1
        add("a body of the connection", frames(HTTP2Frame.body(0, [1])), .connection(protocolError))
        add("padding longer than the frame", frames(HTTP2Frame.headers(1, post, ends: false), HTTP2Frame(type: 0, flags: 8, stream: 1, [9, 1])), .connection(protocolError))
        // 6.2
        add("fields of the connection", frames(HTTP2Frame.headers(0, get)), .connection(protocolError))
        add("another frame within fields", frames(HTTP2Frame.headers(1, get, areWhole: false), HTTP2Frame(type: 6, [UInt8](repeating: 0, count: 8))), .connection(protocolError))
        // 6.4
        add("a reset of another length", frames(HTTP2Frame.headers(1, get), HTTP2Frame(type: 3, stream: 1, [0, 0, 0])), .connection(frameSize))
        add("a reset of the connection", frames(HTTP2Frame.reset(0)), .connection(protocolError))
        // 6.5
        add("settings of a stream", frames(HTTP2Frame(type: 4, stream: 1, [])), .connection(protocolError))
        add("settings of another length", frames(HTTP2Frame(type: 4, [0, 1, 0])), .connection(frameSize))
        add("an answer to settings with some", frames(HTTP2Frame(type: 4, flags: 1, [0, 1, 0, 0, 0, 1])), .connection(frameSize))
        add("a push that is neither on nor off", frames(HTTP2Frame.settings([(2, 2)])), .connection(protocolError))
        add("a window above 2^31 - 1", frames(HTTP2Frame.settings([(4, 0x8000_0000)])), .connection(flowControl))
        add("frames shorter than they must be", frames(HTTP2Frame.settings([(5, 16_383)])), .connection(protocolError))
        add("a setting that nobody knows", frames(HTTP2Frame.settings([(0x99, 1)])), .nothing)
        // 6.7
        add("a ping of a stream", frames(HTTP2Frame(type: 6, stream: 1, [UInt8](repeating: 0, count: 8))), .connection(protocolError))
        add("a ping of another length", frames(HTTP2Frame(type: 6, [0])), .connection(frameSize))
        // 6.8
        add("an end of a stream's connection", frames(HTTP2Frame(type: 7, stream: 1, [UInt8](repeating: 0, count: 8))), .connection(protocolError))
        // 6.9
        add("a window that grows by nothing", frames(HTTP2Frame.windowUpdate(0, 0)), .connection(protocolError))
        add("a stream's window that grows by nothing", frames(HTTP2Frame.headers(1, get, ends: false), HTTP2Frame.windowUpdate(1, 0)), .stream(protocolError))
        add("a window of another length", frames(HTTP2Frame(type: 8, [0, 0, 1])), .connection(frameSize))
        add("a window that grows beyond all", frames(HTTP2Frame.windowUpdate(0, 0x7fff_ffff)), .connection(flowControl))
        add("a stream's window that grows beyond all", frames(HTTP2Frame.headers(1, get, ends: false), HTTP2Frame.windowUpdate(1, 0x7fff_ffff)), .stream(flowControl))
        // 8.1
        add("fields behind a body that do not end it", frames(HTTP2Frame.headers(1, post, ends: false), HTTP2Frame.body(1, [1], ends: false), HTTP2Frame.headers(1, [("a", "b")], ends: false)), .stream(protocolError))
        // 8.2
        add("a name in capitals", frames(HTTP2Frame.headers(1, get + [("X-A", "b")])), .stream(protocolError))
        add("a name with a colon in it", frames(HTTP2Frame.headers(1, get + [("a:b", "c")])), .stream(protocolError))
        add("a value with a line end", frames(HTTP2Frame.headers(1, get + [("a", "b\r\nc: d")])), .stream(protocolError))
        add("a field of the connection", frames(HTTP2Frame.headers(1, get + [("connection", "close")])), .stream(protocolError))
        add("a coding of the transfer", frames(HTTP2Frame.headers(1, post + [("transfer-encoding", "chunked")], ends: false)), .stream(protocolError))
        add("te that is not trailers", frames(HTTP2Frame.headers(1, get + [("te", "gzip")])), .stream(protocolError))
        // 8.3
        add("a pseudo field that nobody knows", frames(HTTP2Frame.headers(1, get + [(":test", "a")])), .stream(protocolError))
        add("a pseudo field of a reply", frames(HTTP2Frame.headers(1, get + [(":status", "200")])), .stream(protocolError))
        add("a pseudo field behind others", frames(HTTP2Frame.headers(1, [("a", "b")] + get)), .stream(protocolError))
        add("a pseudo field in trailers", frames(HTTP2Frame.headers(1, post, ends: false), HTTP2Frame.headers(1, [(":method", "GET")])), .stream(protocolError))
        add("no path", frames(HTTP2Frame.headers(1, get.filter { $0.0 != ":path" })), .stream(protocolError))
        add("an empty path", frames(HTTP2Frame.headers(1, get.map { $0.0 == ":path" ? (":path", "") : $0 })), .stream(protocolError))
        add("no method", frames(HTTP2Frame.headers(1, get.filter { $0.0 != ":method" })), .stream(protocolError))
        add("no scheme", frames(HTTP2Frame.headers(1, get.filter { $0.0 != ":scheme" })), .stream(protocolError))
        add("two methods", frames(HTTP2Frame.headers(1, [(":method", "GET")] + get)), .stream(protocolError))
        // 8.1.1
        add("a body longer than it was told", frames(HTTP2Frame.headers(1, post + [("content-length", "1")], ends: false), HTTP2Frame.body(1, [1, 2])), .stream(protocolError))
        add("a body shorter than it was told", frames(HTTP2Frame.headers(1, post + [("content-length", "2")], ends: false), HTTP2Frame.body(1, [1])), .stream(protocolError))
        add("two lengths", frames(HTTP2Frame.headers(1, post + [("content-length", "1"), ("content-length", "2")], ends: false)), .stream(protocolError))
        // 8.4
        add("a push of a client", frames(HTTP2Frame(type: 5, flags: 4, stream: 1, [0, 0, 0, 2])), .connection(protocolError))
        return all
    }()

    @Test(arguments: cases.map(\.name))
    func whatIsWrongEndsWhatItMust(name: String) throws {
        let known = try #require(Self.cases.first { $0.name == name })
        let stage = Stage()
        stage.send(known.bytes)
        let frames = stage.received()
        let away = frames.first { $0.kind == .goAway }
        let reset = frames.first { $0.kind == .reset }
        switch known.end {
        case .connection(let code):
            #expect(away?.number(at: 4) == code, "\(frames)")
            #expect(stage.session.isOver)
        case .stream(let code):
            // To end the connection instead is always allowed (5.4.2).
            #expect(away?.number(at: 4) == code || reset?.number(at: 0) == code && reset?.stream == 1, "\(frames)")
        case .nothing:
            #expect(away == nil && reset == nil && !stage.session.isOver)
            stage.send(HTTP2Frame(.ping, [UInt8](repeating: 5, count: 8)))
            #expect(stage.received().map(\.payload) == [[UInt8](repeating: 5, count: 8)])
        }
        #expect(stage.failure == nil)
    }

    @Test func anotherBeginningIsNone() {
        let stage = Stage(opens: false)
        stage.send(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        #expect(stage.failure != nil)
    }
}
