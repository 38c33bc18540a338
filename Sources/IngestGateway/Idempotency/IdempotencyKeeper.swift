import BrokerCore
import ByteBuffers
import KafkaModel
import LogStorage
import RecordFormat
import Synchronization
import Telemetry

/// What all loops know of requests that carry a key: the table, and the log that it is made from at a start
/// (`__gateway_requests`). <doc:Idempotency> has why a crash loses neither events nor keys.
final class IdempotencyKeeper: Sendable {
    private let broker: Broker
    private let metrics: GatewayMetrics
    private let table: Lock<IdempotencyTable>
    private let ttlMs: Int64
    /// Topics whose partitions have floors in the log, and those floors. Taken alone, or before `table`.
    private let opened = Lock<[TopicID: OpenTopic]>([:])
    /// What the log has of a topic.
    private struct OpenTopic {
        var floors: [Int64]
        /// Of its newest line.
        var timeMs: Int64
    }

    /// nil: not made yet, or it could not be read.
    private let log = Lock<PartitionLog?>(nil)
    private let isUnreadable = Atomic<Bool>(false)

    /// A floor that is this far behind its partition's end is written again.
    static let floorStep: Int64 = 10_000
    /// How often that is looked for.
    static let floorInterval = Duration.seconds(30)
    /// How long a commit of a line is waited for, on a thread that may.
    private static let commitLimit = Duration.seconds(10)
    /// Lines are kept, and read at a start, this much longer than their keys.
    private static let marginMs: Int64 = 2 * 3600 * 1000

    /// - Parameter claimants: loops and workers, each of which handles one request at a time.
    init(_ broker: Broker, _ options: GatewayOptions, claimants: Int, metrics: GatewayMetrics) {
        self.broker = broker
        self.metrics = metrics
        ttlMs = options.idempotencyTTL.inNanoseconds / 1_000_000
        table = Lock(
            IdempotencyTable(
                IdempotencyTable.Limits(
                    ttlMs: ttlMs, keys: options.maxIdempotencyKeys, bytes: options.maxIdempotencyBytes,
                    sharePercent: options.idempotencySharePercent),
                loops: claimants))
    }

    // MARK: Requests

    /// Why no key can be taken; nil: they are.
    var problem: Problem? {
        guard isUnreadable.load(ordering: .relaxed) else { return nil }
        return Problem(
            .storageUnavailable, "The log of requests cannot be read, so no repeat would be recognised.", retryAfter: 60
        )
    }

    func begin(
        _ key: ShortDigest, _ fingerprint: ShortDigest, of topic: TopicID?, owner: KeyOwner, loop: Int, nowMs: Int64
    ) -> IdempotencyTable.Answer {
        let answer = table.withLock { table in
            defer { show(table) }
            return table.begin(key, fingerprint, of: topic, owner: owner, loop: loop, nowMs: nowMs) { isOnDisk($0) }
        }
        switch answer {
        case .claimed: break
        case .replay, .stored: metrics.repeats(.replayed).add()
        case .busy: metrics.repeats(.busy).add()
        case .mismatch: metrics.repeats(.mismatch).add()
        case .full: metrics.repeats(.full).add()
        case .shareFull: metrics.repeats(.shareFull).add()
        }
        return answer
    }

    /// The same for events that have keys of their own, some at a time so that nobody waits long for the table. What was claimed before
    /// there was no more room stays claimed until the claim is released.
    func beginEvents(
        _ asked: [EventDigests], of topic: TopicID, owner: KeyOwner, loop: Int, nowMs: Int64
    ) -> Result<[IdempotencyTable.EventAnswer], IdempotencyTable.Fullness> {
        var answers: [IdempotencyTable.EventAnswer] = []
        answers.reserveCapacity(asked.count)
        while answers.count < asked.count {
            let next = asked[answers.count..<min(asked.count, answers.count + EventDigests.atOnce)]
            let found = table.withLock { table in
                defer { show(table) }
                return table.beginEvents(
                    next, of: topic, isFirst: answers.isEmpty, owner: owner, loop: loop, nowMs: nowMs
                ) { isOnDisk($0) }
            }
            switch found {
            case .success(let found): answers += found
            case .failure(let full):
                metrics.repeats(full.answer.isShare ? .shareFull : .full).add()
                return .failure(full)
            }
        }
        metrics.keyedEvents(.duplicate).add(answers.count { if case .stored = $0 { true } else { false } })
        metrics.keyedEvents(.busy).add(answers.count { $0 == .busy })
        metrics.keyedEvents(.mismatch).add(answers.count { $0 == .mismatch })
        return .success(answers)
    }

