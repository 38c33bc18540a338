import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Telemetry
import Transport

/// Fetch: whole batches from the asked offsets, sent from where they lie; waits up to `maxWaitMs` for `minBytes`.
///
/// The connection is muted while its fetch is parked, as in Kafka. Versions: 4 isolation level; 7 sessions (KIP-227); 9
/// leader epochs (KIP-320); 12 flexible; 13 topic ids (KIP-516); 16 node endpoints (KIP-951); 17, 18 followers' fields.
extension KafkaConnection {
    func fetch(_ request: borrowing Request) throws(DecodeError) {
        var reader = try FetchRequestReader(request.body, version: request.version, maxEntries: Self.maxEntries)
        if reader.isTooLarge {
            // Before version 7 there is no field that could tell.
            if request.version < 7 { return fail("a Fetch of more than \(Self.maxEntries) topics and partitions") }
            return refuseFetch(request.ticket, .invalidRequest)
        }
        let session: FetchSession?
        switch begin(reader) {
        case .success(let found): session = found
        case .failure(let refusal): return refuseFetch(request.ticket, refusal.code)
        }
        let isFull = reader.sessionEpoch <= 0
        guard let items = resolve(&reader, session) else { return refuseFetch(request.ticket, .fetchSessionIDNotFound) }
        let plan = FetchPlan(
            reply: request.ticket, items: items, maxWaitMs: reader.maxWaitMs, minBytes: Int(reader.minBytes),
            maxBytes: min(Int(max(0, reader.maxBytes)), server.options.maxFetchBytes),
            readsCommitted: reader.isolationLevel == 1, fileFrom: sendsFiles ? Self.fileFrom : .max, session: session)
        plan.isFull = isFull
        let outcome = plan.read(server, mayWait: false)
        if outcome.wouldWait {
            return readElsewhere(plan) { connection, plan, outcome in connection.answer(plan, outcome) }
        }
        answer(plan, outcome)
    }

    /// Answers with what there is, or waits for more.
    private func answer(_ plan: FetchPlan, _ outcome: FetchPlan.Outcome) {
        if outcome.isEnough(plan) { return finishFetch(plan, outcome) }
        if loop.park(plan, missing: plan.minBytes - outcome.available, on: self) { return }
        // There is more by now, or nothing to be waited for.
        plan.refuseDeleted(broker.catalog)
        let outcome = plan.read(server, mayWait: false)
        if outcome.wouldWait { return readElsewhere(plan) { $0.finishFetch($1, $2) } }
        finishFetch(plan, outcome)
    }

    /// Reads on a worker, which may wait for the disk, while the connection is muted; `then` goes on with what was found. The
    /// whole plan is read again: what is at hand costs little.
    func readElsewhere(
        _ plan: FetchPlan, then: @escaping @Sendable (KafkaConnection, FetchPlan, FetchPlan.Outcome) -> Void
    ) {
        park(.work)
        let id = connection.id
        let handle = loop.handle
        let server = server
        let carried = CarriedFetch(plan: plan)
        let taken = broker.workers.submit {
            let found = CarriedFetch(plan: carried.plan, outcome: carried.plan.read(server, mayWait: true))
            handle.submit { loop in
                guard let handler = loop.connection(id)?.handler as? KafkaConnection else { return }
                handler.unpark()
                then(handler, found.plan, found.outcome)
            }
        }
        if !taken { fail("too many requests wait for a worker") }
    }

    /// Records of at least so many bytes that lie in a file are sent from there (sendfile). Fewer are read into memory and
    /// leave with the reply's other bytes in one call: with batches of 4 KiB that was cheaper up to 256 KiB, with batches of
    /// 60 KiB dearer from 64 KiB on.
    static let fileFrom = 512 << 10

    private var sendsFiles: Bool { connection.takesFiles && broker.store.filesHaveDescriptors }

