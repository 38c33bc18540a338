import BrokerTestKit
import ByteBuffers
import Configuration
import KafkaClient
import LogStorage
import RecordFormat
import Security
import Telemetry
import Testing

@testable import BrokerCore
@testable import Server

@Suite struct NodeTests {
    @Test func whatCameByKafkaAndByHTTPIsReadBackAlsoAfterAStop() throws {
        let folder = try TemporaryFolder()
        var node = try Node.start(folder: folder.path)
        try node.produce("rides", ["by kafka"])
        #expect(try node.post("rides", #"{"by":"http"}"#) == 201)
        let expected = ["by kafka", #"{"by":"http"}"#]
        #expect(try node.consume("rides", expected.count) == expected)
        try node.stop()

        node = try Node.start(folder: folder.path)
        #expect(try node.consume("rides", expected.count) == expected)
        try node.stop()
    }

    @Test func aNodeMayServeNoHTTP() throws {
        let folder = try TemporaryFolder()
        let node = try Node.start(folder: folder.path, ["http.enable": "false"])
        #expect(node.httpAddresses.isEmpty)
        try node.produce("t", ["x"])
        try node.stop()
    }

    @Test func severalNodesRunInOneProcess() throws {
        let folders = try (0..<2).map { _ in try TemporaryFolder() }
        let nodes = try folders.map { try Node.start(folder: $0.path) }
        for (number, node) in nodes.enumerated() { try node.produce("t", ["\(number)"]) }
        for (number, node) in nodes.enumerated() { #expect(try node.consume("t", 1) == ["\(number)"]) }
        for node in nodes { try node.stop() }
    }

    /// A program that embeds nodes gets the memory of one back.
    @Test func aStoppedNodeIsLetGo() throws {
        weak var broker: Broker?
        weak var pool: ChunkPool?
        func run() throws {
            let folder = try TemporaryFolder()
            let node = try Node.start(folder: folder.path)
            try node.produce("t", ["x"])
            #expect(try node.post("t", "{}") == 201)
            // As long as this, it is a worker's.
            #expect(try node.post("t", "{\"a\":\"\(String(repeating: "x", count: 600 << 10))\"}") == 201)
            (broker, pool) = (node.broker, node.broker.store.chunkPool)
            try node.stop()
        }
        try run()
        #expect(broker == nil)
        #expect(pool == nil)
    }

    @Test func aNodesStoreTakesItsMemoryFromTheNodesPool() throws {
        let folder = try TemporaryFolder()
        let node = try Node.start(folder: folder.path)
        #expect(node.broker.store.chunkPool !== ChunkPool.shared)
        try node.stop()
    }

    @Test func aStopAnswersReceivesThatWait() throws {
        let folder = try TemporaryFolder()
        let node = try Node.start(folder: folder.path)
        @Sendable func request(_ rest: String) -> String {
            "Content-Type: application/json\r\nContent-Length: \(rest.utf8.count)\r\n\r\n\(rest)"
        }
        #expect(try node.ask("PUT", "/v1/queues/jobs", request("{}")).status == 201)
        let answer = Lock<(status: Int, body: String)?>(nil)
        let receiver = Thread(name: "receiver") {
            let found = try? node.ask("POST", "/v1/queues/jobs/messages:receive", request("{\"wait_ms\":20000}"))
            answer.withLock { $0 = found }
        }
        #expect(eventually { node.broker.queues.agenda.withLock { $0.waiters } == 1 })
        try node.stop()
        receiver.join()
        let found = try #require(answer.withLock { $0 }, "cut without an answer")
        #expect(found.status == 200 && found.body.contains("\"messages\":[]"), "\(found)")
    }

    @Test func superUsersAreReadAtTheStart() throws {
        let folder = try TemporaryFolder()
        let settings = ["authorizer.enable": "true", "super.users": "User:admin;User:CN=bob,O=Example"]
        let node = try Node.start(folder: folder.path, settings)
        let subject = AccessSubject(.user("CN=bob,O=Example"), address: NetworkAddress(v4: 1))
        #expect(node.broker.access.rules.isSuperUser(subject) && node.broker.options.access.hasAuthorizer)
        try node.stop()
        let error = #expect(throws: ConfigurationError.self) {
            try Node.start(folder: folder.path, ["super.users": "User:admin;bob"])
        }
        #expect(error?.description.contains("super.users") == true && error?.description.contains("'bob'") == true)
    }

    @Test func eachNodeOfAProcessHasAPageOfItsOwn() throws {
        let folders = try (0..<2).map { _ in try TemporaryFolder() }
        let nodes = try folders.map { try Node.start(folder: $0.path) }
        for topic in ["a", "b"] { #expect(try nodes[0].post(topic, "{}") == 201) }
        #expect(try nodes[1].post("c", "{}") == 201)
        let pages = try nodes.map { try $0.get("/metrics") }
        // What a part counts for the page, and what is shown of a part: connections, that for the page included.
        #expect(pages.map { Self.sum("millrace_ingest_records_total", #"result="accepted""#, in: $0) } == [2, 1])
        #expect(pages.map { Self.sum("millrace_transport_accepted_total", in: $0) } == [3, 2])
        for node in nodes { try node.stop() }
    }

    /// The sum of the series of that name, with that label.
    private static func sum(_ name: String, _ label: String = "", in page: String) -> Double {
        page.split(separator: "\n").reduce(0) { sum, line in
            let words = line.split(separator: " ")
            guard words.count == 2, words[0].split(separator: "{")[0] == name, words[0].contains(label) else {
                return sum
            }
            return sum + (Double(words[1]) ?? 0)
        }
    }

    @Test func aStartThatFailsIsNotAskedForMetrics() throws {
        let folder = try TemporaryFolder()
        let other = try TemporaryFolder()
        let node = try Node.start(folder: other.path)
        let metrics = MetricsRegistry()
        #expect(throws: (any Error).self) {
            try Node.start(
                folder: folder.path, ["http.listener": node.httpAddresses.first?.endpoint.description ?? ""],
                metrics: metrics)
        }
        var page = ByteWriter()
        metrics.render(into: &page)
        #expect(!String(decoding: page.bytes, as: UTF8.self).contains("millrace_storage_partitions "))
        try node.stop()
    }

    @Test func aStartThatFailsLeavesThePortAndTheFolderFree() throws {
        let folder = try TemporaryFolder()
        let other = try TemporaryFolder()
        // A port that is free now: with port 0 the next start would take another anyway.
        let first = try Node.start(folder: folder.path)
        let kafka = first.kafkaAddress
        try first.stop()
        let node = try Node.start(folder: other.path)
        let taken = try #require(node.httpAddresses.first).endpoint.description
        #expect(throws: (any Error).self) {
            try Node.start(folder: folder.path, ["listeners": kafka.description, "http.listener": taken])
        }
        // A listener that was left, and the lock of a folder that was not given up, would be errors here.
        let second = try Node.start(folder: folder.path, ["listeners": kafka.description])
        #expect(second.kafkaAddress == kafka)
        try second.stop()
        try node.stop()
    }
}

@Suite struct OperatorsTests {
    @Test func theListenerOfOperatorsHasWhatIsForThem() throws {
        let folder = try TemporaryFolder()
        let node = try Node.start(folder: folder.path, ["admin.listener": "127.0.0.1:0"])
        let address = try #require(node.adminAddresses.first).endpoint
        #expect(try node.get("/metrics", at: address).contains("millrace_build_info"))
        #expect(try node.ask("GET", "/metrics", "\r\n").status == 404)
        try node.stop()
        let usual = try Node.start(folder: folder.path)
        #expect(usual.adminAddresses.isEmpty)
        #expect(try usual.get("/metrics").contains("millrace_build_info"))
        try usual.stop()
    }
}

@Suite struct TraceRouteTests {
    @Test func theTraceIsServed() throws {
        let folder = try TemporaryFolder()
        let node = try Node.start(folder: folder.path)
        let name = "subject of \(folder.path)"
        StallTrace.note(.retention, from: 0, to: StallTrace.slowNanoseconds, String(name.suffix(60)))
        #expect(try node.get("/trace").contains(name.suffix(60)))
        try node.stop()
    }
}
