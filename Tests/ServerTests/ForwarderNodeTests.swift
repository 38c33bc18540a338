import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import KafkaModel
import LogStorage
import Testing

@testable import Server

/// Forwarders of running nodes: by their threads, woken by what comes, to the node itself and to another one over its listener.
@Suite struct ForwarderNodeTests {
    private static func configuration(
        _ folder: TemporaryFolder, _ text: String, _ more: [String: String] = [:]
    ) throws -> Configuration {
        let file = folder.path + "/millrace.yaml"
        try text.write(toFile: file, atomically: false, encoding: .utf8)
        return try Configuration.load(
            file: file, environment: [:],
            flags: [
                ("log.dirs", folder.path + "/data", "--data-dir"), ("listeners", "127.0.0.1:0", "--kafka"),
                ("http.listener", "127.0.0.1:0", "--http"), ("offsets.topic.num.partitions", "1", "--set"),
                ("transaction.state.log.num.partitions", "1", "--set"),
            ] + more.map { ($0.key, $0.value, "--set") })
    }

    private static func file(_ forwarder: String) -> String {
        """
        topics: {out: {partitions: 1}}
        queues: {q: {dead_letter_queue: dead}, dead: {}}
        forwarders: {f: {from: q, to: out, batch: {window: 10ms}\(forwarder)}}
        """
    }

    private static func send(_ texts: [String], _ node: Node) throws {
        for text in texts {
            let outcome = node.broker.queues.send([QueueMessage(body: Array(text.utf8))], to: "q")
            _ = try outcome.answer[0].get()
        }
    }

    @Test func messagesComeToATopicOfTheNode() throws {
        let folder = try TemporaryFolder()
        let node = try Node.start(try Self.configuration(folder, Self.file("")), pool: ChunkPool())
        let texts = (0..<20).map { "\($0)" }
        try Self.send(texts, node)
        #expect(Set(try node.consume("out", 20)) == Set(texts))
        #expect(eventually { node.broker.forwarders.statuses.first?.lag == 0 })
        let statistics = try node.get("/stats")
        #expect(
            statistics.contains(#""forwarders":{"f":{"from":"q","to":"out","trouble":null,"records":20,"#),
            "\(statistics)")
        // What comes later wakes it.
        try Self.send(["later"], node)
        #expect(try node.consume("out", 21).last == "later")
        try node.stop()
    }

    @Test func messagesComeToAnotherNode() throws {
        let (here, there) = (try TemporaryFolder(), try TemporaryFolder())
        let other = try Node.start(
            try Self.configuration(there, "topics: {out: {partitions: 1, max.message.bytes: 2000}}\n"),
            pool: ChunkPool())
        let node = try Node.start(
            try Self.configuration(here, Self.file(", cluster: {bootstrap: \"\(other.kafkaAddress)\"}")),
            pool: ChunkPool())
        let texts = (0..<200).map { "message \($0)" }
        try Self.send(
            texts + [String((0..<4000).map { _ in Character(UnicodeScalar(UInt8.random(in: 33...126))) })], node)
        #expect(Set(try other.consume("out", 200)) == Set(texts))
        // What it does not take is in the dead letters of the queue.
        #expect(
            eventually {
                (try? node.broker.queues.counts(of: "dead", withOldest: false).answer.get().visible) == 1
            })
        #expect(eventually { node.broker.forwarders.statuses.first?.lag == 0 })
        try node.stop()
        try other.stop()
    }

    @Test func aForwarderLogsInByASecretThatNobodyIsShown() throws {
        let (here, there) = (try TemporaryFolder(), try TemporaryFolder())
        let password = there.path + "/password"
        try "canary-4711".write(toFile: password, atomically: false, encoding: .utf8)
        let other = try Node.start(
            try Self.configuration(
                there, "topics: {out: {partitions: 1}}\n",
                [
                    "listeners": "SASL_PLAINTEXT://127.0.0.1:0", "sasl.first.user": "carrier",
                    "authorizer.enable": "false",
                    "sasl.first.user.password.file": password,
                ]), pool: ChunkPool())
        let cluster = ", cluster: {bootstrap: \"\(other.kafkaAddress)\", user: carrier, password: kafka}"
        let secret = "auth: {secrets: {kafka: {file: \(password)}}}\n"
        let node = try Node.start(
            try Self.configuration(here, secret + Self.file(cluster)), pool: ChunkPool())
        try Self.send(["a", "b"], node)
        #expect(eventually { other.broker.catalog.topic(named: "out")?.partitions[0].highWatermark.rawValue == 2 })
        #expect(!(try node.get("/stats") + node.get("/metrics")).contains("canary-4711"))
        try "wrong".write(toFile: password, atomically: false, encoding: .utf8)
        try node.replaceRoutes(by: try Self.configuration(here, secret + Self.file(cluster)))
        try Self.send(["c"], node)
        #expect(eventually { node.broker.forwarders.statuses.first?.trouble?.contains("carrier") == true })
        try node.stop()
        try other.stop()
    }

    @Test func aForwarderThatChangesGoesToTheOtherTopic() throws {
        let folder = try TemporaryFolder()
        let node = try Node.start(try Self.configuration(folder, Self.file("")), pool: ChunkPool())
        try Self.send(["a"], node)
        #expect(try node.consume("out", 1) == ["a"])
        try node.replaceRoutes(
            by: try Self.configuration(
                folder,
                """
                topics: {out: {partitions: 1}, new: {partitions: 1}}
                queues: {q: {dead_letter_queue: dead}, dead: {}}
                forwarders: {f: {from: q, to: new, batch: {window: 10ms}}}
                """))
        try Self.send(["b"], node)
        #expect(try node.consume("new", 1) == ["b"])
        #expect(try node.consume("out", 1) == ["a"])
        try node.stop()
    }
}
