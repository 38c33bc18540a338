import BrokerCore
import Configuration
import Coordinators
import Glibc
import IngestGateway
import KafkaServer
import LogStorage
import Security
import StorageIO
import Telemetry

/// What a configuration, and the limit of open files, make of the options of each part.
struct NodeOptions {
    var broker: BrokerOptions
    var kafka: KafkaServerOptions
    /// `nil`: no HTTP is served.
    var gateway: GatewayOptions?
    let routes: GatewayConfiguration
    let loopCount: Int
    /// Whether requests over HTTP show who makes them.
    private let asksOverHTTP: Bool

    private let open: [ListenerAddress]
    private let isWithoutAcls: Bool
    private let descriptorLimit: Int
    private let plan: DescriptorPlan
    private let wantedKafkaConnections: Int

    init(_ configuration: Configuration, descriptorLimit: Int) throws(ConfigurationError) {
        broker = BrokerOptions(configuration)
        broker.access = try AccessOptions(configuration)
        broker.store.unsafeWithoutSync = Self.isUnsafeWithoutSync
        kafka = KafkaServerOptions(configuration)
        gateway = configuration.servesHTTP ? GatewayOptions(configuration) : nil
        asksOverHTTP = configuration.httpAuthentication != "off"
        routes = try GatewayConfiguration(configuration, gateway ?? GatewayOptions(configuration))
        loopCount = configuration.eventLoopCount > 0 ? configuration.eventLoopCount : Self.defaultLoopCount
        open = configuration.openListeners
        isWithoutAcls = configuration.hasSaslListener && !configuration.hasAuthorizer
        self.descriptorLimit = descriptorLimit
        plan = DescriptorPlan(limit: descriptorLimit)
        wantedKafkaConnections = kafka.maxConnections
        broker.store.openSegments = plan.segments
        let shares = plan.share([kafka.maxConnections, gateway?.maxConnections ?? 0])
        kafka.maxConnections = shares[0]
        gateway?.maxConnections = shares[1]
    }

    /// Logs what an operator should know before the start.
    func tellWhatIsUnusual() {
        if broker.store.unsafeWithoutSync {
            Log.warning(
                "nothing is synced, and acknowledged records are lost when the power fails: for tests of durability only",
                Self.unsafeVariable, 1)
        }
        if !open.isEmpty {
            Log.warning(
                "whoever reaches these may do everything, and is not asked who he is", "listeners",
                open.map { "\($0.name)://\($0.endpoint)" }.joined(separator: ","))
        }
        if isWithoutAcls {
            Log.warning(
                "whoever signs in by SASL may do everything, and set everybody's password", "authorizer.enable", false)
        }
        if broker.access.hasAuthorizer, gateway != nil, !asksOverHTTP {
            Log.warning(
                "ACLs hold for Kafka's protocol alone; over HTTP everybody may do everything", "http.auth", "off")
        }
        guard kafka.maxConnections < wantedKafkaConnections else { return }
        // Usual limits leave fewer connections than the defaults ask for, and more than most brokers ever have.
        let tell = plan.isTight ? Log.warning : Log.info
        tell(
            "fewer connections than configured: the limit of open files (ulimit -n, LimitNOFILE=) leaves no more",
            "limit", descriptorLimit, "openSegments", plan.segments, "max.connections", kafka.maxConnections,
            "http.max.connections", gateway?.maxConnections ?? 0)
    }

    /// A test that claims to notice lost records has to notice them with this variable set to 1. It is no configuration
    /// key, so that no file and no flag can bring it about.
    private static let unsafeVariable = "MILLRACE_UNSAFE_WITHOUT_SYNC"

    private static var isUnsafeWithoutSync: Bool {
        guard let value = getenv(unsafeVariable) else { return false }
        return String(cString: value) == "1"
    }

    /// Half of the cores, at least one and at most eight: the committing thread and the page cache's work want cores
    /// too.
    private static var defaultLoopCount: Int { max(1, min(8, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) / 2)) }
}