    private func isOnDisk(_ pending: IdempotencyTable.Pending) -> Bool {
        guard broker.store.durableTicket >= pending.ticket else { return false }
        // A commit may leave out what one partition's own files did not take.
        let topic = broker.catalog.topic(id: pending.partition.topicID)
        return topic?.partition(pending.partition.partitionIndex)?.isFlushed(Offset(pending.lastOffset)) ?? true
    }

    func willAppend(to log: PartitionLog, loop: Int) {
        let from = log.logEndOffset.rawValue
        table.withLock {
            $0.willAppend(
                loop: loop, TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex), from: from)
        }
    }

    /// Remembers a request whose batch was appended with `ticket`. Gives the ticket of its line, and its bytes; nil: the
    /// log of requests did not take it.
    func finish(_ request: StoredRequest, ticket: UInt64, loop: Int) -> (ticket: UInt64, bytes: Int)? {
        let floor = table.withLock { table in
            defer { show(table) }
            return table.finish(request, ticket: ticket, loop: loop)
        }
        guard let receipt = append([.stored(request, floor: floor)], nowMs: request.timeMs) else {
            // The mark tells a start of it: the floors stay below.
            table.withLock { $0.release(loop: loop, isLost: true) }
            return nil
        }
        table.withLock { $0.release(loop: loop) }
        metrics.repeats(.stored).add()
        return receipt
    }

    /// Remembers events whose batches were appended, each with its ticket. Gives the ticket of their lines, and their bytes; nil: the log
    /// of requests did not take them.
    func finishEvents(
        _ batches: [(stored: StoredEvents, ticket: UInt64)], loop: Int, nowMs: Int64
    ) -> (ticket: UInt64, bytes: Int)? {
        var lines: [IdempotencyRecord] = []
        for (stored, ticket) in batches {
            var rest = Array(stored.requests)[...]
            let end = (rest.last?.lastOffset ?? -1) + 1
            while !rest.isEmpty {
                table.withLock { $0.finishEvents(rest.prefix(EventDigests.atOnce), ticket: ticket, loop: loop) }
                rest = rest.dropFirst(EventDigests.atOnce)
            }
            let floor = table.withLock { table in
                defer { show(table) }
                return table.floor(of: stored.partition, below: end, but: loop)
            }
            lines.append(.events(stored, floor: floor))
        }
        guard let receipt = append(lines, nowMs: nowMs) else {
            table.withLock { $0.release(loop: loop, isLost: true) }
            return nil
        }
        table.withLock { $0.release(loop: loop) }
        metrics.keyedEvents(.stored).add(batches.reduce(0) { $0 + $1.stored.events.count })
        return receipt
    }

    /// Events with keys of one request, at most.
    var mostEvents: Int { table.withLock { $0.limits.mostEvents } }

    func release(loop: Int) { table.withLock { $0.release(loop: loop) } }

    private func show(_ table: borrowing IdempotencyTable) {
        metrics.idempotencyKeys.set(table.count)
        metrics.idempotencyBytes.set(table.weight)
    }

    // MARK: Topics

    /// Whether a start would look for marks in all partitions of the topic.
    func isOpen(_ topic: Topic) -> Bool { opened.withLock { $0[topic.id]?.floors.count == topic.partitions.count } }

    /// Makes it so, and waits for the disk. Gives why it cannot be. On a thread that may wait.
    func open(_ topic: Topic) -> TopicRefusal? {
        if isOpen(topic) { return nil }
        guard topic.partitions.count <= IdempotencyRecord.maxFloors else {
            return TopicRefusal(.policyViolation, "The topic has too many partitions for keys of requests.")
        }
        if let refusal = makeLog() { return refusal }
        let (floors, nowMs) = (floors(of: topic), BrokerClock.wallMs())
        guard let receipt = append([.opened(topic.id, floors: floors)], nowMs: nowMs), isCommitted(receipt.ticket)
        else { return TopicRefusal(.kafkaStorageError, "the log of requests does not take writes") }
        opened.withLock { $0[topic.id] = OpenTopic(floors: floors, timeMs: nowMs) }
        return nil
    }

    private func floors(of topic: Topic) -> [Int64] {
        topic.partitions.map { log in
            table.withLock { table in
                table.floor(
                    of: TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex),
                    below: log.logEndOffset.rawValue)
            }
        }
    }

    /// Writes floors again that are far behind, so that a start has little to look through, and those of lines that would
    /// soon be too old for it. On a thread that may wait.
    func advanceFloors(nowMs: Int64) {
        let known = opened.withLock { $0 }
        for (id, old) in known {
            guard let topic = broker.catalog.topic(id: id), topic.partitions.count == old.floors.count else {
                opened.withLock { $0[id] = nil }
                continue
            }
            let floors = floors(of: topic)
            let isBehind = zip(floors, old.floors).contains { $0 - $1 >= Self.floorStep }
            guard isBehind || nowMs - old.timeMs >= Self.marginMs / 2 else { continue }
            if append([.opened(id, floors: floors)], nowMs: nowMs) != nil {
                opened.withLock { $0[id] = OpenTopic(floors: floors, timeMs: nowMs) }
            }
        }
    }

    // MARK: The log

    private var logSettings: [String: String] {
        [
            "cleanup.policy": "delete", "retention.ms": String(ttlMs + Self.marginMs), "segment.ms": "3600000",
            "segment.bytes": String(64 << 20), "max.message.bytes": String(2 << 20),
        ]
    }

    private func makeLog() -> TopicRefusal? {
        if log.withLock({ $0 != nil }) { return nil }
        let topic: Topic
        if let existing = broker.catalog.topic(named: Topic.requestsTopicName) {
            topic = existing
        } else {
            switch broker.createTopic(Topic.requestsTopicName, isOwn: true, partitions: 1, settings: logSettings) {
            case .success(let made): topic = made
            case .failure(let refusal): return refusal
            }
        }
        log.withLock { $0 = topic.partitions[0] }
        return nil
    }

    private func append(_ records: [IdempotencyRecord], nowMs: Int64) -> (ticket: UInt64, bytes: Int)? {
        guard let log = log.withLock({ $0 }) else { return nil }
        var builder = RecordBatchBuilder(pool: broker.store.chunkPool)
        var line = ByteWriter(capacity: 512)
        for record in records {
            line.removeAll()
            record.encode(atMs: nowMs, into: &line)
            builder.append(value: line.bytes, timestampMs: nowMs)
        }
        let batch = builder.finishUncompressed()
        let bytes = batch.count
        switch log.append(batch, origin: .broker, nowMs: nowMs) {
        case .success(let receipt):
            broker.store.kick()
            return (receipt.ticket, bytes)
        case .failure(let refusal):
            Log.error("the log of requests takes nothing", "reason", refusal.message)
            return nil
        }
    }

    private func isCommitted(_ ticket: UInt64) -> Bool {
        let end = MonotonicClock.nanoseconds + Self.commitLimit.inNanoseconds
        let pause = Signal()
        while broker.store.durableTicket < ticket {
            if broker.store.isOffline || MonotonicClock.nanoseconds > end { return false }
            pause.wait(timeoutMs: 1)
        }
        return true
    }

    // MARK: The start

    /// Makes the table from the log, and finds batches whose lines were lost. Before anything is served, and after the store
    /// has begun to commit. On a thread that may wait.
    func load(nowMs: Int64) {
        guard let topic = broker.catalog.topic(named: Topic.requestsTopicName) else { return }
        if topic.settings.overrides != logSettings,
            let refusal = broker.alterSettings(topic, logSettings, validateOnly: false)
        {
            Log.warning("the log of requests keeps its settings", "reason", refusal.message)
        }
        let log = topic.partitions[0]
        self.log.withLock { $0 = log }
        var loaded = LoadedRequests()
        do {
            let start: Offset
            switch log.firstOffset(notBefore: nowMs - ttlMs - Self.marginMs) {
            case .success(let found): start = found?.offset ?? log.logEndOffset
            case .failure(let refusal): throw UnreadableLog(refusal: refusal)
            }
            try LogWalk(log).forEachBatch(from: start) { batch, records in
                try records.open(batch)
                while let record = try records.next() {
                    if let line = record.value { loaded.take(try IdempotencyRecord.decode(line), nowMs - ttlMs) }
                }
            }
        } catch {
            Log.error("keys of requests are not taken: the log of requests cannot be read", "reason", "\(error)")
            return isUnreadable.store(true, ordering: .relaxed)
        }
        let lines = repair(&loaded, nowMs)
        table.withLock { table in
            for request in loaded.requests.values.sorted(by: { $0.timeMs < $1.timeMs }) { table.load(request) }
            show(table)
        }
        opened.withLock { $0 = loaded.floors.mapValues { OpenTopic(floors: $0, timeMs: 0) } }
        if lines.isEmpty { return }
        // Before a batch of another request gets the offsets of one that is void.
        var rest = lines[...]
        while !rest.isEmpty {
            guard let receipt = append(Array(rest.prefix(Self.repairedAtOnce)), nowMs: nowMs),
                isCommitted(receipt.ticket)
            else {
                Log.error("keys of requests are not taken: the log of requests takes nothing")
                return isUnreadable.store(true, ordering: .relaxed)
            }
            rest = rest.dropFirst(Self.repairedAtOnce)
        }
    }

    /// Lines of one batch at a start, each 200 bytes and, of a request, no reply but its counts.
    private static let repairedAtOnce = 2_000

    /// Compares what was loaded with the logs of the topics: a line without its batch is void, and a batch without its line gets
    /// one. Gives the lines that say so.
    ///
    /// Whoever may write to a topic may write marks, too: they count for no longer than keys do, and for no more than there is room for.
    private func repair(_ loaded: inout LoadedRequests, _ nowMs: Int64) -> [IdempotencyRecord] {
        var lines: [IdempotencyRecord] = []
        let catalog = broker.catalog
        for request in loaded.requests.values {
            // The events of a topic that was deleted were stored when that was said.
            guard let topic = catalog.topic(id: request.partition.topicID),
                let log = topic.partition(request.partition.partitionIndex)
            else { continue }
            if log.logEndOffset.rawValue > request.lastOffset { continue }
            lines.append(.void(request.key))
            loaded.requests[request.key] = nil
        }
        let mostKeys = table.withLock { $0.limits.keys }
        for (id, floors) in loaded.floors {
            guard let topic = catalog.topic(id: id) else { continue }
            for (log, floor) in zip(topic.partitions, floors) {
                for var request in marked(in: log, from: floor, topic) where loaded.requests[request.key] == nil {
                    request.timeMs = min(request.timeMs, nowMs)
                    if request.timeMs <= nowMs - ttlMs || loaded.requests.count >= mostKeys { continue }
                    loaded.requests[request.key] = request
                    lines.append(.stored(request, floor: floor))
                }
            }
        }
        return lines
    }

    /// The requests whose marks stand in the log from `floor` on. Damage hides those that it hit.
    private func marked(in log: PartitionLog, from floor: Int64, _ topic: Topic) -> [StoredRequest] {
        var found: [StoredRequest] = []
        let walk = LogWalk(log)
        do {
            try walk.forEachBatch(from: max(Offset(floor), log.logStartOffset)) { batch, records in
                // Ours are as the gateway builds them.
                guard batch.attributes.compression == Compression.none, batch.producerID == ProducerID.none else {
                    return
                }
                try records.open(batch)
                var next = try records.next()
                guard let first = next, let mark = RecordMark(of: first.headers) else { return }
                if case .request(let mark) = mark {
                    found.append(StoredRequest(mark, batch, log, topic, timeMs: first.timestampMs))
                    return
                }
                while let record = next {
                    if case .event(let key?) = RecordMark(of: record.headers) {
                        found.append(
                            StoredRequest(key, log, topic, at: record.offset.rawValue, timeMs: record.timestampMs))
                    }
                    next = try records.next()
                }
            }
        } catch {
            Log.error("marks of requests cannot be read", "partition", log.name, "reason", "\(error)")
        }
        return found
    }
}

