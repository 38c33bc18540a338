public import KafkaModel

/// Offsets committed within a transaction: one group's part of a TxnOffsetCommit.
public struct TransactionalCommit: Equatable, Sendable {
    public struct Partition: Equatable, Sendable {
        public var topicName: String
        /// Zero when not known.
        public var topicID = TopicID.zero
        public var partitionIndex: Int32
        public var offset: Int64
        /// -1: not known.
        public var leaderEpoch: Int32 = -1
        public var metadata: String?

        public init(topicName: String, partitionIndex: Int32, offset: Int64) {
            self.topicName = topicName
            self.partitionIndex = partitionIndex
            self.offset = offset
        }
    }

    public var producer: TransactionalProducer
    public var groupID: String
    /// Negative: not named by the client, whose membership is then not checked.
    public var generationID: Int32 = -1
    public var memberID = ""
    public var groupInstanceID: String?
    /// What a group is answered that does not exist and whose generation is named.
    public var missingGroup = ErrorCode.illegalGeneration
    public var partitions: [Partition] = []

    public init(producer: TransactionalProducer, groupID: String) {
        self.producer = producer
        self.groupID = groupID
    }
}

/// Offsets of transactions: pending until the transaction ends. Sources: KIP-98, KIP-447.
extension GroupShard {
    /// Adds offsets to a transaction; they are committed when it is. The records go out in a batch of `producer`.
    public mutating func txnOffsetCommit(
        _ request: TransactionalCommit, waiter: WaiterID, now: CoordinatorTime
    ) -> GroupActions {
        context.begin(now)
        let outcomes = counting(request.groupID) { $0.commit(request) }
        if !context.actions.records.isEmpty { context.actions.producer = request.producer }
        context.reply(waiter, .txnOffsetCommit(outcomes))
        return context.finish()
    }

    private mutating func commit(_ request: TransactionalCommit) -> [ErrorCode] {
        var error = commitRefusal(
            groupID: request.groupID, memberID: request.memberID, instanceID: request.groupInstanceID,
            generationID: request.generationID, isTransactional: true, missingGroup: request.missingGroup)
        if error == .none, !hasRoom(for: request) { error = .invalidCommitOffsetSize }
        if error == .none { createGroup(request.groupID) }
        let outcomes = request.partitions.map { partition -> ErrorCode in
            guard error == .none else { return error }
            let refusal = partitionRefusal(
                request.groupID, partition.topicName, partition.topicID, partition.partitionIndex, request.memberID,
                request.generationID)
            guard refusal == .none else { return refusal }
            var offset = CommittedOffset(offset: partition.offset)
            offset.leaderEpoch = partition.leaderEpoch
            offset.metadata = partition.metadata ?? ""
            offset.commitTimestampMs = context.now.wallClockMs
            offset.topicID = partition.topicID
            return commit(
                offset, of: request.groupID, partition.topicName, partition.partitionIndex,
                producerID: request.producer.id)
        }
        dispose(request.groupID)
        return outcomes
    }

    /// Whether the records fit one batch, and the offsets the memory of groups, as long as they are pending.
    private func hasRoom(for request: TransactionalCommit) -> Bool {
        var batchBytes = 0
        var added = groups[request.groupID] == nil ? ClassicGroup.emptyBytes + request.groupID.utf8.count : 0
        for partition in request.partitions {
            let text = partition.metadata?.utf8.count ?? 0
            batchBytes +=
                CoordinatorRecord.overhead + 48 + request.groupID.utf8.count + partition.topicName.utf8.count + text
            added += CommittedOffsets.entryBytes + text
        }
        return context.fits(batchBytes) && context.hasRoom(for: added)
    }

    /// Applies the end of a producer's transaction, whose marker the caller appends to the shard's partition.
    public mutating func completeTransaction(
        of producerID: ProducerID, committed: Bool, waiter: WaiterID?, now: CoordinatorTime
    ) -> GroupActions {
        context.begin(now)
        endTransaction(of: producerID, committed: committed)
        if let waiter { context.reply(waiter, .transactionCompleted) }
        return context.finish()
    }

    /// Applies the marker of a transaction's end that was met in the log while loading.
    public mutating func replayTransactionEnd(of producerID: ProducerID, committed: Bool) {
        precondition(phase == .loading, "a marker was replayed into a shard that is \(phase)")
        endTransaction(of: producerID, committed: committed)
    }

    private mutating func endTransaction(of producerID: ProducerID, committed: Bool) {
        for (groupID, offsets) in pendingTransactions.removeValue(forKey: producerID) ?? [:] {
            context.pendingBytes -= offsets.memoryBytes
            counting(groupID.text) { $0.endTransaction(of: producerID, in: groupID, offsets, committed: committed) }
        }
    }

    private mutating func endTransaction(
        of producerID: ProducerID, in groupID: ExactString, _ offsets: CommittedOffsets, committed: Bool
    ) {
        groups[groupID]?.openTransactions.remove(producerID)
        if committed {
            createGroup(groupID.text)
            for (topic, partitions) in offsets.byTopic {
                for (index, offset) in partitions {
                    // A plain commit that came later in the log wins.
                    let present = groups[groupID]!.offsets[topic.text, index]
                    if present.map({ $0.order < offset.order }) ?? true {
                        groups[groupID]!.offsets[topic.text, index] = offset
                    }
                }
            }
        }
        dispose(groupID.text)
    }
}
