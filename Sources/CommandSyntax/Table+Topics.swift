extension CommandTable {
    static let topic = Command(
        "topic", "Create, list, describe, alter and delete topics",
        subcommands: [
            Command(
                "create", "Create a topic", action: .topicCreate, operands: [Operand("TOPIC", .oneOrMore)],
                options: [
                    Option("partitions", "p", "N", "Partitions (default: the broker's num.partitions)"),
                    Option("replication-factor", "r", "N", "Replicas (default: the broker's)"),
                    Option(
                        "set", "s", "KEY=VALUE", repeatable: true,
                        "A setting of the topic, such as retention.ms=86400000"),
                    Option("if-not-exists", nil, "Succeed when the topic is there already"),
                    json,
                ] + connection),
            Command(
                "list", "List topics", action: .topicList,
                options: [Option("internal", nil, "Internal topics too"), json] + connection),
            Command(
                "describe", "Show a topic's partitions, offsets and settings", action: .topicDescribe,
                operands: [Operand("TOPIC", .oneOrMore)],
                options: [Option("all", "a", "Show settings at their default too"), json] + connection),
            Command(
                "alter", "Add partitions to a topic or change its settings", action: .topicAlter,
                operands: [Operand("TOPIC")],
                options: [
                    Option("partitions", "p", "N", "New count of partitions; it can only grow"),
                    Option("set", "s", "KEY=VALUE", repeatable: true, "Give a setting a value"),
                    Option("unset", "u", "KEY", repeatable: true, "Give a setting its default back"),
                    Option("dry-run", nil, "Ask the broker whether it would, and change nothing"),
                ] + connection),
            Command(
                "delete", "Delete topics and all their records", action: .topicDelete,
                operands: [Operand("TOPIC", .oneOrMore)],
                options: [Option("if-exists", nil, "Succeed when a topic is not there")] + connection),
        ])

    static let produce = Command(
        "produce", "Write lines of standard input, or of a file, as records", action: .produce,
        operands: [Operand("TOPIC")],
        options: [
            Option("file", "f", "FILE", "Read this file, not standard input"),
            Option("key-separator", "k", "TEXT", "Each line is KEY, this text, VALUE (\\t is a tab)"),
            Option("header", "H", "NAME=VALUE", repeatable: true, "A header for every record"),
            Option("null", nil, "TEXT", "A value that is exactly this text is null (a tombstone)"),
            Option("partition", "p", "N", "Write to this partition (default: by key, or spread)"),
            Option(
                "codec", "z", "CODEC", choices: ["none", "gzip", "snappy", "lz4", "zstd"],
                "Compression of batches (default: none)"),
            Option("acks", nil, "ACKS", choices: ["all", "1", "0"], "Acknowledgement to wait for (default: all)"),
            Option("no-idempotence", nil, "Write without a producer ID: a retry may write twice"),
            Option("batch-bytes", nil, "BYTES", "Most bytes in a batch (default: 131072)"),
            json,
        ] + connection,
        discussion: [
            "Acknowledged records are counted at the end; anything that was not acknowledged is an error. Lines are "
                + "sent when a batch is full, and when the input pauses."
        ])

    static let consume = Command(
        "consume", "Read records and write them to standard output", action: .consume,
        operands: [Operand("TOPIC", .oneOrMore)],
        options: [
            Option(
                "from", "o", "POSITION",
                "beginning, end, an offset, -N (the last N of each partition) or @TIME (default: end); with --group only where the group has no offset"
            ),
            Option("partition", "p", "N", repeatable: true, "Only this partition"),
            Option("group", "g", "GROUP", "Join this consumer group and commit what was written out"),
            Option("max", "n", "N", "Stop after this many records"),
            Option("until-end", "e", "Stop at the end that the partitions had at the start"),
            Option("format", nil, "FORMAT", "How a record is written (default: %v\\n)"),
            Option("read-committed", nil, "Leave out records of aborted and open transactions"),
            json,
        ] + connection,
        discussion: [
            "FORMAT: %t topic, %p partition, %o offset, %T time in ms, %D time as text, %k key, %v value, %h headers, "
                + "%K key length, %V value length, %% a percent sign; \\n, \\t, \\r, \\0, \\\\.",
            "TIME is ms since 1970, or YYYY-MM-DDTHH:MM:SS with an optional fraction and Z or +HH:MM (without: UTC).",
        ])
}
