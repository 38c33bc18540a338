extension CommandTable {
    static let bench = Command(
        "bench", "Measure what a Kafka broker or a gateway takes and gives",
        discussion: [
            "A line a second on standard error, a summary on standard output. With --rate a wait counts from when a "
                + "record was due, so a broker that stalls is charged for all that should have been sent meanwhile; "
                + "without it, waits include the client's own queue."
        ],
        subcommands: [benchProduce, benchConsume, benchIngest])

    private static let benchTopic = Option(
        "topic", "t", "TOPIC", "Topic (default: millrace-bench); made if missing, and kept")
    private static let payload = [
        Option("size", nil, "BYTES", "Bytes of a value (default: 1KiB)"),
        Option("payload-file", nil, "FILE", "Cut values from this file (default: generated JSON text)"),
    ]
    private static let length = [
        Option("records", "n", "N", "Stop after N records"),
        Option(
            "duration", "d", "TIME", "Stop after this time, in seconds or with a unit (default: 10, without --records)"),
    ]
    private static let rate = Option(
        "rate", "r", "N", "Records a second, over all together (default: as fast as it goes)")

    private static let benchProduce = Command(
        "produce", "Write records and measure throughput and waits", action: .benchProduce,
        options: [benchTopic, Option("partitions", "p", "N", "Partitions of a topic that is made (default: 1)")]
            + length
            + payload + [
                Option(
                    "compression", "z", "CODEC", choices: ["none", "gzip", "snappy", "lz4", "zstd"],
                    "Compression of batches (default: none)"),
                Option("acks", nil, "ACKS", choices: ["all", "1", "0"], "Acknowledgement to wait for (default: all)"),
                Option("no-idempotence", nil, "Write without a producer ID: one batch a partition in flight"),
                Option("producers", nil, "N", "Producers, each with its own connection and thread (default: 1)"),
                rate,
                Option("linger", nil, "TIME", "With --rate: longest wait for a batch to fill (default: 5ms)"),
                Option("batch-bytes", nil, "BYTES", "Most bytes in a batch (default: 128KiB)"),
                json,
            ] + connection)

    private static let benchConsume = Command(
        "consume", "Read records and measure throughput", action: .benchConsume,
        options: [
            Option("topic", "t", "TOPIC", "Topic (default: millrace-bench)"),
            Option("from", "o", "POSITION", "As in `millrace consume` (default: beginning)"),
            Option("records", "n", "N", "Stop after N records of each consumer"),
            Option("duration", "d", "TIME", "Stop after this time, in seconds or with a unit"),
            Option("consumers", nil, "N", "Consumers, each of which reads everything (default: 1)"),
            json,
        ] + connection,
        discussion: [
            "Without --records and --duration it stops at the end that the partitions had at the start. No group is joined."
        ])

    private static let benchIngest = Command(
        "ingest", "Post events to an HTTP gateway and measure throughput and waits", action: .benchIngest,
        options: [
            Option("http", nil, "HOST:PORT", "The gateway (default: localhost:8080)"),
            Option("topic", "t", "TOPIC", "Post to /v1/topics/TOPIC/events (default: millrace-bench)"),
            Option("path", nil, "PATH", "Post to this path instead"),
            Option(
                "mode", "m", "MODE", choices: ["single", "batch", "ndjson"],
                "One event a request, a JSON array, or one event a line (default: single)"),
            Option("events", nil, "N", "Events of one request with batch or ndjson (default: 100)"),
        ] + length + [
            Option("size", nil, "BYTES", "Bytes of a generated event, about (default: 200)"),
            Option("payload-file", nil, "FILE", "Events from this file, one JSON value a line"),
            Option("connections", "c", "N", "Connections, each with one request under way (default: 8)"),
            rate,
            Option("api-key", nil, "KEY", "Send Authorization: Bearer KEY"),
            Option("header", "H", "NAME=VALUE", repeatable: true, "Send this header"),
            Option("timeout", nil, "TIME", "Longest wait for an answer, in seconds or with a unit (default: 15)"),
            json,
        ])
}
