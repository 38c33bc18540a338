import BrokerCore
public import ByteBuffers
public import Configuration
import Glibc
import IngestGateway
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
    /// The addresses in use, with the ports that the system picked for port 0.
    public let kafkaAddress: Endpoint
    /// `nil`: the configuration serves no HTTP.
    public let httpAddress: Endpoint?

    let broker: Broker
    private let gateway: Gateway?
    private let group: EventLoopGroup

    /// Opens the data folder, recovers it and listens. A start that fails leaves nothing running.
    ///
    /// - Parameters:
    ///   - pool: memory of edges and store: batches go from one to the other without being copied. Sockets are not read
    ///     while it has handed out more than `queued.max.request.bytes`, whoever has them; so a second node in a process
    ///     needs a second pool.
    ///   - metrics: where the node's numbers are shown, which is what `/metrics` answers. One for each node: a name that is
    ///     there already goes on showing what it showed.
    /// - Throws: `StorageError` for the data folder, `TransportError` for an address; both say what to do.
    public static func start(
        _ configuration: Configuration, pool: ChunkPool = .shared, metrics: MetricsRegistry = MetricsRegistry()
    ) throws -> Node {
        let options = NodeOptions(configuration, descriptorLimit: raiseDescriptorLimit(to: wantedDescriptors))
        options.tellWhatIsUnusual()
        let broker = try Broker(
            fileSystem: PosixFileSystem(), folder: configuration.dataFolder, options: options.broker, pool: pool,
            metrics: metrics)
        do {
            return try start(broker, options, configuration, pool, metrics)
        } catch {
            try? broker.stop()
            throw error
        }
    }

    private static func start(
        _ broker: Broker, _ options: NodeOptions, _ configuration: Configuration, _ pool: ChunkPool,
        _ metrics: MetricsRegistry
    ) throws -> Node {
        let kafka = KafkaServer(
            broker: broker, options: options.kafka, loopCount: options.loopCount, metrics: metrics)
        let gateway = options.gateway.map {
            Gateway(broker: broker, options: $0, loopCount: options.loopCount, metrics: metrics)
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
            let kafkaAddress = try listen(configuration.kafkaListener, group, kafka.listenerOptions(host:port:))
            let httpAddress = try gateway.map { gateway in
                try listen(configuration.httpListener, group, gateway.listenerOptions(host:port:))
            }
            // Not before: a registry of the caller's goes on showing what it was given, and asks this broker for it.
            show(broker, group, in: metrics)
            return Node(
                kafkaAddress: kafkaAddress, httpAddress: httpAddress, broker: broker, gateway: gateway, group: group)
        } catch {
            group.stop(within: .zero)
            throw error
        }
    }

    /// Gives the address that is listened at, with its port.
    private static func listen(
        _ wanted: Endpoint, _ group: EventLoopGroup, _ options: (String, UInt16) -> ListenerOptions
    ) throws -> Endpoint {
        let listener = try group.listen(options(wanted.host, wanted.port))
        return Endpoint(host: wanted.host, port: listener.port)
    }

    private static func show(_ broker: Broker, _ group: EventLoopGroup, in metrics: MetricsRegistry) {
        Log.show(in: metrics)
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
        broker.drain()
        gateway?.drain()
        group.stop(within: Self.drainLimit)
        try broker.stop()
    }
}
