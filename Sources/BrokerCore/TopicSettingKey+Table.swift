import LogStorage

extension TopicSettingKey {
    private static func number(_ text: String) -> Int64 { Int64(text) ?? 0 }

    /// All keys that Kafka 4.3 describes, in the order of their names. What is stored of some has no effect here, and
    /// their documentation says so.
    public static let all: [TopicSettingKey] = [
        TopicSettingKey(
            name: "cleanup.policy", kind: .list(["compact", "delete"]), defaultValue: "delete",
            brokerKey: "log.cleanup.policy",
            documentation:
                "How old records go: \"delete\" removes segments by time and size, "
                + "\"compact\" all but the newest record of each key.",
            apply: { value, settings in
                let policies = items(value)
                settings.deletesByRetention = policies.contains("delete")
                settings.isCompacted = policies.contains("compact")
            }),
        TopicSettingKey(
            name: "compression.gzip.level", kind: .gzipLevel, defaultValue: "-1", brokerKey: "compression.gzip.level",
            documentation: "Of no effect: batches are stored as their producers compressed them.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "compression.lz4.level", kind: .int(1...17), defaultValue: "9", brokerKey: "compression.lz4.level",
            documentation: "Of no effect: batches are stored as their producers compressed them.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "compression.type", kind: .string(["producer"]), defaultValue: "producer",
            brokerKey: "compression.type",
            documentation: "Batches are stored as their producers compressed them.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "compression.zstd.level", kind: .int(-131072...22), defaultValue: "3",
            brokerKey: "compression.zstd.level",
            documentation: "Of no effect: batches are stored as their producers compressed them.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "delete.retention.ms", kind: .long(0...Int64.max), defaultValue: "86400000",
            brokerKey: "log.cleaner.delete.retention.ms",
            documentation: "How long compaction keeps a tombstone after it has removed what it deletes.",
            apply: { value, settings in settings.deleteRetentionMs = number(value) }),
        TopicSettingKey(
            name: "file.delete.delay.ms", kind: .long(0...Int64.max), defaultValue: "60000",
            brokerKey: "log.segment.delete.delay.ms",
            documentation:
                "Of no effect: removed files go with the next checkpoint; readers keep what they have open.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "flush.messages", kind: .long(1...Int64.max), defaultValue: "9223372036854775807",
            brokerKey: "log.flush.interval.messages",
            documentation: "Of no effect: every write is on disk before it is acknowledged.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "flush.ms", kind: .long(0...Int64.max), defaultValue: "9223372036854775807",
            brokerKey: "log.flush.interval.ms",
            documentation: "Of no effect: every write is on disk before it is acknowledged.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "follower.replication.throttled.replicas", kind: .replicas, defaultValue: "", brokerKey: nil,
            documentation: "Of no effect: there is one broker.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "index.interval.bytes", kind: .int(0...Int64(Int32.max)), defaultValue: "4096",
            brokerKey: "log.index.interval.bytes",
            documentation: "Bytes of log between two index entries.",
            apply: { value, settings in settings.indexIntervalBytes = number(value) }),
        TopicSettingKey(
            name: "leader.replication.throttled.replicas", kind: .replicas, defaultValue: "", brokerKey: nil,
            documentation: "Of no effect: there is one broker.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "local.retention.bytes", kind: .long(-2...Int64.max), defaultValue: "-2",
            brokerKey: "log.local.retention.bytes",
            documentation: "Of no effect: there is no remote storage.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "local.retention.ms", kind: .long(-2...Int64.max), defaultValue: "-2",
            brokerKey: "log.local.retention.ms",
            documentation: "Of no effect: there is no remote storage.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "max.compaction.lag.ms", kind: .long(1...Int64.max), defaultValue: "9223372036854775807",
            brokerKey: "log.cleaner.max.compaction.lag.ms",
            documentation: "Age after which a record is compacted, however few like it there are.",
            apply: { value, settings in settings.maxCompactionLagMs = number(value) }),
        TopicSettingKey(
            name: "max.message.bytes", kind: .int(0...Int64(Int32.max)), defaultValue: "1048588",
            brokerKey: "message.max.bytes",
            documentation: "Largest record batch, in bytes after compression.",
            apply: { value, settings in settings.maxBatchBytes = Int(number(value)) }),
        TopicSettingKey(
            name: "message.timestamp.after.max.ms", kind: .long(0...Int64.max), defaultValue: "3600000",
            brokerKey: "log.message.timestamp.after.max.ms",
            documentation: "How far a producer's timestamp may lie ahead of the broker's clock.",
            apply: { value, settings in settings.timestampAfterMaxMs = number(value) }),
        TopicSettingKey(
            name: "message.timestamp.before.max.ms", kind: .long(0...Int64.max), defaultValue: "9223372036854775807",
            brokerKey: "log.message.timestamp.before.max.ms",
            documentation: "How far a producer's timestamp may lie behind the broker's clock.",
            apply: { value, settings in settings.timestampBeforeMaxMs = number(value) }),
        TopicSettingKey(
            name: "message.timestamp.type", kind: .string(["CreateTime", "LogAppendTime"]), defaultValue: "CreateTime",
            brokerKey: "log.message.timestamp.type",
            documentation: "Whose clock a record's timestamp is.",
            apply: { value, settings in settings.usesLogAppendTime = value == "LogAppendTime" }),
        TopicSettingKey(
            name: "min.cleanable.dirty.ratio", kind: .double(0...1), defaultValue: "0.5",
            brokerKey: "log.cleaner.min.cleanable.ratio",
            documentation: "Share of a log that must not have been compacted yet for compaction to be worth it.",
            apply: { value, settings in settings.minCleanableDirtyRatio = Double(value) ?? 0.5 }),
        TopicSettingKey(
            name: "min.compaction.lag.ms", kind: .long(0...Int64.max), defaultValue: "0",
            brokerKey: "log.cleaner.min.compaction.lag.ms",
            documentation: "Age before which a record is not compacted.",
            apply: { value, settings in settings.minCompactionLagMs = number(value) }),
        TopicSettingKey(
            name: "min.insync.replicas", kind: .int(1...Int64(Int32.max)), defaultValue: "1",
            brokerKey: "min.insync.replicas",
            documentation:
                "Replicas that must have a write before acks=all is answered; every write is synced to disk.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "preallocate", kind: .boolean, defaultValue: "false", brokerKey: "log.preallocate",
            documentation: "Of no effect: segments grow as they are written.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "remote.log.copy.disable", kind: .boolean, defaultValue: "false", brokerKey: nil,
            documentation: "Of no effect: there is no remote storage.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "remote.log.delete.on.disable", kind: .boolean, defaultValue: "false", brokerKey: nil,
            documentation: "Of no effect: there is no remote storage.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "remote.storage.enable", kind: .boolean, defaultValue: "false", brokerKey: nil,
            documentation: "There is no remote storage: only \"false\" is taken.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "retention.bytes", kind: .long(Int64.min...Int64.max), defaultValue: "-1",
            brokerKey: "log.retention.bytes",
            documentation: "Size of a partition above which its oldest segments are deleted; -1: no limit.",
            apply: { value, settings in settings.retentionBytes = number(value) }),
        TopicSettingKey(
            name: "retention.ms", kind: .long(-1...Int64.max), defaultValue: "604800000", brokerKey: "log.retention.ms",
            documentation: "Age after which a segment is deleted; -1: no limit.",
            apply: { value, settings in settings.retentionMs = number(value) }),
        TopicSettingKey(
            name: "segment.bytes", kind: .int(1_048_576...Int64(Int32.max)), defaultValue: "1073741824",
            brokerKey: "log.segment.bytes",
            documentation: "Size of a segment file.",
            apply: { value, settings in settings.segmentBytes = number(value) }),
        TopicSettingKey(
            name: "segment.index.bytes", kind: .int(4...Int64(Int32.max)), defaultValue: "10485760",
            brokerKey: "log.index.size.max.bytes",
            documentation: "Of no effect: an index is as long as its segment needs.",
            apply: { _, _ in }),
        TopicSettingKey(
            name: "segment.jitter.ms", kind: .long(0...Int64.max), defaultValue: "0", brokerKey: "log.roll.jitter.ms",
            documentation:
                "Most that segment.ms is shortened by, so that segments of many partitions are not closed at once.",
            apply: { value, settings in settings.segmentJitterMs = number(value) }),
        TopicSettingKey(
            name: "segment.ms", kind: .long(1...Int64.max), defaultValue: "604800000", brokerKey: "log.roll.ms",
            documentation: "Age after which a segment is closed although it is not full.",
            apply: { value, settings in settings.segmentMs = number(value) }),
        TopicSettingKey(
            name: "unclean.leader.election.enable", kind: .boolean, defaultValue: "false",
            brokerKey: "unclean.leader.election.enable",
            documentation: "Of no effect: there is one broker.",
            apply: { _, _ in }),
    ]

    /// Taken as by Kafka, and shown by no description: for tests that want segments smaller than `segment.bytes`
    /// allows.
    static let hidden: [TopicSettingKey] = [
        TopicSettingKey(
            name: "internal.segment.bytes", kind: .int(1...Int64(Int32.max)), defaultValue: "1073741824",
            brokerKey: nil, documentation: "Size of a segment file, without a lower limit.",
            apply: { value, settings in settings.segmentBytes = number(value) })
    ]
}
