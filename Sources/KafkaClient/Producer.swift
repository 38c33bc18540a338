internal import ByteBuffers
internal import KafkaModel
internal import KafkaWire
public import RecordFormat

/// Writes records in batches, several requests under way at a time, in order within each partition. Used by one thread.
///
/// With idempotence (the default) a batch that is sent again after a lost answer is stored once, and batches stay in
/// order although up to five requests are in flight; without it one batch a partition is in flight, and a retry may
/// store records twice. Source: KIP-98, KIP-480 (keyless records stay with one partition until its batch is full).
public final class Producer {
    public struct Options: Sendable {
        /// -1: all replicas in sync, 1: the leader alone, 0: no acknowledgement.
        public var acks: Int16 = -1
        /// Needs `acks` -1.
        public var isIdempotent = true
        public var compression = Compression.none
        /// A batch is closed when its records, uncompressed, have so many bytes.
        public var batchBytes = 128 << 10
        /// Most bytes of one request; a larger single batch goes alone.
        public var requestBytes = 1 << 20
        /// Bytes of closed batches that wait or are in flight before `send` waits.
        public var maxQueuedBytes = 32 << 20
        /// How long a batch is tried after it was closed, before it is given up.
        public var deliveryTimeoutMs: Int64 = 60_000

        public init() {}
    }

    /// How a batch ended.
    public struct Delivery: Sendable {
        public var partition: PartitionName
        public var recordCount: Int
        /// The first record's offset (-1: not told, with `acks` 0 or after a retry that the broker had stored already).
        public var result: Result<Int64, ClientError>
        /// With a failure: the records may be stored nevertheless, for they were sent, and no answer says that they are not.
        public var mayBeStored = false
    }

    let cluster: Cluster
    let options: Options
    /// Called for every batch, in order within a partition.
    public var onDelivery: ((Delivery) -> Void)?
    public private(set) var acknowledgedRecords = 0
    public private(set) var failedRecords = 0
    /// How many of `failedRecords` may be stored: they were sent, and no answer says that they are not.
    public private(set) var uncertainRecords = 0

    /// Records that have not ended, while a flush was not waited for to its end: those that no broker was sent, and those
    /// that one may have stored.
    public var outstandingRecords: (unsent: Int, uncertain: Int) {
        var unsent = 0
        var uncertain = 0
        for queue in queues.values {
            unsent += Int(queue.builder.recordCount)
            for batch in queue.inFlight + queue.failed + queue.waiting {
                let isUnderWay = queue.inFlight.contains { $0 === batch }
                if isUnderWay || batch.mayBeStored {
                    uncertain += Int(batch.recordCount)
                } else {
                    unsent += Int(batch.recordCount)
                }
            }
        }
        return (unsent, uncertain)
    }

    private var session = ProducerSession.none
    private var needsNewSession = false
    private var queues: [PartitionName: ProducerQueue] = [:]
    private var sticky: [String: Int32] = [:]
    private var partitionCounts: [String: Int] = [:]
    private let context = CompressionContext()
    private var requests: [Int32: [Request]] = [:]
    private var queuedBytes = 0

    /// Requests in flight to one broker: what a broker remembers of a producer's batches. Source: KIP-98.
    private static let maxInFlight = 5

    private struct Request {
        var pending: BrokerConnection.Pending<ProduceResponse>
        var connection: BrokerConnection
        var batches: [(queue: ProducerQueue, batch: OutgoingBatch, topicID: TopicID)]
    }

    public init(_ cluster: Cluster, options: Options = Options()) throws(ClientError) {
        precondition(!options.isIdempotent || options.acks == -1, "idempotence needs acks of all replicas")
        self.cluster = cluster
        self.options = options
        if options.isIdempotent { session = try newSession() }
    }

    // MARK: Sending

