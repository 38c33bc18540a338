import ByteBuffers
public import KafkaModel

/// Beginning and ending to lead a partition.
///
/// ```
///                     become(leaderIn: epoch)
///   follower ───────────────────────────────────► leader
///   takes no appends, answers no reader            appends carry its epoch
///            ◄───────────────────────────────────
///                     resign(for: epoch)
/// ```
/// Waiting readers are told of either, except that a leader goes on by the epoch that it has.
///
/// What was appended before a resignation goes to disk all the same, and who waits for that is answered then.
extension PartitionLog {
    public var leadership: Leadership { state.withLock { $0.leadership } }
    /// The newest leader epoch that is known.
    public var leaderEpoch: LeaderEpoch { leadership.epoch }

    /// Takes appends from now on, which carry `epoch`. Returns false, and changes nothing, where a newer epoch is known.
    public func become(leaderIn epoch: LeaderEpoch) -> Bool {
        let (isDone, waiters) = state.withLock { state -> (Bool, [ReadWaiter]) in
            let before = state.leadership
            guard state.leadership.become(leaderIn: epoch) else { return (false, []) }
            // Readers that name the epoch before are to be refused.
            return (true, state.leadership == before ? [] : state.takeWaiters())
        }
        commits.tell(waiters)
        return isDone
    }

    /// Takes no appends and answers no reader from now on. Returns false, and changes nothing, where an epoch newer than
    /// `epoch` is known.
    public func resign(for epoch: LeaderEpoch) -> Bool {
        let (isDone, waiters) = state.withLock { state -> (Bool, [ReadWaiter]) in
            guard state.leadership.resign(for: epoch) else { return (false, []) }
            return (true, state.takeWaiters())
        }
        commits.tell(waiters)
        return isDone
    }

    /// Returns why a request that names the leader epoch `current` (-1: it names none) cannot be answered; nil if it
    /// can be. Source: KIP-320.
    public func leadershipProblem(currentLeaderEpoch current: Int32) -> ErrorCode? {
        let leadership = leadership
        if current >= 0, current != leadership.epoch.rawValue {
            return current < leadership.epoch.rawValue ? .fencedLeaderEpoch : .unknownLeaderEpoch
        }
        return leadership.isLeader ? nil : .notLeaderOrFollower
    }

    static func leadershipRefusal(of name: String) -> AppendRefusal {
        AppendRefusal(.notLeaderOrFollower, "this broker does not lead \(name)")
    }
}

extension PartitionLog.State {
    /// Takes the epochs that a checkpoint knows. The newest may be in no batch that a start reads.
    mutating func know(_ epochs: LeaderEpochs) {
        self.epochs = epochs
        if let latest = epochs.latest { leadership.learn(LeaderEpoch(latest)) }
    }
}
