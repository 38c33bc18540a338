import BrokerCore
public import ByteBuffers
public import Configuration
import Glibc
import IngestGateway
import IssuerKeys
import KafkaServer
import LogStorage
import StorageIO
public import Telemetry
import Transport

/// A running broker: the data folder, the Kafka listener and the gateway, on the same event loops.
///
///     let node = try Node.start(configuration)
///     …
///     try node.stop()
///
/// Several may run in one process, each with a data folder, a pool and metrics of its own; they share the log.
public struct Node: Sendable {
    /// The addresses in use, with the ports that the system picked for port 0, in the order of the configuration.
    public let kafkaAddresses: [ListenerAddress]
    /// Empty: the configuration serves no HTTP.
    public let httpAddresses: [ListenerAddress]
    /// Empty: what is for operators is at `httpAddresses`.
    public let adminAddresses: [ListenerAddress]

    let broker: Broker
    let gateway: Gateway?
    private let group: EventLoopGroup
    private let certificates: CertificateWatch?
    let alarms: AlarmWatch?
    private let tokens: IssuedTokens?
    private let audit: AuditLog?

    /// Opens the data folder, recovers it and listens. A start that fails leaves nothing running.
    ///
    /// - Parameters:
    ///   - pool: memory of edges and store: batches go from one to the other without being copied. Sockets are not read
    ///     while it has handed out more than `queued.max.request.bytes`, whoever has them; so a second node in a process
    ///     needs a second pool.
    ///   - metrics: where the node's numbers are shown, which is what `/metrics` answers. One for each node: a name that is
    ///     there already goes on showing what it showed.
    /// - Throws: `StorageError` for the data folder, `TransportError` for an address, `TLSConfigurationError` for a
    ///   certificate, `ConfigurationError` for what contradicts itself; they say what to do.
    public static func start(
        _ configuration: Configuration, pool: ChunkPool = .shared, metrics: MetricsRegistry = MetricsRegistry()
    ) throws -> Node {
        try start(configuration, on: PosixFileSystem(), pool: pool, metrics: metrics)
    }

    /// Does the same on a file system of the caller's.
    static func start(
        _ configuration: Configuration, on files: any FileSystem, pool: ChunkPool, metrics: MetricsRegistry
    ) throws -> Node {
        let options = try NodeOptions(configuration, descriptorLimit: raiseDescriptorLimit(to: wantedDescriptors))
        options.tellWhatIsUnusual()
        let listeners = try NodeListeners(configuration)
        let issuers = try NodeTokens(configuration)
        let broker = try Broker(
            fileSystem: files, folder: configuration.dataFolder, options: options.broker, pool: pool,
            metrics: metrics)
        let audit = AuditFile.audit(configuration, on: files, metrics: metrics)
        do {
            try FirstUser.make(on: broker, configuration, audit)
            let tokens = try issuers?.open(broker)
            do {
                return try start(broker, options, configuration, listeners, tokens, audit, pool, metrics)
            } catch {
                tokens?.stop()
                throw error
            }
        } catch {
            try? broker.stop()
            audit?.stop()
            throw error
        }
    }