/// A log that cannot be read on.
private struct UnreadableLog: Error, CustomStringConvertible {
    let refusal: ReadRefusal

    var description: String { "\(refusal)" }
}

/// What the log of requests says, line by line.
private struct LoadedRequests {
    var requests: [ShortDigest: StoredRequest] = [:]
    var floors: [TopicID: [Int64]] = [:]

    mutating func take(_ line: (record: IdempotencyRecord, timeMs: Int64), _ oldestMs: Int64) {
        switch line.record {
        case .opened(let topic, let floors): self.floors[topic] = floors
        case .void(let key): requests[key] = nil
        case .stored(let request, let floor):
            let index = Int(request.partition.partitionIndex)
            if floors[request.partition.topicID]?.indices.contains(index) == true {
                floors[request.partition.topicID]![index] = max(floors[request.partition.topicID]![index], floor)
            }
            if request.timeMs > oldestMs { requests[request.key] = request }
        case .events(let stored, let floor):
            let index = Int(stored.partition.partitionIndex)
            if floors[stored.partition.topicID]?.indices.contains(index) == true {
                floors[stored.partition.topicID]![index] = max(floors[stored.partition.topicID]![index], floor)
            }
            if stored.timeMs > oldestMs { for event in stored.requests { requests[event.key] = event } }
        }
    }
}

