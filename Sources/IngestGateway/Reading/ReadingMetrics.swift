import Telemetry

/// What is counted of streams of records, and of replies that wait for some.
struct ReadingMetrics: Sendable {
    let streams: Gauge
    let waitingReplies: Gauge
    let streamedBytes: Counter
    let sharedParts: Counter
    let droppedReaders: Counter

    init(registry: MetricsRegistry) {
        streams = registry.gauge("millrace_http_streams", help: "Streams of records that are open.")
        waitingReplies = registry.gauge(
            "millrace_http_waiting_replies", help: "Replies and streams that wait for records.")
        streamedBytes = registry.counter(
            "millrace_http_stream_bytes_total", help: "Bytes of text sent by streams of records.")
        sharedParts = registry.counter(
            "millrace_http_stream_shared_total",
            help: "Parts of streams of records that were sent as they had been made for another reader.")
        droppedReaders = registry.counter(
            "millrace_http_stream_drops_total",
            help: "Streams of records that were ended because their readers did not read.")
    }
}
