import ByteBuffers
import Forwarder
import KafkaModel
import LogStorage
import RecordFormat

/// A topic of this broker: batches are appended to its partitions as a client's produce would be, with the same check of producers
/// and sequences, and are there when they are on disk.
final class BrokerTopicDestination: ForwardDestination {
    private unowned let broker: Broker
    private let topicName: String

    init(_ broker: Broker, _ topicName: String) {
        self.broker = broker
        self.topicName = topicName
    }

    private var topic: Topic? { broker.catalog.topic(named: topicName) }

    func target() throws(ForwardTrouble) -> ForwardTarget {
        guard let topic else { throw ForwardTrouble("there is no topic \(topicName)") }
        guard !topic.isInternal else {
            throw ForwardTrouble("topic \(topicName) is the broker's own, and takes nothing from outside")
        }
        var identity = ByteWriter(capacity: ForwardIntent.destinationBytes)
        identity.integer(topic.id.high)
        identity.integer(topic.id.low)
        return ForwardTarget(
            identity: identity.array, partitionCount: Int32(topic.partitions.count),
            maxBatchBytes: topic.partitions[0].settings.maxBatchBytes - RecordBatchHeader.size)
    }

    func openProducer() throws(ForwardTrouble) -> ForwardProducer {
        if let id = broker.producerIDs.takeReady() { return Self.session(id) }
        // The next block of ids is claimed where changes of the metadata are made.
        let (done, claimed) = (Signal(), Lock<ProducerID?>(nil))
        let isTaken = broker.admin.submit { [broker] in
            let id = broker.producerIDs.next()
            claimed.withLock { $0 = id }
            done.raise()
        }
        if isTaken {
            done.wait()
            if let id = claimed.withLock({ $0 }) { return Self.session(id) }
        }
        throw ForwardTrouble("no producer id could be claimed")
    }

    private static func session(_ id: ProducerID) -> ForwardProducer {
        ForwardProducer(id: id, epoch: ProducerEpoch(rawValue: 0))
    }

    func send(_ batches: [ForwardedBatch]) -> [ForwardOutcome] {
        guard let topic else { return batches.map { _ in ForwardOutcome(.unknownTopicOrPartition) } }
        var builder = RecordBatchBuilder(pool: broker.store.chunkPool)
        let nowMs = broker.queues.nowMs()
        var commits = CommitSpan()
        let appended = batches.map { batch -> Result<(log: PartitionLog, baseOffset: Offset), AppendRefusal> in
            guard let log = topic.partition(batch.intent.partitionIndex) else {
                return .failure(AppendRefusal(.unknownTopicOrPartition, "the topic has fewer partitions"))
            }
            do throws(CompressionError) {
                return log.append(try batch.slice(.none, &builder), origin: .client, nowMs: nowMs).map { receipt in
                    commits.add(receipt.ticket)
                    return (log, receipt.baseOffset)
                }
            } catch {
                preconditionFailure("no codec ran: \(error)")
            }
        }
        let isDurable = broker.queues.areDurable(commits)
        return appended.map { result in
            switch result {
            case .failure(let refusal): ForwardOutcome(refusal.code)
            case .success(let (log, baseOffset)):
                // What its commit has left out may be on disk later: it is sent again until it is known.
                isDurable && log.isFlushed(baseOffset) ? .accepted : ForwardOutcome(.kafkaStorageError)
            }
        }
    }

    /// It waits for this broker's own disk alone.
    func interrupt() {}
}
