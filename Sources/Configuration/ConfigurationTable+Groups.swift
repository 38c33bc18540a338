extension ConfigurationTable {
    static let groups: [ConfigurationKey] = [
        ConfigurationKey(
            "offsets.topic.num.partitions", .integer(1...10_000), default: "50",
            "Partitions of __consumer_offsets; fixed once the topic exists"),
        ConfigurationKey(
            "offsets.retention.minutes", .duration(.minutes, 1...Int64(Int32.max), width: .int), default: "10080",
            "How long an empty group's committed offsets are kept"),
        ConfigurationKey(
            "offset.metadata.max.bytes", .bytes(0...1_048_576, width: .int), default: "4096",
            "Longest text that a commit may attach to an offset"),
        ConfigurationKey(
            "group.initial.rebalance.delay.ms", .duration(.milliseconds, 0...Int64(Int32.max), width: .int),
            default: "3000", "How long the first rebalance of an empty group waits for more members"),
        ConfigurationKey(
            "group.min.session.timeout.ms", .duration(.milliseconds, 1...Int64(Int32.max), width: .int),
            default: "6000", "Shortest session timeout that a member may ask for"),
        ConfigurationKey(
            "group.max.session.timeout.ms", .duration(.milliseconds, 1...Int64(Int32.max), width: .int),
            default: "1800000", "Longest session timeout that a member may ask for"),
        ConfigurationKey(
            "group.max.size", .integer(1...Int64(Int32.max)), default: "2147483647", "Most members of one group"),
        ConfigurationKey(
            "group.consumer.session.timeout.ms", .duration(.milliseconds, 1...Int64(Int32.max), width: .int),
            default: "45000", "How long a member of a consumer group may be silent (KIP-848)"),
        ConfigurationKey(
            "group.consumer.heartbeat.interval.ms", .duration(.milliseconds, 1...Int64(Int32.max), width: .int),
            default: "5000", "How often members of consumer groups are told to send heartbeats"),
        ConfigurationKey(
            "group.consumer.max.size", .integer(1...Int64(Int32.max)), default: "2147483647",
            "Most members of one consumer group"),
        ConfigurationKey(
            "group.consumer.assignors", .list(among: ["uniform", "range"]), default: "uniform,range",
            "How members of a consumer group may have partitions assigned, the usual way first"),
        ConfigurationKey(
            "group.consumer.assignment.interval.ms", .duration(.milliseconds, 0...15_000, width: .int),
            default: "1000", "Least time between two assignments of a consumer group"),
        ConfigurationKey(
            "group.consumer.migration.policy", .choice(["bidirectional", "upgrade", "downgrade", "disabled"]),
            default: "bidirectional",
            "Which way groups with members may change between the classic and consumer protocols"),
        ConfigurationKey(
            "group.consumer.regex.refresh.interval.ms",
            .duration(.milliseconds, 10_000...Int64(Int32.max), width: .int),
            default: "600000", "How often patterns of consumer groups are looked up anew"),
        ConfigurationKey(
            "group.share.session.timeout.ms", .duration(.milliseconds, 1...Int64(Int32.max), width: .int),
            default: "45000", "How long a member of a share group may be silent (KIP-932)"),
        ConfigurationKey(
            "group.share.heartbeat.interval.ms", .duration(.milliseconds, 1...Int64(Int32.max), width: .int),
            default: "5000", "How often members of share groups are told to send heartbeats"),
        ConfigurationKey(
            "group.share.assignment.interval.ms", .duration(.milliseconds, 0...15_000, width: .int),
            default: "1000", "Least time between two assignments of a share group"),
        ConfigurationKey(
            "group.share.max.size", .integer(1...1_000), default: "200", "Most members of one share group"),
        ConfigurationKey(
            "group.share.max.share.sessions", .integer(1...100_000), default: "2000",
            "Most members of share groups that fetch, of all groups"),
        ConfigurationKey(
            "group.share.record.lock.duration.ms", .duration(.milliseconds, 1_000...3_600_000, width: .int),
            default: "30000", "How long a record belongs to the member of a share group that has acquired it"),
        ConfigurationKey(
            "group.share.delivery.count.limit", .integer(2...10), default: "5",
            "Deliveries of a record to members of a share group at most"),
        ConfigurationKey(
            "group.share.partition.max.record.locks", .integer(100...4_000), default: "2000",
            "Offsets of a share group's partition from the first that is not done with to the last one delivered"),
        ConfigurationKey(
            "transaction.state.log.num.partitions", .integer(1...10_000), default: "50",
            "Partitions of __transaction_state; fixed once the topic exists"),
        ConfigurationKey(
            "transaction.max.timeout.ms", .duration(.milliseconds, 1...Int64(Int32.max), width: .int),
            default: "900000", "Longest timeout that a transactional producer may ask for"),
        ConfigurationKey(
            "transactional.id.expiration.ms", .duration(.milliseconds, 1...Int64(Int32.max), width: .int),
            default: "604800000", "How long a transactional id is kept that nobody uses"),
    ]
}
