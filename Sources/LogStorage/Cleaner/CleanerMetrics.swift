import Telemetry

/// What the cleaner shows of itself on the metrics page.
struct CleanerMetrics: Sendable {
    let runs: Counter
    let readBytes: Counter
    let writtenBytes: Counter
    let uncleanablePartitions: Gauge
    let maxDirtyPercent: Gauge

    init(registry: MetricsRegistry) {
        runs = registry.counter(
            "millrace_log_cleaner_passes_total", help: "Passes of compaction over one partition's log.")
        readBytes = registry.counter(
            "millrace_log_cleaner_read_bytes_total", help: "Bytes of log that compaction read.")
        writtenBytes = registry.counter(
            "millrace_log_cleaner_written_bytes_total", help: "Bytes of log that compaction wrote.")
        uncleanablePartitions = registry.gauge(
            "millrace_log_cleaner_uncleanable_partitions",
            help: "Partitions with a segment that compaction leaves alone because it is damaged.")
        maxDirtyPercent = registry.gauge(
            "millrace_log_cleaner_max_dirty_percent",
            help: "Share of the dirtiest compacted log that has not been compacted, when it was last looked at.")
    }
}
