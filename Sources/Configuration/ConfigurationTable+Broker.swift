extension ConfigurationTable {
    static let broker: [ConfigurationKey] = [
        ConfigurationKey(
            "node.id", .integer(0...Int64(Int32.max)), default: "1", aliases: ["broker.id"],
            "Number of this broker, as clients see it in Metadata"),
        ConfigurationKey(
            "log.dirs", .text, default: "data", aliases: ["log.dir", "data.dir"],
            "The data folder: one path"),
        ConfigurationKey(
            "num.partitions", .integer(1...100_000), default: "1",
            "Partitions of a topic that is created without a count"),
        ConfigurationKey(
            "default.replication.factor", .integer(1...1), default: "1",
            "Replicas of a topic that is created without a count; one broker keeps one"),
        ConfigurationKey(
            "auto.create.topics.enable", .boolean, default: "true",
            "Whether a producer's or consumer's Metadata request may create the topic that it names"),
        ConfigurationKey(
            "delete.topic.enable", .boolean, default: "true", "Whether topics can be deleted"),
        ConfigurationKey(
            "producer.id.expiration.ms", .duration(.milliseconds, 1...Int64(Int32.max), width: .int),
            default: "86400000", "How long an idle producer ID's sequence numbers are remembered per partition"),
        ConfigurationKey(
            "log.level", .choice(["debug", "info", "warning", "error"]), default: "info",
            "The lowest level of lines on standard error"),
        ConfigurationKey(
            "log.format", .choice(["text", "json"]), default: "text",
            "How a line on standard error is written: for people, or as one JSON object"),
    ]
}