    /// Appends a record to its partition's batch; waits when too much is queued. `partition` nil: by the key, or, without
    /// one, spread by the batch. The topic is created if the broker allows that.
    public func send(
        topic: String, partition: Int32? = nil, key: [UInt8]?, value: [UInt8]?, headers: EncodedRecordHeaders,
        timestampMs: Int64
    ) throws(ClientError) {
        let queue = try queue(topic, partition, key)
        // An empty array may have no address; an empty key is not a null one.
        (key ?? []).withUnsafeBytes { keyBytes in
            (value ?? []).withUnsafeBytes { valueBytes in
                headers.bytes.withUnsafeBytes { headerBytes in
                    queue.builder.append(
                        key: key == nil ? nil : keyBytes, value: value == nil ? nil : valueBytes,
                        headers: headerBytes, headerCount: headers.count, timestampMs: timestampMs)
                }
            }
        }
        guard queue.builder.sizeInBytes >= options.batchBytes else { return }
        try close(queue)
        if sticky[topic] == queue.name.partition { sticky[topic] = nil }
        try dispatch()
        try collect(waiting: false)
        while queuedBytes > options.maxQueuedBytes {
            try collect(waiting: true)
            try dispatch()
        }
    }

    /// Sends what is gathered and waits until every batch has ended, well or not.
    public func flush() throws(ClientError) {
        for queue in queues.values where !queue.builder.isEmpty { try close(queue) }
        while queuedBytes > 0 {
            try dispatch()
            try collect(waiting: true)
        }
    }

    /// Closes every batch, full or not, sends what may go, and takes the answers that are there. Waits for no answer.
    public func push() throws(ClientError) {
        for queue in queues.values where !queue.builder.isEmpty { try close(queue) }
        try advance()
    }

    /// Takes the answers that are there, and sends what waited for them.
    public func advance() throws(ClientError) {
        try collect(waiting: false)
        if queuedBytes > 0 { try dispatch() }
    }

    private func queue(_ topic: String, _ partition: Int32?, _ key: [UInt8]?) throws(ClientError) -> ProducerQueue {
        // While the brokers are away, what was known of the topic goes on: its batches wait.
        var known = cluster.topics[topic]?.partitions.count ?? partitionCounts[topic]
        if known == nil { known = try cluster.topic(topic, createIfMissing: true).partitions.count }
        partitionCounts[topic] = known
        let count = Int32(known ?? 0)
        guard count > 0 else { throw .invalidAnswer("topic \(topic) has no partitions") }
        let index: Int32
        if let partition {
            guard partition >= 0, partition < count else {
                throw .refused(
                    .unknownTopicOrPartition, "partition \(partition) of topic \(topic)", message: "it has \(count)")
            }
            index = partition
        } else if let key {
            index = Partitioner.partition(of: key, count: count)
        } else if let chosen = sticky[topic], chosen < count {
            index = chosen
        } else {
            index = Int32.random(in: 0..<count)
            sticky[topic] = index
        }
        let name = PartitionName(topic, index)
        if let queue = queues[name] { return queue }
        let queue = ProducerQueue(name: name, capacity: options.batchBytes + 4096, context: context)
        queues[name] = queue
        return queue
    }

    private func close(_ queue: ProducerQueue) throws(ClientError) {
        var header = RecordBatchBuilder.Options(compression: options.compression)
        header.producerID = session.producerID
        header.producerEpoch = session.producerEpoch
        if session != .none { header.baseSequence = queue.nextSequence }
        let count = queue.builder.recordCount
        let slice: ByteSlice
        do throws(CompressionError) { slice = try queue.builder.finish(header) } catch {
            throw .invalidAnswer("\(options.compression.name) cannot compress: \(error)")
        }
        queue.nextSequence = queue.nextSequence.advanced(by: count)
        queue.waiting.append(
            OutgoingBatch(
                slice: slice, recordCount: count, deadline: .after(milliseconds: options.deliveryTimeoutMs)))
        queuedBytes += slice.count
    }

    // MARK: Requests

    /// Sends every batch that may go now, those for one broker together.
    private func dispatch() throws(ClientError) {
        if needsNewSession { try renewSession() }
        while true {
            var byLeader: [Int32: [ProducerQueue]] = [:]
            for queue in queues.values {
                expire(queue)
                guard !needsNewSession, queue.canSend(pipelines: options.isIdempotent) else { continue }
                let leader: Int32
                do throws(ClientError) {
                    _ = try cluster.topic(queue.name.topic, createIfMissing: true)
                    leader = try cluster.leader(of: queue.name.topic, queue.name.partition)
                } catch {
                    if !error.isTransient { throw error }
                    postpone(queue, error)
                    continue
                }
                if requests[leader, default: []].count < Self.maxInFlight {
                    byLeader[leader, default: []].append(queue)
                }
            }
            if byLeader.isEmpty { return }
            for (node, queues) in byLeader { try send(queues, to: node) }
        }
    }

