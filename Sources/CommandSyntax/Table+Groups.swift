extension CommandTable {
    static let group = Command(
        "group", "List and describe consumer groups, reset their offsets, delete them",
        subcommands: [
            Command(
                "list", aliases: ["ls"], "List groups with their state", action: .groupList,
                options: [json] + connection),
            Command(
                "describe", "Show a group's members and, per partition, offsets and lag", action: .groupDescribe,
                operands: [Operand("GROUP", .oneOrMore)], options: [json] + connection),
            Command(
                "reset-offsets", "Move the committed offsets of a group that has no members",
                action: .groupResetOffsets, operands: [Operand("GROUP")],
                options: [
                    Option("topic", "t", "TOPIC[:P,P]", repeatable: true, "A topic, or some of its partitions"),
                    Option("all-topics", nil, "Every partition that the group has an offset for"),
                    Option("to-earliest", nil, "To the first record"),
                    Option("to-latest", nil, "To the end"),
                    Option("to-current", nil, "To the committed offset, within what the log still has"),
                    Option("to-offset", nil, "N", "To this offset"),
                    Option("shift-by", nil, "N", "Forward by N records, or back by -N"),
                    Option("to-datetime", nil, "TIME", "To the first record of this time or later"),
                    Option("dry-run", nil, "Show what would be done; this is the default"),
                    Option("execute", nil, "Do it"),
                    json,
                ] + connection,
                discussion: [timeHelp]
            ),
            Command(
                "delete", "Delete groups that have no members", action: .groupDelete,
                operands: [Operand("GROUP", .oneOrMore)], options: [json] + connection),
        ])

    static let log = Command(
        "log", "Look into a data folder without a broker",
        subcommands: [
            Command(
                "dump", "Show the batches, or the records, of segments", action: .logDump,
                operands: [Operand("PATH", .oneOrMore)],
                options: [
                    Option("records", "r", "Show each record, with key and value"),
                    Option("from", nil, "OFFSET", "Begin with the batch that holds this offset"),
                    Option("max", "n", "N", "Stop after this many batches"),
                    json,
                ],
                discussion: ["PATH is a segment (.log), a partition's folder, or a data folder."]),
            Command(
                "verify", "Check every batch of a data folder: lengths, checksums, order of offsets",
                action: .logVerify, operands: [Operand("PATH", .oneOrMore)], options: [json],
                discussion: [
                    "PATH is a segment (.log), a partition's folder, or a data folder. Leaves with 5 when anything is "
                        + "damaged. The zero padding behind the last batch of an active segment is not damage."
                ]),
            Command(
                "repair", "Set damage aside, so that the broker passes over it", action: .logRepair,
                operands: [Operand("FOLDER", .oneOrMore)],
                options: [Option("dry-run", nil, "Only show what would be done; leaves with 5 when there is damage")],
                discussion: [
                    "FOLDER is a data folder without a running broker. Each damaged part is copied beside its segment, "
                        + "its offsets become a gap, and a partition that refused appends takes them again. Nothing is "
                        + "removed."
                ]),
        ])
}
