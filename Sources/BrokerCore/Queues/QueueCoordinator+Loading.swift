import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage
import StorageIO
import Telemetry

extension QueueCoordinator: StateCoordinator {
    static let suspendedMessage: StaticString = "queues are not served until their log works again"
    static let resumedMessage: StaticString = "queues are served again"

    var isActive: Bool { wiring.withLock { $0!.isActive } }

    func unload(_ log: PartitionLog) {
        shard(of: log)?.withLock { shard in
            shard.term = nil
            shard.isSuspended = false
            shard.ticket = 0
            shard.machine.beginLoading()
            count(&shard)
        }
    }

    /// Serves the ledgers of a shard that was replayed, and forgets what of its log no queue has any more.
    func begin(_ shard: Lock<Shard>) {
        let isWanted = shard.withLock { $0.term != nil && !$0.isSuspended && $0.machine.phase == .loading }
        guard isWanted else { return }
        let generation: Int32
        do throws(StorageError) { generation = try nextGeneration() } catch {
            Log.error("queues are not served: no generation could be claimed", "reason", error)
            return shard.withLock { shard in suspend(&shard) }
        }
        let nowMs = nowMs()
        let partitions = shard.withLock { shard -> [TopicPartition] in
            guard shard.term != nil, !shard.isSuspended, shard.machine.phase == .loading else { return [] }
            shard.machine.loaded(generation: generation)
            let orphans = shard.machine.takeOrphans().map { CoordinatorRecord(key: $0, value: nil) }
            // Where the log refuses them the next start finds them again.
            if !orphans.isEmpty { _ = shard.append(orphans, CoordinatorTime(monotonicMs: 0, wallClockMs: nowMs)) }
            return shard.machine.partitions
        }
        // Their deadlines go on by themselves: the thread gives each its first turn.
        agenda.withLock { agenda in
            for id in partitions { _ = agenda.add(QueueDue(atMs: 0, subject: .ledger(id))) }
        }
        signal.raise()
        broker.store.kick()
    }
}
