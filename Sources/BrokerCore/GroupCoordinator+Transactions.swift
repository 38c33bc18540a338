import ByteBuffers
import Coordinators
import KafkaModel
public import LogStorage
import RecordFormat
import Synchronization

/// The groups' part of transactions: offsets are appended to `__consumer_offsets` in batches of their producers, and count when
/// the marker is appended there. Both happen under the shard's lock, so that state and log have one order. Source: KIP-98.
extension GroupCoordinator {
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
