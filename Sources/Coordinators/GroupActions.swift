public import KafkaModel
public import KafkaWire

/// One record for the shard's partition of `__consumer_offsets`. A `nil` value is a tombstone.
public struct CoordinatorRecord: Equatable, Sendable {
    public var key: [UInt8]
    public var value: [UInt8]?

    public init(key: [UInt8], value: [UInt8]?) {
        self.key = key
        self.value = value
    }

    /// Bytes that the record takes in a batch, at most.
    public var sizeInBatch: Int { key.count + (value?.count ?? 0) + Self.overhead }

    /// Two lengths of five bytes, that of the record, its offset, and three bytes that are always 0.
    static let overhead = 21
    /// A batch's header.
    public static let batchHeader = 61
}

/// The producer whose transaction a batch of offsets belongs to. Source: KIP-98, KIP-447.
public struct TransactionalProducer: Hashable, Sendable {
    public var id: ProducerID
    public var epoch: ProducerEpoch

    public init(id: ProducerID, epoch: ProducerEpoch) {
        self.id = id
        self.epoch = epoch
    }
}

/// The answer to one request, in the form that the handler encodes.
public enum GroupReply: Equatable, Sendable {
    case join(JoinGroupResponse)
    case sync(SyncGroupResponse)
    case heartbeat(HeartbeatResponse)
    case consumerHeartbeat(ConsumerGroupHeartbeatResponse)
    case shareHeartbeat(ShareGroupHeartbeatResponse)
    /// There is a share group of that name, or why there is none.
    case shareGroupMade(ErrorCode)
    case leave(LeaveGroupResponse)
    case offsetCommit(OffsetCommitResponse)
    /// One outcome for each partition of the request, in its order.
    case txnOffsetCommit([ErrorCode])
    case offsetDelete(OffsetDeleteResponse)
    case deleteGroups([DeleteGroupsResponse.DeletableGroupResult])
    /// A transaction's end was applied to its offsets.
    case transactionCompleted

    /// What the reply says may rest on records that are not on disk yet. Not so for a heartbeat's: it tells of membership,
    /// which is in no record, and of a generation that its member has been told of by a reply that did wait. So a member
    /// keeps its session while the disk takes its time.
    public var waitsForCommit: Bool {
        if case .heartbeat = self { return false }
        return true
    }
}

/// What the caller has to do after an event.
///
/// The rule: under the lock that protects the shard, `records` are appended to the shard's partition, in the order of the
/// events, in batches that are not larger than `GroupShard.maxBatchBytes`; those of one request fit one batch. Every reply
/// of the action that `waitsForCommit`, also of one without records, is released only when the newest append of the shard
/// has committed: the state behind it may rest on records of an earlier event that are still on their way to disk.
public struct GroupActions: Equatable, Sendable {
    public struct Reply: Equatable, Sendable {
        public var waiter: WaiterID
        public var reply: GroupReply

        public init(waiter: WaiterID, reply: GroupReply) {
            self.waiter = waiter
            self.reply = reply
        }
    }

    /// To be appended; empty: nothing to append.
    public var records: [CoordinatorRecord] = []
    /// Set when `records` are offsets of a transaction: the batch is then transactional, with these in its header.
    public var producer: TransactionalProducer?
    /// Each waiter gets exactly one reply, unless the caller said `waiterGone`.
    public var replies: [Reply] = []
    /// What takes long, to be done outside of the shard's lock; what is not done is asked for again.
    public var work: [GroupWork] = []

    public init() {}

    public var isEmpty: Bool { records.isEmpty && replies.isEmpty && work.isEmpty }

    mutating func reply(_ waiter: WaiterID, _ reply: GroupReply) {
        replies.append(Reply(waiter: waiter, reply: reply))
    }
}

/// What an event wants to be done by somebody who may take his time.
public enum GroupWork: Equatable, Sendable {
    /// A target assignment: `GroupShard.assignmentWork` gives what is to be done, `assignmentMade` takes what came of it.
    case assignment(groupID: String)
    /// A look-up of the topics that patterns stand for: `patternWork` and `patternsFound`. `isSlow`: it may take a while, and others
    /// are not to wait for it; `PatternWork.isSlow` says so of the patterns that there are when it is begun.
    case patterns(groupID: String, isSlow: Bool)
}
