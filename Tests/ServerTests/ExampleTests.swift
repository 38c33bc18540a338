import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import Glibc
import JobLedger
import Testing

@testable import Server

/// The example configurations, by the lines of the systems in whose place they come: with curl, as their users have them.
@Suite struct ExampleTests {
    private static let examples = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "tools/examples")
    private static var hasCurl: Bool { access("/usr/bin/curl", X_OK) == 0 }

    private static func configuration(
        _ name: String, _ folder: String, _ environment: [String: String] = [:]
    ) throws -> Configuration {
        try Configuration.load(
            file: examples.appending(path: name + ".yaml").path, environment: environment,
            flags: [
                ("log.dirs", folder, "--data-dir"), ("listeners", "127.0.0.1:0", "--kafka"),
                ("http.listener", "127.0.0.1:0", "--http"), ("offsets.topic.num.partitions", "1", "--set"),
            ])
    }

    private static func start(
        _ name: String, _ environment: [String: String] = [:], _ body: (Node) throws -> Void
    ) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // With memory of its own: a node reads no socket while others of the process hold too much of what all share.
        let node = try Node.start(try configuration(name, folder, environment), pool: ChunkPool())
        do { try body(node) } catch {
            try? node.stop()
            throw error
        }
        try node.stop()
    }

    /// Runs a line as a shell does; API_URL is where the node listens. What curl wrote, and the status.
    private static func run(_ line: String, _ node: Node) throws -> (status: Int, body: [String: Any]) {
        let address = try #require(node.httpAddresses.first).endpoint
        let text = try ChildProgram.run(
            "/bin/sh",
            ["-c", line.replacing("curl ", with: "curl -sS -w '\\n%{http_code}' ", maxReplacements: 1)],
            environment: ["API_URL=http://\(address)", "PATH=/usr/bin:/bin"]
        ).output
        let lines = text.split(separator: "\n")
        let status = try #require(lines.last.flatMap { Int($0) }, "\(line): \(text)")
        let body = lines.dropLast().joined(separator: "\n")
        return (status, (try? JSONSerialization.jsonObject(with: Data(body.utf8))) as? [String: Any] ?? [:])
    }

    private static let started =
        #"{"event_type":"session_started","payload":{"session_id":"sess_123","student_id":"stu_456","tutor_id":"tut_789"}}"#

    @Test(.enabled(if: ExampleTests.hasCurl)) func typedEventsGoToTheStream() throws {
        try Self.start("u3-typed-events") { node in
            for header in [#" -H "Content-Type: application/json""#, ""] {
                let reply = try Self.run("curl -X POST $API_URL/ingest\(header) -d '\(Self.started)'", node)
                #expect(reply.status == 202)
                #expect(reply.body["message"] as? String == "Event accepted")
                #expect(reply.body["eventType"] as? String == "session_started")
                #expect((reply.body["sequenceNumber"] as? String).flatMap { Int($0) } != nil)
                #expect((reply.body["shardId"] as? String)?.hasPrefix("shardId-00000000000") == true)
            }
            let topic = try #require(node.broker.catalog.topic(named: "iops-dashboard-events"))
            #expect(topic.partitions.count == 2 && topic.settings.overrides["retention.ms"] == "86400000")
            let described = try Self.run(
                "curl -H 'X-Amz-Target: Kinesis_20131202.DescribeStream' -d '{\"StreamName\":\"iops-dashboard-events\"}' $API_URL",
                node)
            let stream = try #require(described.body["StreamDescription"] as? [String: Any])
            #expect((stream["Shards"] as? [Any])?.count == 2 && stream["RetentionPeriodHours"] as? Int == 24)
        }
    }

    @Test(.enabled(if: ExampleTests.hasCurl)) func wrongTypedEventsAreToldInTheirClientsWords() throws {
        try Self.start("u3-typed-events") { node in
            let cases = [
                (#"-d '{"payload":{}}'"#, "event_type is required"),
                (
                    #"-d '{"event_type":"invalid_event","payload":{}}'"#,
                    "Invalid event_type. Must be one of: session_started, session_completed"
                ),
                (#"-d '{"event_type":"session_started"}'"#, "payload is required"),
                ("-d ''", "Request body is required"), ("", "Request body is required"),
            ]
            for (data, error) in cases {
                for path in ["", "/ingest", "/dev/ingest"] {
                    let line = "curl -X POST $API_URL\(path) -H 'Content-Type: application/json' \(data)"
                    let reply = try Self.run(line, node)
                    #expect(reply.status == 400 && reply.body["error"] as? String == error, "\(line): \(reply)")
                }
            }
            let malformed = try Self.run("curl -X POST $API_URL/ingest -d '{\"event_type\":'", node)
            #expect(malformed.status == 400 && (malformed.body["error"] as? String)?.isEmpty == false)
        }
    }

    /// 500 a second, 1,000 at once: however long the requests take, no more come through, and the first 1,000 do.
    @Test func typedEventsAreHeldToTheirRate() throws {
        try Self.start("u3-typed-events") { node in
            let address = try #require(node.httpAddresses.first).endpoint
            let descriptor = try Loopback.connect(port: address.port, patience: 60)
            defer { close(descriptor) }
            let request =
                "POST /ingest HTTP/1.1\r\nHost: h\r\nContent-Length: \(Self.started.utf8.count)\r\n"
                + "Content-Type: application/json\r\n\r\n\(Self.started)"
            let group = String(repeating: request, count: 50)
            let clock = ContinuousClock()
            let began = clock.now
            var accepted = 0
            var text = ""
            while !text.contains("HTTP/1.1 429"), accepted < 100_000 {
                try #require(send(descriptor, group, group.utf8.count, Int32(MSG_NOSIGNAL)) == group.utf8.count)
                text = ""
                while text.ranges(of: "HTTP/1.1 ").count < 50 || !text.hasSuffix("}") {
                    var piece = [UInt8](repeating: 0, count: 64 << 10)
                    let count = recv(descriptor, &piece, piece.count, 0)
                    try #require(count > 0)
                    text += String(decoding: piece[..<count], as: UTF8.self)
                }
                accepted += text.ranges(of: "HTTP/1.1 202").count
            }
            let seconds = Double((clock.now - began).components.seconds) + 1
            #expect(accepted >= 1000 && Double(accepted) <= 1000 + 500 * seconds)
            #expect(text.contains("Retry-After: 1") && text.contains(#"RateLimit-Policy: "ingest";q=1000;w=2"#))
        }
    }

    @Test(.enabled(if: ExampleTests.hasCurl)) func webhooksAreKeptAsTheyCame() throws {
        try Self.start("u2-events") { node in
            let event = #"{"type":"order.created", "order":17}"#
            let reply = try Self.run(
                "curl -X POST $API_URL/events -H 'X-Request-Id: abc-1' -d '\(event)'", node)
            #expect(reply.status == 201 && reply.body["request_id"] as? String == "abc-1")
            #expect(reply.body["event_id"] as? String != nil && reply.body["received_at"] as? String != nil)
            #expect(try node.consume("events", 1) == [event])
            for (data, status) in [("-d '[]'", 400), ("-d '{'", 400), ("", 400), ("-d 5", 400)] {
                #expect(try Self.run("curl -X POST $API_URL/dev/events \(data)", node).status == status)
            }
        }
    }

    @Test(.enabled(if: ExampleTests.hasCurl)) func itemsArePulledUploadedAndQueued() throws {
        let server = try HTTPReceiver { request in
            let isFirst = request.head.contains("/api/items?page=1 ")
            return HTTPReceiver.answer(
                "200 OK", isFirst ? #"{"data":[{"id":1,"name":"a"},{"id":2}]}"# : #"{"data":[]}"#)
        }
        defer { server.stop() }
        let environment = ["ITEMS_URL": "http://127.0.0.1:\(server.port)/api/items"]
        try Self.start("u1-ingestion", environment) { node in
            let json = "-H 'Content-Type: application/json' -d"
            // It runs by itself as well.
            let run = try Self.run("curl -X POST $API_URL/v1/pulls/items:run \(json) '{}'", node)
            #expect([202, 409, 503].contains(run.status), "\(run)")
            #expect(eventually { (try? node.broker.jobs.jobs().contains { $0.state == .finished }) == true })
            let pulls = try Self.run("curl $API_URL/v1/pulls", node).body["pulls"] as? [[String: Any]]
            #expect(pulls?.first?["name"] as? String == "items" && pulls?.first?["every_ms"] as? Int == 300_000)
            let job = try #require(try node.broker.jobs.jobs().last)
            #expect(job.progress.accepted == 1 && job.progress.rejected == 1 && job.pull?.pages == 2, "\(job)")
            let file = try Self.run(
                #"printf 'id,name,value\n1,Test Item,42\n2,,x\n' | curl -F 'file=@-;type=text/csv' $API_URL/file/ingest"#,
                node)
            #expect(
                file.status == 201 && file.body["accepted"] as? Int == 1 && file.body["rejected"] as? Int == 1,
                "\(file)")
            let message = try Self.run(
                "curl -X POST $API_URL/queue/ingest \(json) '{\"id\":1,\"name\":\"Test Item\",\"value\":42}'", node)
            #expect(message.status == 202, "\(message)")
            #expect(try Self.run("curl $API_URL/stats", node).status == 200)
        }
    }

    @Test(.enabled(if: ExampleTests.hasCurl)) func filesThatLandGoToTheQueue() throws {
        let landing = FileManager.default.temporaryDirectory.appending(path: "millrace-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: landing, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: landing) }
        func names(_ shelf: String) -> [String] {
            ((try? FileManager.default.contentsOfDirectory(atPath: landing + "/" + shelf)) ?? []).map {
                String($0.prefix { $0 != "." })
            }
        }
        func write(_ name: String, _ text: String) throws {
            try text.write(toFile: landing + "/.new", atomically: false, encoding: .utf8)
            try FileManager.default.moveItem(atPath: landing + "/.new", toPath: landing + "/" + name)
        }
        try Self.start("u4-files", ["FILES_DIRECTORY": landing, "FILES_SETTLE": "0ms"]) { node in
            try write("rows.csv", "event_id,type,value\ne1,click,1.5\n,click,2\ne3,click,many\n")
            try write("array.json", #"[{"event_id":"e4","type":"view"}, {"type":"view"}]"#)
            try write("wrong.json", #"{"event_id":"e5","type":"view"}"#)
            #expect(eventually { names("done").count == 2 && names("failed") == ["wrong"] })
            let sent = try Self.run(
                "curl -X POST $API_URL/file/ingest -H 'Content-Type: application/x-ndjson' -d '{\"event_id\":\"e6\",\"type\":\"view\"}'",
                node)
            #expect(sent.status == 201 && sent.body["accepted"] as? Int == 1, "\(sent)")
            let received = try Self.run(
                "curl -X POST $API_URL/v1/queues/events/messages:receive -H 'Content-Type: application/json' -d '{\"max\":10}'",
                node)
            #expect((received.body["messages"] as? [Any])?.count == 3, "\(received)")
            #expect(try node.consume("quarantine.events", 3).sorted().last == #"{"type":"view"}"#)
            let watched = try Self.run("curl $API_URL/v1/watchers", node)
            let landed = try #require((watched.body["watchers"] as? [[String: Any]])?.first)
            #expect(landed["done"] as? Int == 2 && landed["failed"] as? Int == 1, "\(landed)")
            let wanted = try Self.run(
                "curl '$API_URL/v1/queues/events/capacity?workers=100&service_ms=300&rate=500'"
                    .replacing("'", with: "\""), node)
            #expect(wanted.status == 200 && "\(wanted.body)".contains("150"), "\(wanted)")
            let alarms = try Self.run("curl $API_URL/v1/alarms?name=failed-files", node)
            #expect(alarms.status == 200, "\(alarms)")
        }
    }

    @Test(.enabled(if: ExampleTests.hasCurl)) func routesAreReplacedWhileTheNodeRuns() throws {
        try Self.start("u3-typed-events") { node in
            let line = "curl -X POST $API_URL/ingest -d '\(Self.started)'"
            #expect(try Self.run(line, node).body["message"] as? String == "Event accepted")
            let folder = "/nonexistent"
            let changed = try Self.configuration(
                "u3-typed-events", folder, ["INGEST_MESSAGE": "Event received successfully"])
            try node.replaceRoutes(by: changed)
            #expect(try Self.run(line, node).body["message"] as? String == "Event received successfully")
            let wrong = try Self.configuration("u3-typed-events", folder, ["INGEST_RPS": "many"])
            #expect(throws: ConfigurationError.self) { try node.replaceRoutes(by: wrong) }
            #expect(try Self.run(line, node).body["message"] as? String == "Event received successfully")
            try node.replaceRoutes(by: try Self.configuration("u2-events", folder))
            #expect(try Self.run("curl -X POST $API_URL/events -d '{}'", node).status == 201)
        }
    }
}
