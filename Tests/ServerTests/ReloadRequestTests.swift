import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import Synchronization
import Testing

@testable import Server

/// Operators ask at their listener for another look at the configuration.
@Suite struct ReloadRequestTests {
    /// A node that was started with a file, as the program starts one.
    private final class Served: Sendable {
        let folder: TemporaryFolder
        let node: Node
        let reloader: Reloader
        var file: String { folder.path + "/routes.yaml" }

        init(_ routes: String, set: [String: String] = [:], withFile: Bool = true) throws {
            let folder = try TemporaryFolder()
            self.folder = folder
            let file = folder.path + "/routes.yaml"
            let values = [
                "log.dirs": folder.path + "/data", "listeners": "127.0.0.1:0", "http.listener": "127.0.0.1:0",
                "admin.listener": "127.0.0.1:0", "offsets.topic.num.partitions": "1",
                "transaction.state.log.num.partitions": "1",
            ].merging(set) { $1 }
            try routes.write(toFile: file, atomically: false, encoding: .utf8)
            let read: @Sendable () -> Result<Configuration, ConfigurationError> = {
                Result { () throws(ConfigurationError) in
                    try Configuration.load(
                        file: file, environment: [:],
                        flags: values.map { (key: $0.key, value: $0.value, flag: "--set") })
                }
            }
            let configuration = try read().get()
            node = try Node.start(configuration, pool: ChunkPool())
            let record = RoutesRecord(
                pid: getpid(), file: file, reads: 1, values: RoutesRecord.values(of: configuration))
            reloader = Reloader(node, configuration, withFile ? record : nil, read: read)
        }

        deinit { try? node.stop() }

        func write(_ routes: String) throws { try routes.write(toFile: file, atomically: false, encoding: .utf8) }

        func ask(
            _ query: String = "", type: String = "Content-Type: application/json\r\n", atClients: Bool = false
        ) throws -> (status: Int, body: JSONObject) {
            let address = try #require(atClients ? node.httpAddresses.first : node.adminAddresses.first).endpoint
            let answer = try node.ask(
                "POST", "/v1/configuration:reload\(query)", "\(type)Content-Length: 2\r\n\r\n{}", at: address)
            return (answer.status, JSONObject(answer.body))
        }

        func message() throws -> String? {
            let answer = try node.ask(
                "POST", "/in", "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            return JSONObject(answer.body).text("message")
        }

        func record() throws -> RoutesRecord? {
            let path = folder.path + "/data/" + RoutesRecord.fileName
            return RoutesRecord(decoding: Array(try Data(contentsOf: URL(filePath: path))))
        }
    }

    private struct JSONObject {
        let members: [String: Any]

        init(_ text: String) {
            members = (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [String: Any] ?? [:]
        }

        func text(_ name: String) -> String? { members[name] as? String }
        func texts(_ name: String) -> [String]? { members[name] as? [String] }
    }

    private static func routes(_ message: String, rate: String = "1000") -> String {
        "routes:\n  - path: /in\n    to: in\n    reply: {form: shard, message: \(message)}\n    rate: {rps: \(rate)}\n"
    }

    @Test func aFileIsTakenAndToldWhatHasChanged() throws {
        let served = try Served(Self.routes("first"))
        #expect(try served.message() == "first")
        let same = try served.ask()
        #expect(same.status == 200 && same.body.texts("changes") == [])
        try served.write(Self.routes("second"))
        let change = "~ routes[0].reply.message: first -> second"
        let trial = try served.ask("?dry_run=true")
        #expect(trial.status == 200 && trial.body.texts("changes") == [change])
        #expect(trial.body.members["applied"] as? Bool == false)
        #expect(try served.message() == "first" && served.record()?.reads == 2)
        let taken = try served.ask("?dry_run=false")
        #expect(taken.status == 200 && taken.body.texts("changes") == [change])
        #expect(taken.body.members["applied"] as? Bool == true && taken.body.text("file") == served.file)
        #expect(try served.message() == "second")
        // The commands that compare are told as by a signal.
        let record = try #require(try served.record())
        #expect(record.reads == 3 && record.problems.isEmpty && record.values["routes[0].reply.message"] == "second")
        // A broker key is named, and waits.
        try served.write("num.partitions: 7\n" + Self.routes("third"))
        #expect(try served.ask().body.texts("read_at_next_start") == ["num.partitions"])
        #expect(try served.message() == "third")
        try served.write(Self.routes("fourth"))
        served.reloader.reload()
        #expect(try served.message() == "fourth" && served.record()?.reads == 5)
    }

