extension CommandTable {
    static let bench = Command(
        "bench", "Measure what a Kafka broker or a gateway takes and gives",
        discussion: [
            "A line a second on standard error, a summary on standard output. With --rate a wait counts from when a "
                + "record was due, so a broker that stalls is charged for all that should have been sent meanwhile; "
                + "without it, waits include the client's own queue."
        ],
        subcommands: [benchProduce, benchConsume, benchIngest])

    private static let length: [any DeclaredOption] = [BenchOptions.records, BenchOptions.duration]

    private static let benchProduce = Command(
        "produce", "Write records and measure throughput and waits", action: .benchProduce,
        options: [BenchOptions.topic, BenchProduceOptions.partitions] + length + [
            BenchProduceOptions.size, BenchProduceOptions.payloadFile, BenchProduceOptions.compression,
            CommonOptions.acks, BenchProduceOptions.noIdempotence, BenchProduceOptions.producers, BenchOptions.rate,
            BenchProduceOptions.linger, CommonOptions.batchBytes, CommonOptions.json,
        ] + CommonOptions.connection)

    private static let benchConsume = Command(
        "consume", "Read records and measure throughput", action: .benchConsume,
        options: [
            BenchConsumeOptions.topic, BenchConsumeOptions.from, BenchConsumeOptions.records,
            BenchConsumeOptions.duration, BenchConsumeOptions.consumers, CommonOptions.json,
        ] + CommonOptions.connection,
        discussion: [
            "Without --records and --duration it stops at the end that the partitions had at the start. No group is joined."
        ])

    private static let benchIngest = Command(
        "ingest", "Post events to an HTTP gateway and measure throughput and waits", action: .benchIngest,
        options: [
            BenchIngestOptions.http, BenchIngestOptions.topic, BenchIngestOptions.path, BenchIngestOptions.mode,
            BenchIngestOptions.events,
        ] + length + [
            BenchIngestOptions.size, BenchIngestOptions.payloadFile, BenchIngestOptions.connections, BenchOptions.rate,
            BenchIngestOptions.apiKey, BenchIngestOptions.headers, BenchIngestOptions.timeout, CommonOptions.json,
        ],
        rules: [
            .check { invocation in
                let isSingle = (invocation[BenchIngestOptions.mode] ?? .single) == .single
                guard isSingle, invocation[BenchIngestOptions.events] != nil else { return nil }
                return "--events needs --mode batch or ndjson"
            },
            .check { invocation in
                guard let records = invocation[BenchOptions.records],
                    !records.isMultiple(of: BenchIngestOptions.eventsPerRequest(invocation))
                else { return nil }
                return "--records \(records): must be a multiple of --events"
            },
        ])
}

/// Options of several `bench` commands.
public enum BenchOptions {
    public static let topic = Option(
        "topic", "t", "TOPIC", .text, "Topic (default: millrace-bench); made if missing, and kept")
    public static let records = Option("records", "n", "N", recordCount, "Stop after N records")
    public static let duration = Option(
        "duration", "d", "TIME", runTime,
        "Stop after this time, in seconds or with a unit (default: 10, without --records)")
    public static let rate = Option(
        "rate", "r", "N", .integer(1...1_000_000_000),
        "Records a second, over all together (default: as fast as it goes)")

    static let recordCount = OptionValue.integer(1...Int.max)
    static let runTime = OptionValue.time(1...86_400_000, bare: .seconds)
    /// Producers, consumers or connections: each costs a thread and a connection.
    static let workers = OptionValue.integer(1...1024)
}

public enum BenchProduceOptions {
    public static let partitions = Option(
        "partitions", "p", "N", .integer(1...TopicOptions.maxPartitions),
        "Partitions of a topic that is made (default: 1)")
    public static let size = Option(
        "size", nil, "BYTES", .bytes(1...(64 << 20)), "Bytes of a value (default: 1KiB)")
    public static let payloadFile = Option(
        "payload-file", nil, "FILE", .text, "Cut values from this file (default: generated JSON text)")
    public static let compression = Option<CommonOptions.Codec>(
        "compression", "z", "CODEC", .choice, "Compression of batches (default: none)")
    public static let noIdempotence = Switch(
        "no-idempotence", nil, "Write without a producer ID: one batch a partition in flight")
    public static let producers = Option(
        "producers", nil, "N", BenchOptions.workers,
        "Producers, each with its own connection and thread (default: 1)")
    public static let linger = Option(
        "linger", nil, "TIME", .time(0...60_000, bare: .milliseconds),
        "With --rate: longest wait for a batch to fill (default: 5ms)")
}

public enum BenchConsumeOptions {
    public static let topic = Option("topic", "t", "TOPIC", .text, "Topic (default: millrace-bench)")
    public static let from = Option(
        "from", "o", "POSITION", .position, "As in `millrace consume` (default: beginning)")
    public static let records = Option(
        "records", "n", "N", BenchOptions.recordCount, "Stop after N records of each consumer")
    public static let duration = Option(
        "duration", "d", "TIME", BenchOptions.runTime, "Stop after this time, in seconds or with a unit")
    public static let consumers = Option(
        "consumers", nil, "N", BenchOptions.workers, "Consumers, each of which reads everything (default: 1)")
}

public enum BenchIngestOptions {
    public static let http = Option("http", nil, "HOST:PORT", .text, "The gateway (default: localhost:8080)")
    public static let topic = Option(
        "topic", "t", "TOPIC", .text, "Post to /v1/topics/TOPIC/events (default: millrace-bench)")
    public static let path = Option("path", nil, "PATH", .text, "Post to this path instead")
    public static let mode = Option<Mode>(
        "mode", "m", "MODE", .choice, "One event a request, a JSON array, or one event a line (default: single)")
    public static let events = Option(
        "events", nil, "N", .integer(1...100_000), "Events of one request with batch or ndjson (default: 100)")
    public static let size = Option(
        "size", nil, "BYTES", .bytes(1...(1 << 20)), "Bytes of a generated event, about (default: 200)")
    public static let payloadFile = Option(
        "payload-file", nil, "FILE", .text, "Events from this file, one JSON value a line")
    public static let connections = Option(
        "connections", "c", "N", BenchOptions.workers, "Connections, each with one request under way (default: 8)")
    public static let apiKey = Option("api-key", nil, "KEY", .text, "Send Authorization: Bearer KEY")
    public static let headers = RepeatableOption("header", "H", "NAME=VALUE", .pair, "Send this header")
    public static let timeout = Option(
        "timeout", nil, "TIME", .time(1000...86_400_000, bare: .seconds),
        "Longest wait for an answer, in seconds or with a unit (default: 15)")

    /// How the events of a request are written.
    public enum Mode: String, CaseIterable, Sendable {
        case single, batch, ndjson
    }

    public static func eventsPerRequest(_ invocation: Invocation) -> Int {
        (invocation[mode] ?? .single) == .single ? 1 : invocation[events] ?? 100
    }
}
