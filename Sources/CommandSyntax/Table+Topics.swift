extension CommandTable {
    static let topic = Command(
        "topic", "Create, list, describe, alter, trim and delete topics",
        subcommands: [
            Command(
                "create", "Create a topic", action: .topicCreate, operands: [Operand("TOPIC", .oneOrMore)],
                options: [
                    Option("partitions", "p", "N", "Partitions (default: the broker's num.partitions)"),
                    Option("replication-factor", "r", "N", "Replicas (default: the broker's)"),
                    Option(
                        "set", "s", "KEY=VALUE", repeatable: true,
                        "A setting of the topic, such as retention.ms=7d or segment.bytes=64MiB"),
                    Option("if-not-exists", nil, "Succeed when the topic is there already"),
                    json,
                ] + connection),
            Command(
                "list", aliases: ["ls"], "List topics", action: .topicList,
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
                    json,
                ] + connection),
            Command(
                "trim", "Delete the oldest records of a topic", action: .topicTrim, operands: [Operand("TOPIC")],
                options: [
                    Option(
                        "before", nil, "POSITION",
                        "Delete what is before this: an offset, -N (all but the last N of each partition), a time, -1h, or end"
                    ),
                    Option("partition", "p", "N", repeatable: true, "Only this partition"),
                    Option("dry-run", nil, "Show what would be deleted, and delete nothing"),
                    json,
                ] + connection,
                discussion: ["The records are gone for every reader. " + timeHelp]),
            Command(
                "delete", "Delete topics and all their records", action: .topicDelete,
                operands: [Operand("TOPIC", .oneOrMore)],
                options: [Option("if-exists", nil, "Succeed when a topic is not there"), json] + connection),
        ])

    static let timeHelp =
        "A time is YYYY-MM-DDTHH:MM:SS with an optional fraction and Z or +HH:MM (without: UTC), @MS (ms since 1970), or how "
        + "long ago: -90s, -15m, -1h, -7d."

    static let produce = Command(
        "produce", "Write lines of standard input, or of files, as records", action: .produce,
        operands: [Operand("TOPIC")],
        options: [
            Option("file", "f", "FILE", repeatable: true, "Read this file, not standard input"),
            Option("key-separator", "k", "TEXT", "Each line is KEY, this text, VALUE (\\t is a tab)"),
            Option("whole", "w", "Each file, or standard input, is one record"),
            Option("key", nil, "TEXT", "The key of every record"),
            Option("header", "H", "NAME=VALUE", repeatable: true, "A header for every record"),
            Option("null", nil, "TEXT", "A value that is exactly this text is null (a tombstone)"),
            Option("partition", "p", "N", "Write to this partition (default: by key, or spread)"),
            Option("ignore-partitions", nil, "With --json: write by key, or spread, whatever the records say"),
            Option(
                "codec", "z", "CODEC", choices: ["none", "gzip", "snappy", "lz4", "zstd"],
                "Compression of batches (default: none)"),
            Option("acks", nil, "ACKS", choices: ["all", "1", "0"], "Acknowledgement to wait for (default: all)"),
            Option("no-idempotence", nil, "Write without a producer ID: a retry may write twice"),
            Option("batch-bytes", nil, "BYTES", "Most bytes in a batch (default: 128KiB)"),
            Option(
                "json", nil,
                "Each line is a record as `consume --json` writes it, with key, value, headers and timestamp; the report is JSON"
            ),
            Option(
                "report", nil, "FORMAT", choices: ["text", "json"],
                "How the end is told: text on standard error, JSON on standard output"),
        ] + connection,
        discussion: [
            "However it ends (input, an error in it, an error of the broker, a signal), what was read before is sent, and the "
                + "report says how many records are written, how many are not, and of how many nobody knows. Lines are sent "
                + "when a batch is full, and when the input pauses.",
            "With --json only \"value\" must be there. Bytes that are no text are base64 in key_base64 and value_base64; a "
                + "key or value that is a number, an object or an array is its JSON text; topic and offset are passed over.",
        ])

    static let consume = Command(
        "consume", "Read records and write them to standard output", action: .consume,
        operands: [Operand("TOPIC", .oneOrMore)],
        options: [
            Option(
                "from", "o", "POSITION",
                "Where to begin: beginning, end, an offset, -N (the last N of each partition), a time, or -1h (default: end; with --until-end or --to: beginning); with --group only where the group has no offset"
            ),
            Option(
                "to", nil, "POSITION",
                "Where to stop, in the same words: before this offset, or before the first record of this time"),
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
            timeHelp,
            "Without an end to stop at it follows: when the broker goes away it says so and tries again until it is back.",
        ])
}
