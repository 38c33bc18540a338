import Telemetry

/// What the store counts for the metrics page, there from the start.
struct StoreMetrics: Sendable {
    /// From taking what is queued to its being durable.
    let commit: Histogram
    /// The write and sync of a commit's journal frames, which are one system call as a rule.
    let journalSync: Histogram
    /// Syncs of segments: of one commit's long runs, side by side, or of one checkpoint.
    let segmentSync: Histogram
    let quarantinedPartitions: Gauge
    let quarantinedBytes: Gauge
    let partitionsRefusingAppends: Gauge

    init(registry: MetricsRegistry) {
        commit = registry.histogram(
            "millrace_storage_commit_seconds", help: "Group commits: from taking what is queued to its being durable.")
        let sync = "millrace_storage_sync_seconds"
        let help = "Waits for the disk: journal: write and sync of a commit; segment: syncs of a commit or checkpoint."
        journalSync = registry.histogram(sync, help: help, labels: ["file": "journal"])
        segmentSync = registry.histogram(sync, help: help, labels: ["file": "segment"])
        quarantinedPartitions = registry.gauge(
            "millrace_storage_quarantined_partitions", help: "Partitions with quarantined damage.")
        quarantinedBytes = registry.gauge(
            "millrace_storage_quarantined_bytes", help: "Bytes of segments that are quarantined.")
        partitionsRefusingAppends = registry.gauge(
            "millrace_storage_partitions_refusing_appends",
            help: "Partitions whose end is quarantined, until log repair.")
    }
}
