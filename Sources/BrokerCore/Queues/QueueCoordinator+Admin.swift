import ByteBuffers
import KafkaModel
import LogStorage
import QueueLedger
import StorageIO
import Telemetry

/// Queues made, changed and removed. What changes something waits for the metadata: on `Broker.admin`.
extension QueueCoordinator {
    /// Bytes of a queue's name at most: its topic's has `q.` before, and 249.
    static let maxNameBytes = 200
    /// What one batch of a queue's topic takes: the largest message, with its headers.
    static let maxBatchBytes = (1 << 20) + (256 << 10)

    public func createQueue(
        _ name: String, _ settings: QueueSettings, partitions: Int32 = 1, tags: [String: String] = [:]
    ) -> Result<QueueDescription, QueueRefusal> {
        do throws(QueueRefusal) {
            if let problem = Self.problem(ofName: name) { throw QueueRefusal(.invalidName, problem) }
            try check(settings, tags, of: name)
            if let existing = try? find(name) {
                guard existing.queue.settings == settings else {
                    throw QueueRefusal(.exists, "there is a queue \(name) with other settings")
                }
                return .success(existing.queue.description(partitions: existing.topic.partitions.count))
            }
            guard directory.byName.count < Self.maxQueues else {
                throw QueueRefusal(.limit, "there are \(Self.maxQueues) queues, which is as many as there may be")
            }
            if settings.order == .fifo, settings.deduplicationScope == .queue, partitions != 1 {
                throw QueueRefusal(
                    .invalid, "a FIFO queue whose de-duplication ids count over all groups has one partition")
            }
            try makeStateTopic()
            let topic = try makeTopic(of: name, settings, partitions)
            let nowMs = nowMs()
            let record = QueueRecord(
                name: name, topicID: topic.id, settings: settings, tags: tags, createdMs: nowMs, modifiedMs: nowMs)
            try store(record)
            let number = wiring.withLock { wiring -> UInt64 in
                wiring!.nextNumber += 1
                return wiring!.nextNumber
            }
            let queue = Queue(record, number: number)
            replace(name, by: queue)
            return .success(queue.description(partitions: topic.partitions.count))
        } catch {
            return .failure(error)
        }
    }

    public func alterQueue(
        _ name: String, _ change: (inout QueueSettings, inout [String: String]) -> Void
    ) -> Result<QueueDescription, QueueRefusal> {
        do throws(QueueRefusal) {
            let (queue, topic) = try find(name)
            var record = queue.record
            change(&record.settings, &record.tags)
            guard record.settings.order == queue.settings.order,
                record.settings.deduplicationScope == queue.settings.deduplicationScope || topic.partitions.count == 1
            else { throw QueueRefusal(.invalid, "the order of a queue stays as it is") }
            try check(record.settings, record.tags, of: name)
            // Whoever changes a queue has seen to it.
            if queue.breaker.pauseMs(steadyMs()) > 0 {
                queue.breaker.reset()
                serveWaiters(of: queue)
            }
            if record == queue.record { return .success(queue.description(partitions: topic.partitions.count)) }
            if record.settings.retentionMs != queue.settings.retentionMs {
                var overrides = topic.settings.overrides
                overrides["retention.ms"] = String(record.settings.retentionMs)
                if let refusal = broker.alterSettings(topic, overrides, validateOnly: false) {
                    throw QueueRefusal(refusal)
                }
            }
            record.modifiedMs = nowMs()
            try store(record)
            let next = Queue(record, after: queue)
            replace(name, by: next)
            // By other rules some may be received now.
            serveWaiters(of: next)
            return .success(next.description(partitions: topic.partitions.count))
        } catch {
            return .failure(error)
        }
    }

    public func deleteQueue(_ name: String) -> QueueRefusal? {
        do throws(QueueRefusal) {
            let (_, topic) = try find(name)
            // Its topic goes first: what is left of the queue after a crash is removed at the next start.
            if let refusal = broker.deleteTopic(topic) { throw QueueRefusal(refusal) }
            return nil
        } catch {
            return error
        }
    }

