import ByteBuffers
import StorageIO
import Synchronization
import Telemetry

extension LogStore {
    func reportDamage(of log: PartitionLog) {
        let isListed = log.state.withLock { state -> Bool in
            // Under the same lock as `markDeleted`, so that a deleted partition is not listed again.
            if state.isDeleted { return false }
            registry.addDamaged(log)
            return true
        }
        guard isListed else { return }
        requests.raise(.quarantines)
        // Recovery tells of all it found at its end.
        guard hasRecovered.load(ordering: .relaxed) else { return }
        showDamage()
        Log.error("damage found and quarantined", "partition", log.folderName, "ranges", log.quarantine.damaged.count)
    }

    /// Sets the damage gauges. Called without damage as well, so that they show 0 instead of being absent.
    func showDamage() {
        let damage = damage
        metrics.quarantinedPartitions.set(damage.count)
        metrics.quarantinedBytes.set(damage.reduce(0) { $0 + $1.bytes })
        metrics.partitionsRefusingAppends.set(damage.count(where: \.refusesAppends))
    }

    /// The partitions with damage, by name.
    public var damage: [PartitionDamage] {
        registry.damaged.compactMap { log in
            let quarantine = log.quarantine
            return quarantine.isEmpty ? nil : PartitionDamage(folderName: log.folderName, quarantine: quarantine)
        }.sorted { $0.folderName < $1.folderName }
    }
}
