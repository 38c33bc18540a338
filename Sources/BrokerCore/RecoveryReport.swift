import LogStorage
import StorageIO
import Telemetry

/// What the log tells of a start: progress when it takes long, damage, and what else was found.
final class RecoveryReport {
    /// A recovery that takes longer says every so often how far it is.
    private static let patienceMs: Int64 = 2000
    /// Partitions that are named one by one.
    private static let maxNamed = 50

    private let began = BrokerClock.monotonicMs()
    private var shown = BrokerClock.monotonicMs()

    func show(_ progress: RecoveryProgress) {
        let now = BrokerClock.monotonicMs()
        guard now - shown >= Self.patienceMs else { return }
        shown = now
        Log.info(
            "recovering", "seconds", (now - began) / 1000, "partitions", progress.partitions, "of",
            progress.partitionCount, "scannedBytes", progress.scannedBytes)
    }

    func show(_ summary: RecoverySummary, notices: [String]) {
        for notice in notices + summary.notices { Log.warning("found at the start", "what", notice) }
        if summary.cutBytes > 0 { Log.warning("torn ends were cut off", "bytes", summary.cutBytes) }
        for damage in summary.damage.prefix(Self.maxNamed) {
            Log.error(
                "partition is damaged", "partition", damage.folderName, "appends",
                damage.refusesAppends ? "refused until millrace log repair" : "taken", "what",
                damage.quarantine.endReason ?? damage.quarantine.damaged.first?.description ?? "")
        }
        if summary.damage.count > Self.maxNamed {
            Log.error("more partitions are damaged", "count", summary.damage.count - Self.maxNamed)
        }
    }
}
