import ByteBuffers
import Coordinators
import KafkaModel
import LogStorage
import Telemetry

/// What follows a decision: markers, and the record that says that all of them are on disk.
extension TransactionCoordinator {
    /// Takes one step of a transaction's end. False: the next one waits for something.
    func advance(_ end: inout EndingTransaction, _ now: Int64) -> Bool {
        switch end.step {
        case .decided(let log, let offset):
            // A commit may have left it out, to be written later: it is no decision before.
            guard log.isFlushed(offset) else {
                end.waitLonger(now)
                return false
            }
            end.beginMarking()
            return true
        case .marking:
            writeMarkers(of: &end, now)
            return end.retryAtMs == nil
        case .marked:
            // Of a topic that was deleted meanwhile none is written any more.
            end.unflushed.removeAll {
                $0.log.isFlushed($0.offset) || !$0.log.leadership.isLeader || $0.log.isBeingDeleted
            }
            guard end.unflushed.isEmpty else {
                // A partition whose files fail writes it later.
                end.waitLonger(now)
                return false
            }
            let ended = end.end
            var refusal: ErrorCode?
            _ = perform(
                ended.transactionalID,
                refused: { code in
                    refusal = code
                    return false
                }
            ) { $0.ended(ended, now: $1) }
            // Its log takes nothing just now. Where another node coordinates it, that one ends it.
            end.isOver = refusal == nil || refusal == .notCoordinator
            if !end.isOver { end.waitLonger(now) }
            return false
        }
    }

    private func writeMarkers(of end: inout EndingTransaction, _ now: Int64) {
        let marker = TransactionMarker(
            producerID: ProducerID(end.end.producer.id), epoch: ProducerEpoch(end.end.producer.epoch),
            isCommit: end.end.isCommit, coordinatorEpoch: end.end.coordinatorEpoch, isVersion2: end.end.isVersion2)
        let catalog = broker.catalog
        var left: [(topic: ExactString, index: Int32)] = []
        for (topic, index) in end.partitions {
            // One that was deleted needs none.
            guard let log = catalog.topic(named: topic.text)?.partition(index) else {
                noteMarkers(of: topic, index, refused: nil)
                continue
            }
            switch broker.endTransaction(in: log, marker) {
            case .success(let receipt):
                end.ticket = max(end.ticket, receipt.ticket)
                end.unflushed.append((log, receipt.offset))
                noteMarkers(of: topic, index, refused: nil)
            case .failure(let refusal):
                // A newer coordinator, or a newer producer: this transaction has been ended otherwise.
                if refusal.code == .transactionCoordinatorFenced || refusal.code == .invalidProducerEpoch {
                    Log.warning("a marker was refused", "partition", log.name, "reason", refusal.message)
                    noteMarkers(of: topic, index, refused: nil)
                    continue
                }
                left.append((topic, index))
                noteMarkers(of: topic, index, refused: refusal.message)
            }
        }
        if left.isEmpty { return end.goOn(to: .marked) }
        // Others than before: what works again is asked soon.
        if left.count < end.partitions.count { end.retry.reset() }
        end.partitions = left
        end.waitLonger(now)
    }

    /// Says once that a partition takes no markers, however many transactions wait for it, and once that it does.
    private func noteMarkers(of topic: ExactString, _ index: Int32, refused reason: String?) {
        let isNews = refusing.withLock { refusing in
            // Next to always.
            if refusing.isEmpty, reason == nil { return false }
            let name = "\(topic.text)-\(index)"
            return reason == nil ? refusing.remove(name) != nil : refusing.insert(name).inserted
        }
        guard isNews else { return }
        let name = "\(topic.text)-\(index)"
        if let reason {
            Log.warning("a partition takes no markers: transactions wait for it", "partition", name, "reason", reason)
        } else {
            Log.info("a partition takes markers again", "partition", name)
        }
    }
}

/// A transaction that is decided, on its way to its end. For the coordinator's thread alone.
struct EndingTransaction: Sendable {
    enum Step: Sendable {
        /// The decision is appended, at this offset.
        case decided(PartitionLog, Offset)
        /// Markers are to be written.
        case marking
        /// They are, and are to be on disk.
        case marked
    }

    let end: TransactionEnd
    /// The shard that has decided it, and which of its states.
    private let origin: Lock<TransactionCoordinator.Shard>
    private let generation: UInt64
    private(set) var step: Step
    /// What the next step waits for.
    var ticket: UInt64
    /// Partitions without a marker, from `beginMarking` on.
    var partitions: [(topic: ExactString, index: Int32)] = []
    /// Markers that may not be on disk.
    var unflushed: [(log: PartitionLog, offset: Offset)] = []
    /// When it is tried again what could not be done.
    private(set) var retryAtMs: Int64?
    var retry = Backoff()
    var isOver = false

    /// `shard` is the one in `origin`, whose newest record is the decision, or comes behind it.
    init(_ end: TransactionEnd, decidedIn shard: TransactionCoordinator.Shard, _ origin: Lock<TransactionCoordinator.Shard>) {
        self.end = end
        self.origin = origin
        generation = shard.generation
        ticket = shard.ticket
        step = .decided(shard.log, shard.newest)
    }

    /// Whether its shard's state is the one that has decided it. A state that is made from the log anew says so again, if it is
    /// to be ended still.
    var isCurrent: Bool { origin.withLock { $0.generation == generation } }

    func isDue(_ durable: UInt64, _ nowMs: Int64) -> Bool {
        !isOver && ticket <= durable && retryAtMs.map { $0 <= nowMs } ?? true
    }

    /// What could not be done is tried again later.
    mutating func waitLonger(_ nowMs: Int64) { retryAtMs = nowMs + retry.failed() }

    /// Lists the partitions, on the coordinator's thread: the shard's lock is held while the decision is made.
    mutating func beginMarking() {
        partitions = end.partitions.flatMap { topic, indexes in indexes.map { (topic, $0) } }
        goOn(to: .marking)
    }

    mutating func goOn(to next: Step) {
        step = next
        retryAtMs = nil
        retry.reset()
    }
}
