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
    static func configuration(
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

    /// Nobody tells the forwarder's thread when it comes in: the queue does when its time has come.
    @Test func aMessageWithADelayComesWhenItIsDue() throws {
        let folder = try TemporaryFolder()
        let node = try Node.start(try Self.configuration(folder, Self.file("")), pool: ChunkPool())
        var message = QueueMessage(body: Array("delayed".utf8))
        message.delayMs = 500
        _ = try node.broker.queues.send([message], to: "q").answer[0].get()
        #expect(try node.consume("out", 1) == ["delayed"])
        #expect(eventually { node.broker.forwarders.statuses.first?.lag == 0 })
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

    /// A node that is reached by TLS alone.
    private static func secureNode(
        _ folder: TemporaryFolder, _ more: [String: String] = [:]
    ) throws -> Node {
        let file = folder("server.pem")
        try (TestCertificates.serverKey + "\n" + TestCertificates.serverCertificate)
            .write(toFile: file, atomically: true, encoding: .utf8)
        let keys = ["listeners": "SSL://127.0.0.1:0", "ssl.keystore.location": file]
        return try Node.start(
            try configuration(folder, "topics: {out: {partitions: 1}}\n", keys.merging(more) { $1 }), pool: ChunkPool())
    }

    private static func arrived(_ node: Node) -> Int64? {
        node.broker.catalog.topic(named: "out")?.partitions[0].highWatermark.rawValue
    }

    @Test func anotherNodeIsReachedByTLSAndFilesAreReadAnewForEachConnection() throws {
        let (here, there) = (try TemporaryFolder(), try TemporaryFolder())
        let other = try Self.secureNode(there)
        let authority = here("ca.pem")
        try TestCertificates.strangerCertificate.write(toFile: authority, atomically: true, encoding: .utf8)
        let cluster = ", cluster: {bootstrap: \"\(other.kafkaAddress)\", tls: {ca: \(authority)}}"
        let node = try Node.start(try Self.configuration(here, Self.file(cluster)), pool: ChunkPool())
        try Self.send(["a", "b"], node)
        #expect(eventually { Self.trouble(node)?.contains("its certificate is not taken") == true })
        #expect(Self.arrived(other) == 0)
        // Nobody tells the broker.
        try TestCertificates.authority.write(toFile: authority, atomically: true, encoding: .utf8)
        #expect(eventually { Self.arrived(other) == 2 })
        #expect(eventually { node.broker.forwarders.statuses.first?.lag == 0 })
        #expect(Self.trouble(node) == nil)
        try node.stop()
        try other.stop()
    }

    private static func trouble(_ node: Node) -> String? { node.broker.forwarders.statuses.first?.trouble }

    @Test func aCertificateForAnotherHostIsNotTakenAndPlainTextNeither() throws {
        let (here, there) = (try TemporaryFolder(), try TemporaryFolder())
        let other = try Self.secureNode(there)
        let authority = here("ca.pem")
        try TestCertificates.authority.write(toFile: authority, atomically: true, encoding: .utf8)
        func run(_ address: String, _ more: String, _ folder: TemporaryFolder) throws -> Node {
            let cluster = ", cluster: {bootstrap: \"\(address)\"\(more)}"
            let node = try Node.start(try Self.configuration(folder, Self.file(cluster)), pool: ChunkPool())
            try Self.send(["a"], node)
            return node
        }
        let secure = other.kafkaAddress.description
        let folders = try (0..<3).map { _ in try TemporaryFolder() }
        let misled = try run(secure, ", tls: {ca: \(authority), server_name: other.example.net}", folders[0])
        #expect(eventually { Self.trouble(misled)?.lowercased().contains("hostname mismatch") == true })
        let open = try run(secure, "", folders[1])
        #expect(eventually { Self.trouble(open) != nil })
        // A listener of plain text, where TLS was asked for.
        let strict = try run(misled.kafkaAddress.description, ", tls: {ca: \(authority)}", folders[2])
        #expect(eventually { Self.trouble(strict) != nil })
        #expect(Self.arrived(other) == 0)
        for node in [strict, open, misled, other] { try node.stop() }
    }

    @Test func aForwarderLogsInOverTLS() throws {
        let (here, there) = (try TemporaryFolder(), try TemporaryFolder())
        let (authority, password) = (here("ca.pem"), here("password"))
        try TestCertificates.authority.write(toFile: authority, atomically: true, encoding: .utf8)
        try "canary-4711".write(toFile: password, atomically: true, encoding: .utf8)
        let other = try Self.secureNode(
            there,
            [
                "listeners": "SASL_SSL://127.0.0.1:0", "sasl.first.user": "carrier", "authorizer.enable": "false",
                "sasl.first.user.password.file": password,
            ])
        let cluster =
            ", cluster: {bootstrap: \"\(other.kafkaAddress)\", user: carrier, password: kafka, tls: {ca: \(authority)}}"
        let secret = "auth: {secrets: {kafka: {file: \(password)}}}\n"
        let node = try Node.start(try Self.configuration(here, secret + Self.file(cluster)), pool: ChunkPool())
        // More than a record of TLS, and than what is sealed at once.
        let large = String((0..<300_000).map { _ in Character(UnicodeScalar(UInt8.random(in: 33...126))) })
        try Self.send(["a", large], node)
        #expect(eventually { Self.arrived(other) == 2 })
        #expect(eventually { node.broker.forwarders.statuses.first?.lag == 0 })
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