/// Reads a log batch by batch on a thread that may wait.
private struct LogWalk {
    private let log: PartitionLog
    private static let readBytes = 1 << 20

    init(_ log: PartitionLog) { self.log = log }

    func forEachBatch(
        from start: Offset, _ body: (RecordBatchHeader, inout RecordIterator) throws -> Void
    ) throws {
        var offset = start
        var records = RecordIterator()
        let end = log.logEndOffset
        while offset < end {
            let fetched: FetchedRecords
            switch log.read(from: offset, maxBytes: Self.readBytes, visibility: .appended) {
            case .success(let found): fetched = found
            case .failure(let refusal):
                guard let next = log.endOfDamage(at: offset) else {
                    throw UnreadableLog(refusal: refusal)
                }
                offset = next
                continue
            }
            guard fetched.byteCount > 0 else { return }
            for slice in fetched.slices {
                var cursor = RecordBatchCursor(slice.bytes)
                while let batch = try cursor.next() {
                    if batch.lastOffset >= offset { try body(batch, &records) }
                    offset = batch.lastOffset + 1
                }
            }
        }
    }
}

extension StoredRequest {
    /// A request whose reply nobody had: it is told where its events are.
    fileprivate init(
        _ mark: IdempotencyMark, _ batch: RecordBatchHeader, _ log: PartitionLog, _ topic: Topic, timeMs: Int64
    ) {
        let base = batch.baseOffset.rawValue
        let count = Int(batch.recordCount)
        self.init(
            key: mark.key, fingerprint: mark.fingerprint, owner: .nobody,
            partition: TopicPartition(topicID: topic.id, partitionIndex: log.partitionIndex), baseOffset: base,
            lastOffset: batch.lastOffset.rawValue, timeMs: timeMs,
            reply: .summary(
                status: mark.rejected > 0 ? 207 : 200, accepted: count, rejected: mark.rejected, topic,
                log.partitionIndex,
                baseOffset: base))
    }
}

