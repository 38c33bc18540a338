extension CommandTable {
    static let group = Command(
        "group", "List and describe consumer groups, reset their offsets, delete them",
        subcommands: [
            Command(
                "list", aliases: ["ls"], "List groups with their state", action: .groupList,
                options: [CommonOptions.json] + CommonOptions.connection),
            Command(
                "describe", "Show a group's members and, per partition, offsets and lag", action: .groupDescribe,
                operands: [Operand("GROUP", .oneOrMore)], options: [CommonOptions.json] + CommonOptions.connection),
            Command(
                "reset-offsets", "Move the committed offsets of a group that has no members",
                action: .groupResetOffsets, operands: [Operand("GROUP")],
                options: [
                    GroupResetOptions.topics, GroupResetOptions.allTopics, GroupResetOptions.toEarliest,
                    GroupResetOptions.toLatest, GroupResetOptions.toCurrent, GroupResetOptions.toOffset,
                    GroupResetOptions.shiftBy, GroupResetOptions.toDatetime, GroupResetOptions.dryRun,
                    GroupResetOptions.execute, CommonOptions.json,
                ] + CommonOptions.connection,
                rules: [
                    .exactlyOne(
                        of: GroupResetOptions.toEarliest, GroupResetOptions.toLatest, GroupResetOptions.toCurrent,
                        GroupResetOptions.toOffset, GroupResetOptions.shiftBy, GroupResetOptions.toDatetime,
                        otherwise: "give exactly one of --to-earliest, --to-latest, --to-current, --to-offset, "
                            + "--shift-by, --to-datetime"),
                    .exclusive(GroupResetOptions.execute, GroupResetOptions.dryRun),
                    .exactlyOne(
                        of: GroupResetOptions.topics, GroupResetOptions.allTopics,
                        otherwise: "give either --topic or --all-topics"),
                ],
                discussion: [timeHelp]
            ),
            Command(
                "delete", "Delete groups that have no members", action: .groupDelete,
                operands: [Operand("GROUP", .oneOrMore)], options: [CommonOptions.json] + CommonOptions.connection),
        ])

    static let log = Command(
        "log", "Look into a data folder without a broker",
        subcommands: [
            Command(
                "dump", "Show the batches, or the records, of segments", action: .logDump,
                operands: [Operand("PATH", .oneOrMore)],
                options: [LogOptions.records, LogOptions.from, LogOptions.max, CommonOptions.json],
                discussion: ["PATH is a segment (.log), a partition's folder, or a data folder."]),
            Command(
                "verify", "Check every batch of a data folder: lengths, checksums, order of offsets",
                action: .logVerify, operands: [Operand("PATH", .oneOrMore)], options: [CommonOptions.json],
                discussion: [
                    "PATH is a segment (.log), a partition's folder, or a data folder. Leaves with 5 when anything is "
                        + "damaged. The zero padding behind the last batch of an active segment is not damage."
                ]),
            Command(
                "repair", "Set damage aside, so that the broker passes over it", action: .logRepair,
                operands: [Operand("FOLDER", .oneOrMore)],
                options: [LogOptions.dryRun],
                discussion: [
                    "FOLDER is a data folder without a running broker. Each damaged part is copied beside its segment, "
                        + "its offsets become a gap, and a partition that refused appends takes them again. Nothing is "
                        + "removed."
                ]),
        ])
}

/// Options of `group reset-offsets`.
public enum GroupResetOptions {
    public static let topics = RepeatableOption(
        "topic", "t", "TOPIC[:P,P]", .topicSelection, "A topic, or some of its partitions")
    public static let allTopics = Switch("all-topics", nil, "Every partition that the group has an offset for")
    public static let toEarliest = Switch("to-earliest", nil, "To the first record")
    public static let toLatest = Switch("to-latest", nil, "To the end")
    public static let toCurrent = Switch(
        "to-current", nil, "To the committed offset, within what the log still has")
    public static let toOffset = Option("to-offset", nil, "N", .integer(0...Int64.max), "To this offset")
    /// Far more than a log holds, and a sum with an offset does not overflow.
    static let maxShift: Int64 = 1 << 62
    public static let shiftBy = Option(
        "shift-by", nil, "N", .integer(-maxShift...maxShift), "Forward by N records, or back by -N")
    public static let toDatetime = Option(
        "to-datetime", nil, "TIME", .moment, "To the first record of this time or later")
    public static let dryRun = Switch("dry-run", nil, "Show what would be done; this is the default")
    public static let execute = Switch("execute", nil, "Do it")
}

public enum LogOptions {
    public static let records = Switch("records", "r", "Show each record, with key and value")
    public static let from = Option(
        "from", nil, "OFFSET", .integer(0...Int64.max), "Begin with the batch that holds this offset")
    public static let max = Option("max", "n", "N", .integer(0...Int.max), "Stop after this many batches")
    public static let dryRun = Switch(
        "dry-run", nil, "Only show what would be done; leaves with 5 when there is damage")
}
