import ByteBuffers
import KafkaModel

/// The partitions of a store, and which of them need attention: changed since the last checkpoint, damaged, failing.
///
/// One lock protects all lists. It is held for memory alone, and is taken under partitions' state locks: whoever asks a
/// partition something does so after the call that gave it.
final class PartitionRegistry: Sendable {
    private struct Lists {
        var logs: [TopicPartition: PartitionLog] = [:]
        var dirty: [PartitionLog] = []
        var damaged: [PartitionLog] = []
        var faulted: [PartitionLog] = []
    }

    private let lists = Lock(Lists())

    var byPartition: [TopicPartition: PartitionLog] { lists.withLock { $0.logs } }
    var all: [PartitionLog] { lists.withLock { Array($0.logs.values) } }
    var count: Int { lists.withLock { $0.logs.count } }
    /// Those changed since the last checkpoint.
    var dirty: [PartitionLog] { lists.withLock { $0.dirty } }
    /// Those with damage.
    var damaged: [PartitionLog] { lists.withLock { $0.damaged } }
    /// Those whose own files fail.
    var faulted: [PartitionLog] { lists.withLock { $0.faulted } }
    var hasFaulted: Bool { lists.withLock { !$0.faulted.isEmpty } }
    var faultedCount: Int { lists.withLock { $0.faulted.count } }

    func add(_ log: PartitionLog) { lists.withLock { $0.logs[log.topicPartition] = log } }

    /// Takes a partition off all lists; gives whether it was on that of the damaged.
    func remove(_ log: PartitionLog) -> Bool {
        lists.withLock { lists in
            let damagedCount = lists.damaged.count
            lists.logs[log.topicPartition] = nil
            lists.dirty.removeAll { $0 === log }
            lists.damaged.removeAll { $0 === log }
            lists.faulted.removeAll { $0 === log }
            return lists.damaged.count < damagedCount
        }
    }

    func contains(folderName: String) -> Bool {
        lists.withLock { $0.logs.values.contains { $0.folderName == folderName } }
    }

    /// Puts a partition on the list for the next checkpoint. The partition's `isDirty`, under its state lock, sees to it
    /// that it stands there once.
    func addDirty(_ log: PartitionLog) { lists.withLock { $0.dirty.append(log) } }

    /// Empties the list for the next checkpoint.
    func takeDirty() -> [PartitionLog] {
        lists.withLock { lists in
            defer { lists.dirty = [] }
            return lists.dirty
        }
    }

    func addDamaged(_ log: PartitionLog) {
        lists.withLock { lists in
            if !lists.damaged.contains(where: { $0 === log }) { lists.damaged.append(log) }
        }
    }

    func setFaulted(_ log: PartitionLog, _ isFaulted: Bool) {
        lists.withLock { lists in
            lists.faulted.removeAll { $0 === log }
            if isFaulted { lists.faulted.append(log) }
        }
    }
}
