internal import ByteBuffers
internal import KafkaModel
internal import KafkaWire
public import RecordFormat

/// Reads records of partitions from given positions on, without a group. Used by one thread.
public final class RecordReader {
    public struct Options: Sendable {
        /// Leave out records of aborted transactions, and stop before open ones.
        public var isReadCommitted = false
        /// Most bytes of one answer and of one partition in it; a larger first batch comes whole (KIP-74).
        public var maxBytes: Int32 = 16 << 20
        public var partitionMaxBytes: Int32 = 1 << 20
        /// Where to go on when the position is not in the log (any more); `nil`: that is an error.
        public var onOutOfRange: OffsetQuery?

        public init() {}
    }

    let cluster: Cluster
    let options: Options
    /// The next offset to read of each partition.
    public private(set) var positions: [PartitionName: Int64]
    /// The end of each partition as the last answer told it: high watermark, or last stable offset.
    public private(set) var ends: [PartitionName: Int64] = [:]
    private var iterator = RecordIterator()

    public init(_ cluster: Cluster, from positions: [PartitionName: Int64], options: Options = Options()) {
        self.cluster = cluster
        self.positions = positions
        self.options = options
    }

    /// Reads from these partitions from now on.
    public func assign(_ positions: [PartitionName: Int64]) {
        self.positions = positions
        ends = ends.filter { positions[$0.key] != nil }
    }

    /// Stops reading a partition.
    public func drop(_ name: PartitionName) { positions[name] = nil }

    /// Fetches once from every leader, waiting up to `maxWaitMs` where nothing is new. Hands each record to `body`, in
    /// order within its partition; false from it ends the poll behind that record. Returns the number of records.
    @discardableResult
    public func poll(
        maxWaitMs: Int32, _ body: (PartitionName, RecordView) -> Bool
    ) throws(ClientError) -> Int {
        do throws(ClientError) { return try fetch(maxWaitMs, body) } catch {
            guard error.isTransient else { throw error }
            // The leader moved or went away: the next poll asks where it is.
            for name in positions.keys { cluster.forget(name.topic) }
            MonotonicClock.sleep(milliseconds: cluster.options.retryBackoffMs)
            _ = try cluster.retrying { _ throws(ClientError) in
                try cluster.refresh(topics: Array(Set(positions.keys.map(\.topic))))
            }
            return 0
        }
    }

    private func fetch(_ maxWaitMs: Int32, _ body: (PartitionName, RecordView) -> Bool) throws(ClientError) -> Int {
        var byLeader: [Int32: [PartitionName]] = [:]
        for name in positions.keys {
            byLeader[try cluster.leader(of: name.topic, name.partition), default: []].append(name)
        }
        // With several leaders each is asked in turn: none may hold the others up for long.
        let wait = byLeader.count > 1 ? min(maxWaitMs, 100) : maxWaitMs
        var count = 0
        for (node, names) in byLeader.sorted(by: { $0.key < $1.key }) {
            let deadline = cluster.deadline(beyond: Int64(wait))
            let connection = try cluster.connection(to: node, deadline)
            let ids = Dictionary(
                uniqueKeysWithValues: Set(names.map(\.topic)).map { ($0, cluster.topics[$0]?.id ?? .zero) })
            // From version 13 on topics go by their id.
            let limit: Int16 = ids.values.contains(.zero) ? 12 : .max
            guard let version = connection.version(for: FetchRequest.self, limit: limit) else {
                throw .unsupported(.fetch)
            }
            let response = try connection.call(request(names, ids, wait), limit: limit, deadline: deadline)
            try Cluster.check(response.errorCode, "fetch from broker \(node)")
            let byID = Dictionary(ids.map { ($0.value, $0.key) }, uniquingKeysWith: { first, _ in first })
            for topic in response.responses {
                guard let topicName = version >= 13 ? byID[topic.topicID] : topic.topic else { continue }
                for partition in topic.partitions {
                    let name = PartitionName(topicName, partition.partitionIndex)
                    guard positions[name] != nil else { continue }
                    let (read, goesOn) = try take(partition, name, body)
                    count += read
                    if !goesOn { return count }
                }
            }
        }
        return count
    }

