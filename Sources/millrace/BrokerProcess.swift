import BrokerCore
import ByteBuffers
import Configuration
import Coordinators
import Glibc
import IngestGateway
import KafkaServer
import LogStorage
import StorageIO
import Telemetry
import Transport

/// The running broker, as `serve` sees it: the data folder, the Kafka listener and the gateway, on the same event loops.
struct BrokerProcess {
    /// The addresses in use, with the ports that the system picked for port 0.
    let kafkaAddress: Endpoint
    let httpAddress: Endpoint?
    let recovery: RecoverySummary

    private let broker: Broker
    private let gateway: Gateway?
    private let group: EventLoopGroup

    /// Opens the data folder, recovers, listens. Errors say what to do about them.
    static func start(_ configuration: Configuration) throws -> BrokerProcess {
        var brokerOptions = BrokerOptions(configuration)
        if isUnsafeWithoutSync {
            brokerOptions.store.unsafeWithoutSync = true
            Log.warning(
                "nothing is synced, and acknowledged records are lost when the power fails: for tests of durability only",
                unsafeVariable, 1)
        }
        // Each segment that is read or written costs a descriptor, each client one.
        let limit = raiseDescriptorLimit(to: Self.wantedDescriptors)
        let plan = DescriptorPlan(limit: limit)
        brokerOptions.store.openSegments = plan.segments
        var kafkaOptions = KafkaServerOptions(configuration)
        var gatewayOptions = GatewayOptions(configuration)
        let servesHTTP = configuration.servesHTTP
        let shares = plan.share([kafkaOptions.maxConnections, servesHTTP ? gatewayOptions.maxConnections : 0])
        if shares[0] < kafkaOptions.maxConnections { tellFewer(plan, limit, shares) }
        kafkaOptions.maxConnections = shares[0]
        gatewayOptions.maxConnections = shares[1]
        let broker = try Broker(
            fileSystem: PosixFileSystem(), folder: configuration.dataFolder, options: brokerOptions)
        let loops = configuration.eventLoopCount > 0 ? configuration.eventLoopCount : defaultLoopCount
        let kafka = KafkaServer(broker: broker, options: kafkaOptions, loopCount: loops)
        var options = EventLoopGroup.Options()
        options.loops = loops
        options.pool = .shared
        options.commitClock = kafka.commitClock
        options.byteBudget = configuration.maxQueuedRequestBytes
        let gateway =
            servesHTTP ? Gateway(broker: broker, options: gatewayOptions, loopCount: loops) : nil
        options.setUp = { loop in
            kafka.setUp(loop)
            gateway?.setUp(loop)
        }
        let group = try EventLoopGroup(options)
        Log.show(in: .shared)
        ProcessMetrics.show(in: .shared, version: Version.current)
        group.counters.show(in: .shared)
        broker.store.showMetrics(in: .shared)
        broker.start()
        let wanted = configuration.kafkaListener
        let listener = try group.listen(kafka.listenerOptions(host: wanted.host, port: wanted.port))
        var httpAddress: Endpoint?
        if let gateway {
            let wanted = configuration.httpListener
            let http = try group.listen(gateway.listenerOptions(host: wanted.host, port: wanted.port))
            httpAddress = Endpoint(host: wanted.host, port: http.port)
        }
        return BrokerProcess(
            kafkaAddress: Endpoint(host: wanted.host, port: listener.port), httpAddress: httpAddress,
            recovery: broker.summary, broker: broker, gateway: gateway, group: group)
    }

    /// Usual limits of open files leave fewer connections than the configuration's defaults, and more than most ever have.
    private static func tellFewer(_ plan: DescriptorPlan, _ limit: Int, _ shares: [Int]) {
        let tell = plan.isTight ? Log.warning : Log.info
        tell(
            "fewer connections than configured: the limit of open files (ulimit -n, LimitNOFILE=) leaves no more",
            "limit", limit, "openSegments", plan.segments, "max.connections", shares[0], "http.max.connections",
            shares[1])
    }

