import BrokerCore
import BrokerTestKit
import ByteBuffers
import Glibc
import KafkaClient
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO
import Testing

@testable import Server

/// A node, both edges on the same event loops, whose disk hiccups or fails. Where an edge waited for the disk with its loop, the
/// others would run into their clients' timeouts. What each edge says in detail is tested with it.
@Suite struct NodeDiskTests {
    private static let few = (0..<5).map { "\($0)" }

    /// What a thread beside the test has got.
    private final class Answers: Sendable {
        private let texts = Lock<[String]>([])

        var all: [String] { texts.withLock { $0 } }

        /// Calls `ask` on a thread of its own, and keeps what it returned, or the error.
        func thread(_ ask: @escaping @Sendable () throws -> String) -> Thread {
            Thread(name: "client") { [self] in
                let text: String
                do { text = try ask() } catch { text = "\(error)" }
                texts.withLock { $0.append(text) }
            }
        }
    }

    private func waitUntil(_ condition: () -> Bool) throws {
        for _ in 0..<60_000 {
            if condition() { return }
            usleep(1_000)
        }
        try #require(condition())
    }

    private func end(of topic: String, _ node: Node) throws -> Int64 {
        try #require(try node.cluster.offsets(of: [PartitionName(topic, 0)], .latest).values.first)
    }

    /// What needs no disk is answered by both edges.
    private func expectService(_ node: Node, _ disk: StallingFileSystem) throws {
        for _ in 0..<5 {
            #expect(try node.get("/healthz").contains("ok"))
            #expect(try end(of: "seen", node) >= 5)
            #expect(try node.consume("seen", 5) == Self.few)
        }
        #expect(disk.waitingCalls > 0)
    }

    @Test func aSlowSyncHoldsUpOnlyWhoWaitsForIt() throws {
        let folder = try TemporaryFolder()
        let disk = StallingFileSystem(PosixFileSystem())
        let node = try Node.start(folder: folder.path, on: disk)
        try node.produce("seen", Self.few)
        disk.stall([.sync], pathContains: ".journal")
        let answers = Answers()
        let threads = [
            answers.thread {
                try node.produce("seen", ["slow"])
                return "produced"
            },
            answers.thread { try "\(node.post("seen", "1"))" },
        ]
        defer {
            disk.release()
            for thread in threads { thread.join() }
        }
        try waitUntil { disk.waitingCalls > 0 }
        try expectService(node, disk)
        #expect(answers.all == [], "acknowledged before it was durable")
        disk.release()
        try waitUntil { answers.all.count == 2 }
        #expect(answers.all.sorted() == ["201", "produced"])
        #expect(try end(of: "seen", node) == 7)
        try node.stop()
    }

    @Test func aSlowReadHoldsUpOnlyWhoWaitsForIt() throws {
        let folder = try TemporaryFolder()
        let disk = StallingFileSystem(PosixFileSystem())
        // Without a window: what its readers want is on the disk.
        let node = try Node.start(folder: folder.path, ["log.window.memory.percent": "0"], on: disk)
        try node.produce("old", ["1", "2", "3"])
        try node.produce("seen", Self.few)
        // What nobody follows leaves memory for its segment.
        try node.broker.store.checkpoint()
        disk.stall([.read], pathContains: "/old-")
        let answers = Answers()
        let threads = [
            answers.thread { try node.consume("old", 3).joined(separator: ",") },
            answers.thread {
                try node.get("/v1/topics/old/records").contains("\"next_offset\":3") ? "read" : "not read"
            },
        ]
        defer {
            disk.release()
            for thread in threads { thread.join() }
        }
        try waitUntil { disk.waitingCalls == 2 }
        try expectService(node, disk)
        try node.produce("seen", ["more"])
        #expect(answers.all == [])
        disk.release()
        try waitUntil { answers.all.count == 2 }
        #expect(answers.all.sorted() == ["1,2,3", "read"])
        try node.stop()
    }

    /// The kernel may have dropped what it could not write, so nothing is tried again, and nothing more is acknowledged before
    /// the next start.
    @Test func aFailedSyncTakesBothEdgesOffline() throws {
        let disk = SimulatedFileSystem()
        var node = try Node.start(folder: "/data", on: disk)
        let before = (0..<20).map { "before \($0)" }
        try node.produce("t", before)
        disk.inject(Fault(.fail(errno: EIO), on: .sync, pathContains: ".journal", times: .max))
        // Whether this one is on the disk is not known: it is refused, and may be there after a start or not.
        try expectRefusal(of: "during", by: node)
        #expect(try node.post("t", "\"during\"") == 503)
        // The disk is well again, but what the kernel has dropped stays dropped.
        disk.removeFaults()
        try expectRefusal(of: "after", by: node)
        for _ in 0..<3 { #expect(try node.post("t", "\"after\"") == 503) }
        #expect(try node.ask("GET", "/readyz", "\r\n").status == 503)
        #expect(try node.ask("GET", "/healthz", "\r\n").status == 200)
        #expect(try node.consume("t", 20) == before)

        let left = disk.crash(keeping: .nothing)
        disk.halt()
        try? node.stop()
        node = try Node.start(folder: "/data", on: left)
        let found = try node.consume("t", Int(end(of: "t", node)))
        #expect(Array(found.prefix(20)) == before)
        #expect([[], ["during"]].contains(Array(found.dropFirst(20))))
        try node.produce("t", ["again"])
        try node.stop()
    }

    private func expectRefusal(of value: String, by node: Node) throws {
        var options = Producer.Options()
        options.isIdempotent = false
        // It tries again for so long; the last answer is what it tells.
        options.deliveryTimeoutMs = 1_000
        let producer = try Producer(node.cluster, options: options)
        var results: [Result<Int64, ClientError>] = []
        producer.onDelivery = { results.append($0.result) }
        try producer.send(
            topic: "t", partition: 0, key: nil, value: Array(value.utf8), headers: EncodedRecordHeaders(),
            timestampMs: WallClock.milliseconds)
        try? producer.flush()
        #expect(results.count == 1)
        guard case .failure(let error)? = results.first else {
            return #expect(Bool(false), "\(value) was acknowledged")
        }
        #expect(error.code == .kafkaStorageError)
    }
}
