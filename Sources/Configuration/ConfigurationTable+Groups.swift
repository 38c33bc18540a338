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
