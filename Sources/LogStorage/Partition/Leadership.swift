public import KafkaModel

/// Whether this node appends to a partition's log, and by which leader epoch.
///
/// A value: its rules can be looked at without a log. `PartitionLog.become(leaderIn:)` and `PartitionLog.resign(for:)` apply
/// it to one. Epochs only grow, so that an order that comes late changes nothing. Source: KIP-101, KIP-320.
public struct Leadership: Sendable, Equatable {
    /// The newest leader epoch that is known, whoever leads by it.
    public private(set) var epoch: LeaderEpoch
    public private(set) var isLeader: Bool

    private init(epoch: LeaderEpoch, isLeader: Bool) {
        self.epoch = epoch
        self.isLeader = isLeader
    }

    public static func leader(in epoch: LeaderEpoch) -> Leadership { Leadership(epoch: epoch, isLeader: true) }
    public static func follower(in epoch: LeaderEpoch) -> Leadership { Leadership(epoch: epoch, isLeader: false) }

    /// Leads by `epoch` from now on. Returns false, and changes nothing, where a newer epoch is known: its leader may have
    /// appended already. The newest epoch itself is taken: a node alone goes on, after a restart, where it was.
    public mutating func become(leaderIn epoch: LeaderEpoch) -> Bool {
        guard epoch >= self.epoch else { return false }
        self = .leader(in: epoch)
        return true
    }

    /// Leads no more, because `epoch` is another's or has ended. Returns false, and changes nothing, where a newer epoch is
    /// known.
    public mutating func resign(for epoch: LeaderEpoch) -> Bool {
        guard epoch >= self.epoch else { return false }
        self = .follower(in: epoch)
        return true
    }

    /// Learns of an epoch from a record that carries it.
    mutating func learn(_ epoch: LeaderEpoch) {
        if epoch > self.epoch { self.epoch = epoch }
    }
}
