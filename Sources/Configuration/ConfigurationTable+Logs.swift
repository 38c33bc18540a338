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
            update: .dynamic, "A segment whose first record is this old is closed; goes before log.roll.hours"),
        ConfigurationKey(
            "log.roll.hours", .duration(.hours, 1...Int64(Int32.max), width: .int), default: "168",
            topicKey: "segment.ms", "A segment whose first record is this many hours old is closed"),
        ConfigurationKey(
            "message.max.bytes", .bytes(0...Int64(Int32.max), width: .int), default: "1048588",
            topicKey: "max.message.bytes", update: .dynamic, "Longest record batch"),
        ConfigurationKey(
            "log.cleanup.policy", .list(among: ["delete"]), default: "delete",
            topicKey: "cleanup.policy", update: .dynamic,
            "What happens to old records: they are deleted by age and size"),
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