    /// Sends one request with the first waiting batch of each queue, as many as fit.
    private func send(_ queues: [ProducerQueue], to node: Int32) throws(ClientError) {
        var batches: [(queue: ProducerQueue, batch: OutgoingBatch, topicID: TopicID)] = []
        var bytes = 0
        for queue in queues {
            let batch = queue.waiting[0]
            if !batches.isEmpty && bytes + batch.slice.count > options.requestBytes { continue }
            bytes += batch.slice.count
            batches.append((queue, batch, cluster.topics[queue.name.topic]?.id ?? .zero))
            queue.waiting.removeFirst()
            queue.inFlight.append(batch)
        }
        let deadline = cluster.deadline
        do throws(ClientError) {
            let connection = try cluster.connection(to: node, deadline)
            let pending = try connection.send(
                produceRequest(batches), limit: batches.contains { $0.topicID == .zero } ? 12 : .max,
                hasAnswer: options.acks != 0, deadline: deadline)
            if options.acks == 0 {
                for (queue, batch, _) in batches { finish(queue, batch, .success(-1)) }
            } else {
                requests[node, default: []].append(
                    Request(pending: pending, connection: connection, batches: batches))
            }
        } catch {
            // Whoever gives up waiting has not decided that the batches are to be given up.
            let reason = error == .cancelled ? ClientError.refused(.networkException, "\(node)", message: nil) : error
            for (queue, batch, _) in batches { fail(queue, batch, reason) }
            if !error.isTransient { throw error }
        }
    }

    private func produceRequest(
        _ batches: [(queue: ProducerQueue, batch: OutgoingBatch, topicID: TopicID)]
    ) -> ProduceRequest {
        var request = ProduceRequest()
        request.acks = options.acks
        request.timeoutMs = Int32(clamping: cluster.options.requestTimeoutMs)
        for (name, group) in Dictionary(grouping: batches, by: \.queue.name.topic) {
            var topic = ProduceRequest.TopicProduceData()
            topic.name = name
            topic.topicID = group[0].topicID
            topic.partitionData = group.map { entry in
                var partition = ProduceRequest.PartitionProduceData()
                partition.index = entry.queue.name.partition
                partition.records = entry.batch.slice.array
                return partition
            }
            request.topicData.append(topic)
        }
        return request
    }

    /// Takes the answers that are there; `waiting`: at least one, or the time of the next retry.
    private func collect(waiting: Bool) throws(ClientError) {
        var mayWait = waiting
        for node in requests.keys.sorted() {
            while let request = requests[node]?.first {
                if !mayWait && !request.connection.isBroken && !request.connection.hasInput { break }
                mayWait = false
                requests[node]?.removeFirst()
                do throws(ClientError) {
                    if request.connection.isBroken {
                        throw .unreachable(request.connection.address, reason: "the connection was lost")
                    }
                    let response = try request.connection.receive(request.pending, deadline: cluster.deadline)
                    take(response, request)
                } catch {
                    // The answer is lost, not known: with a session the broker tells repeated batches apart.
                    for (queue, batch, _) in request.batches {
                        batch.mayBeStored = true
                        fail(queue, batch, asTransient(error, request))
                    }
                    if error == .cancelled { throw error }
                }
            }
        }
        for queue in queues.values { queue.requeueFailed() }
        if mayWait && queuedBytes > 0 { MonotonicClock.sleep(milliseconds: cluster.options.retryBackoffMs) }
        if cluster.options.isCancelled?() == true { throw .cancelled }
    }

    private func asTransient(_ error: ClientError, _ request: Request) -> ClientError {
        error.isTransient ? error : .unreachable(request.connection.address, reason: error.description)
    }