    /// Descriptors that are asked for: the hard limit decides.
    private static let wantedDescriptors = 1 << 20

    /// A test that says it would notice lost records has to notice them with this variable set to 1. Not a configuration
    /// key, so that no file and no flag can bring it about.
    private static let unsafeVariable = "MILLRACE_UNSAFE_WITHOUT_SYNC"

    private static var isUnsafeWithoutSync: Bool {
        guard let value = getenv(unsafeVariable) else { return false }
        return String(cString: value) == "1"
    }

    /// One event loop on up to three cores, half of the cores beyond, at most eight: the committing thread and the page
    /// cache's work want cores too.
    private static var defaultLoopCount: Int { max(1, min(8, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) / 2)) }

    /// Stops taking connections, finishes what is in work, flushes. Returns when nothing runs any more.
    func stop() throws {
        broker.drain()
        gateway?.drain()
        group.stop(within: .seconds(3))
        try broker.stop()
    }
}

extension BrokerOptions {
    init(_ configuration: Configuration) {
        self.init()
        nodeID = configuration.nodeID
        defaultPartitions = configuration.defaultPartitionCount
        autoCreateTopics = configuration.autoCreatesTopics
        deleteTopics = configuration.allowsTopicDeletion
        offsetsPartitions = configuration.offsetsTopicPartitionCount
        store.cleanerMapBytes = configuration.cleanerMapBytes
        store.cleanerIntervalMs = configuration.cleanerIntervalMs
        store.producerExpirationMs = configuration.producerIDExpirationMs
        groups.initialRebalanceDelayMs = configuration.initialRebalanceDelayMs
        groups.minSessionTimeoutMs = Int32(clamping: configuration.minSessionTimeoutMs)
        groups.maxSessionTimeoutMs = Int32(clamping: configuration.maxSessionTimeoutMs)
        groups.maxSize = configuration.maxGroupSize
        groups.offsetMetadataMaxBytes = configuration.maxOffsetMetadataBytes
        groups.offsetsRetentionMs = configuration.offsetsRetentionMs
        for key in TopicSettingKey.all {
            if let value = configuration.topicDefault(key.name), let text = value.text,
                value.source != .builtIn, text != key.defaultValue
            {
                topicDefaults[key.name] = text
            }
        }
        brokerSettings = configuration.described().map { row in
            BrokerSetting(
                name: row.name, value: row.value, isDefault: row.source == .builtIn, wireType: row.wireType,
                documentation: row.documentation)
        }
    }
}

extension KafkaServerOptions {
    init(_ configuration: Configuration) {
        self.init()
        maxRequestBytes = configuration.maxRequestBytes
        if let address = configuration.advertisedListener { advertised = (address.host, Int32(address.port)) }
        maxFetchBytes = min(maxFetchBytes, configuration.maxFetchBytes)
        fetchSessionSlots = configuration.maxFetchSessions
        maxIdleMs = configuration.maxIdleConnectionMs
        maxConnections = configuration.maxConnections
        maxConnectionsPerIP = configuration.maxConnectionsPerIP
    }
}

extension GatewayOptions {
    init(_ configuration: Configuration) {
        self.init()
        maxConnections = configuration.maxHTTPConnections
        maxConnectionsPerIP = configuration.maxHTTPConnectionsPerIP
        maxRequestBytes = configuration.maxHTTPRequestBytes
        maxEventBytes = configuration.maxHTTPEventBytes
        maxInflightBytes = configuration.maxHTTPInflightBytes
        maxInflightBytesPerPeer = configuration.maxHTTPInflightBytesPerIP
        requestTimeout = .milliseconds(configuration.httpRequestTimeoutMs)
        keepAlive = .milliseconds(configuration.httpKeepAliveMs)
        eventsTopic = configuration.eventsTopic
        ingestTopic = configuration.ingestTopic
        ingestEventTypes = configuration.ingestEventTypes
        ingestRate = configuration.ingestRate ?? 0
        ingestBurst = configuration.ingestRate == nil ? 0 : configuration.ingestBurst
    }
}
