import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import Glibc
import KafkaModel
import LogStorage
import Security
import StorageIO
import Telemetry
import Transport

@testable import IngestGateway

/// A small gateway in this process, behind proxies that it believes, with tokens that others look at: its loop, its streams, a simulated
/// disk. One serves some thousand inputs; what they made goes with it.
///
/// What it sends must be what a client of HTTP/2 understands. Then others must be served, and when nobody is there it must hold nothing
/// for anybody.
final class FuzzGateway: @unchecked Sendable {
    private static let inputsEach = 2000
    /// So many inputs are looked behind together.
    private static let inputsOfCheck = 8
    // SAFETY: libFuzzer calls from one thread alone.
    nonisolated(unsafe) private static var shared: FuzzGateway?

    private let broker: Broker
    private let gateway: Gateway
    private let group: EventLoopGroup
    private let port: UInt16
    private var inputs = 0

    static func current() -> FuzzGateway {
        if let shared, shared.inputs < inputsEach { return shared }
        shared?.stop()
        let made = try! FuzzGateway()
        shared = made
        return made
    }

    private init() throws {
        var options = BrokerOptions()
        options.offsetsPartitions = 1
        options.autoCreateTopics = false
        options.topicDefaults["retention.ms"] = "-1"
        options.store.journalFileBytes = 4 << 20
        options.store.reserveBytes = 0
        options.store.direct = false
        let broker = try Broker(fileSystem: SimulatedFileSystem(), folder: "/data", options: options)
        self.broker = broker
        let clock = CommitClock(published: broker.store.durableTicket)
        broker.store.observe(FuzzCommits(clock))
        var limits = GatewayOptions()
        (limits.requestTimeout, limits.bodyIdleTimeout, limits.headTimeout) = (.seconds(2), .seconds(1), .seconds(1))
        limits.maxConnectionsPerIP = 4
        let gateway = Gateway(
            broker: broker, options: limits, configuration: try Self.configuration(limits), loopCount: 1,
            authentication: GatewayAuthentication(
                .optional, passwords: try Authentication(broker), tokens: FuzzTokenDesk(broker.workers)))
        self.gateway = gateway
        var loops = EventLoopGroup.Options()
        loops.loops = 1
        loops.commitClock = clock
        loops.setUp = { gateway.setUp($0) }
        group = try EventLoopGroup(loops)
        broker.start()
        gateway.load()
        for topic in ["t", "events", "ingest"] {
            _ = try broker.createTopic(topic, partitions: 2, replicationFactor: 1, settings: [:], validateOnly: false)
                .get()
        }
        port = try group.listen(gateway.listenerOptions(host: "127.0.0.1", port: 0)).port
    }

    /// With a route that has a schema, and proxies.
    private static func configuration(_ options: GatewayOptions) throws -> GatewayConfiguration {
        let text = """
            http.trusted.proxies: 127.0.0.1
            routes:
              - {id: typed, path: /typed, formats: [json, ndjson], to: {topic: t}, schema: {type: object, required: [n]}}
            """
        var path = Array("/tmp/millrace-fuzz-XXXXXX".utf8CString)
        let file = mkstemp(&path)
        insist(file >= 0, "there is no room for a file in /tmp")
        let name = path.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        defer { unlink(name) }
        insist(write(file, text, text.utf8.count) == text.utf8.count)
        close(file)
        return try GatewayConfiguration(try Configuration.load(file: name, environment: [:], flags: []), options)
    }

    func serve(_ bytes: [UInt8], inPiecesOf piece: Int) {
        inputs += 1
        let client = FuzzSocket(port: port)
        let replies = FuzzReplies()
        let isHTTP2 = bytes.starts(with: HTTP2Frame.opening().prefix(24))
        func read(atLeast count: Int, _ milliseconds: Int32) {
            _ = client.receive(atLeast: count, milliseconds: milliseconds) { if isHTTP2 { replies.take($0) } }
        }
        bytes.withUnsafeBytes { bytes in
            // A few pieces: a thousand would be a thousand turns of the loop.
            let size = piece == 0 ? bytes.count : max(piece, bytes.count / 16)
            var at = 0
            while at < bytes.count {
                let end = min(at + size, bytes.count)
                client.send(UnsafeRawBufferPointer(rebasing: bytes[at..<end]))
                at = end
                read(atLeast: .max, 0)
            }
        }
        client.finish()
        read(atLeast: .max, 20)
        client.close()
        if inputs % Self.inputsOfCheck == 0 { check() }
    }

    /// Others are served, and nothing is held for those who are gone.
    private func check() {
        let client = FuzzSocket(port: port)
        Array("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n".utf8).withUnsafeBytes { client.send($0) }
        var reply: [UInt8] = []
        _ = client.receive(atLeast: 15, milliseconds: 10_000) { reply += $0 }
        insist(reply.starts(with: "HTTP/1.1 200 OK".utf8), "another client is not served")
        client.close()
        insist(eventually { self.gateway.metrics.connections.value == 0 }, "a connection stays whose client is gone")
        insist(eventually { self.gateway.metrics.inflightBytes.value == 0 }, "bytes are held for nobody")
    }

    private func stop() {
        broker.drain()
        group.stop(within: .zero)
        try? broker.stop()
    }
}

private final class FuzzCommits: CommitObserver {
    private let clock: CommitClock
    init(_ clock: CommitClock) { self.clock = clock }

    func committed(through ticket: UInt64, woken: [ReadWaiter]) { clock.publish(ticket) }

    func commitFailed(from first: UInt64, through last: UInt64, woken: [ReadWaiter]) {
        clock.fail(from: first, through: last)
    }
}

/// Knows "good", on another thread.
private final class FuzzTokenDesk: TokenAuthority {
    private let workers: WorkerPool
    init(_ workers: WorkerPool) { self.workers = workers }

    var generation: Int { 0 }

    func remembered(_ token: Secret) -> TokenIdentity? { nil }

    func check(
        _ token: Secret, from address: NetworkAddress?, _ done: @escaping @Sendable (TokenVerdict) -> Void
    ) -> PendingCheck? {
        let isGood = token.withBytes { $0.elementsEqual("good".utf8) }
        let verdict: TokenVerdict =
            isGood
            ? .accepted(
                TokenIdentity(
                    issuer: "i", subject: "alice", principal: .user("alice"), groups: [],
                    expiry: UnixTime(milliseconds: .max / 2))) : .rejected(.wrongSignature)
        return workers.submit { done(verdict) } ? PendingCheck() : nil
    }
}