    private func take(_ response: ProduceResponse, _ request: Request) {
        for (queue, batch, topicID) in request.batches {
            let topic = response.responses.first {
                request.pending.version >= 13 ? $0.topicID == topicID : $0.name == queue.name.topic
            }
            guard let answer = topic?.partitionResponses.first(where: { $0.index == queue.name.partition }) else {
                batch.mayBeStored = true
                fail(queue, batch, .invalidAnswer("Produce says nothing of \(queue.name)"))
                continue
            }
            let code = ErrorCode(rawValue: answer.errorCode)
            switch code {
            case .none: finish(queue, batch, .success(answer.baseOffset))
            // Stored by an earlier attempt, too long ago for the broker to know where.
            case .duplicateSequenceNumber: finish(queue, batch, .success(-1))
            default:
                if code.mayHaveStored { batch.mayBeStored = true }
                var message = answer.errorMessage
                if let first = answer.recordErrors.first {
                    message = (message ?? "") + " record \(first.batchIndex): \(first.batchIndexErrorMessage ?? "")"
                }
                fail(queue, batch, .refused(code, "write to \(queue.name)", message: message))
            }
        }
    }

    // MARK: Ends

    private func finish(_ queue: ProducerQueue, _ batch: OutgoingBatch, _ result: Result<Int64, ClientError>) {
        queue.inFlight.removeAll { $0 === batch }
        queuedBytes -= batch.slice.count
        queue.pauseMs = 0
        queue.retryAt = 0
        switch result {
        case .success: acknowledgedRecords += Int(batch.recordCount)
        case .failure:
            failedRecords += Int(batch.recordCount)
            if batch.mayBeStored { uncertainRecords += Int(batch.recordCount) }
        }
        onDelivery?(
            Delivery(
                partition: queue.name, recordCount: Int(batch.recordCount), result: result,
                mayBeStored: batch.mayBeStored))
    }

    private func fail(_ queue: ProducerQueue, _ batch: OutgoingBatch, _ error: ClientError) {
        var isTransient = error.isTransient
        // Behind a batch that failed, the next ones must be out of order; they go again after it, or, when it was given up,
        // under the new session.
        if case .refused(.outOfOrderSequenceNumber, _, _) = error, !queue.failed.isEmpty || needsNewSession {
            isTransient = true
        }
        if !isTransient {
            finish(queue, batch, .failure(error))
            // Its sequences are missing now: what follows would be out of order for ever.
            if options.isIdempotent { needsNewSession = true }
            return
        }
        batch.lastError = error
        queue.inFlight.removeAll { $0 === batch }
        queue.failed.append(batch)
        postpone(queue, error)
        queue.requeueFailed()
    }

    private func postpone(_ queue: ProducerQueue, _ error: ClientError) {
        cluster.forget(queue.name.topic)
        queue.waiting.first?.lastError = error
        let base = cluster.options.retryBackoffMs
        queue.pauseMs = min(max(base, queue.pauseMs * 2), base * 16)
        queue.retryAt = MonotonicClock.nanoseconds + queue.pauseMs * 1_000_000
    }

    /// Gives up batches whose time is over. Only between attempts: one in flight may still be stored.
    private func expire(_ queue: ProducerQueue) {
        while let batch = queue.waiting.first, let error = batch.lastError, batch.deadline.hasPassed {
            queue.waiting.removeFirst()
            queue.inFlight.append(batch)
            finish(queue, batch, .failure(error))
            if options.isIdempotent { needsNewSession = true }
        }
    }

    // MARK: Sessions

    private func newSession() throws(ClientError) -> ProducerSession {
        var request = InitProducerIdRequest()
        request.transactionalID = nil
        request.transactionTimeoutMs = Int32.max
        return try cluster.retrying { deadline throws(ClientError) in
            let response = try cluster.anyConnection(deadline).call(request, deadline: deadline)
            try Cluster.check(response.errorCode, "a producer ID")
            return ProducerSession(
                producerID: ProducerID(response.producerID), producerEpoch: ProducerEpoch(response.producerEpoch))
        }
    }

    /// Begins anew under another producer ID after a batch was given up, once nothing is in flight.
    private func renewSession() throws(ClientError) {
        guard queues.values.allSatisfy({ $0.inFlight.isEmpty }) else { return }
        do throws(ClientError) { session = try newSession() } catch {
            // Batches wait, and are given up at their deadline.
            guard error.isTransient else { throw error }
            for queue in queues.values { queue.waiting.first?.lastError = error }
            return
        }
        for queue in queues.values {
            queue.requeueFailed()
            queue.restamp(session)
        }
        needsNewSession = false
    }
}
