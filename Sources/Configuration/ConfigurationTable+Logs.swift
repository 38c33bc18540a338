extension ConfigurationTable {
    static let logs: [ConfigurationKey] = [
        .topicDefault(
            "retention.ms", in: .milliseconds, isUnset: true,
            "How long records are kept; goes before log.retention.minutes and log.retention.hours"),
        ConfigurationKey(
            "log.retention.minutes", .duration(.minutes, -1...Int64(Int32.max), width: .int), default: nil,
            topicKey: "retention.ms", "How long records are kept, in minutes; goes before log.retention.hours"),
        ConfigurationKey(
            "log.retention.hours", .duration(.hours, -1...Int64(Int32.max), width: .int), default: "168",
            topicKey: "retention.ms", "How long records are kept, in hours"),
        ConfigurationKey(
            "log.retention.bytes", .bytes(-1...Int64.max), default: "-1", topicKey: "retention.bytes",
            "Bytes kept for each partition"),
        .topicDefault(
            "segment.bytes", in: .bytes,
            "A segment this long is closed and a new one begun"),
        .topicDefault(
            "segment.ms", in: .milliseconds, isUnset: true,
            "Closes a segment whose first record is so much older than the next; goes before log.roll.hours"),
        ConfigurationKey(
            "log.roll.hours", .duration(.hours, 1...Int64(Int32.max), width: .int), default: "168",
            topicKey: "segment.ms", "Closes a segment whose first record is so many hours older than the next"),
        .topicDefault(
            "max.message.bytes", in: .bytes,
            "Longest record batch"),
        .topicDefault(
            "cleanup.policy",
            "What happens to old records: they are deleted by age and size, or all but the newest of each key go"),
        .topicDefault(
            "delete.retention.ms", in: .milliseconds,
            "How long compaction keeps a tombstone after it has removed what it deletes"),
        .topicDefault(
            "min.compaction.lag.ms", in: .milliseconds,
            "Age before which a record is not compacted"),
        .topicDefault(
            "max.compaction.lag.ms", in: .milliseconds,
            "Age after which a record is compacted, however few like it there are"),
        ConfigurationKey(
            "log.cleaner.dedupe.buffer.size", .bytes(65_536...Int64(Int32.max)), default: "16777216",
            "Memory for the keys of the log that is being compacted, taken while one is"),
        ConfigurationKey(
            "log.cleaner.backoff.ms", .duration(.milliseconds, 1...Int64.max), default: "15000",
            "How often is looked for logs to compact, where topics are compacted"),
        ConfigurationKey(
            "log.retention.check.interval.ms", .duration(.milliseconds, 1000...Int64.max), default: "300000",
            "How often is looked for segments that retention no longer keeps"),
        ConfigurationKey(
            "log.window.max.bytes", .bytes(0...Int64.max), default: "8589934592",
            "Most memory for the newest record batches, from which readers that follow are served; at least 32 MiB"),
        ConfigurationKey(
            "log.window.memory.percent", .integer(0...75), default: "25",
            "Share of the memory that the machine, or its control group, has left, which they may take; 0: 32 MiB"),
        ConfigurationKey(
            "log.window.ms", .duration(.milliseconds, 1000...600_000), default: "15000",
            "How long they stay in memory, and how long a partition counts as followed after its last reader"),
        .topicDefault(
            "segment.jitter.ms", in: .milliseconds,
            "Most that log.roll.ms is shortened by"),
        .topicDefault(
            "index.interval.bytes", in: .bytes,
            "Bytes of log for each entry of the offset index"),
        .topicDefault(
            "message.timestamp.type",
            "Whether a record keeps its producer's time or gets the broker's"),
        .topicDefault(
            "message.timestamp.before.max.ms", in: .milliseconds,
            "A record's time may be at most this far before the broker's"),
        .topicDefault(
            "message.timestamp.after.max.ms", in: .milliseconds,
            "A record's time may be at most this far after the broker's"),
        .topicDefault(
            "compression.type",
            "Codec of stored batches: as their producers compressed them"),
    ]
}
