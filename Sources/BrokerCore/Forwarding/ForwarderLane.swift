import ByteBuffers
import Forwarder
import KafkaModel
import LogStorage
import QueueLedger
import Telemetry

/// One partition of a forwarder's queue: its lane, the messages that it has, and their leases. The forwarder's thread alone uses it.
final class ForwarderLane {
    /// What was loaded, and goes by one loading of the queue's ledger.
    private struct Loaded {
        var lane: ForwardLane
        let generation: Int32
        var receipts: [Offset: Receipt]
        var records: [Offset: ForwardedRecord] = [:]
        /// The queue may have messages that were not looked for.
        var mayHaveMore = true
        /// Told of by the log itself: nothing below is new.
        var lookedBelow = Offset(-1)
        /// What was appended and is not known to be on disk.
        var storing: [ForwardAction] = []
        /// The queue had messages that it did not give: it is not asked before.
        var askAgainAtMs = Int64.min
        /// Bytes of a message, about.
        var messageBytes = 1
    }

    private let queues: QueueCoordinator
    private let definition: ForwarderDefinition
    private let maxBytes: Int
    private var loaded: Loaded?
    /// Of the lane, on disk, and to be sent in this round.
    private var sending: [ForwardIntent] = []
    private var retryAtMs = Int64.min
    private var backoff = Backoff()
    /// Why it has nothing in memory, and begins anew a while later.
    private(set) var fault: String?

    init(_ queues: QueueCoordinator, _ definition: ForwarderDefinition, _ maxBytes: Int) {
        self.queues = queues
        self.definition = definition
        self.maxBytes = maxBytes
    }

    /// When it has something to do that nobody tells, in milliseconds since 1970: not before `nowMs`.
    func nextMs(_ nowMs: Int64) -> Int64 {
        guard let loaded else { return max(nowMs, retryAtMs) }
        let room = loaded.lane.room
        // What was not put off is due since ever.
        let next = max(nowMs, loaded.lane.nextDeadlineMs ?? .max)
        guard loaded.mayHaveMore, room.messages > 0, room.bytes > 0 else { return next }
        return min(next, max(nowMs, loaded.askAgainAtMs))
    }

    // MARK: A round

    /// Takes messages and appends what the lane wants on disk. Returns whether there was anything to do.
    func advance(
        _ partition: QueuePartition, _ target: ForwardTarget, _ openProducer: () -> ForwardProducer?,
        _ commits: inout CommitSpan
    ) -> Bool {
        if loaded == nil {
            guard queues.nowMs() >= retryAtMs else { return false }
        }
        do throws(QueueRefusal) {
            if loaded == nil { try load(partition, target, &commits) }
            guard var loaded else { return false }
            self.loaded = nil
            _ = loaded.lane.setPartitionCount(target.partitionCount)
            let hasTaken = try take(&loaded, partition)
            let hasStored = try store(&loaded, partition, openProducer, &commits)
            self.loaded = loaded
            return hasTaken || hasStored
        } catch {
            fail(error.message, partition)
            return false
        }
    }

    private func load(
        _ partition: QueuePartition, _ target: ForwardTarget, _ commits: inout CommitSpan
    ) throws(QueueRefusal) {
        let start = try queues.startLane(of: partition, definition.name, destination: target.identity)
        // What is sent again has to be on disk, as if it were new.
        try queues.waitForCommit(of: CommitSpan(start.ticket))
        guard queues.isLedgerWhole(partition, in: start.generation) else { throw QueueCoordinator.noDisk }
        if start.forgotten > 0 {
            Log.warning(
                "messages that were on their way to another destination are forwarded anew", "forwarder",
                definition.name, "partition", partition.log.name, "messages", start.forgotten)
        }
        var settings = ForwardSettings()
        settings.maxRecords = definition.maxRecords
        settings.maxBytes = min(definition.maxBytes, maxBytes / 2)
        settings.windowMs = definition.windowMs
        settings.isOrdered = partition.queue.settings.order == .fifo
        var lane = ForwardLane(
            settings, destination: target.identity, partitionCount: target.partitionCount,
            maxBatchBytes: target.maxBatchBytes, seed: UInt64(bitPattern: queues.nowMs()))
        for intent in start.intents { lane.restore(intent) }
        fault = nil
        loaded = Loaded(lane: lane, generation: start.generation, receipts: start.receipts)
    }

    private func take(_ loaded: inout Loaded, _ partition: QueuePartition) throws(QueueRefusal) -> Bool {
        let end = partition.log.lastStableOffset
        if end > loaded.lookedBelow { (loaded.mayHaveMore, loaded.lookedBelow) = (true, end) }
        let room = loaded.lane.room
        guard loaded.mayHaveMore, room.messages > 0, room.bytes > 0, queues.nowMs() >= loaded.askAgainAtMs else {
            return false
        }
        if partition.queue.breaker.pauseMs(queues.steadyMs()) > 0 {
            loaded.askAgainAtMs = queues.nowMs() + QueueCoordinator.retryMs
            return false
        }
        // What there is no room for would be leased for nothing.
        let most = min(room.messages, max(1, room.bytes / loaded.messageBytes))
        let taken = try queues.takeForForwarder(
            of: partition, in: loaded.generation, most: most, room: room.bytes, by: keyRule(partition),
            loaded.lane.has)
        for receipt in taken.receipts { loaded.receipts[receipt.offset] = receipt }
        for record in taken.records { loaded.records[record.offset] = record }
        let messages = taken.records.map {
            ForwardMessage(offset: $0.offset, bytes: $0.sizeInBatch, keyHash: $0.keyHash)
        }
        let nowMs = queues.nowMs()
        loaded.lane.take(messages, nowMs: nowMs)
        if !messages.isEmpty {
            loaded.messageBytes = max(1, messages.reduce(0) { $0 + $1.bytes } / messages.count)
        }
        loaded.mayHaveMore = taken.hasMore
        // As many are in flight as may be, or there is no memory for more.
        if taken.hasMore, taken.receipts.isEmpty { loaded.askAgainAtMs = nowMs + QueueCoordinator.retryMs }
        return !taken.receipts.isEmpty
    }