    /// A topic was deleted, by whoever: the queue whose log it was is gone.
    func topicDeleted(_ topic: Topic) {
        guard let queue = directory.byTopic[topic.id] else { return }
        do throws(StorageError) { try remove(queue.record) } catch {
            // The next start finds its topic missing.
            Log.error(
                "the record of a deleted queue is removed at the next start", "queue", queue.name, "reason", error)
        }
        replace(queue.name, by: nil)
        agenda.withLock { $0.forget(topic.id) }
        // A move from it finds it gone, now and not when its next messages are due.
        moves.withLock { $0.bySource[ExactString(queue.name)]?.nextMs = 0 }
        signal.raise()
        for log in topic.partitions {
            let id = TopicPartition(topicID: topic.id, partitionIndex: log.partitionIndex)
            shard(of: id)?.withLock { shard in
                _ = shard.machine.take(id)
                count(&shard)
            }
        }
        answerAll(of: queue, .refused(QueueRefusal(.notFound, "the queue was deleted")))
    }

    /// The name of the queue whose log a topic is, where that keeps the partitions that it has: a FIFO queue's groups are spread over
    /// them by their number. Nil: the topic may grow.
    func queueWithFixedPartitions(_ topic: TopicID) -> String? {
        guard let queue = directory.byTopic[topic], queue.settings.order == .fifo else { return nil }
        return queue.name
    }

    // MARK: Looking

    public func queue(named name: String) -> QueueDescription? {
        guard let (queue, topic) = try? find(name) else { return nil }
        return queue.description(partitions: topic.partitions.count)
    }

    public func queues(prefix: String, after: String?, limit: Int) -> [QueueDescription] {
        let directory = directory
        let from = max(ExactString(prefix), after.map { ExactString($0) } ?? "")
        var found: [QueueDescription] = []
        var place = directory.names.partitioningIndex { $0 >= from }
        while place < directory.names.count, found.count < limit {
            let name = directory.names[place]
            place += 1
            guard name.hasPrefix(ExactString(prefix)) else { break }
            if let after, name == ExactString(after) { continue }
            if let description = queue(named: name.text) { found.append(description) }
        }
        return found
    }

    public func deadLetterSources(of name: String) -> [String] { directory.sources[ExactString(name)] ?? [] }

    // MARK: Checks

    /// Why a queue cannot have that name; nil: it can.
    public static func problem(ofName name: String) -> String? {
        let isKnown = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        return isKnown && (1...maxNameBytes).contains(name.utf8.count)
            ? nil : "the name of a queue has 1 to \(maxNameBytes) letters, digits, '.', '_' and '-'"
    }

    private func check(
        _ settings: QueueSettings, _ tags: [String: String], of name: String
    ) throws(QueueRefusal) {
        if let problem = settings.problem { throw QueueRefusal(.invalid, problem) }
        let tagBytes = tags.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        if tagBytes > QueueSettings.maxAttributeBytes {
            throw QueueRefusal(.invalid, "tags have \(QueueSettings.maxAttributeBytes) bytes at most")
        }
        guard let target = settings.deadLetterQueue else { return }
        if target.isExactly(name) { throw QueueRefusal(.invalid, "a queue is not its own dead letter queue") }
        guard let other = directory.byName[ExactString(target)] else {
            throw QueueRefusal(.invalid, "there is no queue \(target) for the dead letters")
        }
        guard (other.settings.order == .fifo) == (settings.order == .fifo) else {
            throw QueueRefusal(.invalid, "the dead letters of a FIFO queue go to a FIFO queue, of others to others")
        }
    }

    // MARK: What stands behind a queue

    private func makeTopic(
        of name: String, _ settings: QueueSettings, _ partitions: Int32
    ) throws(QueueRefusal) -> Topic {
        let topicName = Self.topicPrefix + name
        if let existing = broker.catalog.topic(named: topicName) {
            if settings.order == .fifo, settings.deduplicationScope == .queue, existing.partitions.count != 1 {
                throw QueueRefusal(
                    .invalid,
                    "the topic \(topicName) has \(existing.partitions.count) partitions; such a FIFO queue has one")
            }
            return existing
        }
        switch broker.createTopic(
            topicName, partitions: partitions,
            settings: [
                "cleanup.policy": "delete", "retention.ms": String(settings.retentionMs),
                "max.message.bytes": String(Self.maxBatchBytes),
            ])
        {
        case .success(let topic): return topic
        case .failure(let refusal): throw QueueRefusal(refusal)
        }
    }