    private static func start(
        _ broker: Broker, _ options: NodeOptions, _ configuration: Configuration, _ listeners: NodeListeners,
        _ tokens: IssuedTokens?, _ audit: AuditLog?, _ pool: ChunkPool, _ metrics: MetricsRegistry
    ) throws -> Node {
        var kafkaOptions = options.kafka
        kafkaOptions.audit = audit
        let kafka = KafkaServer(
            broker: broker, options: kafkaOptions, loopCount: options.loopCount, metrics: metrics)
        let mode = GatewayAuthentication.Mode(configuration)
        let passwords = listeners.asksForUsers || mode != nil ? try Authentication(broker) : nil
        let gateway = options.gateway.map { gatewayOptions in
            let authentication = passwords.flatMap { passwords in
                mode.map {
                    GatewayAuthentication(
                        $0, passwords: passwords, tokens: tokens, takesBareTokens: configuration.takesBareTokens)
                }
            }
            return Gateway(
                broker: broker, options: gatewayOptions, configuration: options.routes, loopCount: options.loopCount,
                authentication: authentication, separatesOperators: listeners.separatesOperators, audit: audit,
                metrics: metrics)
        }
        var groupOptions = EventLoopGroup.Options()
        groupOptions.loops = options.loopCount
        groupOptions.pool = pool
        groupOptions.commitClock = kafka.commitClock
        groupOptions.byteBudget = configuration.maxQueuedRequestBytes
        groupOptions.setUp = { loop in
            kafka.setUp(loop)
            gateway?.setUp(loop)
        }
        let group = try EventLoopGroup(groupOptions)
        broker.start()
        do {
            try makeTopics(options.routes.topics, broker, configuration)
            try makeQueues(options.routes.queues, broker, configuration)
            gateway?.load()
            runTakers(options.routes, broker, region: configuration.sqsRegion)
            let kafkaAddresses = try listeners.listen(group, kafka, passwords, tokens)
            let httpAddresses = try gateway.map { try listeners.listen(group, $0) } ?? []
            let adminAddresses = try gateway.map { try listeners.listen(group, $0, forOperators: true) } ?? []
            gateway?.watch(options.routes.watchers)
            // Not before: a registry of the caller's goes on showing what it was given, and asks this broker for it.
            show(broker, group, in: metrics)
            listeners.show(in: metrics)
            tokens?.show(in: metrics)
            if let gateway { runPulls(options.routes.pulls, gateway) }
            return Node(
                kafkaAddresses: kafkaAddresses, httpAddresses: httpAddresses, adminAddresses: adminAddresses,
                broker: broker, gateway: gateway, group: group, certificates: listeners.watch(),
                alarms: gateway.map { AlarmWatch(broker, $0.alarms, metrics) }, tokens: tokens, audit: audit)
        } catch {
            group.stop(within: .zero)
            throw error
        }
    }

    public var kafkaAddress: Endpoint { kafkaAddresses[0].endpoint }

    /// Reads what a start would read before it opens anything: the certificates. Throws what the start would.
    public static func check(_ configuration: Configuration) throws { _ = try NodeListeners(configuration) }

    /// Reads the certificates now, not at the next look, and whether their files have changed or not. False: there are none.
    public func reloadCertificates() -> Bool {
        certificates?.look()
        return certificates != nil
    }

    private static func show(_ broker: Broker, _ group: EventLoopGroup, in metrics: MetricsRegistry) {
        Log.show(in: metrics)
        StallTrace.show(in: metrics)
        ProcessMetrics.show(in: metrics, version: Version.current)
        group.counters.show(in: metrics)
        broker.store.showMetrics(in: metrics)
    }

    /// Each segment that is read or written costs a descriptor, each client one; the hard limit decides how many of
    /// these there are.
    private static let wantedDescriptors = 1 << 20

    /// How long connections may take to finish what is in work.
    private static let drainLimit = Duration.seconds(3)

    /// Stops taking connections, finishes what is in work, flushes. Returns when nothing runs any more.
    public func stop() throws {
        certificates?.stop()
        alarms?.stop()
        gateway?.readConfiguration(by: nil)
        gateway?.pulls.stop()
        gateway?.stopWatching()
        broker.drain()
        gateway?.drain()
        group.stop(within: Self.drainLimit)
        tokens?.stop()
        // Also where the broker's stop throws.
        defer { audit?.stop() }
        try broker.stop()
    }
}

extension GatewayAuthentication.Mode {
    /// Nil: nobody is asked over HTTP.
    fileprivate init?(_ configuration: Configuration) {
        switch configuration.httpAuthentication {
        case "optional": self = .optional
        case "required": self = .required
        default: return nil
        }
    }
}
