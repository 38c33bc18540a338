extension CommandTable {
    static let trace = Command(
        "trace", "Show what a broker did that took long, and where",
        action: .trace,
        options: [
            BenchIngestOptions.http, TraceOptions.min, TraceOptions.stage, CommonOptions.json,
            BenchIngestOptions.timeout,
        ],
        discussion: [
            "The gateway answers. Stalls may lie within one another: a turn of an event loop holds the commit that held it up, "
                + "and that the sync."
        ])
}

public enum TraceOptions {
    public static let min = Option(
        "min", nil, "TIME", .time(1...86_400_000, bare: .milliseconds),
        "Only stalls of this length or longer (default: 5ms)")
    public static let stage = Option(
        "stage", nil, "NAME", .text, "Only stalls of a stage whose name begins so")
}
