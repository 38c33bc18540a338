import ByteBuffers
import StorageIO
import Synchronization
import Telemetry

extension LogStore {
    func reportDamage(of log: PartitionLog) {
        let isListed = log.state.withLock { state -> Bool in
            // Under the lock that a deletion is marked under: what is deleted does not get on the list any more.
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

    /// Sets the gauges, which are there from the start, at zero where nothing is damaged.
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
