import BrokerCore
import BrokerTestKit
import ByteBuffers
import Foundation
import IngestGateway
import RecordFormat
import StorageIO
import Testing
import Transport

/// What ends a body in windows from outside: its client, the time, the server; and what a worker does with it meanwhile.
@Suite struct WindowEndTests {
    enum Version: CaseIterable {
        case first, second
    }

    /// A request whose body is sent part by part.
    private final class Sender {
        private var first: HTTPClient?
        private let second: HTTP2Client?
        private var stream: UInt32 = 0

        /// Begins one of 10,000 bytes.
        init(_ node: GatewayHarness, _ version: Version, _ part: String) throws {
            switch version {
            case .first:
                (first, second) = (try node.connect(), nil)
                let fields = "Host: h\r\nContent-Length: 10000\r\nContent-Type: application/x-ndjson"
                try first?.send("POST \(WindowEndTests.events) HTTP/1.1\r\n\(fields)\r\n\r\n\(part)")
            case .second:
                let client = try HTTP2Client(port: node.port)
                (first, second) = (nil, client)
                stream = client.request(
                    "POST", WindowEndTests.events, Array(part.utf8),
                    [("content-type", "application/x-ndjson"), ("content-length", "10000")], ends: false)
            }
        }

        func send(_ part: String) throws {
            try first?.send(part)
            second?.body(stream, Array(part.utf8), ends: false)
        }

        func reply() throws -> HTTPReply {
            if let first { return try first.receive() }
            return try #require(second).reply(stream)
        }

        /// Resets its connection, or by HTTP/2 its stream.
        func goAway() throws {
            first?.resetsAtItsEnd()
            first = nil
            guard let second else { return }
            second.send(HTTP2Frame.reset(stream))
            // Behind the reset: the stream is gone by then.
            #expect(try second.call("GET", "/healthz").status == 200)
        }
    }

    private static func options(window: Int = 20, timeout: Duration = .seconds(30)) -> GatewayOptions {
        var options = GatewayOptions()
        (options.windowBytes, options.maxRequestBytes, options.requestTimeout) = (window, 16, timeout)
        return options
    }

    fileprivate static let events = "/v1/topics/t/events"
    private static let line = "{\"id\":1}\n"

    private static func lines(_ count: Int) -> String { String(repeating: line, count: count) }

    private static func stopped(_ reply: HTTPReply) throws -> [String: Any] {
        try #require(reply.json["stopped"] as? [String: Any], "\(reply.text)")
    }

    private func busy(_ node: GatewayHarness) -> BusyWorkers {
        BusyWorkers(node.broker.workers.threadCount) { node.broker.workers.submit($0) }
    }

    /// What a worker is to have, or has, counts until it is through, and nothing of it is begun for nobody.
    @Test(arguments: Version.allCases)
    func whoGoesWhileAWorkerHasAWindowLeavesNothingBehind(version: Version) throws {
        let node = try GatewayHarness(Self.options())
        #expect(try node.post("t", "{}").status == 201)
        let workers = busy(node)
        defer { workers.release() }
        let sender = try Sender(node, version, Self.lines(50))
        #expect(eventually { node.metric("millrace_http_body_windows_total") == 1 })
        let held = try #require(node.metric("millrace_http_inflight_bytes"))
        #expect(held > 1 << 20)
        try sender.goAway()
        if version == .first { #expect(eventually { node.metric("millrace_http_connections") == 0 }) }
        #expect(node.metric("millrace_http_inflight_bytes") ?? 0 >= 1 << 20)
        workers.release()
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        #expect(node.metric("millrace_http_body_windows_total") == 1)
        #expect(try node.values("t").count == 1)
        node.gateway.drain()
        node.group.stop(within: .seconds(5))
    }

    @Test(arguments: Version.allCases)
    func whoGoesWhileAWindowGoesToTheDiskLeavesThatWindow(version: Version) throws {
        let node = try GatewayHarness(Self.options(), holdsCommits: true)
        let sender = try Sender(node, version, Self.lines(50))
        #expect(try eventually { try node.values("t").count == 2 })
        try sender.goAway()
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        let windows = try #require(node.metric("millrace_http_body_windows_total"))
        for _ in 0..<20 { #expect(try node.call("GET", "/healthz").status == 200) }
        #expect(node.metric("millrace_http_body_windows_total") == windows)
        #expect(try node.values("t").count == 2)
        node.gateway.drain()
        node.group.stop(within: .seconds(5))
    }

    // MARK: Time

    /// The windows before are known, whatever becomes of the one that a worker has.
    @Test(arguments: Version.allCases)
    func whatWasStoredIsToldWhenAWorkerIsLate(version: Version) throws {
        let node = try GatewayHarness(Self.options(timeout: .seconds(3)))
        #expect(try node.post("t", "{}").status == 201)
        let sender = try Sender(node, version, "nothing\n" + Self.line + "     ")
        #expect(try eventually { try node.values("t").count == 2 })
        let workers = busy(node)
        defer { workers.release() }
        try sender.send(Self.lines(5))
        let reply = try sender.reply()
        #expect(reply.status == 207 && reply.number("accepted") == 1 && reply.number("rejected") == 1, "\(reply.text)")
        let stopped = try Self.stopped(reply)
        #expect(stopped["index"] as? Int == 2 && stopped["code"] as? String == "commit_timeout")
        #expect((stopped["error"] as? String)?.hasPrefix("The first 2 events of the body are settled.") == true)
        #expect(reply.json["results_truncated"] as? Bool == true)
        workers.release()
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        #expect(try node.values("t").count == 2)
    }

    @Test(arguments: Version.allCases)
    func aTopicThatIsNotMadeInTimeLeavesNothingInDoubt(version: Version) throws {
        let node = try GatewayHarness(Self.options(timeout: .milliseconds(300)))
        node.disk.stall([.write, .sync], pathContains: "/data")
        let reply = try Sender(node, version, Self.lines(50)).reply()
        #expect(reply.status == 504 && reply.string("code") == "commit_timeout", "\(reply.text)")
        #expect(reply.text.contains("The topic was not ready in time; nothing of the body was stored, send it again."))
        node.disk.release()
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
        #expect(try node.values("t").isEmpty)
    }

    // MARK: A job

    /// Blank lines that were packed, of which nothing is appended: others get a worker in between.
    @Test func aWorkerGoesThroughSomeWindowsAtATime() throws {
        let node = try GatewayHarness(Self.options(window: 1000))
        #expect(try node.post("t", "{}").status == 201)
        let text = String(repeating: "\n", count: 300_000) + "{}"
        let body = try Self.pack(text)
        let client = try node.connect()
        try client.send(
            HTTPClient.request(
                "POST", Self.events, body,
                fields: ["Content-Type: application/x-ndjson", "Content-Encoding: gzip"]))
        let reply = try client.receive()
        #expect(reply.status == 201 && reply.number("accepted") == 1, "\(reply.text)")
        // 301 windows, sixteen at a time.
        #expect(node.metric("millrace_http_body_windows_total") == 19)
        #expect(eventually { node.metric("millrace_http_inflight_bytes") == 0 })
    }

    private static func pack(_ text: String) throws -> [UInt8] {
        var writer = ByteWriter()
        try Array(text.utf8).withUnsafeBytes { try CompressionContext().compress(.gzip, $0, into: &writer) }
        return writer.array
    }
}
