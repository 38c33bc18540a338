import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage

extension TransactionCoordinator: StateCoordinator {
    static let suspendedMessage: StaticString = "transactions are not coordinated until their log works again"
    static let resumedMessage: StaticString = "transactions are coordinated again"

    var isActive: Bool { wiring.withLock { $0!.isActive } }

    /// Takes up the topic where it is there already.
    func open() {
        guard let topic = broker.catalog.topic(named: Topic.transactionsTopicName) else { return }
        serve(topic)
    }

    func unload(_ log: PartitionLog) {
        shard(of: log)?.withLock { shard in
            shard.term = nil
            shard.isSuspended = false
            shard.giveUp()
            count(&shard)
        }
    }

    /// What was decided before is ended.
    func begin(_ shard: Lock<Shard>) {
        let origin = shard
        let ends = shard.withLock { shard -> [EndingTransaction] in
            guard !shard.isSuspended, shard.machine.phase == .loading else { return [] }
            defer { count(&shard) }
            return shard.machine.loaded().ends.map { EndingTransaction($0, decidedIn: shard, origin) }
        }
        if !ends.isEmpty { wait(for: 0) { $0.ends += ends } }
    }
}