extension BrokerOptions {
    init(_ configuration: Configuration) {
        self.init()
        nodeID = configuration.nodeID
        defaultPartitions = configuration.defaultPartitionCount
        autoCreateTopics = configuration.autoCreatesTopics
        deleteTopics = configuration.allowsTopicDeletion
        offsetsPartitions = configuration.offsetsTopicPartitionCount
        quotas.windows = QuotaWindows(
            count: configuration.quotaWindowCount, length: .seconds(configuration.quotaWindowSeconds))
        quotas.controllerWindows = QuotaWindows(
            count: configuration.controllerQuotaWindowCount,
            length: .seconds(configuration.controllerQuotaWindowSeconds))
        store.cleanerMapBytes = configuration.cleanerMapBytes
        store.cleanerIntervalMs = configuration.cleanerIntervalMs
        store.retentionCheckMs = configuration.retentionCheckMs
        store.windowBytes = configuration.windowBytes
        store.windowPercent = configuration.windowMemoryPercent
        store.windowMs = configuration.windowMs
        store.machineMemory = LinuxMemory()
        store.producerExpirationMs = configuration.producerIDExpirationMs
        groups.initialRebalanceDelayMs = configuration.initialRebalanceDelayMs
        groups.minSessionTimeoutMs = Int32(clamping: configuration.minSessionTimeoutMs)
        groups.maxSessionTimeoutMs = Int32(clamping: configuration.maxSessionTimeoutMs)
        groups.maxSize = configuration.maxGroupSize
        groups.offsetMetadataMaxBytes = configuration.maxOffsetMetadataBytes
        groups.offsetsRetentionMs = configuration.offsetsRetentionMs
        groups.consumerSessionTimeoutMs = Int32(clamping: configuration.consumerSessionTimeoutMs)
        groups.consumerHeartbeatIntervalMs = Int32(clamping: configuration.consumerHeartbeatIntervalMs)
        groups.consumerMaxSize = configuration.maxConsumerGroupSize
        groups.consumerAssignors = configuration.consumerAssignors.map { name in
            guard let assignor = ServerAssignor(rawValue: name) else {
                preconditionFailure("the configuration allows an assignor that groups have not: \(name)")
            }
            return assignor
        }
        groups.consumerAssignmentIntervalMs = Int32(clamping: configuration.consumerAssignmentIntervalMs)
        groups.takeShares(configuration)
        guard let policy = GroupMigrationPolicy(rawValue: configuration.groupMigrationPolicy) else {
            preconditionFailure(
                "the configuration allows a policy that groups have not: \(configuration.groupMigrationPolicy)")
        }
        groups.migrationPolicy = policy
        groups.consumerPatternRefreshMs = Int32(clamping: configuration.consumerPatternRefreshMs)
        transactionPartitions = configuration.transactionTopicPartitionCount
        transactions.maxTimeoutMs = Int32(clamping: configuration.maxTransactionTimeoutMs)
        transactions.idExpirationMs = configuration.transactionalIDExpirationMs
        for key in TopicSettingKey.all {
            if let value = configuration.topicDefault(key.name), let text = value.text,
                value.source != .builtIn, text != key.defaultValue
            {
                topicDefaults[key.name] = text
            }
        }
        brokerSettings = configuration.described().map { row in
            BrokerSetting(
                name: row.name, value: row.value, isSensitive: row.isSensitive, isDefault: row.source == .builtIn,
                wireType: row.wireType, documentation: row.documentation)
        }
    }
}

extension GroupSettings {
    fileprivate mutating func takeShares(_ configuration: Configuration) {
        shareSessionTimeoutMs = Int32(clamping: configuration.shareSessionTimeoutMs)
        shareHeartbeatIntervalMs = Int32(clamping: configuration.shareHeartbeatIntervalMs)
        shareAssignmentIntervalMs = Int32(clamping: configuration.shareAssignmentIntervalMs)
        shareMaxSize = configuration.maxShareGroupSize
        maxShareSessions = configuration.maxShareSessions
        shareLockDurationMs = Int32(clamping: configuration.shareLockDurationMs)
        shareDeliveryLimit = Int32(clamping: configuration.shareDeliveryLimit)
        shareRecordLocks = Int32(clamping: configuration.shareRecordLocks)
    }
}

extension KafkaServerOptions {
    init(_ configuration: Configuration) {
        self.init()
        maxRequestBytes = configuration.maxRequestBytes
        maxFetchBytes = min(maxFetchBytes, configuration.maxFetchBytes)
        fetchSessionSlots = configuration.maxFetchSessions
        maxIdleMs = configuration.maxIdleConnectionMs
        maxConnections = configuration.maxConnections
        maxConnectionsPerIP = configuration.maxConnectionsPerIP
    }
}

extension AccessOptions {
    init(_ configuration: Configuration) throws(ConfigurationError) {
        self.init()
        hasAuthorizer = configuration.hasAuthorizer
        allowsWithoutAcl = configuration.allowsWithoutAcl
        do throws(SecurityConfigurationError) {
            superUsers = try AccessRules.superUsers(parsing: configuration.superUsers ?? "")
        } catch {
            throw ConfigurationError(
                configuration, error.key, reason: "'\(error.value)' has no type", remedy: "Write \(error.expected)")
        }
    }
}