    /// Queues are made at the start and at a reload; one that is there stays as it is.
    @Test func queuesThatAreMissingAreMade() throws {
        func file(_ queues: String) -> String { "queues: {\(queues)}\n" + Self.routes("first") }
        let served = try Served(file("jobs: {visibility: 45s, dead_letter_queue: dead, max_receives: 3}, dead: {}"))
        let queues = served.node.broker.queues
        #expect(queues.queue(named: "jobs")?.settings.visibilityMs == 45_000)
        #expect(queues.queue(named: "dead")?.settings.deadLetterQueue == nil)
        try served.write(file("jobs: {visibility: 50s}, more: {partitions: 2}"))
        #expect(
            try served.ask().body.texts("left_as_they_are")
                == ["queues.jobs.visibility: has 45000 ms, declared 50000 ms; change it by: PUT /v1/queues/jobs"])
        #expect(queues.queue(named: "jobs")?.settings.visibilityMs == 45_000)
        #expect(queues.queue(named: "more")?.partitionCount == 2)
        // What cannot be made leaves the routes as they were.
        try served.write("queues: {other: {dead_letter_queue: none}}\n" + Self.routes("second"))
        let refused = try served.ask()
        #expect(refused.status == 422 && "\(refused.body.members)".contains("queues.other"), "\(refused.body.members)")
        #expect(try served.message() == "first")
    }

    @Test func topicsThatStayAsTheyAreAreTold() throws {
        func topics(_ partitions: Int, _ retention: String) -> String {
            "topics: {typed: {partitions: \(partitions), retention: \(retention)}}\n" + Self.routes("first")
        }
        let served = try Served(topics(2, "1h"))
        #expect(try served.ask("?dry_run=true").body.texts("left_as_they_are") == [])
        try served.write(topics(4, "2h"))
        let lines = [
            "topics.typed.partitions: has 2, declared 4; change it by: millrace topic alter typed --partitions 4",
            "topics.typed.retention.ms: has 3600000, declared 7200000; change it by: millrace topic alter typed --set "
                + "retention.ms=7200000",
        ]
        for query in ["?dry_run=true", ""] {
            let reply = try served.ask(query)
            #expect(reply.status == 200 && reply.body.texts("left_as_they_are") == lines, "\(reply)")
        }
        #expect(try served.record()?.leftAsTheyAre == lines)
        // It stays so until somebody changes the topic, or the file.
        #expect(try served.ask().body.texts("left_as_they_are") == lines)
        try served.write(topics(1, "1h"))
        #expect(
            try served.ask().body.texts("left_as_they_are")
                == ["topics.typed.partitions: has 2, declared 1; a topic's partitions do not get fewer"])
        try served.write(topics(2, "1h"))
        #expect(try served.ask().body.texts("left_as_they_are") == [])
    }

    @Test func aFileThatIsWrongChangesNothingAndIsToldByItsLines() throws {
        let served = try Served(Self.routes("first"))
        try served.write(Self.routes("second", rate: "lots") + "  - {path: in}\n")
        for query in ["", "?dry_run=true"] {
            let reply = try served.ask(query)
            #expect(reply.status == 422 && reply.body.text("code") == "invalid_configuration", "\(reply)")
            let errors = try #require(reply.body.members["errors"] as? [[String: Any]])
            let rate = try #require(errors.first { $0["key"] as? String == "routes[0].rate.rps" })
            #expect(rate["line"] as? Int == 5 && rate["file"] as? String == served.file)
            #expect((rate["detail"] as? String)?.isEmpty == false && (rate["remedy"] as? String)?.isEmpty == false)
            #expect(errors.contains { $0["line"] as? Int == 6 })
        }
        #expect(try served.message() == "first")
        #expect(try served.record()?.problems.isEmpty == false && served.record()?.reads == 2)
        // A topic that cannot be made is told as well, once the rest is right.
        try served.write(Self.routes("third"))
        #expect(try served.ask().status == 200)
        #expect(try served.message() == "third")
    }

    @Test func nobodyElseMayAsk() throws {
        let served = try Served(Self.routes("first"))
        #expect(try served.ask(atClients: true).status == 404)
        #expect(try served.ask(type: "").status == 415)
        #expect(try served.ask(type: "Content-Type: text/plain\r\n").status == 415)
        #expect(try served.ask("?dry_run=1").body.text("code") == "invalid_parameter")
        #expect(try served.ask("?dryrun=true").body.text("code") == "unsupported_parameter")
        #expect(try served.record()?.reads == 1)
        let without = try Served(Self.routes("first"), withFile: false)
        #expect(try without.ask().body.text("code") == "nothing_to_reload")
    }

    @Test func whoAsksNeedsThePermission() throws {
        let served = try Served(
            Self.routes("first"),
            set: ["http.auth": "optional", "authorizer.enable": "true", "security.allow.open": "true"])
        #expect(try served.ask().status == 403)
        #expect(try served.record()?.reads == 1)
    }

    @Test func oneIsAskedAtATime() throws {
        let served = try Served(Self.routes("first"))
        let statuses = Mutex<[Int]>([])
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            let status = (try? served.ask().status) ?? 0
            statuses.withLock { $0.append(status) }
        }
        let found = statuses.withLock { $0 }
        #expect(found.allSatisfy { $0 == 200 || $0 == 503 } && found.contains(200), "\(found)")
        #expect(try served.record()?.reads == 1 + found.count { $0 == 200 })
    }
}
