public import KafkaModel
public import LogStorage

/// Owns state that is stored in partitions' records, and is therefore kept only while this node leads the partition.
protocol PartitionStateOwner: AnyObject, Sendable {
    /// Loads what lives in `log`, which this node leads now. Waits for the disk.
    func load(_ log: PartitionLog)
    /// Gives it up; requests that wait in it are told to look for the new leader.
    func unload(_ log: PartitionLog)
}

/// Opens and closes logs together with the state that is stored in them. A single node leads all its partitions from
/// its start; in a cluster, whoever assigns leaders calls these functions. They wait for the disk and for locks, and one
/// order has to be carried out before the next begins: call them on `admin`, whose one thread sees to both.
extension Broker {
    /// Who keeps state in the records of this topic.
    private func stateOwner(of log: PartitionLog) -> (any PartitionStateOwner)? {
        switch log.topicName {
        case Topic.offsetsTopicName: groups
        case Topic.transactionsTopicName: transactions
        case Topic.queueStateTopicName: queues
        case Topic.shareStateTopicName: shares
        case Topic.jobsTopicName: jobs
        default: nil
        }
    }

    /// Leads the partition by `epoch` from now on: its log takes appends, and what lives in it is loaded from its records.
    /// Returns false, and changes nothing, where a newer epoch is known.
    @discardableResult
    public func become(leaderOf log: PartitionLog, in epoch: LeaderEpoch) -> Bool {
        guard log.become(leaderIn: epoch) else { return false }
        stateOwner(of: log)?.load(log)
        return true
    }

    /// Leads the partition no more, because `epoch` is another's or has ended: its log takes nothing, what lives in it is
    /// given up, and who waits is told. Returns false, and changes nothing, where a newer epoch is known.
    @discardableResult
    public func resign(leaderOf log: PartitionLog, for epoch: LeaderEpoch) -> Bool {
        guard log.resign(for: epoch) else { return false }
        stateOwner(of: log)?.unload(log)
        return true
    }

    /// Makes this node the leader of partitions that have no leader yet, each in its latest known epoch, because a single
    /// node has no rival.
    func becomeOnlyLeader(of logs: [PartitionLog]) {
        for log in logs { become(leaderOf: log, in: log.leaderEpoch) }
    }
}