    private func store(_ record: QueueRecord) throws(QueueRefusal) {
        let key = QueueRecord.key(record.name)
        var transaction = MetadataTransaction()
        transaction.conditions = [(key, broker.metadata.read(key)?.revision ?? 0)]
        transaction.changes = [(key, record.encoded)]
        do throws(StorageError) {
            guard try broker.metadata.transact(transaction) else {
                throw StorageError(.corrupt("it was changed at the same time"), .write, path: key)
            }
        } catch {
            throw QueueRefusal(.unavailable, "the queue could not be stored: \(error)")
        }
    }

    private func remove(_ record: QueueRecord) throws(StorageError) {
        var transaction = MetadataTransaction()
        transaction.changes = [(QueueRecord.key(record.name), nil)]
        _ = try broker.metadata.transact(transaction)
    }

    private func replace(_ name: String, by queue: Queue?) {
        // One at a time, on the thread of such changes.
        let next = directory.replacing(name, by: queue)
        current.withLock { $0 = next }
    }

    // MARK: A start

    /// Takes up the queues that there are. Before anything is served.
    func open() throws(StorageError) {
        var queues: [Queue] = []
        for (key, value) in broker.metadata.read(prefix: QueueRecord.prefix) {
            let record = try QueueRecord(value.bytes, key: key, folder: broker.store.folder)
            // A crash came between the end of its topic and its own.
            if broker.catalog.topic(id: record.topicID) == nil {
                try remove(record)
                continue
            }
            queues.append(Queue(record, number: UInt64(queues.count + 1)))
        }
        wiring.withLock { $0!.nextNumber = UInt64(queues.count) }
        current.withLock { $0 = QueueDirectory(queues) }
        guard let topic = broker.catalog.topic(named: Topic.queueStateTopicName) else { return }
        try readSeal()
        serve(topic)
    }

    /// Makes the topic of the queues' state when it is missing.
    private func makeStateTopic() throws(QueueRefusal) {
        guard shards.isEmpty else { return }
        do throws(StorageError) { try readSeal() } catch {
            throw QueueRefusal(.unavailable, "the key of handles could not be stored: \(error)")
        }
        if let made = broker.catalog.topic(named: Topic.queueStateTopicName) { return take(made) }
        switch broker.createTopic(
            Topic.queueStateTopicName, isOwn: true, partitions: broker.options.queueStatePartitions,
            settings: [
                "cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": String(Self.segmentBytes),
            ])
        {
        case .success(let topic): take(topic)
        case .failure(let refusal): throw QueueRefusal(refusal)
        }
    }

    private func take(_ topic: Topic) {
        serve(topic)
        for log in topic.partitions where log.leadership.isLeader { load(log) }
    }

    private func serve(_ topic: Topic) {
        let settings: @Sendable (TopicPartition) -> LedgerSettings? = { [weak self] in
            self?.directory.byTopic[$0.topicID]?.ledgerSettings
        }
        let shards = topic.partitions.map { Lock(Shard(machine: QueueShard(settings: settings), log: $0)) }
        wiring.withLock { $0!.shards = shards }
    }

    /// Reads what handles are sealed with, or makes it, once in the life of the cluster: so handles outlive a restart.
    private func readSeal() throws(StorageError) {
        if seal != nil { return }
        let key = try broker.clusterKey(Self.receiptKey)
        wiring.withLock { $0!.seal = ReceiptSeal(key: key) }
    }

    /// Returns a generation that no loading had before. May wait for the disk.
    func nextGeneration() throws(StorageError) -> Int32 {
        try generations.withLock { generations throws(StorageError) in
            if generations.next == generations.end {
                let key = Self.generationKey
                let value = broker.metadata.read(key)
                let start = value.flatMap { Int32(String(decoding: $0.bytes, as: UTF8.self)) } ?? 0
                let end =
                    start < .max - Self.claimedGenerations ? start + Self.claimedGenerations : Self.claimedGenerations
                var transaction = MetadataTransaction()
                transaction.conditions = [(key, value?.revision ?? 0)]
                transaction.changes = [(key, Array(String(end).utf8))]
                guard try broker.metadata.transact(transaction) else {
                    throw StorageError(.corrupt("\(key) was changed at the same time"), .write, path: key)
                }
                generations = (end - Self.claimedGenerations, end)
            }
            defer { generations.next += 1 }
            return generations.next
        }
    }
}
