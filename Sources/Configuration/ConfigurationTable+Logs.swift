extension ConfigurationTable {
    static let logs: [ConfigurationKey] = [
        ConfigurationKey(
            "log.retention.ms", .duration(.milliseconds, -1...Int64.max), default: nil,
            topicKey: "retention.ms", update: .dynamic,
            "How long records are kept; goes before log.retention.minutes and log.retention.hours"),
        ConfigurationKey(
            "log.retention.minutes", .duration(.minutes, -1...Int64(Int32.max), width: .int), default: nil,
            topicKey: "retention.ms", "How long records are kept, in minutes; goes before log.retention.hours"),
        ConfigurationKey(
            "log.retention.hours", .duration(.hours, -1...Int64(Int32.max), width: .int), default: "168",
            topicKey: "retention.ms", "How long records are kept, in hours"),
        ConfigurationKey(
            "log.retention.bytes", .bytes(-1...Int64.max), default: "-1", topicKey: "retention.bytes",
            update: .dynamic, "Bytes kept for each partition"),
        ConfigurationKey(
            "log.segment.bytes", .bytes(1_048_576...Int64(Int32.max), width: .int), default: "1073741824",
            topicKey: "segment.bytes", update: .dynamic, "A segment this long is closed and a new one begun"),
        ConfigurationKey(
            "log.roll.ms", .duration(.milliseconds, 1...Int64.max), default: nil, topicKey: "segment.ms",
            update: .dynamic,
            "Closes a segment whose first record is so much older than the next; goes before log.roll.hours"),
        ConfigurationKey(
            "log.roll.hours", .duration(.hours, 1...Int64(Int32.max), width: .int), default: "168",
            topicKey: "segment.ms", "Closes a segment whose first record is so many hours older than the next"),
        ConfigurationKey(
            "message.max.bytes", .bytes(0...Int64(Int32.max), width: .int), default: "1048588",
            topicKey: "max.message.bytes", update: .dynamic, "Longest record batch"),
        ConfigurationKey(
            "log.cleanup.policy", .list(among: ["compact", "delete"]), default: "delete",
            topicKey: "cleanup.policy", update: .dynamic,
            "What happens to old records: they are deleted by age and size, or all but the newest of each key go"),
        ConfigurationKey(
            "log.cleaner.delete.retention.ms", .duration(.milliseconds, 0...Int64.max), default: "86400000",
            topicKey: "delete.retention.ms", update: .dynamic,
            "How long compaction keeps a tombstone after it has removed what it deletes"),
        ConfigurationKey(
            "log.cleaner.min.compaction.lag.ms", .duration(.milliseconds, 0...Int64.max), default: "0",
            topicKey: "min.compaction.lag.ms", update: .dynamic, "Age before which a record is not compacted"),
        ConfigurationKey(
            "log.cleaner.max.compaction.lag.ms", .duration(.milliseconds, 1...Int64.max),
            default: "9223372036854775807", topicKey: "max.compaction.lag.ms", update: .dynamic,
            "Age after which a record is compacted, however few like it there are"),
        ConfigurationKey(
            "log.cleaner.dedupe.buffer.size", .bytes(65_536...Int64(Int32.max)), default: "16777216",
            "Memory for the keys of the log that is being compacted, taken while one is"),
        ConfigurationKey(
            "log.cleaner.backoff.ms", .duration(.milliseconds, 1...Int64.max), default: "15000",
            "How often is looked for logs to compact, where topics are compacted"),
        ConfigurationKey(
            "log.roll.jitter.ms", .duration(.milliseconds, 0...Int64.max), default: "0",
            topicKey: "segment.jitter.ms", "Most that log.roll.ms is shortened by"),
        ConfigurationKey(
            "log.index.interval.bytes", .bytes(0...Int64(Int32.max), width: .int), default: "4096",
            topicKey: "index.interval.bytes", update: .dynamic, "Bytes of log for each entry of the offset index"),
        ConfigurationKey(
            "log.message.timestamp.type", .choice(["CreateTime", "LogAppendTime"]), default: "CreateTime",
            topicKey: "message.timestamp.type", update: .dynamic,
            "Whether a record keeps its producer's time or gets the broker's"),
        ConfigurationKey(
            "log.message.timestamp.before.max.ms", .duration(.milliseconds, 0...Int64.max),
            default: "9223372036854775807", topicKey: "message.timestamp.before.max.ms", update: .dynamic,
            "A record's time may be at most this far before the broker's"),
        ConfigurationKey(
            "log.message.timestamp.after.max.ms", .duration(.milliseconds, 0...Int64.max), default: "3600000",
            topicKey: "message.timestamp.after.max.ms", update: .dynamic,
            "A record's time may be at most this far after the broker's"),
        ConfigurationKey(
            "compression.type", .choice(["producer"]),
            default: "producer", topicKey: "compression.type", update: .dynamic,
            "Codec of stored batches: as their producers compressed them"),
    ]
}
