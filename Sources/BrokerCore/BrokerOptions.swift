public import Coordinators
public import LogStorage

/// What a broker is told at its start; each field names the configuration key behind it.
public struct BrokerOptions: Sendable {
    /// `node.id`.
    public var nodeID: Int32 = 1
    /// `num.partitions`: partitions of a topic that is created without a number.
    public var defaultPartitions: Int32 = 1
    /// `auto.create.topics.enable`.
    public var autoCreateTopics = true
    /// `delete.topic.enable`.
    public var deleteTopics = true
    /// `offsets.topic.num.partitions`.
    public var offsetsPartitions: Int32 = 50
    /// `transaction.state.log.num.partitions`.
    public var transactionPartitions: Int32 = 50
    /// Partitions of `__queue_state`, of a broker that has none yet.
    var queueStatePartitions: Int32 = 50
    /// Likewise of `__share_state`.
    var shareStatePartitions: Int32 = 50
    /// What queues and share groups take for the time, in milliseconds since 1970.
    var queueClock: @Sendable () -> Int64 = { BrokerClock.wallMs() }
    /// And what for the time that receives wait, in milliseconds since some moment: nobody sets it.
    var queueSteadyClock: @Sendable () -> Int64 = { BrokerClock.monotonicMs() }
    /// The broker's own values for topic settings, by topic key.
    public var topicDefaults: [String: String] = [:]
    /// Everything DescribeConfigs shows of the broker.
    public var brokerSettings: [BrokerSetting] = []
    public var groups = GroupSettings()
    public var transactions = TransactionSettings()
    public var access = AccessOptions()
    public var quotas = QuotaSettings()
    public var store = LogStoreOptions()
    /// Most partitions in all; a creation that would exceed it is refused with POLICY_VIOLATION. Each costs about 2 KiB.
    public var maxPartitions = 200_000
    /// Bytes of a partition of `__consumer_offsets` below which it is not rewritten.
    var offsetsRewriteFloor: Int64 = 8 << 20

    public init() {}
}

/// One row of the broker's configuration, as DescribeConfigs shows it.
public struct BrokerSetting: Sendable {
    public var name: String
    /// Nil: unset, or shown to nobody.
    public var value: String?
    public var isSensitive: Bool
    public var isDefault: Bool
    /// Kafka's type code.
    public var wireType: Int8
    public var documentation: String

    public init(
        name: String, value: String?, isSensitive: Bool = false, isDefault: Bool, wireType: Int8, documentation: String
    ) {
        self.name = name
        self.value = value
        self.isSensitive = isSensitive
        self.isDefault = isDefault
        self.wireType = wireType
        self.documentation = documentation
    }
}