    private func request(_ names: [PartitionName], _ ids: [String: TopicID], _ maxWaitMs: Int32) -> FetchRequest {
        var request = FetchRequest()
        request.maxWaitMs = maxWaitMs
        request.minBytes = 1
        request.maxBytes = options.maxBytes
        request.isolationLevel = options.isReadCommitted ? 1 : 0
        for (topicName, partitions) in Dictionary(grouping: names, by: \.topic) {
            var topic = FetchRequest.FetchTopic()
            topic.topic = topicName
            topic.topicID = ids[topicName]!
            // In an order that changes, so that a byte limit does not starve the last ones.
            topic.partitions = partitions.shuffled().map { name in
                var partition = FetchRequest.FetchPartition()
                partition.partition = name.partition
                partition.fetchOffset = positions[name]!
                partition.partitionMaxBytes = options.partitionMaxBytes
                return partition
            }
            request.topics.append(topic)
        }
        return request
    }

    private func take(
        _ answer: FetchResponse.PartitionData, _ name: PartitionName, _ body: (PartitionName, RecordView) -> Bool
    ) throws(ClientError) -> (count: Int, goesOn: Bool) {
        let code = ErrorCode(rawValue: answer.errorCode)
        if code == .offsetOutOfRange, let query = options.onOutOfRange {
            positions.merge(try cluster.positions([name: query], readCommitted: options.isReadCommitted)) { $1 }
            return (0, true)
        }
        guard code == .none else {
            throw .refused(code, "fetch of \(name) at offset \(positions[name]!)", message: nil)
        }
        ends[name] = options.isReadCommitted ? answer.lastStableOffset : answer.highWatermark
        guard let records = answer.records, !records.isEmpty else { return (0, true) }
        let aborted = AbortedRecords(options.isReadCommitted ? answer.abortedTransactions ?? [] : [])
        var outcome: (count: Int, goesOn: Bool) = (0, true)
        var failure: ClientError?
        records.withUnsafeBytes { bytes in
            do throws(ClientError) { outcome = try walk(bytes, name, aborted, body) } catch { failure = error }
        }
        if let failure { throw failure }
        return outcome
    }

    /// Hands out the records of whole batches; the last batch of an answer may be cut off.
    private func walk(
        _ bytes: UnsafeRawBufferPointer, _ name: PartitionName, _ aborted: AbortedRecords,
        _ body: (PartitionName, RecordView) -> Bool
    ) throws(ClientError) -> (count: Int, goesOn: Bool) {
        var aborted = aborted
        var cursor = RecordBatchCursor(bytes, validator: RecordBatchValidator(origin: .broker))
        var count = 0
        while true {
            let place = "\(name) after offset \(positions[name]!)"
            let next: RecordBatchHeader?
            do throws(RecordBatchError) { next = try cursor.next() } catch {
                if case .truncated = error, cursor.position > 0 { return (count, true) }
                throw .invalidAnswer("record batch of \(place): \(error)")
            }
            guard let batch = next else { return (count, true) }
            do throws(RecordBatchError) {
                let isHidden = aborted.hides(batch)
                if !batch.isControl && !isHidden && batch.lastOffset.rawValue >= positions[name]! {
                    try iterator.open(batch)
                    while let record = try iterator.next() {
                        // A fetch from the middle of a batch brings the whole batch.
                        if record.offset.rawValue < positions[name]! { continue }
                        count += 1
                        positions[name] = record.offset.rawValue + 1
                        if !body(name, record) { return (count, false) }
                    }
                } else if batch.isControl {
                    try iterator.open(batch)
                    while let record = try iterator.next() { aborted.apply(marker: record, of: batch) }
                }
            } catch {
                throw .invalidAnswer("record of \(place): \(error)")
            }
            positions[name] = max(positions[name]!, batch.lastOffset.rawValue + 1)
        }
    }
}

/// Which batches of an answer belong to aborted transactions: from a transaction's first offset on, those of its
/// producer, until the marker that ends it. Source: KIP-98.
struct AbortedRecords {
    private var upcoming: [(firstOffset: Int64, producerID: Int64)]
    private var open: Set<Int64> = []

    init(_ transactions: [FetchResponse.AbortedTransaction]) {
        // Brokers send them in this order; a wrong order would show aborted records.
        upcoming = transactions.map { ($0.firstOffset, $0.producerID) }.sorted { $0.firstOffset > $1.firstOffset }
    }

    mutating func hides(_ batch: RecordBatchHeader) -> Bool {
        while let next = upcoming.last, next.firstOffset <= batch.lastOffset.rawValue {
            open.insert(next.producerID)
            upcoming.removeLast()
        }
        return batch.isTransactional && open.contains(batch.producerID.rawValue)
    }

    /// Ends the transaction of the producer whose abort marker this is.
    mutating func apply(marker record: RecordView, of batch: RecordBatchHeader) {
        if let marker = EndTransactionMarker(record), !marker.isCommit { open.remove(batch.producerID.rawValue) }
    }
}
