import BrokerCore
import BrokerTestKit
import ByteBuffers
import Coordinators
import Glibc
import LogStorage
import Security
import StorageIO
import Telemetry
import Testing
import Transport

@testable import KafkaServer

/// A whole broker in this process: simulated disk, real event loops, a real socket on the loopback.
///
/// It stops when the last reference goes; clients hold one.
final class TestBroker {
    struct Options {
        var broker = BrokerOptions()
        var server = KafkaServerOptions()
        var advertised: KafkaServer.Advertised?
        /// Who clients are, as if they had shown a certificate.
        var owner: Principal?
        /// Not nil: clients have to show who they are.
        var sasl: SaslSettings?
        /// Exchanges of SCRAM that each address may leave unproven.
        var exchanges = AttemptLimiter(perSecond: Authentication.exchanges.perSecond, burst: 1_000)
        /// Of OAUTHBEARER.
        var tokens: (any TokenAuthority)?
        var loops = 1

        init() {
            broker.offsetsPartitions = 4
            broker.groups.initialRebalanceDelayMs = 0
            // Test batches carry a time of long ago.
            broker.topicDefaults["retention.ms"] = "-1"
            broker.store.journalFileBytes = 8 << 20
            broker.store.reserveBytes = 0
            broker.store.direct = false
        }
    }

    static let folder = "/data"

    let options: Options
    let fileSystem: SimulatedFileSystem
    let broker: Broker
    let server: KafkaServer
    let group: EventLoopGroup
    /// Of a broker with SASL.
    let authentication: Authentication?
    let port: UInt16
    private var isStopped = false

    convenience init(_ configure: (inout Options) -> Void = { _ in }) throws {
        var options = Options()
        configure(&options)
        try self.init(on: SimulatedFileSystem(), options)
    }

    /// A broker that finds what another left on `fileSystem`.
    convenience init(on fileSystem: SimulatedFileSystem, _ options: Options) throws {
        try self.init(fileSystem, folder: Self.folder, simulated: fileSystem, options)
    }

    /// A broker on this machine's disk, as it is for users; `fileSystem` means nothing then.
    convenience init(onDisk folder: String, _ configure: (inout Options) -> Void = { _ in }) throws {
        var options = Options()
        options.broker.store.direct = true
        configure(&options)
        try self.init(PosixFileSystem(), folder: folder, simulated: SimulatedFileSystem(), options)
    }

    /// A broker on a simulated disk whose calls wait on demand. The test releases them before the broker is let go.
    convenience init(
        stalling disk: StallingFileSystem, _ configure: (inout Options) -> Void = { _ in }
    ) throws {
        var options = Options()
        configure(&options)
        try self.init(disk, folder: Self.folder, simulated: SimulatedFileSystem(), options)
    }

    private init(
        _ files: any FileSystem, folder: String, simulated: SimulatedFileSystem, _ options: Options
    ) throws {
        self.options = options
        fileSystem = simulated
        broker = try Broker(fileSystem: files, folder: folder, options: options.broker)
        let server = KafkaServer(broker: broker, options: options.server, loopCount: options.loops)
        self.server = server
        var loopOptions = EventLoopGroup.Options()
        loopOptions.loops = options.loops
        loopOptions.commitClock = server.commitClock
        loopOptions.setUp = { loop in server.setUp(loop) }
        group = try EventLoopGroup(loopOptions)
        broker.start()
        var sasl: SaslListener?
        authentication = options.sasl == nil ? nil : try Authentication(broker, exchanges: options.exchanges)
        if let settings = options.sasl, let authentication {
            sasl = SaslListener(settings, authentication, tokens: options.tokens)
        }
        let listener = server.listenerOptions(
            host: "127.0.0.1", port: 0, advertised: options.advertised, sasl: sasl,
            certificateOwner: { [owner = options.owner] _ in owner })
        port = try group.listen(listener).port
    }

    deinit { stop() }

    /// Ends the broker as a signal would: what is in work is finished, what is queued is committed.
    func stop() {
        if isStopped { return }
        isStopped = true
        broker.drain()
        group.stop(within: .zero)
        try? broker.stop()
    }

    /// Stops in good order and starts again on the same disk.
    func restarted() throws -> TestBroker {
        stop()
        return try TestBroker(on: fileSystem, options)
    }

    /// Cuts the power and starts again on what the disk then holds.
    func crashed(keeping: SimulatedFileSystem.Keeping = .nothing) throws -> TestBroker {
        let left = fileSystem.crash(keeping: keeping)
        fileSystem.halt()
        stop()
        return try TestBroker(on: left, options)
    }

    func client() throws -> WireClient { try WireClient(self) }

    // MARK: Looking inside

    /// Charges of long requests so far: for being decoded, and for work or a reply.
    var charges: Int { server.decoding.counts.admitted + server.budget.counts.admitted }

    /// What the loops hold, summed up.
    private func sum(_ count: @escaping @Sendable (KafkaLoop) -> Int) -> Int { ofEach(count).reduce(0, +) }

    private func ofEach<Value: Sendable>(_ look: @escaping @Sendable (KafkaLoop) -> Value) -> [Value] {
        group.loops.compactMap { handle in
            let answer = Lock<Value?>(nil)
            let answered = Signal()
            guard
                handle.submit({ [server] loop in
                    answer.withLock { $0 = look(server.loops.state(loop.index)) }
                    answered.raise()
                })
            else { return nil }
            while true {
                if let answer = answer.withLock({ $0 }) { return answer }
                answered.wait()
            }
        }
    }

    var connectionCount: Int { sum { $0.eventLoop.connectionCount } }
    /// Turns in which connections were closed whose credentials have changed.
    var closingTurns: Int { sum { $0.closingTurns } }
    /// Decisions that ACLs were searched for, of those that loops remember.
    var decisionsMade: Int { sum { $0.decisions?.decisions.misses ?? 0 } }
    var parkedFetches: Int { sum { $0.parkedFetches.count } }
    /// Connections that a quota keeps from being read.
    var mutedConnections: Int { Int(server.metrics.mutedConnections.value) }
    /// Requests that wait for their group.
    var groupWaiters: Int { sum { $0.waiters.count } }
    var fetchSessions: Int { sum { $0.sessions.count } }
    var sessionIDs: [Int32] { ofEach { Array($0.sessions.ids) }.flatMap { $0 } }
    /// Looks at a session, or changes it, on its loop; nil when there is none of this id.
    @discardableResult
    func withSession<Value: Sendable>(
        _ id: Int32, _ body: @escaping @Sendable (KafkaLoop, FetchSession) -> Value
    ) -> Value? {
        ofEach { loop in loop.sessions.session(id, now: loop.eventLoop.now).map { body(loop, $0) } }.compactMap { $0 }
            .first
    }
    /// Partitions that a session's fetches have looked at.
    func looks(of session: Int32) -> Int {
        sum { $0.sessions.session(session, now: $0.eventLoop.now)?.looks ?? 0 }
    }
}