    /// Topics and partitions that one Fetch may name, those it forgets included: as many partitions as a session may
    /// have. Each costs about 0.5 KB while it is worked on, and about half a microsecond of the loop's time. Above:
    /// INVALID_REQUEST.
    static let maxEntries = FetchSession.maxPartitions

    private struct Refusal: Error { let code: ErrorCode }

    /// The session that the request names or begins; nil: none. Source: KIP-227.
    private func begin(_ reader: FetchRequestReader) -> Result<FetchSession?, Refusal> {
        let now = loop.eventLoop.now
        switch (reader.sessionID, reader.sessionEpoch) {
        case (let id, -1):
            // A full fetch without a session, which ends the client's one.
            if id != 0 { loop.sessions.remove(id) }
            return .success(nil)
        case (let id, 0):
            if id != 0 { loop.sessions.remove(id) }
            guard reader.version >= 7, reader.partitionCount > 0 else { return .success(nil) }
            var topics = reader
            var bytes = 0
            while let topic = topics.nextTopic() {
                bytes += topic.partitionCount * FetchSession.bytes(of: topic.name.count)
            }
            return .success(
                loop.sessions.create(
                    partitions: reader.partitionCount, bytes: bytes, isPrivileged: reader.replicaID >= 0, now: now))
        case (let id, let epoch):
            guard let found = loop.sessions.session(id, now: now) else {
                return .failure(Refusal(code: .fetchSessionIDNotFound))
            }
            guard found.epoch == epoch else { return .failure(Refusal(code: .invalidFetchSessionEpoch)) }
            found.advance()
            return .success(found)
        }
    }

    /// The partitions of the request, or of its session with its changes, with their logs. Nil: the session has ended,
    /// because there is no room for what it has become.
    private func resolve(_ reader: inout FetchRequestReader, _ session: FetchSession?) -> [FetchPlan.Item]? {
        let catalog = broker.catalog
        let version = reader.version
        var items: [FetchPlan.Item] = []
        if let session {
            while let topic = reader.nextForgottenTopic() {
                let name = Array(topic.name)
                while let index = reader.nextForgottenPartition() {
                    session.forget(.init(topicID: topic.topicID, topicName: name, partitionIndex: index))
                }
            }
        } else {
            items.reserveCapacity(reader.partitionCount)
        }
        while let topic = reader.nextTopic() {
            let name = Array(topic.name)
            let found = session == nil ? find(topic.topicID, name, catalog, version) : nil
            while let partition = reader.nextPartition() {
                let entry = FetchSession.Entry(
                    key: .init(topicID: topic.topicID, topicName: name, partitionIndex: partition.index),
                    fetchOffset: partition.fetchOffset, maxBytes: Int(max(0, partition.maxBytes)),
                    currentLeaderEpoch: partition.currentLeaderEpoch)
                if let session { session.update(entry) } else { items.append(item(entry, found, version)) }
            }
        }
        guard let session else { return items }
        guard loop.sessions.settle(session, now: loop.eventLoop.now) else { return nil }
        items.reserveCapacity(session.count)
        // Neighbours are often of one topic: it is looked up once for all of them.
        var last: (key: FetchSession.Key, topic: Topic?)?
        session.forEach { slot, entry in
            if last?.key.topicID != entry.key.topicID || last?.key.topicName != entry.key.topicName {
                last = (entry.key, find(entry.key.topicID, entry.key.topicName, catalog, version))
            }
            var item = item(entry, last?.topic, version)
            item.sessionSlot = slot
            items.append(item)
        }
        return items
    }

    private func find(_ id: TopicID, _ name: [UInt8], _ catalog: TopicCatalog, _ version: Int16) -> Topic? {
        version >= 13 ? catalog.topic(id: id) : name.withUnsafeBytes { catalog.topic(named: $0) }
    }

