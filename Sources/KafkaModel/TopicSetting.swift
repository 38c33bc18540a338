/// A setting that a topic may have, as Kafka 4.3 defines it: what it may be, its default, and the broker's key that gives
/// another default. One table for the broker, which says what a setting does, and for the configuration, whose keys take
/// their values from it.
public struct TopicSetting: Sendable {
    public enum Kind: Sendable {
        case int(ClosedRange<Int64>)
        /// 1 to 9, or -1.
        case gzipLevel
        case long(ClosedRange<Int64>)
        case double(ClosedRange<Double>)
        case boolean
        case string([String])
        /// Comma-separated, each one of these; none at all is a list, too.
        case list([String])
        /// Comma-separated `partition:broker`, or `*`.
        case replicas
    }

    public let name: String
    public let kind: Kind
    public let defaultValue: String
    /// The broker key that gives the default, as DescribeConfigs shows it.
    public let brokerKey: String?

    private init(_ name: String, _ kind: Kind, default defaultValue: String, broker brokerKey: String? = nil) {
        self.name = name
        self.kind = kind
        self.defaultValue = defaultValue
        self.brokerKey = brokerKey
    }
}

extension TopicSetting {
    /// Returns the setting of that name, of those described or hidden.
    public static func named(_ name: String) -> TopicSetting? { byName[name] }

    private static let byName = Dictionary(uniqueKeysWithValues: (all + hidden).map { ($0.name, $0) })

    /// All settings that Kafka describes, in the order of their names.
    public static let all: [TopicSetting] = [
        TopicSetting("cleanup.policy", .list(["compact", "delete"]), default: "delete", broker: "log.cleanup.policy"),
        TopicSetting("compression.gzip.level", .gzipLevel, default: "-1", broker: "compression.gzip.level"),
        TopicSetting("compression.lz4.level", .int(1...17), default: "9", broker: "compression.lz4.level"),
        TopicSetting("compression.type", .string(["producer"]), default: "producer", broker: "compression.type"),
        TopicSetting("compression.zstd.level", .int(-131072...22), default: "3", broker: "compression.zstd.level"),
        TopicSetting(
            "delete.retention.ms", .long(0...Int64.max), default: "86400000", broker: "log.cleaner.delete.retention.ms"),
        TopicSetting(
            "file.delete.delay.ms", .long(0...Int64.max), default: "60000", broker: "log.segment.delete.delay.ms"),
        TopicSetting(
            "flush.messages", .long(1...Int64.max), default: "9223372036854775807",
            broker: "log.flush.interval.messages"),
        TopicSetting("flush.ms", .long(0...Int64.max), default: "9223372036854775807", broker: "log.flush.interval.ms"),
        TopicSetting("follower.replication.throttled.replicas", .replicas, default: ""),
        TopicSetting(
            "index.interval.bytes", .int(0...Int64(Int32.max)), default: "4096", broker: "log.index.interval.bytes"),
        TopicSetting("leader.replication.throttled.replicas", .replicas, default: ""),
        TopicSetting(
            "local.retention.bytes", .long(-2...Int64.max), default: "-2", broker: "log.local.retention.bytes"),
        TopicSetting("local.retention.ms", .long(-2...Int64.max), default: "-2", broker: "log.local.retention.ms"),
        TopicSetting(
            "max.compaction.lag.ms", .long(1...Int64.max), default: "9223372036854775807",
            broker: "log.cleaner.max.compaction.lag.ms"),
        TopicSetting("max.message.bytes", .int(0...Int64(Int32.max)), default: "1048588", broker: "message.max.bytes"),
        TopicSetting(
            "message.timestamp.after.max.ms", .long(0...Int64.max), default: "3600000",
            broker: "log.message.timestamp.after.max.ms"),
        TopicSetting(
            "message.timestamp.before.max.ms", .long(0...Int64.max), default: "9223372036854775807",
            broker: "log.message.timestamp.before.max.ms"),
        TopicSetting(
            "message.timestamp.type", .string(["CreateTime", "LogAppendTime"]), default: "CreateTime",
            broker: "log.message.timestamp.type"),
        TopicSetting(
            "min.cleanable.dirty.ratio", .double(0...1), default: "0.5", broker: "log.cleaner.min.cleanable.ratio"),
        TopicSetting(
            "min.compaction.lag.ms", .long(0...Int64.max), default: "0", broker: "log.cleaner.min.compaction.lag.ms"),
        TopicSetting("min.insync.replicas", .int(1...Int64(Int32.max)), default: "1", broker: "min.insync.replicas"),
        TopicSetting("preallocate", .boolean, default: "false", broker: "log.preallocate"),
        TopicSetting("remote.log.copy.disable", .boolean, default: "false"),
        TopicSetting("remote.log.delete.on.disable", .boolean, default: "false"),
        TopicSetting("remote.storage.enable", .boolean, default: "false"),
        TopicSetting("retention.bytes", .long(Int64.min...Int64.max), default: "-1", broker: "log.retention.bytes"),
        TopicSetting("retention.ms", .long(-1...Int64.max), default: "604800000", broker: "log.retention.ms"),
        TopicSetting(
            "segment.bytes", .int(1_048_576...Int64(Int32.max)), default: "1073741824", broker: "log.segment.bytes"),
        TopicSetting(
            "segment.index.bytes", .int(4...Int64(Int32.max)), default: "10485760", broker: "log.index.size.max.bytes"),
        TopicSetting("segment.jitter.ms", .long(0...Int64.max), default: "0", broker: "log.roll.jitter.ms"),
        TopicSetting("segment.ms", .long(1...Int64.max), default: "604800000", broker: "log.roll.ms"),
        TopicSetting(
            "unclean.leader.election.enable", .boolean, default: "false", broker: "unclean.leader.election.enable"),
    ]

    /// Taken as by Kafka, and shown by no description: for tests that want segments smaller than `segment.bytes`
    /// allows.
    public static let hidden: [TopicSetting] = [
        TopicSetting("internal.segment.bytes", .int(1...Int64(Int32.max)), default: "1073741824")
    ]
}
