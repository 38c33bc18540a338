import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Transport

/// Where a reply is written: a connection, or memory on the way to it.
protocol FetchSink {
    func write(copying bytes: UnsafeRawBufferPointer)
    func write(_ slice: ByteSlice)
    func write(_ slice: FileSlice)
}

extension Connection: FetchSink {}

extension FetchPlan {
    /// The session that this reply may tell of: not one that another connection has gone on with meanwhile.
    var ownSession: FetchSession? {
        guard let session, !session.isAway, session.epoch == sessionEpoch else { return nil }
        return session
    }

    /// Another connection has gone on with its session, or it has ended: nothing of it can be told.
    var hasLostSession: Bool { session != nil && ownSession == nil }

    /// Writes the reply. Which partitions are told of: all in a full fetch, those with news in an incremental one.
    func write(_ outcome: Outcome, telling session: FetchSession?, to sink: some FetchSink) {
        var told: [Int] = []
        for index in items.indices {
            var isNews = true
            if let session { isNews = session.updateTold(items[index].sessionSlot, outcome.found[index].result) }
            if isFull || isNews { told.append(index) }
        }
        write(outcome, told, to: sink)
        guard let session else { return }
        var served: [Int32] = []
        for index in items.indices {
            if outcome.found[index].result.recordsCount > 0 { served.append(items[index].sessionSlot) }
            session.endLook(items[index], outcome.found[index].result)
        }
        session.rotate(served)
    }

    /// Bytes of the reply that `write` would write; nothing changes.
    func frameSize(_ outcome: Outcome, telling session: FetchSession?) -> Int {
        let told = items.indices.filter { index in
            guard !isFull, let session else { return true }
            return session.isNews(items[index].sessionSlot, outcome.found[index].result)
        }
        return size(outcome, told, topics(of: told)).frameSize()
    }

    /// Neighbours of one topic share its entry.
    private func topics(of told: [Int]) -> [Range<Int>] {
        var topics: [Range<Int>] = []
        var start = 0
        while start < told.count {
            var end = start + 1
            while end < told.count, items[told[end]].isSameTopic(as: items[told[start]]) { end += 1 }
            topics.append(start..<end)
            start = end
        }
        return topics
    }

    private func size(_ outcome: Outcome, _ told: [Int], _ topics: [Range<Int>]) -> FetchResponseSize {
        var size = FetchResponseSize(version: reply.version, topicCount: topics.count)
        for range in topics {
            size.topic(nameCount: items[told[range.lowerBound]].topicName.count, partitionCount: range.count)
            for place in range { size.partition(outcome.found[told[place]].result) }
        }
        return size
    }

    private func write(_ outcome: Outcome, _ told: [Int], to sink: some FetchSink) {
        let topics = topics(of: told)
        let version = reply.version
        let size = size(outcome, told, topics)
        var writer = ByteWriter(capacity: 256)
        var response = FetchResponseWriter(
            version: version, correlationID: reply.correlationID, sessionID: session?.id ?? 0,
            topicCount: topics.count, frameSize: size.frameSize(), to: &writer)
        for range in topics {
            let first = items[told[range.lowerBound]]
            first.topicName.withUnsafeBytes {
                response.beginTopic(name: $0, topicID: first.topicID, partitionCount: range.count, to: &writer)
            }
            for place in range {
                let found = outcome.found[told[place]]
                response.beginPartition(found.result, to: &writer)
                if found.result.recordsCount > 0 {
                    sink.write(copying: writer.bytes)
                    writer.removeAll()
                    if let records = found.records { records.write(to: sink) }
                    for records in found.more { records.write(to: sink) }
                }
                response.endPartition(to: &writer)
            }
            response.endTopic(to: &writer)
        }
        response.finish(to: &writer)
        sink.write(copying: writer.bytes)
    }
}

extension FetchedRecords {
    fileprivate func write(to sink: some FetchSink) {
        switch place {
        case .memory(let slices): for slice in slices { sink.write(slice) }
        case .file(let slice): sink.write(slice)
        }
    }
}

extension FetchPlan.Item {
    func isSameTopic(as other: FetchPlan.Item) -> Bool { topicID == other.topicID && topicName == other.topicName }
}

/// A reply that a worker has written. With one thread at a time.
final class HeldReply: FetchSink {
    private enum Piece {
        case memory(ByteSlice)
        case file(FileSlice)
    }

    private var pieces: [Piece] = []
    private var writer = ByteWriter(capacity: 4096)
    private let pool: ChunkPool

    /// Records of fewer bytes are copied: thousands of small batches would be thousands of pieces for the loop.
    private static let copiedBytes = 4 << 10

    init(pool: ChunkPool) { self.pool = pool }

    func write(copying bytes: UnsafeRawBufferPointer) { writer.bytes(bytes) }

    func write(_ slice: ByteSlice) {
        if slice.count < Self.copiedBytes { return writer.bytes(slice.bytes) }
        flush()
        pieces.append(.memory(slice))
    }

    func write(_ slice: FileSlice) {
        flush()
        pieces.append(.file(slice))
    }

    /// Ends the reply; nothing is written afterwards.
    func finish() { flush() }

    /// Bytes of the frame, its length included.
    var count: Int {
        pieces.reduce(0) { sum, piece in
            switch piece {
            case .memory(let slice): sum + slice.count
            case .file(let slice): sum + slice.count
            }
        }
    }

    private func flush() {
        if writer.count == 0 { return }
        pieces.append(.memory(pool.slice(copying: writer.bytes)))
        writer.removeAll()
    }

    func send(on connection: Connection) {
        for piece in pieces {
            switch piece {
            case .memory(let slice): connection.write(slice)
            case .file(let slice): connection.write(slice)
            }
        }
    }
}
