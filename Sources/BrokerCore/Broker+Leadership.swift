public import KafkaModel
public import LogStorage

/// State that lives in the records of partitions: it is there where this node leads the partition, and nowhere else.
protocol PartitionStateOwner: AnyObject, Sendable {
    /// Loads what lives in `log`, which this node leads now. Waits for the disk.
    func load(_ log: PartitionLog)
    /// Gives it up; requests that wait in it are told to look for the new leader.
    func unload(_ log: PartitionLog)
}

/// The two ways by which logs and what lives in them are opened and closed. A node alone leads all its partitions from its
/// start; with several, whoever assigns leaders calls these.
extension Broker {
    /// Who keeps state in the records of this topic.
    private func stateOwner(of log: PartitionLog) -> (any PartitionStateOwner)? {
        log.topicName == Topic.offsetsTopicName ? groups : nil
    }

    /// Leads the partition by `epoch` from now on: its log takes appends, and what lives in it is loaded from its records.
    /// Returns false, and changes nothing, where a newer epoch is known. Waits for the disk: call it on `admin`.
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

    /// Leads the partitions of a topic, each by the epoch that it knows: nobody else does, as long as there is one node.
    func becomeOnlyLeader(of topic: Topic) {
        for log in topic.partitions { become(leaderOf: log, in: log.leaderEpoch) }
    }
}
