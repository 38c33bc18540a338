extension CommandTable {
    static let topic = Command(
        "topic", "Create, list, describe, alter, trim and delete topics",
        subcommands: [
            Command(
                "create", "Create a topic", action: .topicCreate, operands: [Operand("TOPIC", .oneOrMore)],
                options: [
                    TopicOptions.partitions, TopicOptions.replicationFactor, TopicOptions.settings,
                    TopicOptions.ifNotExists, CommonOptions.json,
                ] + CommonOptions.connection),
            Command(
                "list", aliases: ["ls"], "List topics", action: .topicList,
                options: [TopicOptions.internal, CommonOptions.json] + CommonOptions.connection),
            Command(
                "describe", "Show a topic's partitions, offsets and settings", action: .topicDescribe,
                operands: [Operand("TOPIC", .oneOrMore)],
                options: [TopicOptions.all, CommonOptions.json] + CommonOptions.connection),
            Command(
                "alter", "Add partitions to a topic or change its settings", action: .topicAlter,
                operands: [Operand("TOPIC")],
                options: [
                    TopicAlterOptions.partitions, TopicAlterOptions.settings, TopicAlterOptions.unset,
                    TopicAlterOptions.dryRun, CommonOptions.json,
                ] + CommonOptions.connection,
                rules: [
                    .oneOrMore(
                        of: TopicAlterOptions.partitions, TopicAlterOptions.settings, TopicAlterOptions.unset,
                        otherwise: "nothing to alter: give --partitions, --set or --unset")
                ]),
            Command(
                "trim", "Delete the oldest records of a topic", action: .topicTrim, operands: [Operand("TOPIC")],
                options: [
                    TopicTrimOptions.before, CommonOptions.partitions, TopicTrimOptions.dryRun, CommonOptions.json,
                ] + CommonOptions.connection,
                rules: [
                    .oneOrMore(of: TopicTrimOptions.before, otherwise: "say up to where: --before POSITION")
                ],
                discussion: ["The records are gone for every reader. " + timeHelp]),
            Command(
                "delete", "Delete topics and all their records", action: .topicDelete,
                operands: [Operand("TOPIC", .oneOrMore)],
                options: [TopicOptions.ifExists, CommonOptions.json] + CommonOptions.connection),
        ])

    static let timeHelp =
        "A time is YYYY-MM-DDTHH:MM:SS with an optional fraction and Z or +HH:MM (without: UTC), @MS (ms since 1970), or how "
        + "long ago: -90s, -15m, -1h, -7d."

    static let produce = Command(
        "produce", "Write lines of standard input, or of files, as records", action: .produce,
        operands: [Operand("TOPIC")],
        options: [
            ProduceOptions.files, ProduceOptions.keySeparator, ProduceOptions.whole, ProduceOptions.key,
            ProduceOptions.headers, ProduceOptions.null, ProduceOptions.partition, ProduceOptions.ignorePartitions,
            ProduceOptions.codec, CommonOptions.acks, ProduceOptions.noIdempotence, CommonOptions.batchBytes,
            ProduceOptions.json, ProduceOptions.report,
        ] + CommonOptions.connection,
        rules: [
            .exclusive(ProduceOptions.json, ProduceOptions.whole, ProduceOptions.keySeparator),
            .exclusive(ProduceOptions.keySeparator, ProduceOptions.key),
            .exclusive(ProduceOptions.json, ProduceOptions.null),
            .exclusive(ProduceOptions.json, ProduceOptions.key),
            .needs(ProduceOptions.ignorePartitions, ProduceOptions.json),
        ],
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
            ConsumeOptions.from, ConsumeOptions.to, CommonOptions.partitions, ConsumeOptions.group, ConsumeOptions.max,
            ConsumeOptions.untilEnd, ConsumeOptions.format, ConsumeOptions.readCommitted, CommonOptions.json,
        ] + CommonOptions.connection,
        rules: [
            .exclusive(CommonOptions.json, ConsumeOptions.format),
            .exclusive(ConsumeOptions.to, ConsumeOptions.group),
            .exclusive(CommonOptions.partitions, ConsumeOptions.group, because: ": the group assigns"),
            .check { invocation in
                guard invocation[ConsumeOptions.group] != nil else { return nil }
                switch invocation[ConsumeOptions.from] {
                case .offset, .last:
                    return "with --group, --from takes beginning, end or a time; "
                        + "`millrace group reset-offsets` sets offsets"
                case nil, .beginning, .end, .time: return nil
                }
            },
        ],
        discussion: [
            "FORMAT: %t topic, %p partition, %o offset, %T time in ms, %D time as text, %k key, %v value, %h headers, "
                + "%K key length, %V value length, %% a percent sign; \\n, \\t, \\r, \\0, \\\\.",
            timeHelp,
            "Without an end to stop at it follows: when the broker goes away it says so and tries again until it is back.",
        ])
}