    private func item(_ entry: FetchSession.Entry, _ topic: Topic?, _ version: Int16) -> FetchPlan.Item {
        let log = topic?.partition(entry.key.partitionIndex)
        var error = ErrorCode.none
        if log == nil { error = version >= 13 && topic == nil ? .unknownTopicID : .unknownTopicOrPartition }
        return FetchPlan.Item(
            topicName: entry.key.topicName, topicID: entry.key.topicID, partitionIndex: entry.key.partitionIndex,
            log: log, error: error, fetchOffset: entry.fetchOffset, maxBytes: entry.maxBytes,
            currentLeaderEpoch: entry.currentLeaderEpoch)
    }

    // MARK: Replies

    private func refuseFetch(_ reply: ReplyTicket, _ code: ErrorCode) {
        connection.write { writer in
            var response = FetchResponseWriter(
                version: reply.version, correlationID: reply.correlationID, errorCode: code, topicCount: 0,
                to: &writer)
            response.finish(to: &writer)
        }
    }

    private func write(_ records: FetchedRecords) {
        switch records.place {
        case .memory(let slices): for slice in slices { connection.write(slice) }
        case .file(let slice): connection.write(slice)
        }
    }

    func finishFetch(_ plan: FetchPlan, _ outcome: FetchPlan.Outcome) {
        // Which partitions are told of: all in a full fetch, those with news in an incremental one.
        // A session that another connection has gone on with meanwhile is not told by this reply.
        let session = plan.session.flatMap { $0.epoch == plan.sessionEpoch ? $0 : nil }
        var told: [Int] = []
        for index in plan.items.indices {
            var isNews = true
            if let session { isNews = session.note(plan.items[index].sessionSlot, outcome.found[index].result) }
            if plan.isFull || isNews { told.append(index) }
        }
        // Neighbours of one topic share its entry.
        var topics: [Range<Int>] = []
        var start = 0
        while start < told.count {
            var end = start + 1
            while end < told.count, plan.items[told[end]].isSameTopic(as: plan.items[told[start]]) { end += 1 }
            topics.append(start..<end)
            start = end
        }
        let version = plan.reply.version
        var size = FetchResponseSize(version: version, topicCount: topics.count)
        for range in topics {
            size.topic(nameCount: plan.items[told[range.lowerBound]].topicName.count, partitionCount: range.count)
            for place in range { size.partition(outcome.found[told[place]].result) }
        }
        var writer = ByteWriter(capacity: 256)
        var response = FetchResponseWriter(
            version: version, correlationID: plan.reply.correlationID, sessionID: plan.session?.id ?? 0,
            topicCount: topics.count, frameSize: size.frameSize(), to: &writer)
        for range in topics {
            let first = plan.items[told[range.lowerBound]]
            first.topicName.withUnsafeBytes {
                response.beginTopic(name: $0, topicID: first.topicID, partitionCount: range.count, to: &writer)
            }
            for place in range {
                let found = outcome.found[told[place]]
                response.beginPartition(found.result, to: &writer)
                if found.result.recordsCount > 0 {
                    connection.write(copying: writer.bytes)
                    writer.removeAll()
                    if let records = found.records { write(records) }
                    for records in found.more { write(records) }
                }
                response.endPartition(to: &writer)
            }
            response.endTopic(to: &writer)
        }
        response.finish(to: &writer)
        connection.write(copying: writer.bytes)
        server.metrics.fetchedBytes.add(outcome.bytes)
        if let session, outcome.bytes > 0 {
            let served = plan.items.indices.filter { outcome.found[$0].result.recordsCount > 0 }
            session.rotate(served.map { plan.items[$0].sessionSlot })
        }
    }
}

extension FetchPlan.Item {
    func isSameTopic(as other: FetchPlan.Item) -> Bool { topicID == other.topicID && topicName == other.topicName }
}

/// A fetch on its way to a worker and back.
private struct CarriedFetch: @unchecked Sendable {
    // SAFETY: the plan is with one thread at a time: the loop that hands it over touches it again when it has it back. Of
    // its session, which is the loop's, a read touches nothing.
    let plan: FetchPlan
    var outcome = FetchPlan.Outcome()
}