extension StoredRequest {
    /// An event whose line was lost.
    fileprivate init(_ key: EventDigests, _ log: PartitionLog, _ topic: Topic, at offset: Int64, timeMs: Int64) {
        self.init(
            key: key.key, fingerprint: key.fingerprint, owner: .nobody,
            partition: TopicPartition(topicID: topic.id, partitionIndex: log.partitionIndex), baseOffset: offset,
            lastOffset: offset, timeMs: timeMs, reply: .ofAnother)
    }
}

extension StoredReply {
    /// In place of a reply that is not kept: the counts, and where the events are.
    static func summary(
        status: Int, accepted: Int, rejected: Int, _ topic: Topic, _ partitionIndex: Int32, baseOffset: Int64
    ) -> StoredReply {
        var out = ByteWriter(capacity: 256)
        out.text("{\"accepted\":")
        out.decimal(accepted)
        out.member("rejected")
        out.decimal(rejected)
        out.text(",\"topic\":\"")
        out.bytes(topic.nameBytes)
        out.text("\",\"partition\":")
        out.decimal(Int(partitionIndex))
        out.member("offset")
        out.decimal(Int(baseOffset))
        out.text(",\"duplicate\":true,\"results\":[],\"results_truncated\":true}")
        return StoredReply(status: status, form: .json, retryAfter: nil, body: out.array)
    }
}