    /// Something may have come back into the queue.
    func wake() { loaded?.mayHaveMore = true }

    private func keyRule(_ partition: QueuePartition) -> ForwardKeyRule {
        ForwardKeyRule(choice: definition.key, isOrdered: partition.queue.settings.order == .fifo)
    }

    private func store(
        _ loaded: inout Loaded, _ partition: QueuePartition, _ openProducer: () -> ForwardProducer?,
        _ commits: inout CommitSpan
    ) throws(QueueRefusal) -> Bool {
        let nowMs = queues.nowMs()
        var work = QueueCoordinator.LaneWork()
        var isBusy = false
        for action in loaded.lane.actions(nowMs: nowMs) {
            isBusy = true
            switch action {
            case .openProducer:
                if let producer = openProducer() {
                    loaded.lane.producer(producer)
                } else {
                    loaded.lane.producerFailed(nowMs: nowMs)
                    isBusy = false
                }
            case .record(let intent):
                work.changes.append(.intent(intent))
                loaded.storing.append(action)
            case .send(let intent): sending.append(intent)
            case .end(let index, let offsets):
                work.ends += offsets
                work.changes.append(.settled(partitionIndex: index))
                loaded.storing.append(action)
            case .giveUp(let index, _, _) where partition.queue.settings.deadLetterQueue == nil:
                // There is nowhere to go for what is refused: it stays, and is tried again.
                loaded.lane.kept(index, nowMs: nowMs)
            case .giveUp(let index, let offset, let reason):
                work.rejects.append((offset, loaded.receipts[offset], reason))
                // Settled also where the receipt is an old one: the message is received again, and refused again.
                work.changes.append(.settled(partitionIndex: index))
                loaded.storing.append(action)
            }
        }
        if work.isEmpty { return isBusy }
        try queues.store(work, of: partition, in: loaded.generation, &commits)
        return true
    }

    /// What was appended is on disk, or is not known to be.
    func stored(_ partition: QueuePartition, _ isDurable: Bool, _ counters: ForwarderCounters) {
        guard var loaded, !loaded.storing.isEmpty else { return }
        self.loaded = nil
        // Left out of its commit, it may never be on disk.
        guard isDurable, queues.isLedgerWhole(partition, in: loaded.generation) else {
            return fail(QueueCoordinator.noDisk.message, partition)
        }
        backoff.reset()
        fault = nil
        for action in loaded.storing {
            switch action {
            case .record(let intent): loaded.lane.recorded(intent.partitionIndex)
            case .end(let index, let offsets):
                loaded.lane.ended(index)
                forget(offsets, &loaded)
            case .giveUp(let index, let offset, let reason):
                loaded.lane.ended(index)
                forget([offset], &loaded)
                counters.refused.add()
                Log.warning(
                    "a message is taken by no destination and goes to the dead letters", "forwarder", definition.name,
                    "partition", partition.log.name, "offset", offset.rawValue, "reason", reason)
            case .openProducer, .send: break
            }
        }
        loaded.storing = []
        // What was behind a group's messages may be there now.
        if partition.queue.settings.order == .fifo { loaded.mayHaveMore = true }
        self.loaded = loaded
    }

    private func forget(_ offsets: [Offset], _ loaded: inout Loaded) {
        for offset in offsets {
            loaded.records[offset] = nil
            loaded.receipts[offset] = nil
        }
    }

    /// The batches that are to be sent now.
    func takeBatches(_ partition: QueuePartition) -> [ForwardedBatch] {
        defer { sending = [] }
        guard var loaded, !sending.isEmpty else { return [] }
        do throws(QueueRefusal) {
            var batches: [ForwardedBatch] = []
            for intent in sending {
                let missing = intent.offsets.filter { loaded.records[$0] == nil }
                if !missing.isEmpty {
                    // Those of before a start.
                    for record in try queues.readForForwarder(missing, of: partition, by: keyRule(partition)) {
                        loaded.records[record.offset] = record
                    }
                }
                let records = intent.offsets.compactMap { loaded.records[$0] }
                if records.isEmpty {
                    // The queue's retention has taken all of it: there is nothing to send.
                    loaded.lane.answered(intent.partitionIndex, .accepted, nowMs: queues.nowMs())
                } else {
                    batches.append(ForwardedBatch(intent: intent, records: records))
                }
            }
            self.loaded = loaded
            return batches
        } catch {
            fail(error.message, partition)
            return []
        }
    }

    func answered(_ batch: ForwardedBatch, _ outcome: ForwardOutcome, _ nowMs: Int64, _ counters: ForwarderCounters) {
        guard var loaded else { return }
        self.loaded = nil
        loaded.lane.answered(batch.intent.partitionIndex, outcome, nowMs: nowMs)
        self.loaded = loaded
        guard outcome == .accepted else { return }
        counters.batches.add()
        counters.records.add(batch.records.count)
        counters.bytes.add(batch.records.reduce(0) { $0 + $1.sizeInBatch })
    }

    /// Begins anew, from what is on disk, a while later.
    private func fail(_ reason: String, _ partition: QueuePartition) {
        (loaded, sending) = (nil, [])
        retryAtMs = queues.nowMs() + backoff.failed()
        if fault == nil {
            Log.warning(
                "a queue's messages are not forwarded", "forwarder", definition.name, "partition", partition.log.name,
                "reason", reason)
        }
        fault = reason
    }
}