public enum TopicOptions {
    /// Most partitions that a topic may be asked to have; brokers allow fewer.
    static let maxPartitions: Int32 = 100_000

    public static let partitions = Option(
        "partitions", "p", "N", .integer(1...maxPartitions), "Partitions (default: the broker's num.partitions)")
    public static let replicationFactor = Option(
        "replication-factor", "r", "N", .integer(1...Int16.max), "Replicas (default: the broker's)")
    public static let settings = RepeatableOption(
        "set", "s", "KEY=VALUE", .topicSetting,
        "A setting of the topic, such as retention.ms=7d or segment.bytes=64MiB")
    public static let ifNotExists = Switch("if-not-exists", nil, "Succeed when the topic is there already")
    public static let ifExists = Switch("if-exists", nil, "Succeed when a topic is not there")
    public static let `internal` = Switch("internal", nil, "Internal topics too")
    public static let all = Switch("all", "a", "Show settings at their default too")
}

public enum TopicAlterOptions {
    public static let partitions = Option(
        "partitions", "p", "N", .integer(1...TopicOptions.maxPartitions),
        "New count of partitions; it can only grow")
    public static let settings = RepeatableOption("set", "s", "KEY=VALUE", .topicSetting, "Give a setting a value")
    public static let unset = RepeatableOption("unset", "u", "KEY", .text, "Give a setting its default back")
    public static let dryRun = Switch("dry-run", nil, "Ask the broker whether it would, and change nothing")
}

public enum TopicTrimOptions {
    public static let before = Option(
        "before", nil, "POSITION", .position,
        "Delete what is before this: an offset, -N (all but the last N of each partition), a time, -1h, or end")
    public static let dryRun = Switch("dry-run", nil, "Show what would be deleted, and delete nothing")
}

public enum ProduceOptions {
    public static let files = RepeatableOption("file", "f", "FILE", .text, "Read this file, not standard input")
    public static let keySeparator = Option(
        "key-separator", "k", "TEXT", .escapedText, "Each line is KEY, this text, VALUE (\\t is a tab)")
    public static let whole = Switch("whole", "w", "Each file, or standard input, is one record")
    public static let key = Option("key", nil, "TEXT", .text, "The key of every record")
    public static let headers = RepeatableOption("header", "H", "NAME=VALUE", .pair, "A header for every record")
    public static let null = Option(
        "null", nil, "TEXT", .text, "A value that is exactly this text is null (a tombstone)")
    public static let partition = Option(
        "partition", "p", "N", .integer(0...Int32.max), "Write to this partition (default: by key, or spread)")
    public static let ignorePartitions = Switch(
        "ignore-partitions", nil, "With --json: write by key, or spread, whatever the records say")
    public static let codec = Option<CommonOptions.Codec>(
        "codec", "z", "CODEC", .choice, "Compression of batches (default: none)")
    public static let noIdempotence = Switch(
        "no-idempotence", nil, "Write without a producer ID: a retry may write twice")
    public static let json = Switch(
        "json", nil,
        "Each line is a record as `consume --json` writes it, with key, value, headers and timestamp; the report is JSON"
    )
    public static let report = Option<Report>(
        "report", nil, "FORMAT", .choice, "How the end is told: text on standard error, JSON on standard output")

    public enum Report: String, CaseIterable, Sendable {
        case text, json
    }
}

public enum ConsumeOptions {
    public static let from = Option(
        "from", "o", "POSITION", .position,
        "Where to begin: beginning, end, an offset, -N (the last N of each partition), a time, or -1h (default: end; with --until-end or --to: beginning); with --group only where the group has no offset"
    )
    public static let to = Option(
        "to", nil, "POSITION", .position,
        "Where to stop, in the same words: before this offset, or before the first record of this time")
    public static let group = Option(
        "group", "g", "GROUP", .text, "Join this consumer group and commit what was written out")
    public static let max = Option("max", "n", "N", .integer(0...Int.max), "Stop after this many records")
    public static let untilEnd = Switch("until-end", "e", "Stop at the end that the partitions had at the start")
    public static let format = Option(
        "format", nil, "FORMAT", .template, "How a record is written (default: %v\\n)")
    public static let readCommitted = Switch(
        "read-committed", nil, "Leave out records of aborted and open transactions")
}
