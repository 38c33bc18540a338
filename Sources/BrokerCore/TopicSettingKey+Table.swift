import KafkaModel
import LogStorage

extension TopicSettingKey {
    private static func number(_ text: String) -> Int64 { Int64(text) ?? 0 }

    /// All keys of `TopicSetting.all`, in its order. What is stored of some has no effect here, and their documentation says
    /// so.
    public static let all: [TopicSettingKey] = [
        TopicSettingKey(
            "cleanup.policy",
            "How old records go: \"delete\" removes segments by time and size, "
                + "\"compact\" all but the newest record of each key."
        ) { value, settings in
            let policies = items(value)
            settings.deletesByRetention = policies.contains("delete")
            settings.isCompacted = policies.contains("compact")
        },
        TopicSettingKey(
            "compression.gzip.level",
            "Of no effect: batches are stored as their producers compressed them."),
        TopicSettingKey(
            "compression.lz4.level",
            "Of no effect: batches are stored as their producers compressed them."),
        TopicSettingKey(
            "compression.type",
            "Batches are stored as their producers compressed them."),
        TopicSettingKey(
            "compression.zstd.level",
            "Of no effect: batches are stored as their producers compressed them."),
        TopicSettingKey(
            "delete.retention.ms",
            "How long compaction keeps a tombstone after it has removed what it deletes."
        ) { value, settings in settings.deleteRetentionMs = number(value) },
        TopicSettingKey(
            "file.delete.delay.ms",
            "Of no effect: removed files go with the next checkpoint; readers keep what they have open."),
        TopicSettingKey(
            "flush.messages",
            "Of no effect: every write is on disk before it is acknowledged."),
        TopicSettingKey(
            "flush.ms",
            "Of no effect: every write is on disk before it is acknowledged."),
        TopicSettingKey(
            "follower.replication.throttled.replicas",
            "Of no effect: there is one broker."),
        TopicSettingKey(
            "index.interval.bytes",
            "Bytes of log between two index entries."
        ) { value, settings in settings.indexIntervalBytes = number(value) },
        TopicSettingKey(
            "leader.replication.throttled.replicas",
            "Of no effect: there is one broker."),
        TopicSettingKey(
            "local.retention.bytes",
            "Of no effect: there is no remote storage."),
        TopicSettingKey(
            "local.retention.ms",
            "Of no effect: there is no remote storage."),
        TopicSettingKey(
            "max.compaction.lag.ms",
            "Age after which a record is compacted, however few like it there are."
        ) { value, settings in settings.maxCompactionLagMs = number(value) },
        TopicSettingKey(
            "max.message.bytes",
            "Largest record batch, in bytes after compression."
        ) { value, settings in settings.maxBatchBytes = Int(number(value)) },
        TopicSettingKey(
            "message.timestamp.after.max.ms",
            "How far a producer's timestamp may lie ahead of the broker's clock."
        ) { value, settings in settings.timestampAfterMaxMs = number(value) },
        TopicSettingKey(
            "message.timestamp.before.max.ms",
            "How far a producer's timestamp may lie behind the broker's clock."
        ) { value, settings in settings.timestampBeforeMaxMs = number(value) },
        TopicSettingKey(
            "message.timestamp.type",
            "Whose clock a record's timestamp is."
        ) { value, settings in settings.usesLogAppendTime = value == "LogAppendTime" },
        TopicSettingKey(
            "min.cleanable.dirty.ratio",
            "Share of a log that must not have been compacted yet for compaction to be worth it."
        ) { value, settings in settings.minCleanableDirtyRatio = Double(value) ?? 0.5 },
        TopicSettingKey(
            "min.compaction.lag.ms",
            "Age before which a record is not compacted."
        ) { value, settings in settings.minCompactionLagMs = number(value) },
        TopicSettingKey(
            "min.insync.replicas",
            "Replicas that must have a write before acks=all is answered; every write is synced to disk."),
        TopicSettingKey(
            "preallocate",
            "Of no effect: segments grow as they are written."),
        TopicSettingKey(
            "remote.log.copy.disable",
            "Of no effect: there is no remote storage."),
        TopicSettingKey(
            "remote.log.delete.on.disable",
            "Of no effect: there is no remote storage."),
        TopicSettingKey(
            "remote.storage.enable",
            "There is no remote storage: only \"false\" is taken."),
        TopicSettingKey(
            "retention.bytes",
            "Size of a partition above which its oldest segments are deleted; -1: no limit."
        ) { value, settings in settings.retentionBytes = number(value) },
        TopicSettingKey(
            "retention.ms",
            "Age after which a segment is deleted; -1: no limit."
        ) { value, settings in settings.retentionMs = number(value) },
        TopicSettingKey(
            "segment.bytes",
            "Size of a segment file."
        ) { value, settings in settings.segmentBytes = number(value) },
        TopicSettingKey(
            "segment.index.bytes",
            "Of no effect: an index is as long as its segment needs."),
        TopicSettingKey(
            "segment.jitter.ms",
            "Most that segment.ms is shortened by, so that segments of many partitions are not closed at once."
        ) { value, settings in settings.segmentJitterMs = number(value) },
        TopicSettingKey(
            "segment.ms",
            "Age after which a segment is closed although it is not full."
        ) { value, settings in settings.segmentMs = number(value) },
        TopicSettingKey(
            "unclean.leader.election.enable",
            "Of no effect: there is one broker."),
    ]

    static let hidden: [TopicSettingKey] = [
        TopicSettingKey(
            "internal.segment.bytes",
            "Size of a segment file, without a lower limit."
        ) { value, settings in settings.segmentBytes = number(value) }
    ]
}
