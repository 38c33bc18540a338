import ByteBuffers
public import Coordinators
public import KafkaModel
public import LogStorage
import RecordFormat
import Synchronization

/// The groups' part of transactions: offsets are appended to `__consumer_offsets` in batches of their producers, and count when
/// the marker is appended there. Both happen under the shard's lock, so that state and log have one order. Source: KIP-98.
extension GroupCoordinator {
    /// Whether the coordinator of transactions has to be asked before a group's offsets are appended for a producer.
    public func verification(
        of groupID: String, _ producer: TransactionalProducer, isVersion2: Bool
    ) -> PartitionLog.Verification {
        shards[Int(partitionIndex(of: groupID))].withLock { $0.log }
            .verification(of: producer.id, producer.epoch, isVersion2: isVersion2)
    }

    /// Appends offsets that count when their transaction is committed. `verified`: what the coordinator of transactions has said,
    /// where it had to be asked. One outcome a partition, in their order; they may be told once the commits have reached the
    /// ticket.
    public func commit(
        _ request: TransactionalCommit, verified: TransactionGuard?
    ) -> (outcomes: [ErrorCode], ticket: UInt64) {
        let now = BrokerClock.now()
        func all(_ code: ErrorCode) -> [ErrorCode] { request.partitions.map { _ in code } }
        let (outcomes, ticket, lost) = shards[Int(partitionIndex(of: request.groupID))].withLock {
            shard -> ([ErrorCode], UInt64, [GroupActions.Reply]) in
            var lost = followLog(&shard, now)
            prepare(&shard)
            if shard.log.refusal(.broker) != nil { return (all(.coordinatorNotAvailable), 0, lost) }
            let producer = request.producer
            if let code = shard.log.transactionProblem(of: producer.id, producer.epoch, verified) {
                // Too many transactions are open: clients of groups know no NOT_ENOUGH_REPLICAS, and would give up.
                return (all(code == .notEnoughReplicas ? .coordinatorNotAvailable : code), 0, lost)
            }
            let actions = shard.machine.txnOffsetCommit(request, waiter: WaiterID(.max), now: now)
            defer { count(&shard) }
            guard case .txnOffsetCommit(let outcomes)? = actions.replies.first?.reply else {
                preconditionFailure("a commit in a transaction without a reply")
            }
            if actions.records.isEmpty { return (outcomes, shard.ticket, lost) }
            let batch = CoordinatorRecord.batch(actions.records[...], now, of: producer)
            if shard.appendBatch(batch, now, verified: verified) != nil { return (outcomes, shard.ticket, lost) }
            // Refused since the look a moment ago: the state has gone ahead of the log, and is made from it again.
            lost += readBack(&shard, now)
            return (all(.coordinatorNotAvailable), 0, lost)
        }
        deliver(Outcome(replies: lost))
        return (outcomes, ticket)
    }

    /// Ends a producer's transaction in one partition of `__consumer_offsets`. Gives the marker's place once it is appended.
    public func endTransaction(
        in log: PartitionLog, _ marker: TransactionMarker
    ) -> Result<MarkerReceipt, AppendRefusal> {
        let shards = shards
        guard shards.indices.contains(Int(log.partitionIndex)) else {
            return .failure(AppendRefusal(.unknownTopicOrPartition, "\(log.name) holds no groups"))
        }
        let now = BrokerClock.now()
        let (result, lost) = shards[Int(log.partitionIndex)].withLock { shard in
            let lost = followLog(&shard, now)
            // Its state would not hear of it. Whoever asks does so again.
            guard shard.term != nil, !shard.isSuspended, shard.machine.phase == .active else {
                let refusal = AppendRefusal(.notLeaderOrFollower, "the groups of \(log.name) are not served just now")
                return (Result<MarkerReceipt, AppendRefusal>.failure(refusal), lost)
            }
            let result = shard.log.endTransaction(marker, nowMs: now.wallClockMs)
            if case .success(let receipt) = result {
                shard.ticket = max(shard.ticket, receipt.ticket)
                if !receipt.isRepeated {
                    _ = shard.machine.completeTransaction(
                        of: marker.producerID, committed: marker.isCommit, waiter: nil, now: now)
                    count(&shard)
                }
            }
            return (result, lost)
        }
        deliver(Outcome(replies: lost))
        return result
    }
}

extension CoordinatorRecord {
    /// Splits records into batches that the topic takes. A larger single record is a batch of its own.
    static func batches(_ records: [CoordinatorRecord], atMost limit: Int) -> [ArraySlice<CoordinatorRecord>] {
        var batches: [ArraySlice<CoordinatorRecord>] = []
        var first = records.startIndex
        while first < records.endIndex {
            var end = first + 1
            var size = batchHeader + records[first].sizeInBatch
            while end < records.endIndex, size + records[end].sizeInBatch <= limit {
                size += records[end].sizeInBatch
                end += 1
            }
            batches.append(records[first..<end])
            first = end
        }
        return batches
    }

    /// Returns a batch of these records; of a producer's transaction where one is named.
    static func batch(
        _ records: ArraySlice<CoordinatorRecord>, _ now: CoordinatorTime, of producer: TransactionalProducer? = nil
    ) -> ByteSlice {
        var builder = RecordBatchBuilder()
        for record in records {
            builder.append(key: record.key, value: record.value, timestampMs: now.wallClockMs)
        }
        var options = RecordBatchBuilder.Options()
        if let producer {
            options.producerID = producer.id
            options.producerEpoch = producer.epoch
            options.attributes = .transactional
        }
        return builder.finishUncompressed(options)
    }
}

extension Broker {
    /// Ends a producer's transaction in a partition, whatever the partition holds.
    public func endTransaction(
        in log: PartitionLog, _ marker: TransactionMarker
    ) -> Result<MarkerReceipt, AppendRefusal> {
        log.topicName == Topic.offsetsTopicName
            ? groups.endTransaction(in: log, marker) : log.endTransaction(marker, nowMs: BrokerClock.now().wallClockMs)
    }
}
