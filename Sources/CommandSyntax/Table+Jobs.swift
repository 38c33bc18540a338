extension CommandTable {
    static let job = Command(
        "job", "See how files that are taken, runs of pulls and dead letters that go back do, and end them",
        discussion: [
            "The gateway answers. A file that is sent to POST /v1/files, or to a route that takes files, is a job: its rows that are on disk are "
                + "counted as it goes, and what has come of it is known for a week. So is each run of a pull of the configuration, and "
                + "what millrace queue redrive has begun."
        ],
        subcommands: [
            Command(
                "list", aliases: ["ls"], "List jobs, the newest first", action: .jobList,
                options: [JobOptions.count, CommonOptions.json] + QueueOptions.gateway),
            Command(
                "describe", "Show a job, and the first rows that were not acceptable", action: .jobDescribe,
                operands: [Operand("JOB")], options: [CommonOptions.json] + QueueOptions.gateway),
            Command(
                "cancel", "End a job that runs; what it has stored or moved stays", action: .jobCancel,
                operands: [Operand("JOB")], options: [CommonOptions.json] + QueueOptions.gateway),
        ])
}

/// Options of `millrace job …`.
public enum JobOptions {
    public static let count = Option("count", "n", "N", .integer(1...1000), "Jobs at most (default: 100)")
}
