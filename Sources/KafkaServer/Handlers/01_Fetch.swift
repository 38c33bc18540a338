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
        var reader = try FetchRequestReader(request.body, version: request.version)
        let session: FetchSession?
        let plan: FetchPlan
        var isFull = true
        switch (reader.sessionID, reader.sessionEpoch) {
        case (let id, -1):
            // A full fetch without a session, which ends the client's one.
            if id != 0 { loop.sessions.remove(id) }
            session = nil
        case (let id, 0):
            if id != 0 { loop.sessions.remove(id) }
            session = reader.version >= 7 && reader.partitionCount > 0 ? loop.sessions.create() : nil
        case (let id, let epoch):
            guard let found = loop.sessions.session(id) else {
                return refuseFetch(request.ticket, .fetchSessionIDNotFound)
            }
            guard found.epoch == epoch else {
                return refuseFetch(request.ticket, .invalidFetchSessionEpoch)
            }
            found.advance()
            session = found
            isFull = false
        }
        server.metrics.fetchSessions.set(loop.sessions.count)
        let items = resolve(&reader, session)
        plan = FetchPlan(
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
        wait(plan)
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

    private func wait(_ plan: FetchPlan) {
        var fetch = ParkedFetch(plan: plan, connection: connection.id, timer: nil)
        let loop = loop
        let id = loop.nextFetch()
        fetch.timer = loop.eventLoop.schedule(after: .milliseconds(Int64(plan.maxWaitMs))) { [unowned loop] _ in
            loop.retryFetch(id, isLast: true)
        }
        loop.parkFetch(id, fetch)
        park(.fetch(id))
        // A partition that grew since it was read: look again at once.
        if !loop.registerFetch(id, plan) { loop.retryFetch(id, isLast: false) }
    }

    /// The partitions of the request, and of its session, with their logs.
    private func resolve(_ reader: inout FetchRequestReader, _ session: FetchSession?) -> [FetchPlan.Item] {
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
        }
        while let topic = reader.nextTopic() {
            let name = Array(topic.name)
            while let partition = reader.nextPartition() {
                let entry = FetchSession.Entry(
                    key: .init(topicID: topic.topicID, topicName: name, partitionIndex: partition.index),
                    fetchOffset: partition.fetchOffset, maxBytes: Int(max(0, partition.maxBytes)),
                    currentLeaderEpoch: partition.currentLeaderEpoch)
                if let session { session.update(entry) } else { items.append(item(entry, catalog, version)) }
            }
        }
        if let session { items = session.entries.map { item($0, catalog, version) } }
        return items
    }

    private func item(_ entry: FetchSession.Entry, _ catalog: TopicCatalog, _ version: Int16) -> FetchPlan.Item {
        let topic =
            version >= 13
            ? catalog.topic(id: entry.key.topicID)
            : entry.key.topicName.withUnsafeBytes { catalog.topic(named: $0) }
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
        var told: [Int] = []
        for index in plan.items.indices {
            var isNews = true
            if let session = plan.session, index < session.entries.count {
                isNews = session.note(index, outcome.found[index].result)
            }
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
        if let session = plan.session, outcome.bytes > 0, outcome.found.count == session.entries.count {
            session.rotate { outcome.found[$0].result.recordsCount > 0 }
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
